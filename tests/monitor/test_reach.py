"""However many runs there are, one request looks at a bounded number, says at how many, and leads on from there."""

import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from amazon_pilot.jobs.inspect import lists, reach
from amazon_pilot.jobs.inspect.query import parse, runs
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.web import overview

pytestmark = [pytest.mark.django_db, pytest.mark.both]

NUMBER, COMPARED, READ, FOUND = 400, 60, 40, 20
QUESTIONS = [
    "duration>9d", "wait>9d", "attempts<1", "worker:nobody", "worker:old", "duration>50s", "-worker:new",
    "NOT duration<2s", "duration>9d OR wait>9d", "duration>9d OR rare", "outcome:failed duration>9d",
    "attempts>1 wait>3s -queue:low", "task:send wait>9d", "task:update_product duration>9d", "cause:f1 attempts<1",
    "queue:low arg.9:nowhere", "common -even", "common wait>9d", "common OR duration>9d", 'error:"common"', "rare",
    "rare duration<1s", "tag:paid", "-tag:paid", "nowhere", "task:update_product",
    "task:update_product OR outcome:failed", "queue:low", "outcome:failed", "cause:f1", "", "since:2h duration>9d",
    "until:2h worker:old", "since:2h until:1h", "arg.0:7", "NOT (common OR queue:low)",
]  # fmt: skip
EVERYWHERE = {  # what an index answers by itself, wherever it stands
    "", "queue:low", "outcome:failed", "cause:f1", "since:2h until:1h", "task:update_product",
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    monkeypatch.setattr(reach, "MOST_COMPARED", COMPARED)
    monkeypatch.setattr(reach, "MOST_READ", READ)
    monkeypatch.setattr(reach, "MOST_FOUND", FOUND)


@pytest.fixture
def history():
    """Have a run each minute, the number 0 the newest; the last ten are those that hardly any question is about."""
    now = timezone.now()
    JobRun.objects.bulk_create(made(n, now - timedelta(minutes=n)) for n in range(NUMBER))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE jobs_jobrun")


def made(n, at):
    is_old, has_failed = n >= NUMBER - 10, n % 5 == 0
    words = ["common", "even" if n % 2 == 0 else "odd", "rare" if is_old else ""]
    return JobRun(
        job_id=f"j{n}", execution_id="e", queue=("critical", "default", "low")[n % 3], started_at=at, ended_at=at,
        task="products.tasks.update_product" if n % 2 else "notifications.tasks.send_notification", args=[n],
        worker="old-1" if is_old else f"new-{n % 2}", duration=60.0 if is_old else n % 7, wait=n % 11,
        attempt=1 + n % 2, tags="paid" if is_old else "", outcome="failed" if has_failed else "succeeded",
        fingerprint="f1" if has_failed else "", search=" ".join(words).strip(),
    )  # fmt: skip


def walked(text, oldest_first=False, size=15):
    """Follow the pages of an answer to its end; returns the job ids, and of each page its rows and its note."""
    pages, cursor = [], ""
    while True:
        listing = lists.find(parse(text), cursor, size, oldest_first=oldest_first)
        pages.append((listing.rows, listing.note))
        if not (cursor := listing.following):
            return [row.job_id for rows, _note in pages for row in rows], pages
        assert len(pages) < NUMBER


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("text", QUESTIONS)
def test_the_pages_of_an_answer_leave_nothing_out_and_repeat_nothing(history, text, oldest_first):
    wanted = reach.ordered(runs(parse(text)), oldest_first)

    found, _pages = walked(text, oldest_first)

    assert found == list(wanted.values_list("job_id", flat=True))


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_page_that_is_not_full_says_how_far_it_looked_and_only_then(history, text):
    _found, pages = walked(text)

    for rows, note in pages[:-1]:
        told = re.fullmatch(r"(\d+) runs were looked at, back to \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.", note)
        assert bool(told) == (len(rows) < 15)
        assert not told or int(told[1]) in (COMPARED, READ)
    assert pages[-1][1] == ""
    if text in EVERYWHERE:
        assert not any(note for _rows, note in pages)


def test_runs_of_one_moment_are_all_within_the_reach_of_one_request(history):
    JobRun.objects.update(started_at=timezone.now())

    found, _pages = walked("worker:old OR attempts>1")

    assert sorted(found) == sorted(f"j{n}" for n in range(NUMBER) if n % 2 or n >= NUMBER - 10)


def test_a_run_that_is_found_by_its_words_is_found_wherever_it_stands(history):
    listing = lists.find(parse("rare"), "", 50)

    if connection.vendor == "postgresql":
        assert (len(listing.rows), listing.total, listing.following) == (10, 10, "")
    else:
        assert (listing.rows, listing.total) == ([], None)
        assert listing.note.startswith(f"{READ} runs were looked at")


def rows_read(node):
    """Add up the rows that the scans of a plan have read, those that did not match too."""
    own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    below = sum(rows_read(each) for each in node.get("Plans", []))
    return below + (own if "Scan" in node["Node Type"] and node.get("Relation Name") == "jobs_jobrun" else 0)


@pytest.mark.parametrize("text", QUESTIONS)
def test_what_one_request_reads_is_bounded(history, text, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite does not tell how many rows it has read.")
    monkeypatch.setattr(lists, "COUNTED", COMPARED)
    with CaptureQueriesContext(connection) as seen:
        lists.find(parse(text), "", 15)

    asked = [each["sql"] for each in seen.captured_queries if each["sql"].startswith("SELECT")]
    for sql in asked:
        if '"jobs_jobrun"."id" IN (' not in sql:  # these are the rows that are shown
            assert rows_read(plan(sql)) <= max(FOUND + 1, COMPARED + 1, 4 * READ), sql


def plan(sql):
    """Run a question as a large table would be read: so small a one could be read in whatever way."""
    with connection.cursor() as cursor:
        cursor.execute(lists.PLANNING)
        if "ORDER BY" in sql:
            cursor.execute("SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        told = cursor.fetchone()[0]
        cursor.execute("RESET enable_sort; RESET enable_bitmapscan")
    return (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]


# Failures of a day


def test_the_overview_counts_so_many_of_a_days_failures_and_says_since_when(history, admin_client, monkeypatch):
    monkeypatch.setattr(overview, "FAILURES_COUNTED", 10)
    failures = JobRun.objects.ended_badly().newest()

    found = overview.causes()

    assert sorted(group["count"] for group in found["groups"]) == [5, 5]  # of two tasks
    assert found["since"] == failures[9].started_at
    page = admin_client.get("/admin/").content.decode()
    assert "By cause, since" in page
    assert found["since"].isoformat() in page


def test_few_failures_are_counted_for_the_whole_day(history, admin_client):
    JobRun.objects.filter(job_id="j5").update(started_at=timezone.now() - timedelta(hours=25))

    found = overview.causes()

    assert sum(group["count"] for group in found["groups"]) == NUMBER // 5 - 1
    assert found["since"] is None
    assert "By cause, 24 hours" in admin_client.get("/admin/").content.decode()


def test_failures_are_counted_from_their_index(history):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite knows no index that answers alone for so few rows.")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    counted = JobRun.objects.failure_groups(timezone.now() - timedelta(hours=1)).explain()

    assert "Index Only Scan using failures_newest_first" in counted


# What is told of it


def test_a_page_that_looked_in_part_says_so_and_leads_on_from_there(history, admin_client):
    answer = admin_client.get("/admin/monitor/jobs", {"q": "worker:nobody"})
    listing, page = answer.context["listing"], answer.content.decode()

    assert f"{COMPARED} runs were looked at, back to" in page
    assert "Look further" in page
    assert "No job matches" not in page
    assert (listing.total, listing.rows) == (None, [])
    script = admin_client.get("/admin/monitor/api/jobs", {"q": "worker:nobody"}).json()
    assert (script["note"], script["next"], script["total"]) == (listing.note, listing.following, None)
    following = admin_client.get("/admin/monitor/jobs", {"q": "worker:nobody", "from": listing.following})
    assert f"{COMPARED} runs were looked at, back to" in following.content.decode()


@pytest.mark.parametrize("text", ["worker:old", "since:9d", "task:update_product", "attempts>1 OR duration>50s"])
def test_failed_jobs_are_looked_for_as_far_and_the_next_page_goes_on(history, redis, text):
    run = JobRun.objects.get(job_id="j395")
    redis.hset("rq:job:j395", mapping={"status": "failed", "origin": run.queue})
    redis.zadd(f"rq:failed:{run.queue}", {"j395": timezone.now().timestamp() + 900})
    notes, cursor, found = [], "", []
    while True:
        listing = lists.find(parse(f"state:failed ({text})"), cursor, 50)
        notes.append(listing.note)
        found += [row.job_id for row in listing.rows]
        if not (cursor := listing.following):
            break

    assert found == ["j395"]
    assert all("runs were looked at" in note for note in notes[:-1])
    assert len(notes) > 1
