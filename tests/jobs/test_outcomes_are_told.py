"""What became of a job never depends on being able to describe it: a sentence stands where a value cannot."""

import json
import math

import pytest

from amazon_pilot.jobs.core import payload
from amazon_pilot.jobs.core.fields import TAKEN
from amazon_pilot.jobs.core.shared_memory import SharedMemory
from amazon_pilot.jobs.core.taken_job import TakenJob
from amazon_pilot.jobs.history import rows, run_event
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.worker import outcomes
from amazon_pilot.jobs.worker.leftovers import Leftovers
from amazon_pilot.jobs.worker.messages import MessageSocket, SlotQueue
from amazon_pilot.jobs.worker.recent_outcomes import RecentOutcomes
from amazon_pilot.jobs.worker.slot import Slot

from . import hard_to_tell, tasks
from .conftest import ended

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def slot():
    slot = Slot(1, "w1", SlotQueue(), MessageSocket.pair()[1], SharedMemory(), RecentOutcomes())
    slot.leftovers = Leftovers()
    return slot


def taken_job(task, *args, **fields):
    call = json.dumps([task.name, None, args, {}])
    values = fields | {"status": b"started", "data": call.encode(), "task": task.name.encode()}
    return TakenJob.from_reply([b"default", b"a", b"pilot-1-0", 0, [values.get(name) for name in TAKEN]])


def row_of(outcome):
    """Write the line that an outcome carries as the history writer does, and answer the row."""
    row = rows.row_of(outcome.words[-1].encode(), outcome.taken_job.data)
    rows.write([row])
    return JobRun.objects.get(job_id=row["job_id"])


@pytest.mark.parametrize("what", hard_to_tell.RESULTS)
def test_a_success_stands_whatever_it_returns(slot, what):
    job = taken_job(hard_to_tell.succeed, what)
    outcome = outcomes.from_message(slot.run_job(job), job, "w1")

    assert isinstance(outcome, outcomes.Succeeded)
    row = row_of(outcome)
    assert row.outcome == "succeeded"
    assert isinstance(row.result, str | list | dict)


@pytest.mark.parametrize("what", hard_to_tell.ERRORS)
def test_a_failure_stands_whatever_it_raises(slot, what):
    job = taken_job(hard_to_tell.fail, what)
    outcome = outcomes.from_message(slot.run_job(job), job, "w1")

    assert isinstance(outcome, outcomes.Failed)
    row = row_of(outcome)
    assert row.outcome == "failed"
    assert row.exception
    assert row.traceback
    assert row.fingerprint


@pytest.mark.parametrize("what", hard_to_tell.METAS)
def test_a_failure_stands_whatever_its_meta_holds(slot, what):
    job = taken_job(hard_to_tell.fail_with_meta, what, meta=b'{"a": 1}')
    outcome = outcomes.from_message(slot.run_job(job), job, "w1")

    assert isinstance(outcome, outcomes.Failed)
    assert row_of(outcome).exception == "ValueError"


@pytest.mark.parametrize("what", hard_to_tell.WAITS)
def test_a_failure_stands_whatever_wait_it_asks_for(slot, what):
    job = taken_job(hard_to_tell.ask_to_wait, what, retries_left=b"1")
    outcome = outcomes.from_message(slot.run_job(job), job, "w1")

    assert isinstance(outcome, outcomes.Failed)
    assert outcome.words[0] == "scheduled"
    assert 300 <= outcome.words[1] <= 86_400


ODD_FIELDS = {
    "id": "x" * 300, "execution": "\0" + "e" * 300, "queue": "\ud800" * 200, "enqueued_at": "99999-01-01T00:00:00Z",
    "started": 1e18,
    "ended": math.inf, "attempt": 10**30, "retry_in": 1e300, "meta": '["no object"]', "tags": "t" * 900,
    "log": "\0\ud800", "message": "\udfff", "result": "[" * 600 + "]" * 600, "percent": 7, "cause": "c" * 900,
    "exception": "e" * 900, "task": "t" * 900, "progress": "p" * 900,
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_FIELDS)
def test_a_line_with_an_odd_field_is_a_row(name):
    event = {
        "id": "a",
        "execution": "e",
        "queue": "q",
        "outcome": "failed",
        "ended": 1.8e9,
        "worker": "w",
        name: ODD_FIELDS[name],
    }
    run = rows.row_of(json.dumps(event).encode(), b"[1")
    rows.write([run])
    assert JobRun.objects.get().outcome == "failed"


def test_long_names_stay_apart():
    first, second = run_event.short("x" * 300 + "a"), run_event.short("x" * 300 + "b")
    assert len(first) == len(second) == run_event.ID_LIMIT
    assert first != second
    assert run_event.short("a" * 100) == "a" * 100


UNSTORABLE = {
    "nan": math.nan, "infinity": math.inf, "minus infinity": -math.inf, "number": 10**5000, "nul": "\0",
    "surrogate": "\ud83d", "within": {"\0": ["\udfff"]}, "deep": json.loads("[" * 300 + "]" * 300),
}  # fmt: skip


@pytest.mark.parametrize("what", UNSTORABLE)
def test_what_no_database_stores_becomes_words(what):
    stored = json.dumps(payload.storable([UNSTORABLE[what]]), allow_nan=False, ensure_ascii=False)
    stored.encode()
    assert "\0" not in json.loads(stored)[0]
    assert len(stored) < 400


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "1e999", '"' + "\\ud800" + '"', "[" * 500 + "]" * 500])
def test_every_json_can_be_loaded_or_is_left(text):
    json.dumps(payload.loaded(text, {}), allow_nan=False).encode()


@pytest.mark.slow
def test_jobs_that_are_hard_to_tell_run_once(start, redis, queue):
    start()
    told = {what: hard_to_tell.succeed.enqueue(what) for what in hard_to_tell.RESULTS}
    raised = {what: hard_to_tell.fail.enqueue(what) for what in hard_to_tell.ERRORS}
    deadly = {what: hard_to_tell.fail_deadly.enqueue(what) for what in hard_to_tell.DEADLY}
    logged = {what: hard_to_tell.log.enqueue(what) for what in hard_to_tell.LOGS}
    rare = queue.enqueue(hard_to_tell.succeed.name, "deep", result_ttl=0).id

    assert {what: ended(each).outcome for what, each in told.items()} == dict.fromkeys(told, "succeeded")
    assert {what: ended(each).outcome for what, each in raised.items()} == dict.fromkeys(raised, "failed")
    assert {what: ended(each).outcome for what, each in logged.items()} == dict.fromkeys(logged, "succeeded")
    for each in deadly.values():
        assert "its slot died while it described the error (slot_killed: " in ended(each, outcome="failed").message
    assert ended(rare).outcome == "succeeded"
    assert ended(tasks.add.enqueue(2, 3)).result == 5
    assert not JobRun.objects.filter(attempt__gt=1).exists()
