"""What jobs are about: given when they are enqueued, kept with their runs, and what a search and a page lead by."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs import PayloadError, job
from amazon_pilot.jobs.core import keys, limits, queues
from amazon_pilot.jobs.core.registry import TASKS
from amazon_pilot.jobs.core.subjects import joined, split
from amazon_pilot.jobs.history import rows
from amazon_pilot.jobs.inspect import lists, redis_jobs
from amazon_pilot.jobs.inspect.query import parse
from amazon_pilot.jobs.models import JobRun, JobSubject
from amazon_pilot.jobs.worker import recoverer
from products.models import Product, ScrapeRun
from products.tasks import batch_update_products, collect_scrape_run, update_product
from tests.jobs import tasks
from tests.jobs.conftest import ended, env, history, start, wait_for  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]


@pytest.fixture
def declared():
    """A task that says what its jobs are about, and whose function does not."""

    @job("default", name="shop.tasks.about_kettles", about=lambda kettle, **more: [f"kettle:{kettle}"])
    def about_kettles(kettle: int, **more: int) -> None:
        pass

    yield about_kettles
    del TASKS["shop.tasks.about_kettles"]


def field(job_id, name="about"):
    return (queues.connection().hget(f"rq:job:{job_id}", name) or b"").decode()


@pytest.mark.parametrize(
    ("subjects", "text"),
    [
        ([], ""),
        (["product:17"], "product:17"),
        (["a:1", "b:2", "a:1"], "a:1,b:2"),
        (["product:US/B0LAMP0001"], "product:US/B0LAMP0001"),
    ],
)
def test_subjects_are_carried_as_one_text(subjects, text):
    assert joined(subjects) == text
    assert split(text) == list(dict.fromkeys(subjects))


@pytest.mark.parametrize(
    "wrong",
    [
        "17",
        "product:",
        ":17",
        "Product:17",
        "product:a b",
        "product:a,b",
        "product:\0",
        "product:" + "x" * 101,
        "p" * 130,
    ],
)
def test_what_is_no_subject_is_refused_before_anything_is_enqueued(wrong, redis):
    with pytest.raises(PayloadError, match="is no subject"):
        tasks.add.options(about=[wrong]).enqueue(1, 2)
    with pytest.raises(PayloadError, match="110 things at most"):
        tasks.add.options(about=[f"a:{n}" for n in range(111)]).enqueue(1, 2)
    assert not redis.keys("rq:job:*")
    assert split(f"{wrong},product:1") == ["product:1"] or "," in wrong


def test_a_task_says_what_a_call_is_about_and_a_caller_adds_to_it(declared):
    assert field(declared.enqueue(7)) == "kettle:7"
    assert field(declared.options(about=["order:9"]).enqueue(7)) == "order:9,kettle:7"
    assert [field(each) for each in declared.enqueue_many([(1,), (2,)])] == ["kettle:1", "kettle:2"]


def test_a_task_that_cannot_say_it_is_enqueued_all_the_same(caplog):
    @job("default", name="shop.tasks.broken_about", about=lambda number: [f"a:{1 // number}"])
    def broken_about(number: int) -> None:
        pass

    try:
        assert field(broken_about.enqueue(0), "task") == "shop.tasks.broken_about"
        assert "could not say what its job is about" in caplog.text
    finally:
        del TASKS["shop.tasks.broken_about"]


def test_a_job_about_nothing_costs_nothing(redis):
    job_id = tasks.add.enqueue(1, 2)

    assert b"about" not in redis.hgetall(f"rq:job:{job_id}")
    assert not redis.keys(f"{keys.ABOUT}*")


@pytest.mark.later
def test_the_newest_jobs_of_a_subject_are_found_while_they_wait_run_and_are_planned(redis):
    about = tasks.add.options(about=["product:1"])
    waiting, planned = about.enqueue(1, 1), about.enqueue_in(600, 1, 2)
    tasks.add.options(about=["product:12"]).enqueue(1, 3)
    for n in range(300):
        tasks.add.enqueue(2, n)

    found = {each.id: each.state for each in redis_jobs.about({"product:1"}, 10)}

    assert found == {waiting: "queued", planned: "scheduled"}
    assert redis.ttl(f"{keys.ABOUT}product:1") > limits.ABOUT_SECONDS
    for n in range(limits.ABOUT_JOBS + 5):
        about.enqueue(3, n)
    assert redis.zcard(f"{keys.ABOUT}product:1") == limits.ABOUT_JOBS


@pytest.mark.slow
def test_a_question_by_subject_finds_what_waits_in_however_long_a_queue_and_what_ran():
    for n in range(1200):
        tasks.add.enqueue(2, n)
    waiting = tasks.add.options(about=["product:1"]).enqueue(1, 1)
    ran("old", "product:1")
    ran("other", "product:11")

    for question in ("about:product:1", "product:1", '"product:1"', "about:product:1 queue:default"):
        listing = lists.ask(question, "", 50)
        assert [row.job_id for row in listing.present.rows] == [waiting], question
        assert [row.job_id for row in listing.rows] == ["old"], question
    assert [row.job_id for row in lists.ask("state:queued about:product:1", "", 50).rows] == [waiting]
    assert lists.ask("state:started about:product:1", "", 50).rows == []
    assert lists.ask("about:product:1 -queue:default", "", 50).present.rows == []


def ran(job_id, *subjects, **more):
    moment = timezone.now()
    times = {"started_at": moment, "ended_at": moment}
    run = (
        {"execution_id": "e", "task": "tests.jobs.tasks.add", "queue": "default", "outcome": "succeeded"} | times | more
    )
    JobSubject.objects.note([(each, job_id, moment) for each in subjects])
    return JobRun.objects.create(job_id=job_id, **run)


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "started"])
def test_the_history_keeps_what_a_run_was_about_once(outcome):
    text = json.dumps(
        [outcome, "j", "e", "low", "t", 1, "", "w", 1, timezone.now().timestamp(), {"about": "product:1,x,order:2"}]
    )
    for _time in range(2):
        rows.write([rows.row_of(text.encode(), b"")])

    assert list(JobSubject.objects.order_by("subject").values_list("subject", "job_id")) == [
        ("order:2", "j"),
        ("product:1", "j"),
    ]


def test_looking_by_subject_costs_a_constant_number_of_queries(django_assert_max_num_queries):
    for n in range(30):
        ran(f"j{n}", "product:1")
        tasks.add.options(about=["product:1"]).enqueue(1, n)

    with django_assert_max_num_queries(14):
        listing = lists.ask("about:product:1", "", 50)
    assert len(listing.rows) == 30


# The product


def test_the_products_tasks_say_what_they_are_about(lamp):
    assert field(update_product.enqueue(lamp.pk)) == f"product:{lamp.pk}"
    assert field(batch_update_products.enqueue([lamp.pk, 99])) == f"product:{lamp.pk},product:99"
    assert field(collect_scrape_run.enqueue(5)) == "scrape_run:5"


def test_an_asin_finds_the_jobs_of_a_product_and_of_its_scrape_runs(lamp, admin_client, django_assert_max_num_queries):
    run = ScrapeRun.objects.plan([lamp])
    mine, collecting = update_product.enqueue(lamp.pk), collect_scrape_run.enqueue(run.pk)
    stranger = Product.objects.create(marketplace="amazon.com", asin="B0OTHER001")
    update_product.enqueue(stranger.pk)
    ran("before", f"product:{lamp.pk}")

    for question in (lamp.asin, lamp.asin.lower(), f"about:{lamp.asin}", f"product:{lamp.pk}"):
        with django_assert_max_num_queries(60):
            answer = admin_client.get(reverse("monitor:jobs"), {"q": question})
        listing = answer.context["listing"]
        assert {row.job_id for row in listing.present.rows} == {mine, collecting}, question
        assert [row.job_id for row in listing.rows] == ["before"]
        assert reverse("monitor:about", args=[f"product:{lamp.pk}"]) in answer.content.decode()


def test_a_job_leads_to_what_it_is_about_and_that_to_its_jobs(lamp, admin_client):
    job_id = update_product.enqueue(lamp.pk)
    ran("before", f"product:{lamp.pk}", outcome="failed", exception="x.Error")
    page = reverse("monitor:about", args=[f"product:{lamp.pk}"])

    for each in (job_id, "before"):
        text = admin_client.get(reverse("monitor:job", args=[each])).content.decode()
        assert f'<a href="{page}">{lamp.asin} (amazon.com)</a>' in text
    text = admin_client.get(page).content.decode()
    for each in (job_id, "before"):
        assert reverse("monitor:job", args=[each]) in text
    assert reverse("admin:products_product_change", args=[lamp.pk]) in text
    assert "It is looked at daily" in text


@pytest.mark.parametrize("subject", ["product:999999", "kettle:4", "report:abc", "product:99999999999999999999"])
def test_a_subject_that_nobody_knows_has_a_page_that_says_so(admin_client, subject):
    answer = admin_client.get(reverse("monitor:about", args=[subject]))

    assert answer.status_code == 200
    assert "No run about it is kept." in answer.content.decode()


@pytest.mark.parametrize("odd", ["17", "product", "Product:1", "a:b c"])
def test_what_is_no_subject_has_no_page(admin_client, odd):
    assert admin_client.get(f"/admin/monitor/about/{odd}").status_code == 404


def test_without_a_role_nothing_is_shown(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("staff", is_staff=True))

    assert client.get(reverse("monitor:about", args=["product:1"])).status_code == 403


def test_an_app_without_subjects_of_its_own_finds_them_by_their_names(settings):
    settings.MONITOR_SUBJECTS = ""
    waiting = tasks.add.options(about=["kettle:1"]).enqueue(1, 1)

    assert [row.job_id for row in lists.ask("about:kettle:1", "", 50).present.rows] == [waiting]
    assert lists.ask("B0LAMP0001", "", 50).present.rows == []


def test_a_word_that_is_no_name_asks_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert parse("timeout connection update_product").about == frozenset()
        assert parse("timeout").named == ()


@pytest.mark.slow
def test_a_real_run_is_found_by_what_it_was_about_also_when_it_was_lost(start, history, redis):  # noqa: F811
    worker = start()
    done = tasks.add.options(about=["kettle:1"]).enqueue(1, 2)
    ended(done)
    lost = tasks.sleep.options(about=["kettle:2"]).enqueue(60)
    wait_for(lambda: redis.zcard("rq:wip:default") == 1)
    worker.kill()
    redis.zadd("rq:wip:default", dict.fromkeys(redis.zrange("rq:wip:default", 0, -1), 1))
    wait_for(lambda: list(recoverer.recover("default")))
    history()

    assert JobSubject.objects.jobs(["kettle:1"]) == [done]
    assert JobSubject.objects.jobs(["kettle:2"]) == [lost]
