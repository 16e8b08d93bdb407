"""What makes the job list and a task's page comfortable: pages back, sorting, ids, attempts, words, a new job."""

import html
import json
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.core.registry import TASKS
from amazon_pilot.jobs.inspect import lists
from amazon_pilot.jobs.inspect.grammar import FIELDS
from amazon_pilot.jobs.inspect.query import parse
from amazon_pilot.jobs.models import AuditEntry, JobRun
from amazon_pilot.jobs.web.jobs import completion
from tests.jobs import tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]
JOBS = "/admin/monitor/jobs"


@pytest.fixture
def runs():
    start = timezone.now() - timedelta(hours=1)
    for n in range(65):
        moment = start + timedelta(seconds=n // 2)  # two of each moment
        JobRun.objects.create(
            job_id=f"j{n}", execution_id="e", task="tests.jobs.tasks.fail", queue="default", outcome="failed",
            started_at=moment, ended_at=moment, duration=(n * 7) % 11, wait=n % 5, attempt=n % 3 + 1,
        )  # fmt: skip


def ids(answer):
    return [row.job_id for row in answer.context["listing"].rows]


def link(answer, rel):
    found = re.search(rf'<a href="([^"]+)"\s+rel="{rel}"', answer.content.decode())
    return html.unescape(found[1]) if found else ""


@pytest.mark.parametrize("sort", ["", "oldest"])
def test_one_comes_back_to_each_page_by_the_way_one_went(admin_client, runs, sort):
    there, address = [], f"?size=20&sort={sort}"
    while address:
        answer = admin_client.get(JOBS + address)
        there.append(ids(answer))
        address = link(answer, "next")
    back = []
    while True:
        back.append(ids(answer))
        if not (address := link(answer, "prev")):
            break
        answer = admin_client.get(JOBS + address)

    assert [len(page) for page in there] == [20, 20, 20, 5]
    assert back == there[::-1]
    everything = [each for page in there for each in page]
    numbers = [int(each[1:]) for each in everything]
    assert numbers == sorted(numbers, reverse=not sort)


def test_the_way_back_works_in_redis_too(admin_client, redis):
    for n in range(45):
        tasks.add.enqueue(1, n)
    first = admin_client.get(JOBS, {"q": "state:queued", "size": "20"})
    second = admin_client.get(JOBS + link(first, "next"))
    third = admin_client.get(JOBS + link(second, "next"))

    assert len({*ids(first), *ids(second), *ids(third)}) == 45
    assert ids(admin_client.get(JOBS + link(third, "prev"))) == ids(second)
    assert ids(admin_client.get(JOBS + link(second, "prev"))) == ids(first)


@pytest.mark.parametrize("odd", ["~~~", "~".join(["x"] * 200), "a,b~c:d", "%00"])
def test_an_odd_way_back_leads_to_a_page(admin_client, runs, odd):
    answer = admin_client.get(JOBS, {"from": "2026-01-01T00:00:00+00:00,5", "trail": odd.replace("%00", "")})

    assert answer.status_code == 200
    assert len(link(answer, "prev")) < 4000


@pytest.mark.parametrize(
    ("sort", "key"), [("duration", "duration"), ("-duration", "duration"), ("-wait", "wait"), ("attempt", "attempt")]
)
def test_the_rows_of_a_page_are_sorted_by_a_column(admin_client, runs, sort, key):
    answer = admin_client.get(JOBS, {"sort": sort, "size": "50"})
    values = [getattr(row, key) for row in answer.context["listing"].rows]

    assert values == sorted(values, reverse=sort.startswith("-"))
    assert f'aria-sort="{"descending" if sort.startswith("-") else "ascending"}"' in answer.content.decode()


def test_what_is_not_known_comes_last_and_an_unknown_order_is_none(admin_client, runs):
    JobRun.objects.filter(job_id="j3").update(duration=None)
    rows = admin_client.get(JOBS, {"sort": "-duration", "size": "100"}).context["listing"].rows
    assert rows[-1].job_id == "j3"
    assert admin_client.get(JOBS, {"sort": "colour"}).context["sort"] == ""


def test_the_oldest_are_read_from_an_index(runs):
    page = lists.ask("task:fail", "", 20, oldest_first=True)
    assert [row.job_id for row in page.rows] == [f"j{n}" for n in range(20)]


def test_a_row_has_its_whole_id_to_copy_and_its_attempts_of_how_many(admin_client, runs):
    text = admin_client.get(JOBS, {"size": "20"}).content.decode()

    assert 'data-copy="j64"' in text
    assert re.search(r">\s*2 / 3</td>", text)


# Words for the box


def test_every_word_that_is_offered_is_one_that_the_box_understands():
    words = completion()
    assert {word.rstrip(":") for word in words[""]} >= FIELDS
    for field, values in words.items():
        for value in values if field else ():
            parse(f"{field}:{value}")
    assert "queued" in words["state"]
    assert json.loads(json.dumps(words)) == words


def test_the_page_carries_the_words(admin_client):
    text = admin_client.get(JOBS).content.decode()
    carried = json.loads(html.unescape(re.search(r'data-words="([^"]*)"', text)[1]))

    assert carried == completion()


# A new job


def press(client, args, name="tests.jobs.tasks.add", **words):
    return client.post(reverse("monitor:task-run", args=[name]), {"args": args} | words)


@pytest.mark.parametrize(
    ("args", "call"),
    [
        ("[1, 2]", [[1, 2], {}]),
        ('{"args": [1], "kwargs": {"b": 2}}', [[1], {"b": 2}]),
        ('{"kwargs": {"a": 1, "b": 2}}', [[], {"a": 1, "b": 2}]),
    ],
)
def test_a_task_is_run_from_its_page(person, redis, args, call):
    answer = press(person("edit"), args, reason="try it")

    job_id = answer.url.rsplit("/", 1)[1]
    assert redis.lrange("rq:queue:default", 0, -1) == [job_id.encode()]
    line = AuditEntry.objects.get()
    assert (line.action, line.target, line.count, line.reason) == ("run", "task:tests.jobs.tasks.add", 1, "try it")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("[1]", "missing a required argument"),
        ("[1, 2, 3]", "too many positional arguments"),
        ('{"kwargs": {"a": 1, "c": 2}}', "cannot be called so"),
        ("[1, ", "This is not JSON"),
        ('"text"', "Write a list such as"),
        ("[NaN, 1]", "takes what JSON can carry"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_arguments_that_do_not_fit_are_told_beside_their_field_and_kept(person, redis, args, says):
    answer = press(person("edit"), args)

    text = html.unescape(answer.content.decode())
    assert answer.status_code == 422
    assert says in text
    assert args.strip() in text
    assert not redis.keys("rq:job:*")
    assert not AuditEntry.objects.filter(count__gt=0).exists()


def test_the_form_shows_the_signature_to_those_who_may(person, redis):
    page = reverse("monitor:task", args=["tests.jobs.tasks.add"])
    assert "(a: int, b: int) -&gt; int" in person("edit").get(page).content.decode()


@pytest.mark.parametrize("role", ["view", "operate"])
def test_others_may_not_run_a_task(person, redis, role):
    client = person(role)
    assert press(client, "[1, 2]").status_code == 403
    assert "Run this task" not in client.get(reverse("monitor:task", args=["tests.jobs.tasks.add"])).content.decode()
    assert not redis.keys("rq:job:*")


def test_a_task_that_nobody_knows_is_not_run(person, redis):
    assert press(person("edit"), "[]", name="no.such.task").status_code in (404, 422)


def test_a_jobs_page_says_that_its_arguments_no_longer_fit(admin_client, redis):
    job_id = tasks.add.enqueue(1, 2)
    page = reverse("monitor:job", args=[job_id])
    assert "cannot be called so" not in admin_client.get(page).content.decode()

    redis.hset(f"rq:job:{job_id}", "data", '["tests.jobs.tasks.add", null, [1], {}]')
    assert "cannot be called so" in admin_client.get(page).content.decode()
    redis.hset(f"rq:job:{job_id}", mapping={"data": '["gone.task", null, [1], {}]', "task": "gone.task"})
    assert "No such task is registered any more" in admin_client.get(page).content.decode()
    assert "gone.task" not in TASKS


def test_the_newest_traceback_is_open(admin_client):
    for attempt in (1, 2):
        JobRun.objects.create(
            job_id="j", execution_id=f"e{attempt}", task="t", queue="low", outcome="failed", attempt=attempt,
            started_at=timezone.now() + timedelta(seconds=attempt), traceback=f"Trace {attempt}", exception="x.Error",
        )  # fmt: skip
    text = admin_client.get(reverse("monitor:job", args=["j"])).content.decode()

    opened = "<details open>\n<summary>Traceback"
    assert text.count(opened) == 1
    assert text.index(opened) < text.index("Trace 2") < text.index("Trace 1")
