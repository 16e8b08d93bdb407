"""The page of one job: where it is while it runs, what it was enqueued with, what happened to it in right words."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from rq.utils import utcformat

from amazon_pilot.jobs.core import keys
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.inspect import store
from amazon_pilot.jobs.inspect.job_detail import collect
from amazon_pilot.jobs.models import AuditEntry, Batch, JobRun, JobSubject
from amazon_pilot.jobs.operate import operations
from tests.busy_day import busy_day  # noqa: F401 - a fixture
from tests.jobs import tasks
from tests.jobs.conftest import ended, env, start, wait_for  # noqa: F401 - fixtures
from tests.staff import person  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)


def page(client, job_id):
    return client.get(reverse("monitor:job", args=[job_id])).content.decode()


def words(job_id):
    return [event.text for event in collect(store.connect(), job_id).timeline]


# Where it is


@pytest.mark.slow
def test_a_running_job_is_asked_where_it_is_and_the_page_shows_it(person, start, redis):  # noqa: F811
    start()
    client = person("operate")
    job_id = tasks.sleep.enqueue(20)
    wait_for(lambda: redis.hget(f"rq:job:{job_id}", "started_at"), "the job to run")
    assert "Where it was" not in page(client, job_id)

    client.post(reverse("monitor:job-stack", args=[job_id]), {"reason": "It hangs"})

    shown = wait_for(lambda: (text := page(client, job_id)) and "in sleep" in text and text, "the stack")
    assert "Where it was when it was asked" in shown
    assert "tests/jobs/tasks.py" in shown
    entry = AuditEntry.objects.get(action="stack")
    assert (entry.target, entry.reason, entry.count) == (f"job:{job_id}", "It hangs", 1)
    found = client.get(reverse("monitor:api-job", args=[job_id])).json()
    assert "in sleep" in found["stack"]


@pytest.mark.parametrize("state", ["queued", "scheduled", "finished", "nobody"])
def test_what_does_not_run_is_not_asked(redis, state):
    job_id = "nobody"
    if state != "nobody":
        job_id = tasks.add.enqueue_in(60, 1, 2) if state == "scheduled" else tasks.add.enqueue(1, 2)
        redis.hset(f"rq:job:{job_id}", "status", state)

    assert operations.on_job(None, "stack", job_id).count == 0


@pytest.mark.parametrize(("role", "status"), [("view", 403), ("operate", 302), ("admin", 302)])
def test_asking_needs_the_role_and_a_post(person, role, status):  # noqa: F811
    client, address = person(role), reverse("monitor:job-stack", args=[tasks.add.enqueue(1, 2)])

    assert client.post(address).status_code == status
    assert client.get(address).status_code == 405
    assert AuditEntry.objects.filter(action="stack").count() == (status == 302)


# What happened to it


def test_a_planned_job_was_planned_and_is_enqueued_when_its_time_has_come():
    job_id = tasks.add.enqueue_in(3600, 1, 2)

    (only,) = words(job_id)
    assert re.fullmatch(r"Planned for \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", only)

    operations.on_job(None, "run now", job_id)
    told = words(job_id)
    assert told[0] == only
    assert sorted(told[1:]) == ["Enqueued on default", "the machine: run now"]


def test_the_time_of_a_planned_job_is_written_in_the_viewers_zone():
    job_id = tasks.add.enqueue_at(timezone.now() + timedelta(days=1), 1, 2)
    with timezone.override("Asia/Shanghai"):
        assert words(job_id)[0].endswith(" CST")


def test_a_job_that_is_enqueued_at_once_says_so():
    assert sorted(words(tasks.add.enqueue(1, 2))) == ["Created", "Enqueued on default"]


@pytest.mark.parametrize("text", ["nan", "x", "1e400", "-5", ""])
def test_a_planned_time_that_is_none_does_no_harm(redis, person, text):  # noqa: F811
    job_id = tasks.add.enqueue_in(3600, 1, 2)
    redis.hset(f"rq:job:{job_id}", "planned", text)

    assert "Timeline" in page(person("view"), job_id)


def test_the_forwarder_makes_a_planned_job_one_that_waits(redis):
    job_id = tasks.add.enqueue_in(1, 1, 2)
    redis.zadd("rq:scheduled:default", {job_id: 1})
    script("forward")(redis, "default", utcformat(timezone.now()), 100, 0)

    assert words(job_id)[0].startswith("Planned for ")
    assert words(job_id)[1] == "Enqueued on default"


# What it was enqueued with


def test_siblings_are_told_by_their_batch_and_the_parent_names_it(person, redis):  # noqa: F811
    batch = Batch.objects.fan_out(tasks.add, [(1, n) for n in range(4)])
    Batch.objects.filter(pk=batch.pk).update(parent="mother")
    now = timezone.now()
    for name in ("mother", "a", "b"):
        JobRun.objects.create(
            job_id=name, execution_id="e", task="t", queue="low", started_at=now, ended_at=now,
            outcome="failed" if name == "b" else "succeeded",
        )  # fmt: skip
    JobSubject.objects.note([(batch.subject, name, now) for name in ("a", "b")])
    client = person("view")

    child = page(client, redis.lindex("rq:queue:default", 0).decode())
    mother = page(client, "mother")

    for text in (child, mother, page(client, "a")):
        assert "Enqueued together" in text
        assert f"/admin/monitor/batches/{batch.pk}" in text
        assert "2 of 4 jobs have ended." in text
        assert "1 failed" in text
    assert "made by this job" in mother
    assert "made by this job" not in child


def test_a_job_of_no_batch_has_no_such_part(person):  # noqa: F811
    Batch.objects.create(task="t", children=2)

    assert "Enqueued together" not in page(person("view"), tasks.add.enqueue(1, 2))


def test_a_log_that_is_cut_within_a_letter_is_shown_all_the_same(admin_client, busy_day, redis):  # noqa: F811
    redis.set(keys.log("pilot-live"), "Größe".encode()[5:] + b"\xf0\x9f")
    redis.set(keys.stack("pilot-live"), b"\xff at line 1")

    text = page(admin_client, busy_day.running)

    assert "\ufffde\ufffd" in text
    assert "\ufffd at line 1" in text
