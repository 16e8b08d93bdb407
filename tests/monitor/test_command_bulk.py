"""manage.py jobs bulk, drain, workers: what touches many is looked at, confirmed, watched, and told by exit code."""

import json
import time
import uuid
from contextlib import nullcontext

import pytest
from django.core.management import CommandError, call_command

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import snapshot
from amazon_pilot.jobs.models import AuditEntry, BulkAction
from amazon_pilot.jobs.operate import bulk
from amazon_pilot.jobs.operate.drain import drain_queue
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.staff import serve

from .faces import jobs, staff
from .many_jobs import begin, bury, counted, enqueue, failures

pytestmark = pytest.mark.django_db(transaction=True)
WHY = ("--reason", "A test")


def failed(number):
    ids = enqueue(number)
    bury(ids)
    return ids


def test_a_dry_run_says_how_many_and_to_what_effect_and_changes_nothing(capsys):
    ids = failed(3)

    text = jobs(capsys, "bulk", "retry", "state:failed", "--dry-run")
    seen = jobs(capsys, "bulk", "retry", "state:failed", "--dry-run", "--json")

    assert "goes back to its queue" in text
    assert "3 jobs" in text
    assert all(job_id in text for job_id in ids)
    assert (seen["number"], len(seen["sample"])) == (3, 3)
    assert counted("failed") == 3
    assert not BulkAction.objects.exists()


@pytest.mark.later
def test_it_is_asked_for_and_carried_out_in_the_background(capsys):
    failed(3)
    staff("mia", "view_jobrun", "operate_jobs")

    row = jobs(capsys, "bulk", "retry", "state:failed task:nothing", *WHY, "--user", "mia", "--json")
    assert (row["state"], row["by"]) == ("waiting", "mia")
    assert counted("queued", "critical") == 1
    bulk.run(row["id"])

    assert "done 100 %" in jobs(capsys, "bulk", "show", str(row["id"]))
    assert AuditEntry.objects.values_list("actor__username", "action", "reason").get() == ("mia", "retry", "A test")


@pytest.mark.later
def test_the_same_token_asks_once(capsys):
    failed(2)
    words = ("bulk", "retry", "state:failed", *WHY, "--token", str(uuid.uuid4()), "--json")

    assert jobs(capsys, *words)["id"] == jobs(capsys, *words)["id"]
    assert counted("queued", "critical") == 1


def test_chosen_jobs_are_moved(capsys):
    ids = enqueue(3)

    row = jobs(capsys, "bulk", "move", "--job", ids[0], "--job", ids[1], "--to", "low", *WHY, "--json")
    bulk.run(row["id"])

    assert (counted("queued"), counted("queued", "low")) == (1, 2)


@pytest.fixture
def carried_out(monkeypatch):
    """Have what was asked for carried out while the command waits for it, as a worker would."""
    monkeypatch.setattr(time, "sleep", lambda seconds: bulk.run(BulkAction.objects.get().pk))


def test_a_real_worker_carries_it_out_and_the_command_waits(capsys, start):  # noqa: F811
    failed(30)
    start()

    row = jobs(capsys, "bulk", "retry", "state:failed", *WHY, "--wait", "--json")

    assert (row["state"], row["matched"], row["changed"]) == ("done", 30, 30)
    assert counted("failed") == 0


def test_who_waits_is_told_by_the_exit_code_that_some_were_left_alone(capsys, carried_out):
    ids = failed(4)
    failures(ids, "a")
    queues.connection().delete(f"rq:job:{ids[0]}")  # its run is all that is left of it

    with pytest.raises(CommandError, match="1 of 4 were left alone"):
        jobs(capsys, "bulk", "retry", "cause:a", *WHY, "--wait", "--json")

    assert json.loads(capsys.readouterr().out)["changed"] == 3


def test_who_waits_is_told_by_the_exit_code_that_it_failed_or_was_stopped(capsys, monkeypatch):
    failed(2)

    def stop(seconds):
        assert bulk.abort(None, BulkAction.objects.get(), reason="Enough")
        bulk.run(BulkAction.objects.get().pk)

    monkeypatch.setattr(time, "sleep", stop)
    with pytest.raises(CommandError, match="It ended as aborted"):
        jobs(capsys, "bulk", "retry", "state:failed", *WHY, "--wait")
    assert counted("failed") == 2


def test_a_terminal_sees_how_far_it_is(capsys, monkeypatch, carried_out):
    failed(2)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    call_command("jobs", "bulk", "retry", "state:failed", *WHY, "--wait", "--json")

    told, seen = capsys.readouterr()
    assert json.loads(told)["state"] == "done"
    pk = BulkAction.objects.get().pk
    assert seen.startswith(f"\r#{pk} retry waiting 0 %: expected 2, seen 0, matched 0, changed 0, left alone 0")
    assert seen.endswith("\r\033[K")


@pytest.mark.later
def test_it_is_aborted_from_the_command_line(capsys):
    failed(2)
    row = jobs(capsys, "bulk", "retry", "state:failed", *WHY, "--json")

    assert jobs(capsys, "bulk", "abort", str(row["id"]), "--json")["state"] == "aborted"
    with pytest.raises(CommandError, match="it had ended before"):
        jobs(capsys, "bulk", "abort", str(row["id"]))
    with pytest.raises(CommandError, match="by its number"):
        jobs(capsys, "bulk", "show", "x")


@pytest.mark.later
def test_many_are_confirmed_by_their_number(capsys, monkeypatch):
    monkeypatch.setattr(bulk, "MANY", 3)
    failed(5)
    words = ("bulk", "retry", "state:failed", *WHY)

    for more in ((), ("--confirm", "4")):
        with pytest.raises(CommandError, match="add --confirm 5"):
            jobs(capsys, *words, *more)
    assert not BulkAction.objects.exists()
    staff("mia", "view_jobrun", "operate_jobs")
    with pytest.raises(CommandError, match="does not allow"):
        jobs(capsys, *words, "--confirm", "5", "--user", "mia")
    jobs(capsys, *words, "--confirm", "5")
    assert BulkAction.objects.get().expected == 5


@pytest.mark.parametrize(("typed", "is_done"), [("5", True), ("4", False), ("yes", False)])
def test_a_person_at_a_terminal_types_the_number(capsys, monkeypatch, typed, is_done):
    monkeypatch.setattr(bulk, "MANY", 3)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or typed)
    failed(5)

    with nullcontext() if is_done else pytest.raises(CommandError, match="Nothing was done"):
        jobs(capsys, "bulk", "retry", "state:failed", *WHY)

    assert BulkAction.objects.exists() is is_done
    assert "5 jobs" in asked[0]
    assert asked[0].endswith("Type 5 to confirm: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bulk", "retry", *WHY), "Say which jobs"),
        (("bulk", "retry", "state:queued", *WHY), "for jobs that are failed, canceled"),
        (("bulk", "retry", "state:failed"), "Say why"),
        (("bulk", "retry", "state:failed", *WHY, "--token", "x"), "Write --token as a UUID"),
        (("bulk", "move", "state:queued", *WHY), "no queue"),
        (("drain", "low", *WHY), "say --yes"),
        (("drain", "low", "--yes"), "Say why"),
        (("drain", "nowhere", "--yes", *WHY), "no queue nowhere"),
        (("stop", "w1"), "say --yes"),
        (("kill", "w1", "--slot", "1"), "say --yes"),
        (("kill", "w1", "--slot", "9", "--yes"), "has no slot 9"),
        (("quiet", "nobody"), "no worker nobody"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, words, said):
    serve()
    failed(1)
    with pytest.raises(CommandError, match=said):
        jobs(capsys, *words)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "words",
    [("drain", "low", "--yes", *WHY), ("quiet", "w1"), ("wake", "w1"), ("stop", "w1", "--yes"), ("recover",),
     ("kill", "w1", "--slot", "1", "--yes"), ("bulk", "delete", "state:failed", "--dry-run")],
)  # fmt: skip
def test_a_role_is_not_exceeded(capsys, words):
    serve()
    staff("mia", "view_jobrun", "operate_jobs")
    with pytest.raises(CommandError, match="does not allow"):
        jobs(capsys, *words, "--user", "mia")
    assert not AuditEntry.objects.exists()


def test_a_queue_is_drained(capsys):
    tasks.do_nothing.enqueue_many([(n,) for n in range(3)])

    told = jobs(capsys, "drain", "default", "--yes", "--reason", "Wrong import", "--json")

    assert told["count"] == 3
    call = queues.connection().lindex(queues.key("critical"), 0).decode()
    assert call == told["job"]
    assert drain_queue("default", "2099-01-01T00:00:00+00:00", AuditEntry.objects.get().pk).startswith("3 deleted")


def test_a_worker_is_seen_quieted_woken_and_stopped(capsys, start):  # noqa: F811
    process = start("--slots", "2")

    def state():
        queues.connection().delete(snapshot.KEY)
        return jobs(capsys, "workers", "--json")["workers"][0]["shown_state"]

    assert "0/2 slots" in jobs(capsys, "workers")
    assert "takes no more jobs" in jobs(capsys, "quiet", "w1", *WHY)
    wait_for(lambda: state() == "quiet", "quiet")
    jobs(capsys, "wake", "w1")
    wait_for(lambda: state() == "idle", "idle")
    jobs(capsys, "stop", "w1", "--yes")
    assert process.popen.wait(30) == 0
    assert list(AuditEntry.objects.order_by("pk").values_list("action", "reason")) == [
        ("quiet", "A test"), ("wake", ""), ("stop", ""),
    ]  # fmt: skip


def test_a_slot_is_killed(capsys, start):  # noqa: F811
    job_id = tasks.sleep.enqueue(50)
    start("--slots", "1")
    wait_for(lambda: queues.connection().hget(f"rq:job:{job_id}", "status") == b"started", "the start")

    jobs(capsys, "kill", "w1", "--slot", "1", "--yes", *WHY)

    wait_for(lambda: queues.connection().hget(f"rq:job:{job_id}", "status") == b"failed", "its end")


def test_that_nothing_is_lost_is_no_failure(capsys):
    assert "0 jobs were brought back." in jobs(capsys, "recover", *WHY)


@pytest.mark.later
def test_jobs_are_put_off_and_those_that_run_asked_to_end(capsys):
    ids = enqueue(3)
    begin(ids[:1])
    with pytest.raises(CommandError, match="Write a time such as"):
        jobs(capsys, "bulk", "snooze", "state:queued", *WHY)
    jobs(capsys, "bulk", "snooze", "state:queued", "--minutes", "30", *WHY)
    bulk.run(BulkAction.objects.get().pk)
    assert counted("scheduled") == 2

    row = jobs(capsys, "bulk", "cancel", "state:started OR state:scheduled", "--json", *WHY)
    bulk.run(row["id"])

    assert "(removed 2, asked 1, too late 0)" in jobs(capsys, "bulk", "show", str(row["id"]))
