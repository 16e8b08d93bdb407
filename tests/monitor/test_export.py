"""The whole answer to a question as a file: every row once, a chunk at a time, whatever somebody typed."""

import csv
import io
import json
import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import export, lists
from amazon_pilot.jobs.inspect.query import parse
from amazon_pilot.jobs.models import JobRun

from .many_jobs import bury, enqueue, plan

pytestmark = [pytest.mark.django_db, pytest.mark.both]
EXPORT = reverse("monitor:jobs-export")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(export, "CHUNK", 3)


def runs(number, **words):
    """Write runs, of which some began at the same moment; answers their jobs, the newest first."""
    begin = timezone.now() - timedelta(hours=1)
    made = JobRun.objects.bulk_create(
        JobRun(**{
            "job_id": f"job-{n}", "execution_id": uuid.uuid4().hex, "task": "t", "queue": "low", "args": [n, "é"],
            "outcome": "succeeded" if n % 2 else "failed", "started_at": begin + timedelta(seconds=n // 4),
            "search": f"{n}", "worker": "w1",
        } | words)
        for n in range(number)
    )  # fmt: skip
    return [run.job_id for run in reversed(made)]


def text(answer):
    return b"".join(answer.streaming_content).decode()


def objects(client, question):
    return [json.loads(line) for line in text(client.get(EXPORT, {"q": question, "as": "jsonl"})).splitlines()]


@pytest.mark.parametrize("number", [0, 1, 3, 11])
def test_every_run_comes_once_and_the_newest_first(admin_client, number):
    ids = runs(number)
    assert [row["job_id"] for row in objects(admin_client, "")] == ids


def test_what_has_not_ended_stands_before_the_runs_and_a_job_that_runs_comes_once(admin_client, redis):
    waits, runs_now = enqueue(2)
    begun = timezone.now().isoformat()
    redis.lrem("rq:queue:default", 1, runs_now)
    redis.hset(f"rq:job:{runs_now}", mapping={"status": "started", "started_at": begun})
    redis.zadd("rq:wip:default", {f"{runs_now}:pilot-1": 1e10})
    ended = runs(2)
    JobRun.objects.create(
        job_id=runs_now, execution_id="pilot-1", task="t", queue="default", outcome="started", started_at=timezone.now()
    )

    told = [(row["state"], row["job_id"]) for row in objects(admin_client, "")]
    assert told == [("queued", waits), ("started", runs_now), ("succeeded", ended[0]), ("failed", ended[1])]
    assert [row["job_id"] for row in objects(admin_client, "outcome:failed")] == [ended[1]]
    assert [row["job_id"] for row in objects(admin_client, f"id:{waits}")] == [waits]


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("outcome:failed", lambda n: n % 2 == 0),
        ("outcome:failed OR arg:7", lambda n: n % 2 == 0 or n == 7),
        ("arg:1 OR worker:w1", lambda n: True),
        ("queue:default", lambda n: False),
    ],
)
def test_the_question_bounds_it(admin_client, question, wanted):
    ids = runs(11)
    assert [row["job_id"] for row in objects(admin_client, question)] == [
        job_id for job_id in ids if wanted(int(job_id[4:]))
    ]


def test_a_line_is_what_the_json_of_the_list_has(admin_client):
    runs(1)
    [row] = objects(admin_client, "")
    assert row == admin_client.get(reverse("monitor:api-jobs")).json()["jobs"][0]
    assert row["args"] == [0, "é"]


def test_what_redis_holds_comes_window_by_window(admin_client):
    waiting, planned = enqueue(8), enqueue(2, name="planned")
    plan(planned)
    rows = objects(admin_client, "state:queued OR state:scheduled")
    assert [row["job_id"] for row in rows] == waiting + planned
    assert {row["state"] for row in rows} == {"queued", "scheduled"}


def test_a_failed_job_comes_once_however_often_it_failed_and_only_while_it_is_failed(admin_client):
    ids = enqueue(5)
    bury(ids[:4])
    for _ in range(3):
        for job_id in ids:
            runs(1, job_id=job_id, outcome="failed", fingerprint="a", queue="default", started_at=timezone.now())
    rows = objects(admin_client, "state:failed cause:a")
    assert [row["job_id"] for row in rows] == ids[3::-1]


def test_a_spreadsheet_takes_nothing_for_a_formula(admin_client):
    runs(1, task="=cmd()", args=[1, {"a": "b,c"}], message="-1\nsecond", exception="@x", duration=1.5)
    answer = admin_client.get(EXPORT, {"as": "csv"})
    assert answer["Content-Disposition"] == 'attachment; filename="jobs.csv"'
    assert answer["Content-Type"] == "text/csv; charset=utf-8"

    [row] = csv.DictReader(io.StringIO(text(answer)))

    assert (row["task"], row["message"], row["exception"]) == ("'=cmd()", "'-1\nsecond", "'@x")
    assert json.loads(row["args"]) == [1, {"a": "b,c"}]
    assert (row["duration"], row["due"], row["job_id"]) == ("1.5", "", "job-0")
    assert row["when"].endswith("+00:00")


def test_it_is_read_while_it_is_written(django_assert_num_queries, django_assert_max_num_queries):
    runs(9)
    found = export.rows(parse(""))
    with django_assert_max_num_queries(6):
        next(found)
    with django_assert_num_queries(0):
        assert len([next(found), next(found)]) == 2


def test_what_takes_too_long_breaks_it_off(admin_client, monkeypatch):
    runs(9)
    keys, calls = lists.keys, []

    def slow(*words):
        calls.append(words)
        if len(calls) == 2:
            raise OperationalError("canceling statement due to statement timeout")
        return keys(*words)

    monkeypatch.setattr(lists, "keys", slow)
    answer = admin_client.get(EXPORT)
    with pytest.raises(OperationalError):
        text(answer)


@pytest.mark.parametrize(("words", "message"), [({"q": "state:("}, "wants a value"), ({"as": "xml"}, "one of csv")])
def test_what_cannot_be_read_is_refused(admin_client, words, message):
    answer = admin_client.get(EXPORT, words)
    assert answer.status_code == 400
    assert message in answer.content.decode()


def test_it_needs_the_role_view_and_leaves_by_get_alone(client, person):
    assert client.get(EXPORT).status_code == 302
    client = person("view")
    assert client.get(EXPORT).status_code == 200
    assert client.post(EXPORT).status_code == 405


def test_the_list_leads_to_it(person):
    page = person("view").get(reverse("monitor:jobs"), {"q": "outcome:failed task:a&b"}).content.decode()
    assert f"{EXPORT}?q=outcome%3Afailed%20task%3Aa%26b&amp;as=csv" in page


@pytest.mark.later
def test_the_command_line_writes_all_line_by_line(capsys):
    ids = runs(11)
    call_command("jobs", "list", "--all", "--jsonl")
    assert [json.loads(line)["job_id"] for line in capsys.readouterr().out.splitlines()] == ids
    call_command("jobs", "list", "outcome:failed", "--all")
    assert len(capsys.readouterr().out.splitlines()) == 6
    [waits] = enqueue(1)
    call_command("jobs", "list", "--jsonl", "--limit", "2")
    assert [json.loads(line)["job_id"] for line in capsys.readouterr().out.splitlines()] == [waits, *ids[:2]]
    for wrong in (("--all", "--json"), ("state:(", "--all")):
        with pytest.raises(CommandError):
            call_command("jobs", "list", *wrong)
