"""The pages of queues and tasks: what they tell, and how a queue, a task or a tag is paused, resumed and drained."""

import re
import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import gauges, snapshot, store
from amazon_pilot.jobs.inspect import tasks as inspect_tasks
from amazon_pilot.jobs.models import AuditEntry, JobRun, Pause, Tally
from amazon_pilot.jobs.operate import changes
from amazon_pilot.jobs.operate.drain import drain_queue
from amazon_pilot.jobs.web import queues as queue_pages
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.staff import serve

from .faces import cells

pytestmark = pytest.mark.django_db(transaction=True)


def look(client, name, *args):
    store.connect().delete(snapshot.KEY)
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


def test_the_list_tells_what_ended_today_and_what_share_of_a_day_failed(person):
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    for at, outcome, count in (
        (hour - timedelta(hours=30), "failed", 90),  # neither today nor within a day
        (hour - timedelta(hours=23), "succeeded", 1000),
        (hour - timedelta(hours=23), "retrying", 40),
    ):
        Tally.objects.create(span="hour", at=at, queue="default", task="t", outcome=outcome, count=count)
    Tally.objects.create(span="minute", at=hour - timedelta(hours=23), queue="default", task="t", outcome="x", count=0)
    runs(150, queue="default", started_at=now, ended_at=now)
    runs(10, queue="default", started_at=now, ended_at=now, outcome="lost", execution_id="l")
    serve()

    today = queues_today(person("view"))

    is_today = timezone.localdate(hour - timedelta(hours=23)) == timezone.localdate(now)
    ended = 160 + (1040 if is_today else 0)
    assert today["default"]["Ended, failed today"] == f"{ended:,}, 10"
    assert today["default"]["Errors, 1 h, 24 h"].endswith(", &lt;1%")  # 10 of 1,200
    assert today["low"]["Ended, failed today"] == "0, 0"
    assert today["low"]["Errors, 1 h, 24 h"] == "–, –"


def queues_today(client):
    text = look(client, "queues")
    return {name: cells(text, name) for name in queues.names()}


def test_the_list_has_the_days_numbers_of_the_statistics(person):
    now = timezone.now()
    for n, outcome in enumerate(("succeeded", "failed", "lost", "retrying", "stopped")):
        runs(n + 3, queue="low", started_at=now, ended_at=now, outcome=outcome, execution_id=outcome)
    client = person("view")

    [low] = [each for each in client.get(reverse("monitor:api-stats")).json()["queues"] if each["name"] == "low"]
    assert low["processed_today"] == 25
    assert queues_today(client)["low"]["Ended, failed today"] == f"{low['processed_today']}, {low['failed_today']}"


def test_a_queue_on_which_nobody_listens_is_marked(person):
    serve()  # on default alone
    client = person("view")
    found = queues_today(client)

    assert "no workers" not in found["default"]["Queue"]
    assert "no workers" in found["low"]["Queue"]
    assert "no workers" not in look(client, "queue", "default")
    assert "no workers" in look(client, "queue", "low")
    assert look(client, "overview").count("no workers") == 2


def test_retries_are_told_where_the_reading_knows_them(person):
    for id in tasks.do_nothing.enqueue_many([(n,) for n in range(3)]):
        changes.one("snooze", id, (timezone.now() + timedelta(hours=1)).timestamp())
        queues.connection().hset(f"rq:job:{id}", "attempt", 2)
    client = person("view")
    assert queues_today(client)["default"]["Scheduled"] == "3"

    gauges.take(queues.connection(), timezone.now())
    assert queues_today(client)["default"]["Scheduled"] == "3 about 3 retries"


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("", ["critical", "default", "low"]),
        ("-waiting", ["low", "default", "critical"]),
        ("waiting", ["critical", "default", "low"]),
        ("-queue", ["low", "default", "critical"]),
        ("-oldest", ["default", "low", "critical"]),  # of an empty queue there is none
        ("oldest", ["low", "default", "critical"]),
        ("-error_rate", ["critical", "default", "low"]),  # not known of any
        ("<script>", ["critical", "default", "low"]),
    ],
)
def test_the_list_is_sorted_by_its_address(person, order, names):
    tasks.do_nothing.enqueue_many([(n,) for n in range(2)])
    for n in range(3):
        changes.one("move", tasks.add.enqueue(n, 1), "low")
    client = person("view")

    text = client.get(reverse("monitor:queues"), {"sort": order}).content.decode()

    assert re.findall(r'<th scope="row"[^>]*>\s*<a href="/admin/monitor/queue/(\w+)"', text)[:3] == names
    assert text.count("aria-sort=") == (order.strip("-") in queue_pages.COLUMNS)


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

    at_front, late = tasks.do_nothing.options(at_front=True).enqueue("front"), tasks.do_nothing.enqueue("late")
    entry = AuditEntry.objects.get()
    call = changes.find(entry.detail["job"])
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
        JobRun(**{"job_id": f"j{n}", "execution_id": f"e{n}", "outcome": "succeeded"} | given, wait=n / 10, duration=n)
        for n in range(number)
    ]
    JobRun.objects.bulk_create(rows)


def test_a_task_tells_how_long_it_waits_and_runs(person):
    cache.clear()
    runs(101)

    text = " ".join(look(person("view"), "task", "tests.jobs.tasks.add").split())

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
        inspect_tasks.figures("a.b")
        inspect_tasks.figures("a.b")


@pytest.mark.parametrize(
    ("name", "args"), [("queues", ()), ("queue", ("default",)), ("tasks", ()), ("task", ("tests.jobs.tasks.add",))]
)
def test_a_page_costs_few_commands(person, commands, name, args):
    serve(busy=1)
    tasks.do_nothing.enqueue_many([(n,) for n in range(1000)])
    client = person("admin")
    store.connect().delete(snapshot.KEY)
    commands.clear()

    assert client.get(reverse(f"monitor:{name}", args=args)).status_code == 200
    assert len(commands) <= 20, commands
