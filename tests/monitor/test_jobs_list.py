"""The job list: what the box asks for is what the page shows, from the history and from Redis."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import lists, redis_jobs
from amazon_pilot.jobs.inspect.grammar import QueryError
from amazon_pilot.jobs.inspect.query import parse
from amazon_pilot.jobs.models import AuditEntry, JobRun, Pause, SavedSearch
from amazon_pilot.jobs.operate import changes, operations
from tests.jobs import tasks

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def run(number: int = 0, **values):
    moment = timezone.now() - timedelta(minutes=number)
    words: dict[str, Any] = {
        "job_id": f"j{number}",
        "execution_id": "e",
        "task": "products.tasks.update_product",
        "queue": "default",
    }
    words |= {"outcome": "succeeded", "started_at": moment, "ended_at": moment, "duration": 1.0, "wait": 0.5}
    return JobRun.objects.create(**words | values)


def listed(text: str, size: int = 50, cursor: str = "") -> list[str]:
    return [row.job_id for row in lists.find(parse(text), cursor, size).rows]


@pytest.fixture
def history():
    error = {"exception": "x.TemporaryError", "message": "The kettle timed out", "fingerprint": "f1"}
    search = "B0KETTLE01 The kettle timed out x.TemporaryError TemporaryError"
    run(0, outcome="failed", queue="low", search=search, args=["B0KETTLE01"], **error)
    run(1, attempt=3, duration=20.0, kwargs={"asin": "B0CUP00001"}, search="B0CUP00001", tags="apify,paid")
    run(2, task="notifications.tasks.send_notification", worker="w7-1", wait=700.0)
    run(60, queue="critical", outcome="lost")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", ["j0", "j1", "j2", "j60"]),
        ("task:send_notification", ["j2"]),
        ("queue:low OR queue:critical", ["j0", "j60"]),
        ("outcome:failed OR outcome:lost", ["j0", "j60"]),
        ("NOT queue:default", ["j0", "j60"]),
        ("-queue:default -outcome:lost", ["j0"]),
        ("B0KETTLE01", ["j0"]),
        ("arg:B0CUP00001", ["j1"]),
        ("arg.asin:B0CUP00001", ["j1"]),
        ("arg.0:B0KETTLE01", ["j0"]),
        ('error:"timed out"', ["j0"]),
        ("error:TemporaryError", ["j0"]),
        ("error:B0CUP00001", []),
        ("cause:f1", ["j0"]),
        ("id:j2", ["j2"]),
        ("tag:paid", ["j1"]),
        ("tag:apify", ["j1"]),
        ("tag:pai", []),
        ("NOT tag:paid", ["j0", "j2", "j60"]),
        ("arg.asin:B0CUP", []),
        ("worker:w7", ["j2"]),
        ("attempts>1", ["j1"]),
        ("duration>=20s", ["j1"]),
        ("wait>10m", ["j2"]),
        ("since:30m", ["j0", "j1", "j2"]),
        ("until:30m", ["j60"]),
        ("queue:low AND (error:kettle OR attempts>1)", ["j0"]),
        ("(queue:low OR attempts>1) NOT tag:paid", ["j0"]),
        ("duration>15s OR error:kettle OR worker:w7", ["j0", "j1", "j2"]),
        ("(attempts>2 OR error:kettle) (queue:low OR tag:paid)", ["j0", "j1"]),
        ("NOT (task:send_notification OR (queue:default attempts>1))", ["j0", "j60"]),
        ("NOT (NOT wait>10m OR NOT worker:w7)", ["j2"]),
        ("-worker:w7 -duration<20s", ["j1"]),
        ("wait<500ms OR duration:20s", ["j1"]),
    ],
)
def test_a_question_to_the_history(history, text, ids):
    assert listed(text) == ids


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("colour:red", "no field colour"),
        ("state:asleep", "no state asleep"),
        ("outcome:good", "no outcome good"),
        ("(queue:low", "not closed. (position 1)"),
        ("queue:low)", "closes nothing. (position 10)"),
        ("queue:low OR", "condition is missing. (position 13)"),
        ("NOT", "condition is missing"),
        ("attempts>many", "not a whole number"),
        ("duration>soon", "no span of time"),
        ("since:yesterday", "no time"),
        ("since:99999999999d", "too long ago"),
        ("queue>low", "write a colon"),
        ("task:", "wants a value"),
        (
            "NOT state:failed",
            "mean: (state:queued OR state:started OR state:scheduled OR state:deferred OR state:canceled)",
        ),
        ("state:queued task:a OR task:b", "write state:queued (task:a OR task:b) (position 1)"),
        ("state:queued  task:a arg:1  OR task:b OR c", "write state:queued (task:a arg:1  OR task:b OR c)"),
        ("-(state:failed task:a)", "has to hold for the whole question"),
        ("state:queued task:a OR state:failed", "each side of OR by itself, such as state:queued task:"),
        ("task:a state:queued OR task:b", "each side of OR by itself, such as state:queued task:"),
        ("task:a OR state:failed", "each side of OR by itself, such as state:failed task:"),
        ("x" * 501, "longer than 500"),
    ],
)
def test_a_wrong_question_is_answered_with_its_reason_and_place(text, part):
    with pytest.raises(QueryError, match="position") as caught:
        parse(text)
    assert part in str(caught.value)


def test_the_question_that_is_hinted_at_can_be_asked():
    with pytest.raises(QueryError) as caught:
        parse("state:queued task:a OR task:b")
    hint = str(caught.value).partition("write ")[2].partition(" (position")[0]

    assert parse(hint).states == {"queued"}


def test_pages_of_the_history_leave_nothing_out_and_repeat_nothing():
    for number in range(45):
        run(number)
    JobRun.objects.update(started_at=timezone.now())  # all at the same moment: the key decides
    seen, cursor = [], ""
    while True:
        listing = lists.find(parse(""), cursor, 20)
        seen += [row.job_id for row in listing.rows]
        if not (cursor := listing.following):
            break

    assert len(seen) == 45
    assert set(seen) == {f"j{n}" for n in range(45)}


def test_pages_of_alternatives_leave_nothing_out_and_repeat_nothing():
    for number in range(30):
        run(number, tags="paid" if number % 2 else "", attempt=1 + number % 3)
    seen, cursor = [], ""
    while True:
        listing = lists.find(parse("tag:paid OR attempts>1 OR id:j0"), cursor, 7)
        assert listing.total == 26
        seen += [row.job_id for row in listing.rows]
        if not (cursor := listing.following):
            break

    assert seen == [f"j{n}" for n in range(30) if n % 2 or n % 3 or n == 0]


def test_more_alternatives_than_are_worth_looking_up_are_one_question(history):
    text = " ".join(f"(attempts>{n} OR error:kettle)" for n in range(1, 6))

    assert len(parse(text).arms()) == 1
    assert listed(text) == ["j0"]


@pytest.mark.parametrize(
    "text",
    [
        "duration>2h", "attempts<1", "attempts>5 -queue:low", "wait>1h OR attempts>9 OR duration<1ms", "-worker:w7",
        "worker:w7 -outcome:lost",
    ],
)  # fmt: skip
def test_what_the_box_compares_is_answered_from_one_index(text):
    for number in range(50):
        run(number, outcome="failed")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # which reads so small a table as a whole, unless it is told not to
            cursor.execute(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
            )
    for arm in parse(text).arms():
        plan = JobRun.objects.filter(arm).newest().values_list("pk", "started_at").explain()
        assert re.search(r"(Index Only Scan using|USING COVERING INDEX) runs_newest_first_searched", plan), plan


@pytest.fixture
def waiting(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        ids = tasks.do_nothing.enqueue_many([(f"B0{n:08}",) for n in range(120)])
    return ids


def test_waiting_jobs_are_listed_in_the_order_in_which_they_will_run(waiting):
    first = lists.find(parse("state:queued queue:default"), "", 50)

    assert [row.job_id for row in first.rows] == waiting[:50]
    assert first.total == 120
    second = lists.find(parse("state:queued queue:default"), first.following, 50)
    assert [row.job_id for row in second.rows] == waiting[50:100]
    assert listed("state:queued queue:default", 50, second.following) == waiting[100:]


def test_waiting_jobs_are_found_by_their_argument(waiting):
    assert listed("state:queued B000000077") == [waiting[77]]
    assert listed("state:queued (arg.0:B000000077 OR queue:low)") == [waiting[77]]
    assert listed("state:queued task:do_nothing NOT B000000077", 100) == [*waiting[:77], *waiting[78:101]]


def test_pages_of_a_filtered_queue_leave_nothing_out(waiting):
    seen, cursor = [], ""
    while True:
        listing = lists.find(parse("state:queued -B000000003"), cursor, 20)
        seen += [row.job_id for row in listing.rows]
        if not (cursor := listing.following):
            break

    assert seen == [id for id in waiting if id != waiting[3]]


def test_a_long_queue_is_looked_at_in_parts_and_the_page_says_so(waiting, monkeypatch):
    monkeypatch.setattr(lists, "MOST_LOOKED_AT", 50)
    monkeypatch.setattr(lists, "WINDOW", 25)

    question = parse("state:queued queue:default B000000099")
    first = lists.find(question, "", 50)
    assert not first.rows
    assert first.note == "50 of 120 jobs were looked at."
    second = lists.find(question, first.following, 50)
    assert [row.job_id for row in second.rows] == [waiting[99]]


def fail_all(redis, ids):
    for place, id in enumerate(ids):
        redis.lrem("rq:queue:default", 1, id)
        redis.hset(f"rq:job:{id}", "status", "failed")
        redis.zadd("rq:failed:default", {id: 1000 + place})


def test_failed_jobs_come_with_their_error_the_newest_first(waiting, redis):
    fail_all(redis, waiting[:3])
    for id in waiting[:3]:
        run(
            0,
            job_id=id,
            outcome="failed",
            exception="a.B",
            message=f"Boom {id}",
            fingerprint="f",
            search=f"Boom {id} a.B",
        )

    rows = lists.find(parse("state:failed"), "", 50).rows
    assert [row.job_id for row in rows] == waiting[2::-1]
    assert rows[0].message == f"Boom {waiting[2]}"
    assert listed(f"state:failed error:{waiting[1]}") == [waiting[1]]
    redis.zrem("rq:failed:default", waiting[1])  # retried meanwhile
    assert listed(f"state:failed error:{waiting[1]}") == []


def test_held_and_planned_jobs_are_told_apart(waiting, redis, django_capture_on_commit_callbacks):
    changes.one("hold", waiting[0])
    with django_capture_on_commit_callbacks(execute=True):
        planned = tasks.do_nothing.enqueue_in(timedelta(hours=1))
        retried = tasks.do_nothing.enqueue_in(timedelta(hours=1), 1)
    redis.hset(f"rq:job:{retried}", "attempt", 2)

    assert listed("state:held") == [waiting[0]]
    assert set(listed("state:scheduled")) == {planned, retried}
    assert listed("state:retry") == [retried]
    assert redis_jobs.count("scheduled", "default") == 2


def test_a_job_that_carries_no_call_is_listed_all_the_same(redis):
    redis.hset("rq:job:odd", mapping={"status": "queued", "origin": "low", "data": b"\x80\x04pickle"})
    redis.rpush("rq:queue:low", "odd", "deleted-meanwhile")

    assert listed("state:queued") == ["odd", "deleted-meanwhile"]


def staff(client, *groups):
    user = User.objects.create_user("staff", password="x", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    client.force_login(user)
    return client


def test_the_page_shows_the_question_and_its_answer(client, history):
    text = staff(client, "Monitor: view").get(reverse("monitor:jobs"), {"q": "queue:low"}).content.decode()

    assert 'value="queue:low"' in text
    assert "The kettle timed out" in text
    assert "1 run matches." in text


def test_a_wrong_question_is_shown_beside_the_box_and_kept(client):
    text = staff(client, "Monitor: view").get(reverse("monitor:jobs"), {"q": "<b>:x"}).content.decode()
    assert "&lt;b&gt;:x" in text

    text = client.get(reverse("monitor:jobs"), {"q": "colour:red"}).content.decode()
    assert "There is no field colour" in text


def test_a_stranger_sees_nothing(client):
    assert staff(client).get(reverse("monitor:jobs")).status_code == 403


def test_a_page_costs_few_queries_and_commands(client, waiting, redis, django_assert_max_num_queries):
    fail_all(redis, waiting)
    page = staff(client, "Monitor: view")
    for text in ("", "state:failed", "state:queued", "state:failed error:x", "B0KETTLE01"):
        before = redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        with django_assert_max_num_queries(30 if connection.vendor == "sqlite" else 34):
            page.get(reverse("monitor:jobs"), {"q": text})
        assert redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"] - before <= 8


def test_a_search_is_kept_for_its_user_alone(client):
    page = staff(client, "Monitor: view")
    page.post(reverse("monitor:save-search"), {"name": "Kettles", "q": "B0KETTLE01"})
    assert "Kettles" in page.get(reverse("monitor:jobs")).content.decode()
    page.post(reverse("monitor:save-search"), {"name": "Wrong", "q": "colour:red"})
    saved = SavedSearch.objects.get()

    other = User.objects.create_user("other", password="x", is_staff=True)
    other.groups.set(Group.objects.filter(name="Monitor: view"))
    client.force_login(other)
    assert "Kettles" not in client.get(reverse("monitor:jobs")).content.decode()
    client.post(reverse("monitor:forget-search", args=[saved.pk]))
    assert SavedSearch.objects.exists()
    assert client.get(reverse("monitor:save-search")).status_code == 405


def test_a_number_is_found_at_its_place_alone():
    run(0, args=[17, "x"], search="17 x")
    run(1, args=["x", 17], search="x 17")
    run(2, args=["17"], search="17")
    assert listed("arg.0:17") == ["j0", "j2"]
    assert listed("arg.1:17") == ["j1"]


def test_a_tag_is_not_found_within_another_one():
    run(0, tags="unpaid,paid")
    run(1, tags="unpaid")
    run(2, tags="paid,apify")
    assert listed("tag:paid") == ["j0", "j2"]
    assert listed("NOT tag:paid") == ["j1"]


def test_a_question_over_every_state_asks_redis_less_than_twenty_times_a_page(redis):
    states = " OR ".join(f"state:{name}" for name in redis_jobs.STATES)
    redis_jobs.count("queued", "low")  # a server that does not know the script yet is asked once more
    redis.config_resetstat()
    listing = lists.find(parse(states), "", 50)
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] < 20
    assert listing.following  # the rest is a click away
    for _page in range(9):
        listing = lists.find(parse(states), listing.following, 50) if listing.following else listing
    assert not listing.following


# One list over all states


def at_present(text: str, size: int = 50) -> list[tuple[str, str]]:
    """Answer what the list of all states shows above the history: id and state."""
    found = lists.ask(text, "", size).present
    return [(row.job_id, row.state) for row in found.rows] if found else []


def as_started(redis, id: str) -> None:
    redis.lrem("rq:queue:default", 1, id)
    redis.hset(f"rq:job:{id}", "status", "started")
    redis.zadd("rq:wip:default", {f"{id}:pilot-e": 2_000_000_000})


def test_a_job_that_never_ran_is_found_by_its_id(waiting, client):
    page = staff(client, "Monitor: view")
    for text in (
        f"id:{waiting[110]}",
        waiting[110],
        f"id:{waiting[110]} queue:default",
        f"{waiting[110]} OR id:nobody",
    ):
        assert at_present(text) == [(waiting[110], "queued")]
        shown = page.get(reverse("monitor:jobs"), {"q": text}).content.decode()
        assert f"/job/{waiting[110]}" in shown
        assert "No job matches" not in shown
    assert at_present(f"{waiting[110]} queue:low") == []
    assert at_present("id:nobody") == []


def test_a_job_of_a_state_is_found_by_its_id_wherever_it_stands_in_a_long_queue(waiting, redis, monkeypatch):
    monkeypatch.setattr(lists, "MOST_LOOKED_AT", 50)
    changes.one("hold", waiting[100])
    fail_all(redis, waiting[:2])

    assert listed(f"state:queued {waiting[110]}") == [waiting[110]]
    assert listed(f"state:queued id:{waiting[110]} queue:low") == []
    for state, found in {"held": [waiting[100]], "deferred": [waiting[100]], "queued": [], "failed": []}.items():
        assert listed(f"state:{state} id:{waiting[100]}") == found
    assert listed(f"state:failed id:{waiting[1]}") == [waiting[1]]
    assert listed(f"(state:failed OR state:held) {waiting[1]}") == [waiting[1]]


def test_the_id_of_a_fires_job_is_known_by_its_shape(redis):
    redis.hset("rq:job:prices-1764379000", mapping={"status": "queued", "origin": "low"})
    run(3, job_id="prices-1764379001-000123")

    assert at_present("prices-1764379000") == [("prices-1764379000", "queued")]
    assert listed("prices-1764379001-000123") == ["prices-1764379001-000123"]


def test_a_planned_job_is_found_by_its_id_with_its_time(redis, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        planned = tasks.do_nothing.enqueue_in(timedelta(hours=1))
    [row] = lists.ask(planned, "", 50).present.rows

    assert row.state == "scheduled"
    assert row.due == pytest.approx(timezone.now().timestamp() + 3600, abs=30)


def test_a_job_that_has_ended_is_told_by_its_run_and_by_redis_where_there_is_none(waiting, redis):
    fail_all(redis, waiting[:2])
    run(0, job_id=waiting[0], outcome="failed")

    assert at_present(waiting[0]) == []
    assert listed(waiting[0]) == [waiting[0]]
    assert at_present(waiting[1]) == [(waiting[1], "failed")]


def test_what_waits_runs_and_is_planned_stands_above_the_history(waiting, redis, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        planned = tasks.do_nothing.enqueue_in(timedelta(hours=1), "B000000077")
        held = tasks.do_nothing.enqueue("B000000077")
    changes.one("hold", held)
    as_started(redis, waiting[3])
    run(0, args=["B000000077"], search="B000000077")

    states = [(waiting[77], "queued"), (planned, "scheduled"), (held, "held")]
    assert at_present("B000000077") == states
    assert at_present("arg.0:B000000077 -id:x") == states
    assert listed("B000000077") == ["j0"]
    assert at_present("")[0] == (waiting[3], "started")
    assert len(at_present("")) == lists.SHOWN_AT_PRESENT


def test_all_are_counted_where_the_question_names_queues_at_most(waiting, redis):
    as_started(redis, waiting[3])

    found = lists.ask("queue:default OR queue:low", "", 50).present
    assert {part.state: part.number for part in found.parts if part.number} == {"started": 1, "queued": 119}
    for part in found.parts:
        assert lists.ask(part.question, "", 50).total == part.number


@pytest.mark.parametrize("text", ["outcome:lost", "error:kettle", "cause:f1", "duration>1s task:x"])
def test_what_only_a_run_has_is_not_looked_for_among_the_waiting(waiting, redis, text):
    redis.config_resetstat()

    assert lists.ask(text, "", 50).present is None
    assert "cmdstat_evalsha" not in redis.info("commandstats")


def test_a_job_that_runs_stands_on_the_page_once(waiting, redis, client):
    as_started(redis, waiting[0])
    run(0, job_id=waiting[0], outcome="started", task="tests.jobs.tasks.do_nothing")
    run(1, task="tests.jobs.tasks.do_nothing")

    listing = lists.ask("task:do_nothing", "", 50)
    assert [row.job_id for row in listing.rows] == ["j1"]
    assert (listing.total, listing.note) == (2, "1 run of a job above is left out.")
    shown = staff(client, "Monitor: view").get(reverse("monitor:jobs"), {"q": "task:do_nothing"}).content.decode()
    assert shown.count(f"/job/{waiting[0]}") == 1


def test_pages_below_what_is_present_leave_nothing_out_and_repeat_nothing(waiting, redis):
    for number in range(45):
        run(number)
    for id in waiting[:3]:
        as_started(redis, id)
        run(5, job_id=id, execution_id=id, outcome="started")
    above, seen, cursor = [id for id, _state in at_present("", 20)], [], ""
    while True:
        listing = lists.ask("", cursor, 20)
        assert (listing.present is None) == bool(cursor)
        seen += [row.job_id for row in listing.rows]
        if not (cursor := listing.following):
            break

    assert seen == [f"j{n}" for n in range(45)]
    assert set(above[:3]) == set(waiting[:3])


def test_a_long_queue_hides_no_short_one_and_the_page_says_what_was_looked_at(
    waiting, monkeypatch, client, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        planned = [tasks.do_nothing.enqueue_in(timedelta(hours=1), "B000000099") for _n in range(5)]
    monkeypatch.setattr(lists, "SURVEYED", 50)

    found = lists.ask("B000000099", "", 50).present
    assert sorted(row.job_id for row in found.rows) == sorted(planned)
    assert (found.looked_at, found.total) == (50, 125)
    page = staff(client, "Monitor: view")
    shown = page.get(reverse("monitor:jobs"), {"q": "B000000099"}).content.decode()
    assert "(5 found)" in shown
    assert "50 of 125 jobs were looked at" in shown
    assert 'href="?q=state%3Aqueued%20B000000099"' in shown  # which goes on
    assert listed("state:queued B000000099") == [waiting[99]]
    shown = page.get(reverse("monitor:jobs"), {"q": "B000000098 OR x"}).content.decode()
    assert 'href="?q=state%3Aqueued%20%28B000000098%20OR%20x%29"' in shown


@pytest.mark.parametrize(
    "text", ["", "B000000099", "task:do_nothing", "id:a OR id:b OR id:c OR id:d OR id:e", "queue:low"]
)
def test_a_list_of_all_states_costs_few_commands(waiting, redis, commands, text):
    commands.clear()
    lists.ask(text, "", 50)
    assert len(commands) <= 10, commands


def test_without_redis_the_history_is_listed_and_the_page_says_what_is_missing(client, history, redis_away):
    page = staff(client, "Monitor: view")
    shown = page.get(reverse("monitor:jobs"), {"q": "queue:low"}).content.decode()

    assert "The kettle timed out" in shown
    assert "Redis does not answer, so what waits and runs cannot be shown." in shown
    assert page.get(reverse("monitor:api-jobs"), {"q": "queue:low"}).json()["note"].startswith("Redis does not answer")


# Why a row waits


def whys(text: str) -> dict[str, str]:
    listing = lists.ask(text, "", 50)
    rows = [*(listing.present.rows if listing.present else []), *listing.rows]
    return {row.job_id: row.why for row in rows if row.why}


def test_a_row_tells_who_paused_what_keeps_it(waiting, redis):
    mia = User.objects.create_user("mia")
    other = tasks.tagged.enqueue()
    assert whys("state:queued") == {}  # its place in the queue would cost another look

    Pause.objects.create(name="task:tests.jobs.tasks.do_nothing", by=mia, reason="A test")
    found = whys("state:queued queue:default B000000001")
    assert found == {waiting[1]: "task:tests.jobs.tasks.do_nothing is paused by mia"}
    Pause.objects.create(name="queue:default", by=None, reason="A test")
    assert whys(waiting[1]) == {waiting[1]: "queue:default is paused by the machine"}
    redis.hset(f"rq:job:{waiting[2]}", mapping={"status": "deferred", "held": "task:tests.jobs.tasks.do_nothing"})
    assert whys(waiting[2]) == {waiting[2]: "task:tests.jobs.tasks.do_nothing is paused by mia"}
    redis.hset(f"rq:job:{waiting[3]}", mapping={"status": "started"})
    assert whys(waiting[3]) == {}
    assert other not in whys(other)


def test_a_row_tells_who_holds_it_and_when_it_comes(waiting, redis, client, django_capture_on_commit_callbacks):
    mia = User.objects.create_user("mia")
    operations.on_job(User.objects.create_superuser("boss"), "hold", waiting[0], reason="A test")
    operations.on_job(User.objects.get(username="boss"), "release", waiting[0])
    changes.one("hold", waiting[0])
    AuditEntry.objects.record(mia, "hold", f"job:{waiting[0]}", count=1)
    changes.one("hold", waiting[1])  # by a bulk action: no line names the job
    with django_capture_on_commit_callbacks(execute=True):
        planned = tasks.do_nothing.enqueue_in(timedelta(hours=1), "x")
        retried = tasks.do_nothing.enqueue_in(timedelta(hours=1), "y")
    redis.hset(f"rq:job:{retried}", "attempt", 2)

    assert whys("state:held") == {waiting[0]: "held by mia"}
    told, score = whys("state:scheduled"), redis.zscore("rq:scheduled:default", planned)
    when = timezone.localtime(datetime.fromtimestamp(score, UTC))
    assert set(told) == {planned, retried}
    assert told[planned] == f"planned for {when:%Y-%m-%d %H:%M:%S}"
    assert told[retried].startswith("retry at ")
    shown = staff(client, "Monitor: view").get(reverse("monitor:jobs"), {"q": "state:held"}).content.decode()
    assert '<span class="why">held by mia</span>' in shown
    assert client.get(reverse("monitor:api-jobs"), {"q": "state:held"}).json()["jobs"][0]["why"] == "held by mia"
