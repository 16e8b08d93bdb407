"""Batches: a fan-out and its children are one thing, whose progress and outcome are those of its children."""

import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis.exceptions import ConnectionError as AwayError

from amazon_pilot.jobs.core import enqueue as core
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import PayloadError
from amazon_pilot.jobs.inspect import subjects
from amazon_pilot.jobs.models import Batch, BulkAction, JobRun, JobSubject
from products.models import Product, Tracking
from products.tasks import batch_update_products, resume_unfinished, update_due_products
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now()


def attempt(batch, job_id, outcome, *, ago=0, **more):
    at = NOW - timedelta(seconds=ago)
    JobSubject.objects.note([(batch.subject, job_id, at)])
    JobRun.objects.create(
        job_id=job_id, execution_id=f"{job_id}-{ago}", task=batch.task, queue="default", outcome=outcome,
        started_at=at, ended_at=None if outcome == "started" else at, **more,
    )  # fmt: skip


def counts(batch):
    (found,) = Batch.objects.filter(pk=batch.pk).progress()
    return found


# What becomes one


def test_the_calls_of_a_fan_out_are_one_batch_and_each_job_says_so(redis):
    batch = Batch.objects.fan_out(tasks.add, [(1, n) for n in range(5)])

    batch.refresh_from_db()
    assert (batch.task, batch.children, batch.joined, batch.parent) == (tasks.add.name, 5, 0, "")
    assert batch.sent_at is not None
    jobs = [redis.hget(f"rq:job:{each.decode()}", "about") for each in redis.lrange("rq:queue:default", 0, -1)]
    assert jobs == [batch.subject.encode()] * 5


@pytest.mark.parametrize("calls", [[], [(1, 2)]])
def test_nothing_and_a_single_call_are_no_batch(calls):
    assert Batch.objects.fan_out(tasks.add, calls) is None
    assert queues.size("default") == len(calls)
    assert not Batch.objects.exists()


def test_what_joins_a_unique_job_is_no_child():
    tasks.once_at_a_time.enqueue("b")

    batch = Batch.objects.fan_out(tasks.once_at_a_time, [("a",), ("b",), ("c",), ("c",)])

    batch.refresh_from_db()
    assert (batch.children, batch.joined) == (2, 2)
    assert queues.size("default") == 3


def test_calls_that_cannot_be_enqueued_leave_no_batch():
    with pytest.raises(PayloadError):
        Batch.objects.fan_out(tasks.add, [(1, 2), (1, object())])

    assert not Batch.objects.exists()
    assert queues.size("default") == 0


def test_a_transaction_that_is_rolled_back_leaves_neither_batch_nor_jobs():
    with transaction.atomic():
        Batch.objects.fan_out(tasks.add, [(1, 2), (3, 4)])
        transaction.set_rollback(True)

    assert not Batch.objects.exists()
    assert queues.size("default") == 0


def test_a_batch_that_redis_did_not_take_says_so(monkeypatch, client, boss):
    def away():
        raise AwayError

    with monkeypatch.context() as patch:
        patch.setattr(core, "connection", away)
        with pytest.raises(AwayError):
            Batch.objects.fan_out(tasks.add, [(1, 2), (3, 4)])

    client.force_login(boss)
    assert "Redis has not taken it" in client.get("/admin/monitor/batches").content.decode()


# How far it is


ENDS = {
    "queued": [],
    "started": [("started", {})],
    "succeeded": [("succeeded", {})],
    "failed": [("failed", {})],
    "stopped": [("stopped", {})],
    "retrying": [("retrying", {})],
    "retried": [("retrying", {}), ("succeeded", {})],
    "given up": [("retrying", {}), ("retrying", {}), ("failed", {})],
    "again by hand": [("failed", {}), ("started", {})],
    "mended by hand": [("failed", {}), ("succeeded", {})],
    "lost": [("lost", {})],
    "poison": [("lost", {}), ("lost", {}), ("lost", {"is_poison": True})],
}
WHERE = {
    "queued": "waiting", "started": "running", "succeeded": "succeeded", "failed": "failed", "stopped": "failed",
    "retrying": "retrying", "retried": "succeeded", "given up": "failed", "again by hand": "running",
    "mended by hand": "succeeded", "lost": "retrying",
}  # fmt: skip


@pytest.mark.parametrize("kind", WHERE)
def test_each_child_counts_once_by_what_became_of_it_last(kind):
    batch = Batch.objects.create(task="t", children=3)
    for child in range(3):
        for n, (outcome, more) in enumerate(ENDS[kind]):
            attempt(batch, f"{kind}-{child}", outcome, ago=100 - n, **more)

    found = counts(batch)

    names = ("waiting", "running", "retrying", "succeeded", "failed")
    assert {name: getattr(found, name) for name in names} == dict.fromkeys(names, 0) | {WHERE[kind]: 3}
    assert found.percent == (100 if WHERE[kind] in ("succeeded", "failed") else 0)


def test_a_child_that_became_poison_has_failed():
    batch = Batch.objects.create(task="t", children=1)
    for n, (outcome, more) in enumerate(ENDS["poison"]):
        attempt(batch, "p", outcome, ago=100 - n, **more)

    assert (counts(batch).failed, counts(batch).state) == (1, "failed")


@pytest.mark.later
@pytest.mark.parametrize(
    ("children", "ends", "percent", "state"),
    [
        (4, [], 0, "queued"),
        (4, ["started"], 0, "started"),
        (4, ["succeeded"], 25, "started"),
        (300, ["succeeded"] * 299, 99, "started"),
        (2, ["succeeded", "succeeded"], 100, "succeeded"),
        (2, ["succeeded", "failed"], 100, "failed"),
        (0, [], 100, "succeeded"),
    ],
)
def test_the_bar_is_full_only_when_all_have_ended(children, ends, percent, state):
    batch = Batch.objects.create(task="t", children=children)
    for n, outcome in enumerate(ends):
        attempt(batch, f"j{n}", outcome)

    assert (counts(batch).percent, counts(batch).state) == (percent, state)


def test_batches_do_not_mix():
    one, two = (Batch.objects.create(task="t", children=1) for _ in range(2))
    attempt(one, "a", "failed")
    attempt(two, "b", "succeeded")

    assert [(each.failed, each.succeeded) for each in Batch.objects.order_by("pk").progress()] == [(1, 0), (0, 1)]


@pytest.mark.slow
def test_a_real_batch_of_real_jobs_is_told_as_it_ended(start, client, boss):  # noqa: F811
    start()
    parent = tasks.fan_out.enqueue(6)

    batch = wait_for(lambda: Batch.objects.first(), "the batch")
    wait_for(lambda: counts(batch).percent == 100, "its end")

    assert batch.parent == parent
    assert (counts(batch).succeeded, counts(batch).failed, counts(batch).state) == (4, 2, "failed")
    client.force_login(boss)
    page = client.get(f"/admin/monitor/batches/{batch.pk}").content.decode()
    assert "100%" in page
    assert f"/admin/monitor/job/{parent}" in page


# Pages


def test_the_list_takes_as_many_queries_for_many_as_for_one(client, boss):
    client.force_login(boss)
    first = Batch.objects.create(task="t", children=1)
    attempt(first, "x", "failed")
    before = queries_of(client)
    for _ in range(30):
        attempt(Batch.objects.create(task="t", children=2), f"y{time.monotonic_ns()}", "succeeded")

    assert queries_of(client) == before


def queries_of(client):
    with CaptureQueriesContext(connection) as seen:
        client.get("/admin/monitor/batches")
    return len(seen)


def test_the_list_goes_on_behind_its_last_line(client, boss):
    for _ in range(25):
        Batch.objects.create(task="t", children=2)
    client.force_login(boss)

    first = client.get("/admin/monitor/batches").context["batches"]["value"]
    second = client.get(f"/admin/monitor/batches?before={first['before']}").context["batches"]["value"]

    shown = [each.of.pk for each in first["rows"] + second["rows"]]
    assert shown == list(Batch.objects.order_by("-pk").values_list("pk", flat=True))
    assert second["before"] is None


@pytest.mark.parametrize("before", ["x", "²", "-3", "9" * 40])
def test_a_place_that_is_none_begins_anew(client, boss, before):
    Batch.objects.create(task="t", children=2)
    client.force_login(boss)

    answer = client.get("/admin/monitor/batches", {"before": before})

    assert answer.status_code == 200
    assert len(answer.context["batches"]["value"]["rows"]) == 1


def test_a_thousand_children_are_counted_within_300_ms(client, boss):
    batch = Batch.objects.create(task="t", children=1000)
    rows = [f"job{n}" for n in range(1000)]
    JobSubject.objects.note([(batch.subject, each, NOW) for each in rows])
    words = {"execution_id": "e", "task": "t", "queue": "low", "outcome": "succeeded", "started_at": NOW}
    JobRun.objects.bulk_create([JobRun(job_id=each, ended_at=NOW, **words) for each in rows])
    client.force_login(boss)
    client.get(f"/admin/monitor/batches/{batch.pk}")
    spans = []
    for _ in range(5):
        begun = time.process_time()
        assert "1,000" in client.get(f"/admin/monitor/batches/{batch.pk}").content.decode()
        spans.append(time.process_time() - begun)

    assert min(spans) < 0.3


def test_a_job_leads_to_its_batch_and_the_search_box_finds_its_children(client, boss, redis):
    batch = Batch.objects.fan_out(tasks.add, [(1, 2), (3, 4)])
    job_id = redis.lindex("rq:queue:default", 0).decode()
    client.force_login(boss)

    assert f"/admin/monitor/batches/{batch.pk}" in client.get(f"/admin/monitor/job/{job_id}").content.decode()
    assert job_id in client.get("/admin/monitor/jobs", {"q": batch.subject}).content.decode()
    ((_subject, described),) = subjects.described([batch.subject])
    assert described.text == f"batch {batch.pk} of add"


@pytest.mark.parametrize("subject", ["batch:x", "batch:²", f"batch:{10**30}", "batch:999999"])
def test_a_batch_that_nobody_knows_is_named_as_it_stands(client, boss, subject):
    client.force_login(boss)

    assert subjects.described([subject])[0][1].text == subject
    assert client.get(f"/admin/monitor/about/{subject}").status_code == 200


def test_the_failed_children_are_retried_together(client, boss, redis):
    batch = Batch.objects.create(task=tasks.fail.name, children=2)
    for name in ("mine", "other"):
        at = NOW.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        redis.hset(f"rq:job:{name}", mapping={
            "status": "failed", "origin": "default", "task": tasks.fail.name, "enqueued_at": at, "created_at": at,
            "data": f'["{tasks.fail.name}", null, [], {{}}]', "about": batch.subject if name == "mine" else "",
        })  # fmt: skip
        redis.zadd("rq:failed:default", {name: NOW.timestamp() + 86_400})
    attempt(batch, "mine", "failed", exception="x.Error", fingerprint="f")
    JobRun.objects.create(
        job_id="other", execution_id="e", task=tasks.fail.name, queue="default", outcome="failed", started_at=NOW,
        ended_at=NOW, exception="x.Error", fingerprint="f",
    )  # fmt: skip
    client.force_login(boss)
    page = client.get(f"/admin/monitor/batches/{batch.pk}").content.decode()
    address = page.split('class="act" href="')[1].split('"')[0].replace("&amp;", "&")

    preview = client.get(address)

    assert "mine" in preview.content.decode()
    assert "other" not in [job.id for job in preview.context.get("sample", [])]
    assert not BulkAction.objects.exists()


# The product's own


@pytest.fixture
def due(lamp):
    """A hundred and fifty products that nobody has seen yet, watched by the lamp's owner."""
    made = Product.objects.bulk_create(Product(asin=f"B0BATCH{n:03}", marketplace=lamp.marketplace) for n in range(150))
    owner = Tracking.objects.filter(product=lamp).first().team
    Tracking.objects.bulk_create(Tracking(team=owner, product=product) for product in made)
    return made


@pytest.mark.later
def test_the_morning_round_is_one_batch(due, redis):
    update_due_products("daily")

    batch = Batch.objects.get()
    assert batch.task == batch_update_products.name
    assert batch.children == queues.size("default") == 2
    about = redis.hget(f"rq:job:{redis.lindex('rq:queue:default', 0).decode()}", "about").decode().split(",")
    assert batch.subject in about
    assert len(about) == 101


def test_a_sweep_that_finds_nothing_to_do_makes_no_batch(db):
    resume_unfinished()

    assert not Batch.objects.exists()
