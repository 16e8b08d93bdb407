"""The pages of queues and tasks: what they tell, and how a queue, a task or a tag is paused, resumed and drained."""

import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs import queues, verbs
from amazon_pilot.jobs.models import AuditEntry, JobRun, Pause, Tally
from amazon_pilot.jobs.monitor import sample, store, task_pages
from amazon_pilot.jobs.tasks import drain_queue
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.staff import serve

pytestmark = pytest.mark.django_db(transaction=True)


def look(client, name, *args):
    store.connect().delete(sample.KEY)
    answer = client.get(reverse(f"monitor:{name}", args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def press(client, name, /, *args, **form):
    return client.post(reverse(f"monitor:{name}", args=args), form, follow=True)


def test_the_list_tells_what_each_queue_holds(person):
    serve()
    tasks.do_nothing.enqueue_many([(n,) for n in range(1234)])

    text = look(person("view"), "queues")

    assert "1,234</a>" in text
    assert "Nothing is paused." in text


def test_a_queue_tells_which_tasks_wait_at_its_head(person):
    tasks.do_nothing.enqueue_many([(n,) for n in range(3)])
    tasks.tagged.enqueue_many([() for _ in range(600)])

    text = look(person("view"), "queue", "default")

    assert "Of the first 500 jobs." in text
    assert text.index("jobs.tagged") < text.index("jobs.do_nothing")
    assert ">497<" in text


def test_a_queue_that_is_none_is_not_found(person):
    assert person("view").get(reverse("monitor:queue", args=["nowhere"])).status_code == 404


@pytest.mark.parametrize("name", ["queue:low", "task:tests.jobs.tasks.add", "tag:apify"])
def test_pause_and_resume_write_who_and_why(person, name):
    client = person("operate")

    press(client, "pause", name=name, reason="A test", minutes="30")

    assert queues.paused()[name] == pytest.approx(time.time() + 1800, abs=30)
    pause = Pause.objects.active().get()
    assert (pause.name, pause.by.username, pause.reason) == (name, "operate-er", "A test")
    assert "operate-er" in look(client, "queues")

    press(client, "resume", name=name)
    assert queues.paused() == {}
    assert sorted(AuditEntry.objects.values_list("action", "target", "count")) == [
        ("pause", name, 1), ("resume", name, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "queue:low"}, "Say why"),
        ({"name": "low", "reason": "x"}, "is not a queue, a task or a tag"),
        ({"name": "queue:nowhere", "reason": "x"}, "is not a queue, a task or a tag"),
        ({"name": "queue:low", "reason": "x", "minutes": "-1"}, "Write the minutes"),
        ({"name": "queue:low", "reason": "x", "until": "2020-01-01T00:00"}, "still to come"),
    ],
)
def test_a_pause_that_makes_no_sense_is_refused_in_words(person, form, said):
    assert said in press(person("operate"), "pause", **form).content.decode()
    assert queues.paused() == {}
    assert not Pause.objects.exists()


@pytest.mark.parametrize(("name", "args"), [("pause", ()), ("resume", ()), ("drain", ("low",))])
def test_who_may_only_look_changes_nothing(person, name, args):
    client = person("view")

    assert press(client, name, *args, name="queue:low", reason="x", typed="low").status_code == 403
    assert client.get(reverse(f"monitor:{name}", args=args)).status_code == 405
    assert queues.paused() == {}
    assert not AuditEntry.objects.exists()


def test_a_paused_queue_starts_nothing_while_three_workers_run_and_goes_on_within_a_second(person, start):  # noqa: F811
    client = person("operate")
    press(client, "pause", name="queue:default", reason="A test")
    for number in (1, 2, 3):
        start(name=f"w{number}")
    ids = tasks.do_nothing.enqueue_many([(n,) for n in range(50)])

    time.sleep(2)
    assert queues.size("default") == 50

    press(client, "resume", name="queue:default")
    resumed = time.monotonic()
    wait_for(lambda: queues.size("default") == 0, "the jobs to start")
    assert time.monotonic() - resumed < 1
    wait_for(lambda: queues.counts("default")["finished"] == len(ids), "the jobs to end")


# Draining


def test_draining_deletes_what_waits_and_keeps_what_comes_later(person):
    old = tasks.do_nothing.enqueue_many([(n,) for n in range(2500)])
    answer = press(person("admin"), "drain", "default", typed="default", reason="Wrong import")
    assert "2500 jobs" in answer.content.decode()
    assert queues.size("default") == 2500

    at_front, late = tasks.do_nothing.enqueue("front", at_front=True), tasks.do_nothing.enqueue("late")
    entry = AuditEntry.objects.get()
    call = verbs.find(entry.detail["job"])
    assert call.origin == "critical"
    assert drain_queue(*call.args) == "2500 deleted, 2 newer ones kept"

    waiting = [id.decode() for id in queues.connection().lrange(queues.key("default"), 0, -1)]
    assert waiting == [at_front, late]
    assert not queues.connection().exists(*(f"rq:job:{id}" for id in old))
    entry.refresh_from_db()
    assert (entry.action, entry.target, entry.reason, entry.count) == ("drain", "queue:default", "Wrong import", 2500)
    assert drain_queue(*call.args) == "0 deleted, 2 newer ones kept"


def test_a_drain_is_carried_out_by_a_worker_that_serves_another_queue(person, start):  # noqa: F811
    press(person("operate"), "pause", name="queue:default", reason="A test")
    tasks.do_nothing.enqueue_many([(n,) for n in range(30)])
    person("admin").post(reverse("monitor:drain", args=["default"]), {"typed": "default", "reason": "Empty it"})
    start()

    wait_for(lambda: AuditEntry.objects.get(action="drain").count == 30, "the drain")
    assert queues.size("default") == 0


@pytest.mark.parametrize(
    ("form", "said"), [({"typed": "low", "reason": "x"}, "type the queue"), ({"typed": "default"}, "Say why")]
)
def test_a_drain_without_its_confirmation_does_nothing(person, form, said):
    tasks.do_nothing.enqueue()

    assert said in press(person("admin"), "drain", "default", **form).content.decode()
    assert queues.size("critical") == 0
    assert not AuditEntry.objects.exists()


def test_an_editor_does_not_drain(person):
    assert press(person("edit"), "drain", "default", typed="default", reason="x").status_code == 403


# Tasks


def runs(number, **fields):
    began = timezone.now() - timedelta(minutes=5)
    given = {"task": "tests.jobs.tasks.add", "queue": "default", "started_at": began, "ended_at": began} | fields
    rows = [
        JobRun(job_id=f"j{n}", execution_id=f"e{n}", wait=n / 10, duration=n, outcome="succeeded", **given)
        for n in range(number)
    ]
    JobRun.objects.bulk_create(rows)


def test_a_task_tells_how_long_it_waits_and_runs(person):
    cache.clear()
    runs(101)

    text = look(person("view"), "task", "tests.jobs.tasks.add")

    assert "50 s / 1 min 35 s / 1 min 39 s" in text
    assert "5.0 s / 9.5 s / 9.9 s" in text


def test_the_list_tells_promises_and_the_day(person):
    cache.clear()
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for outcome, count in (("succeeded", 3), ("failed", 1)):
        Tally.objects.create(
            span="hour", at=hour, queue="default", task="tests.jobs.tasks.fail", outcome=outcome, count=count
        )

    text = look(person("view"), "tasks")
    row = text.split("jobs.fail<")[1].split("</tr>")[0]

    assert ">4<" in row
    assert "25%" in row


def test_a_task_that_is_registered_no_more_is_told_by_its_history(person):
    runs(1, task="gone.tasks.nothing")

    assert "No such task is registered any more" in look(person("view"), "task", "gone.tasks.nothing")
    assert person("operate").get(reverse("monitor:task", args=["never.was"])).status_code == 404


def test_percentiles_are_remembered_for_a_minute(django_assert_num_queries):
    cache.clear()
    with django_assert_num_queries(1):
        task_pages.figures("a.b")
        task_pages.figures("a.b")


@pytest.mark.parametrize(
    ("name", "args"), [("queues", ()), ("queue", ("default",)), ("tasks", ()), ("task", ("tests.jobs.tasks.add",))]
)
def test_a_page_costs_few_commands(person, commands, name, args):
    serve(busy=1)
    tasks.do_nothing.enqueue_many([(n,) for n in range(1000)])
    client = person("admin")
    store.connect().delete(sample.KEY)
    commands.clear()

    assert client.get(reverse(f"monitor:{name}", args=args)).status_code == 200
    assert len(commands) <= 20, commands
