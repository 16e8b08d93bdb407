"""Bulk actions: everything that a search matches, in the background, once, and until somebody says stop."""

import json
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import F
from django.utils import timezone

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.inspect import redis_jobs
from amazon_pilot.jobs.models import AuditEntry, BulkAction
from amazon_pilot.jobs.operate import batches, bulk, changes
from tests.jobs import tasks

from .many_jobs import asked, begin, bury, carried_out, counted, enqueue, failures, numbers, plan

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.mark.parametrize("score", [None, 5e9])
def test_all_failed_jobs_are_retried_though_they_leave_while_one_walks(boss, small_batches, score):
    ids = enqueue(10, tasks.fail)
    bury(ids, score=score)

    row = carried_out(boss, "retry", "state:failed")

    assert numbers(row) == ("done", 10, 10, 0)
    assert (counted("failed"), counted("queued")) == (0, 10)
    assert JSONJob.fetch(ids[0], connection=queues.connection()).retries_left == 2
    assert AuditEntry.objects.get(target=row.target).count == 10


def test_retrying_a_group_touches_only_its_jobs(boss, small_batches):
    ids = enqueue(10)
    bury(ids)
    failures(ids[:4], "a")
    failures(ids[4:], "b")

    row = carried_out(boss, "retry", "cause:a state:failed")

    assert numbers(row) == ("done", 4, 4, 0)
    assert set(queues.connection().lrange(queues.key("default"), 0, -1)) == {job_id.encode() for job_id in ids[:4]}


def test_a_job_that_failed_once_but_waits_again_is_not_deleted_with_its_group(boss):
    ids = enqueue(4)
    bury(ids[:2])
    failures(ids, "a")

    assert carried_out(boss, "delete", "cause:a state:failed").changed == 2
    assert counted("queued") == 2


def test_a_job_that_fails_again_meanwhile_is_not_retried_for_ever(boss, small_batches, monkeypatch):
    ids = enqueue(5)
    bury(ids)
    act = bulk.act

    def act_and_fail_again(row, batch):
        changed = act(row, batch)
        bury(batch.ids, score=2e10)
        return changed

    monkeypatch.setattr(bulk, "act", act_and_fail_again)

    assert carried_out(boss, "retry", "state:failed").changed == 5


def test_deleting_takes_the_hash_and_leaves_what_runs(boss):
    ids = enqueue(3)
    queues.connection().lrem(queues.key("default"), 1, ids[0])
    queues.connection().hset(f"rq:job:{ids[0]}", "status", "started")

    row = carried_out(boss, "delete", ids=ids)

    assert numbers(row) == ("done", 3, 2, 1)
    assert [changes.find(job_id) is None for job_id in ids] == [False, True, True]
    assert counted("queued") == 0


@pytest.mark.later
@pytest.mark.parametrize("number", [7, 2000])
def test_a_whole_queue_is_held_and_released_in_its_order(boss, number):
    ids = enqueue(number)
    others = enqueue(2, queue="low")

    held = carried_out(boss, "hold", "state:queued queue:default", expected=number)
    assert numbers(held) == ("done", number, number, 0)
    assert (counted("queued"), counted("held")) == (0, number)
    assert counted("queued", "low") == len(others)
    assert carried_out(boss, "release", "state:held", expected=number).changed == number
    assert {each.decode() for each in queues.connection().lrange(queues.key("default"), 0, -1)} == set(ids)


@pytest.mark.later
def test_only_what_matches_leaves_the_queue_and_the_rest_keeps_its_order(boss):
    ids = enqueue(1500)
    row = carried_out(boss, "hold", "state:queued (arg.0:3 OR arg.0:700 OR arg.0:1499)")

    assert (row.seen, row.matched, row.changed, row.left_alone) == (1500, 3, 3, 0)
    left = [job_id for n, job_id in enumerate(ids) if n not in (3, 700, 1499)]
    assert [each.decode() for each in queues.connection().lrange(queues.key("default"), 0, -1)] == left


@pytest.mark.later
def test_jobs_that_come_while_one_walks_are_left_alone(boss, monkeypatch):
    enqueue(1200)
    act, late = bulk.act, []

    def act_while_more_come(row, batch):
        if not late:
            late.extend(enqueue(100, tasks.fail))
        return act(row, batch)

    monkeypatch.setattr(bulk, "act", act_while_more_come)

    assert numbers(carried_out(boss, "cancel", "state:queued", expected=1200)) == ("done", 1200, 1200, 0)
    assert [each.decode() for each in queues.connection().lrange(queues.key("default"), 0, -1)] == late


@pytest.mark.later
def test_jobs_that_come_while_one_walks_have_none_looked_at_twice(boss, monkeypatch):
    enqueue(1200)
    act, late = bulk.act, []

    def act_while_more_come(row, batch):
        late.extend(enqueue(100, name=f"late-{len(late)}"))
        return act(row, batch)

    monkeypatch.setattr(bulk, "act", act_while_more_come)
    row = carried_out(boss, "cancel", "state:queued arg.0:1100")

    assert (row.seen, row.matched, row.changed) == (1200, 1, 1)
    assert counted("queued") == 1199 + len(late)
    assert len(late) >= 300


def test_planned_and_waiting_jobs_move_to_another_queue(boss):
    enqueue(3)
    plan(enqueue(2, tasks.fail))

    row = carried_out(boss, "move", "queue:default", given={"queue": "low"})

    assert numbers(row) == ("done", 5, 5, 0)
    assert (counted("queued", "low"), counted("scheduled", "low")) == (3, 2)


def test_planned_jobs_are_run_now_in_the_order_of_their_times(boss, small_batches):
    waiting, planned = enqueue(2), enqueue(7, tasks.fail)
    plan(planned)

    row = carried_out(boss, "run now", "task:fail")

    assert numbers(row) == ("done", 7, 7, 0)
    assert [each.decode() for each in queues.connection().lrange(queues.key("default"), 0, -1)] == waiting + planned
    assert AuditEntry.objects.get(target=row.target).action == "run now"


def test_of_the_planned_jobs_the_retries_alone_are_run_now(boss):
    planned = enqueue(4)
    plan(planned)
    queues.connection().hset(f"rq:job:{planned[2]}", "attempt", 1)

    assert carried_out(boss, "run now", "state:retry").changed == 1
    assert [changes.state(job_id) for job_id in planned] == ["scheduled", "scheduled", "queued", "scheduled"]


@pytest.fixture
def heard(redis):
    """Listen to what worker w9 is told."""
    with redis.pubsub() as channel:
        channel.subscribe("rq:pubsub:w9")
        channel.get_message(timeout=1)

        def told():
            found = []
            while message := channel.get_message(timeout=0.2):
                found.append(json.loads(message["data"]))
            return found

        yield told


def test_what_runs_is_asked_to_end_where_the_search_names_it(boss, small_batches, heard):
    running, _waiting = enqueue(7, name="running"), enqueue(4)
    begin(running)

    assert (carried_out(boss, "cancel", "state:queued").asked, heard()) == (0, [])
    row = carried_out(boss, "cancel", "state:started")

    assert (row.state, row.seen, row.removed, row.asked, row.left_alone) == ("done", 7, 0, 7, 0)
    told = heard()
    assert {each["job_id"] for each in told} == set(running)
    assert {(each["command"], each["grace"], each["by"]) for each in told} == {("stop-job", 5, "boss")}


def test_chosen_jobs_are_removed_asked_or_left_as_too_late(boss, heard):
    ids = enqueue(6)
    begin(ids[:2])
    bury(ids[2:3])

    row = carried_out(boss, "cancel", ids=ids)

    assert (row.removed, row.asked, row.left_alone, row.changed) == (3, 2, 1, 5)
    assert len(heard()) == 2


def test_a_job_that_begins_while_one_looks_is_asked_as_well(boss, monkeypatch, heard):
    ids = enqueue(3)
    rearrange = changes.rearrange

    def begin_one_first(*words, **more):
        begin(ids[:1])
        return rearrange(*words, **more)

    monkeypatch.setattr(changes, "rearrange", begin_one_first)
    row = carried_out(boss, "cancel", "state:queued OR state:started")

    assert (row.matched, row.removed, row.asked, len(heard())) == (3, 2, 1, 1)


def test_after_a_crash_each_that_runs_is_asked_and_counted_once(boss, small_batches, monkeypatch, heard):
    begin(enqueue(8))
    row = asked(boss, "cancel", "state:started")
    add, calls = BulkAction.objects.add, []

    def die_before_it_is_noted(*words, **counts):
        calls.append(counts)
        if len(calls) == 2:
            raise SystemExit
        return add(*words, **counts)

    with monkeypatch.context() as patch:
        patch.setattr(BulkAction.objects, "add", die_before_it_is_noted)
        with pytest.raises(SystemExit):
            bulk.run(row.pk)
    bulk.run(row.pk)

    row.refresh_from_db()
    assert (row.state, row.seen, row.matched, row.asked, row.changed) == ("done", 8, 8, 8, 8)
    assert len(heard()) == 8
    assert not queues.connection().keys("pilot:bulk:*")


@pytest.mark.parametrize("crash", [False, True])
def test_waiting_planned_and_held_jobs_are_put_off(boss, small_batches, monkeypatch, crash):
    until = (timezone.now() + timedelta(hours=2)).replace(microsecond=0)
    waiting, held = enqueue(7), enqueue(2, name="held")
    changes.rearrange("hold", held)
    sooner, later = enqueue(4, name="sooner"), enqueue(4, name="later")
    for n, job_id in enumerate([*sooner, *later]):
        changes.rearrange("snooze", [job_id], until.timestamp() + (n - 3.5) * 100)
    row = asked(boss, "snooze", "state:queued OR state:scheduled OR state:held", given={"until": str(until)})
    if crash:
        act, calls = bulk.act, []

        def die_in_the_fourth(row, batch):
            calls.append(batch)
            if len(calls) == 4:
                act(row, batch)
                raise SystemExit
            return act(row, batch)

        with monkeypatch.context() as patch:
            patch.setattr(bulk, "act", die_in_the_fourth)
            with pytest.raises(SystemExit):
                bulk.run(row.pk)
    bulk.run(row.pk)

    row.refresh_from_db()
    assert numbers(row) == ("done", 17, 17, 0)
    planned = dict(queues.connection().zrange("rq:scheduled:default", 0, -1, withscores=True))
    assert planned == {job_id.encode(): until.timestamp() for job_id in [*waiting, *held, *sooner, *later]}
    assert AuditEntry.objects.get(target=row.target).detail["until"] == str(until)


@pytest.mark.parametrize("until", [None, timezone.now() - timedelta(seconds=1)])
def test_jobs_are_put_off_to_a_time_that_is_to_come(boss, until):
    with pytest.raises(ValidationError, match=r"still to come|Write a time"):
        asked(boss, "snooze", "state:queued", given={"until": str(until or "")})


def test_an_abort_stops_before_the_next_batch(boss, small_batches, monkeypatch):
    bury(enqueue(10))
    row = asked(boss, "retry", "state:failed")
    act = bulk.act

    def act_and_abort(row, batch):
        assert bulk.abort(boss, row)
        return act(row, batch)

    monkeypatch.setattr(bulk, "act", act_and_abort)
    bulk.run(row.pk)

    row.refresh_from_db()
    assert numbers(row) == ("aborted", 3, 3, 0)
    assert row.ended_at
    assert row.aborted_by == boss
    assert counted("failed") == 7
    assert AuditEntry.objects.get(action="abort").target == row.target


def test_an_aborted_action_does_not_begin(boss):
    bury(enqueue(2))
    row = asked(boss, "retry", "state:failed")
    bulk.abort(boss, row)

    assert bulk.run(row.pk) == "ended already"
    assert counted("failed") == 2


@pytest.mark.parametrize("is_acted", [False, True])
@pytest.mark.parametrize(
    ("action", "query", "seen", "matched", "changed"),
    [
        ("retry", "state:failed", 12, 12, 12),  # from a registry
        ("retry", "cause:a state:failed", 12, 11, 11),  # by the history, those that are failed still
        ("retry", "cause:a", 12, 11, 11),  # by the history
        ("hold", "state:queued task:nothing", 9, 9, 9),  # from a queue
        ("hold", "state:queued (arg.0:1 OR arg.0:8)", 9, 2, 2),
    ],
)
def test_after_a_crash_it_goes_on_and_counts_each_job_once(
    boss, small_batches, monkeypatch, action, query, seen, matched, changed, is_acted
):  # fmt: skip
    ids = enqueue(12, tasks.fail)
    bury(ids)
    enqueue(9)
    failures([*ids[:3], ids[0], *ids[3:-1]], "a")  # one has two runs, of two batches
    row = asked(boss, action, query)
    act, calls = bulk.act, []

    def die_in_the_third_batch(row, batch):
        calls.append(batch)
        if len(calls) == 3:
            if is_acted:  # and nobody could write down how many
                act(row, batch)
            raise SystemExit
        return act(row, batch)

    monkeypatch.setattr(bulk, "act", die_in_the_third_batch)
    with pytest.raises(SystemExit):
        bulk.run(row.pk)
    monkeypatch.setattr(bulk, "act", act)
    bulk.run(row.pk)

    row.refresh_from_db()
    assert (row.state, row.seen, row.matched, row.changed) == ("done", seen, matched, changed)
    assert AuditEntry.objects.get(target=row.target).count == changed
    assert counted("held" if action == "hold" else "queued") == changed + (9 if action == "retry" else 0)
    assert not queues.connection().exists(batches.tally(row.pk))


def test_a_job_with_several_runs_is_counted_once(boss, small_batches):
    ids = enqueue(5)
    bury(ids)
    for _ in range(3):
        failures(ids, "a")

    row = carried_out(boss, "retry", "cause:a state:failed")

    assert (row.seen, row.matched, row.changed, row.left_alone) == (15, 5, 5, 0)


def test_states_that_are_part_of_each_other_are_looked_through_once(boss):
    plan(enqueue(4))

    row = carried_out(boss, "cancel", "state:scheduled OR state:retry")

    assert numbers(row) == ("done", 4, 4, 0)


def test_jobs_that_are_there_already_are_not_moved_nor_met_on_their_arrival(boss):
    enqueue(3)
    enqueue(2, queue="low")

    row = carried_out(boss, "move", "state:queued", given={"queue": "low"})

    assert numbers(row) == ("done", 3, 3, 0)
    assert counted("queued", "low") == 5


def test_a_second_click_starts_nothing(boss, django_capture_on_commit_callbacks):
    bury(enqueue(2))
    token = uuid.uuid4()

    with django_capture_on_commit_callbacks(execute=True):
        first, was_new = bulk.start(boss, "retry", query="state:failed", token=token, reason="x", expected=2)
        second, is_new = bulk.start(boss, "retry", query="state:failed", token=token, reason="x", expected=2)

    assert (first, was_new, is_new) == (second, True, False)
    assert AuditEntry.objects.count() == 1
    assert counted("queued", "critical") == 1
    assert redis_jobs.window("queued", "critical", 0, 1).jobs[0].args == [first.pk]


def test_a_job_without_a_hash_is_left_alone(boss):
    ids = enqueue(2)
    bury(ids)
    failures(ids, "a")
    queues.connection().delete(f"rq:job:{ids[0]}")

    assert numbers(carried_out(boss, "retry", "cause:a")) == ("done", 2, 1, 1)


def test_an_error_is_noted_and_the_action_fails(boss, monkeypatch):
    bury(enqueue(1))
    row = asked(boss, "retry", "state:failed")
    monkeypatch.setattr(changes, "for_requeue", lambda ids: "no JSON")

    with pytest.raises(Exception, match="Expected value"):
        bulk.run(row.pk)

    row.refresh_from_db()
    assert row.state == "failed"
    assert "Expected value" in row.error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"action": "retry", "query": "state:queued"}, "for jobs that are failed, canceled"),
        ({"action": "retry", "query": "state:nowhere"}, "no state nowhere"),
        ({"action": "move", "query": "state:queued", "given": {"queue": "nowhere"}}, "no queue nowhere"),
        ({"action": "retry", "query": "state:failed", "reason": ""}, "Say why"),
        ({"action": "burn", "query": "state:failed"}, "no such action"),
        ({"action": "retry", "ids": ["x"] * 101}, "At most 100"),
    ],
)
def test_what_makes_no_sense_is_refused(boss, words, message):
    with pytest.raises(ValidationError, match=message):
        asked(boss, **words)
    assert not BulkAction.objects.exists()


@pytest.mark.parametrize(
    ("role", "action", "expected", "is_allowed"),
    [
        ("view", "retry", 1, False), ("operate", "retry", 1000, True), ("operate", "retry", 1001, False),
        ("operate", "retry", None, False), ("operate", "delete", 1, False), ("edit", "delete", 1, True),
        ("edit", "delete", 5000, False), ("admin", "delete", 5000, True),
    ],
)  # fmt: skip
def test_the_role_decides_what_and_how_many(person, role, action, expected, is_allowed):
    person(role)
    user = User.objects.get(username=f"{role}-er")
    if is_allowed:
        assert asked(user, action, "state:failed", expected=expected).by == user
    else:
        with pytest.raises(PermissionDenied):
            asked(user, action, "state:failed", expected=expected)


def test_ended_actions_are_pruned(boss):
    row = carried_out(boss, "retry", "state:failed")
    BulkAction.objects.update(created_at=F("created_at") - timedelta(days=100))

    assert BulkAction.objects.prune(timezone.now() - timedelta(days=90)) == 1
    assert not BulkAction.objects.filter(pk=row.pk).exists()
