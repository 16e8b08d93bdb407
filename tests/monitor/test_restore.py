"""Taking a deletion back: every job as it was, once, for a day."""

import json
import time
import uuid
import zlib
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import ResponseError

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.enqueue import fields, payloads, send, unique_key
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.models import AuditEntry, BulkAction, KeptJob
from amazon_pilot.jobs.operate import bulk, changes, deletion, operations
from amazon_pilot.jobs.operate.bulk import run_bulk_action
from amazon_pilot.jobs.tasks import cleanup
from tests.jobs import tasks

from .many_jobs import asked, bury, carried_out, counted, enqueue, numbers, plan

pytestmark = pytest.mark.django_db
QUEUE = queues.key("default")


def taken_back(boss, row, **words):
    words = {"token": uuid.uuid4(), "reason": "A mistake"} | words
    back, _is_new = bulk.restore(boss, row, **words)
    bulk.run(back.pk)
    back.refresh_from_db()
    return back


def picture(redis):
    """Answer everything that Redis holds of jobs: each key's content, and until when it is kept in seconds."""
    read = {
        b"hash": redis.hgetall, b"set": redis.smembers, b"stream": redis.xrange,
        b"list": lambda key: redis.lrange(key, 0, -1), b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"string": redis.get,
    }  # fmt: skip
    return {
        key: (read[redis.type(key)](key), round(redis.ttl(key), -1))
        for key in redis.scan_iter("rq:*", count=1000)
        if not key.startswith((b"rq:queue:critical", b"rq:queues"))
    }


def waiting(redis, number=7):
    return enqueue(number)


def planned(redis):
    ids = enqueue(4)
    plan(ids)
    redis.hset(f"rq:job:{ids[1]}", "attempt", 2)  # a retry


def held(redis):
    ids = enqueue(4)
    plan(ids[:1])
    changes.rearrange("hold", ids)


def failed(redis):
    ids = enqueue(5, tasks.fail)
    bury(ids, score=5e9)
    for job_id in ids:
        redis.expire(f"rq:job:{job_id}", 5000)
        redis.xadd(f"rq:results:{job_id}", {"type": 2, "exc_string": bytes(range(256))})
        redis.expire(f"rq:results:{job_id}", 4000)
    redis.hset(f"rq:job:{ids[0]}", mapping={"status": "stopped", "exc_info": zlib.compress(b"x" * 5000)})
    redis.hset(f"rq:job:{ids[1]}", b"meta", bytes(range(256)))


def cancelled(redis):
    changes.rearrange("cancel", enqueue(3))


def dependent(redis):
    parent, child = enqueue(1)[0], enqueue(1, tasks.fail)[0]
    queues.connection().lrem(QUEUE, 1, child)
    redis.hset(f"rq:job:{child}", "status", "deferred")
    redis.zadd("rq:deferred:default", {child: -1})
    redis.sadd(f"rq:job:{parent}:dependents", child)
    redis.sadd(f"rq:job::{child}:dependencies", parent)
    return parent, child


def deferred_by_hand(redis):
    _parent, child = dependent(redis)
    redis.delete(f"rq:job::{child}:dependencies")


@pytest.mark.parametrize(
    ("make", "query"),
    [
        (waiting, "state:queued"), (planned, "state:scheduled"), (planned, "state:retry"), (held, "state:held"),
        (failed, "state:failed"), (cancelled, "state:canceled"), (dependent, "state:deferred"),
        (dependent, "task:do_nothing state:queued"), (deferred_by_hand, "state:deferred"),
    ],
)  # fmt: skip
def test_every_job_is_what_and_where_it_was(boss, redis, small_batches, make, query):
    make(redis)
    before = picture(redis)

    row = carried_out(boss, "delete", query)
    assert row.changed
    assert picture(redis) != before
    back = taken_back(boss, row)

    assert numbers(back) == ("done", row.changed, row.changed, 0)
    assert picture(redis) == before
    assert not KeptJob.objects.exists()
    assert AuditEntry.objects.get(action="restore").count == row.changed


@pytest.mark.later
def test_chosen_jobs_of_all_states_come_back(boss, redis):
    for make in (waiting, planned, held, failed, cancelled):
        make(redis)
        ids = [key.decode().removeprefix("rq:job:") for key in redis.scan_iter("rq:job:*", count=1000)]
        before = picture(redis)
        row = carried_out(boss, "delete", ids=ids)
        assert row.changed == len(ids)

        assert taken_back(boss, row).changed == len(ids)

        assert picture(redis) == before
        redis.flushdb()


@pytest.mark.later
def test_what_waited_goes_before_what_has_come_since_and_in_its_order(boss, redis):
    ids = enqueue(1300)
    row = carried_out(boss, "delete", "state:queued NOT arg.0:700", expected=1299)
    late = enqueue(5, tasks.fail)

    taken_back(boss, row)

    assert [each.decode() for each in redis.lrange(QUEUE, 0, -1)] == [
        *(job_id for n, job_id in enumerate(ids) if n != 700), ids[700], *late
    ]  # fmt: skip


def die(monkeypatch, name, at, *, is_done):
    """Have a worker killed when it calls a step of `deletion` for the `at`th time: before that, or right after."""
    step, calls = getattr(deletion, name), []

    def cut_short(*words, **more):
        calls.append(words)
        if len(calls) == at:
            if is_done:
                step(*words, **more)
            raise SystemExit
        return step(*words, **more)

    monkeypatch.setattr(deletion, name, cut_short)


@pytest.mark.later
@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("query", ["state:queued", "state:failed"])
def test_a_deletion_that_was_cut_short_loses_nothing(boss, redis, small_batches, monkeypatch, query, is_done):
    waiting(redis, 10)
    failed(redis)
    before = picture(redis)
    row = asked(boss, "delete", query)
    with monkeypatch.context() as patch:
        die(patch, "_forget", 2, is_done=is_done)
        with pytest.raises(SystemExit):
            bulk.run(row.pk)
    assert KeptJob.objects.filter(is_deleted=False).exists()

    bulk.run(row.pk)
    row.refresh_from_db()
    assert row.changed == KeptJob.objects.of(row).count() == (10 if "queued" in query else 5)
    taken_back(boss, row)

    assert picture(redis) == before


@pytest.mark.parametrize("is_done", [False, True])
def test_a_deletion_that_was_cut_short_and_stopped_is_taken_back_exactly(
    boss, redis, small_batches, monkeypatch, is_done
):  # fmt: skip
    ids = enqueue(9)
    before = picture(redis)
    row = asked(boss, "delete", "state:queued")
    with monkeypatch.context() as patch:
        die(patch, "_forget", 2, is_done=is_done)
        with pytest.raises(SystemExit):
            bulk.run(row.pk)
    bulk.abort(boss, row)
    bulk.run(row.pk)
    row.refresh_from_db()
    if not is_done:  # what was kept and not deleted has run meanwhile, and is gone by now
        for job_id in ids[3:6]:
            redis.lrem(QUEUE, 1, job_id)
            redis.delete(f"rq:job:{job_id}")

    back = taken_back(boss, row)

    assert back.changed == (6 if is_done else 3)
    assert [changes.find(job_id) is not None for job_id in ids] == [*[True] * 3, *[is_done] * 3, *[True] * 3]
    if is_done:
        assert picture(redis) == {**before, QUEUE.encode(): picture(redis)[QUEUE.encode()]}


@pytest.mark.later
@pytest.mark.parametrize("is_done", [False, True])
def test_bringing_back_goes_on_after_a_crash_and_no_job_comes_twice(boss, redis, small_batches, monkeypatch, is_done):
    ids = enqueue(10)
    row = carried_out(boss, "delete", "state:queued")
    back, _is_new = bulk.restore(boss, row, token=uuid.uuid4(), reason="A mistake")
    with monkeypatch.context() as patch:
        real = script("kept")
        calls = []

        def cut_short(connection, verb, *words):
            calls.append(verb)
            if len(calls) == 2:
                if is_done:
                    real(connection, verb, *words)
                raise SystemExit
            return real(connection, verb, *words)

        patch.setattr(deletion, "script", lambda name: cut_short)
        with pytest.raises(SystemExit):
            bulk.run(back.pk)
    if is_done:  # those of the second batch, which nobody could note, run and are forgotten
        for job_id in ids[4:7]:
            redis.lrem(QUEUE, 1, job_id)
            redis.delete(f"rq:job:{job_id}")

    bulk.run(back.pk)

    back.refresh_from_db()
    assert numbers(back) == ("done", 10, 10, 0)
    left = ids[:4] + ids[7:] if is_done else ids
    assert [each.decode() for each in redis.lrange(QUEUE, 0, -1)] == left
    assert not KeptJob.objects.exists()
    assert AuditEntry.objects.get(action="restore").count == 10


def test_it_is_taken_back_once(boss, redis):
    ids = enqueue(4)
    row = carried_out(boss, "delete", "state:queued")
    token = uuid.uuid4()
    first, was_new = bulk.restore(boss, row, token=token, reason="A mistake")
    same, is_new = bulk.restore(boss, row, token=token, reason="A mistake")
    assert (first, was_new, is_new) == (same, True, False)
    with pytest.raises(ValidationError, match="brought back already"):
        bulk.restore(boss, row, token=uuid.uuid4(), reason="A mistake")

    bulk.run(first.pk)
    redis.delete(QUEUE, *(f"rq:job:{job_id}" for job_id in ids))  # they run, and are gone

    with pytest.raises(ValidationError, match="nothing to bring back"):
        bulk.restore(boss, row, token=uuid.uuid4(), reason="A mistake")
    assert bulk.run(first.pk) == "ended already"
    assert queues.size("default") == 0


def test_a_job_that_exists_again_is_left_alone_and_counted(boss, redis, small_batches):
    ids = enqueue(5)
    row = carried_out(boss, "delete", "state:queued")
    enqueue(1)  # the first of them, by another
    redis.hset(f"rq:job:{ids[0]}", "description", "mine")

    back = taken_back(boss, row)

    assert numbers(back) == ("done", 5, 4, 1)
    assert redis.hget(f"rq:job:{ids[0]}", "description") == b"mine"
    assert queues.size("default") == 5


def test_a_job_whose_time_was_over_meanwhile_stays_away(boss, redis):
    failed(redis)
    [soon, *_others] = redis.zrange("rq:failed:default", 0, -1)
    redis.pexpire(b"rq:job:" + soon, 300)
    row = carried_out(boss, "delete", "state:failed")
    assert row.changed == 5
    kept = KeptJob.objects.get(job_id=soon.decode())
    KeptJob.objects.exclude(pk=kept.pk).delete()
    time.sleep(0.35)

    assert numbers(taken_back(boss, row)) == ("done", 1, 0, 1)
    assert not redis.exists(b"rq:job:" + soon)


@pytest.mark.parametrize("is_pending", [False, True])
def test_a_unique_task_that_waits_again_is_not_brought_back_beside_it(boss, redis, is_pending):
    [data] = payloads(run_bulk_action, [((10**9,), {})])
    words = unique_key(run_bulk_action, data), fields(run_bulk_action, "default", data)
    assert send("default", [("first", *words)]) == ["first"]
    row = carried_out(boss, "delete", "state:queued queue:default")
    assert row.changed == 1
    if is_pending:
        assert send("default", [("second", *words)]) == ["second"]
    else:
        redis.flushdb()

    assert taken_back(boss, row).changed == int(not is_pending)
    assert redis.lrange(QUEUE, 0, -1) == [b"second" if is_pending else b"first"]
    assert send("default", [("third", *words)]) == ["second" if is_pending else "first"]


def test_a_job_does_not_wait_for_what_has_ended_meanwhile(boss, redis):
    parent, child = dependent(redis)
    row = carried_out(boss, "delete", "state:deferred")
    redis.hset(f"rq:job:{parent}", "status", "finished")

    assert numbers(taken_back(boss, row)) == ("done", 1, 0, 1)
    assert not redis.exists(f"rq:job:{child}")
    assert not redis.exists(f"rq:job::{child}:dependencies")


@pytest.mark.parametrize("is_over", [False, True])
def test_a_job_that_a_pause_kept_back_waits_for_its_end_or_goes_on(boss, redis, is_over):
    ids = enqueue(3)
    queues.set_pause("task:tests.jobs.tasks.do_nothing")
    pause = "task:tests.jobs.tasks.do_nothing"
    for job_id in ids:  # as take.lua parks them
        redis.lrem(QUEUE, 1, job_id)
        redis.hset(f"rq:job:{job_id}", mapping={"status": "deferred", "held": pause})
        redis.zadd("rq:deferred:default", {job_id: 1})
        redis.rpush(f"pilot:parked:{pause}", job_id)
    row = carried_out(boss, "delete", "state:held")
    assert row.changed == 3
    if is_over:
        queues.end_pause(pause)
    taken_back(boss, row)

    assert redis.zcard("rq:deferred:default") == (0 if is_over else 3)
    queues.end_pause(pause)

    assert {job_id.decode() for job_id in redis.lrange(QUEUE, 0, -1)} == set(ids)
    assert redis.llen(QUEUE) == 3
    assert [changes.state(job_id) for job_id in ids] == ["queued"] * 3


def test_jobs_are_deleted_also_where_redis_is_at_its_memory_limit(boss, redis):
    enqueue(5)
    row = asked(boss, "delete", "state:queued")
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ResponseError, match="maxmemory"):
            enqueue(1, name="more")
        deletion.delete(row, [job_id.decode() for job_id in redis.lrange(QUEUE, 0, -1)], distance=0)
    finally:
        redis.config_set("maxmemory", 0)

    assert not queues.size("default")
    assert KeptJob.objects.of(row).count() == 5


def test_bytes_that_redis_refuses_leave_a_job_alone(boss, redis):
    enqueue(3)
    row = carried_out(boss, "delete", "state:queued")
    spoilt = KeptJob.objects.first()
    content = bytearray(spoilt.content)
    content[len(content) // 2] ^= 1
    KeptJob.objects.filter(pk=spoilt.pk).update(content=bytes(content))

    assert numbers(taken_back(boss, row)) == ("done", 3, 2, 1)
    assert not redis.exists(f"rq:job:{spoilt.job_id}")


def test_a_parent_does_not_remember_those_who_wait_for_it_no_more(boss, redis):
    parent, child = dependent(redis)
    row = carried_out(boss, "delete", "state:queued")
    redis.hset(f"rq:job:{child}", "status", "queued")

    taken_back(boss, row)

    assert changes.find(parent)
    assert not redis.exists(f"rq:job:{parent}:dependents")


def test_what_changes_between_the_two_steps_is_left_alone(boss, redis, monkeypatch):
    ids = enqueue(5)
    forget = deletion._forget

    def run_one_first(*words, **more):
        redis.lrem(QUEUE, 1, ids[2])
        redis.hset(f"rq:job:{ids[2]}", mapping={"status": "started", "attempt": 1})
        redis.hset(f"rq:job:{ids[4]}", "attempt", 1)
        bury(ids[4:])
        return forget(*words, **more)

    monkeypatch.setattr(deletion, "_forget", run_one_first)
    row = carried_out(boss, "delete", "state:queued")

    assert numbers(row) == ("done", 5, 3, 2)
    assert (changes.state(ids[2]), changes.state(ids[4])) == ("started", "failed")
    assert set(KeptJob.objects.values_list("job_id", flat=True)) == {ids[0], ids[1], ids[3]}


@pytest.mark.later
def test_large_jobs_come_in_parts(boss, redis, monkeypatch):
    monkeypatch.setattr(deletion, "BYTES_AT_ONCE", 2000)
    waiting(redis, 30)
    before = picture(redis)
    row = carried_out(boss, "delete", "state:queued")
    back, _is_new = bulk.restore(boss, row, token=uuid.uuid4(), reason="A mistake")
    assert 3 < len(list(bulk.batches(back))) < 30

    bulk.run(back.pk)

    back.refresh_from_db()
    assert (row.changed, back.changed) == (30, 30)
    assert picture(redis) == before


@pytest.mark.later
def test_bringing_back_is_stopped_before_the_next_batch_and_goes_on_when_asked_again(
    boss, redis, small_batches, monkeypatch
):  # fmt: skip
    waiting(redis, 10)
    before = picture(redis)
    row = carried_out(boss, "delete", "state:queued")
    back, _is_new = bulk.restore(boss, row, token=uuid.uuid4(), reason="A mistake")
    act = bulk.act
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "act", lambda *words: bulk.abort(boss, back) and act(*words))
        bulk.run(back.pk)
    back.refresh_from_db()
    assert numbers(back) == ("aborted", 3, 3, 0)

    assert taken_back(boss, row).changed == 7
    assert picture(redis) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": "hold"}, "Only a deletion"),
        ({"ended_at": None}, "has not ended"),
        ({"started_at": F("started_at") - timedelta(hours=24, seconds=1)}, "more than 24 hours ago"),
    ],
)
def test_what_cannot_be_taken_back_says_why(boss, change, message):
    enqueue(2)
    row = carried_out(boss, "delete", "state:queued")
    BulkAction.objects.update(**change)
    row.refresh_from_db()

    with pytest.raises(ValidationError, match=message):
        taken_back(boss, row)
    with pytest.raises(ValidationError, match="Say why"):
        taken_back(boss, row, reason="")


@pytest.mark.parametrize(("role", "is_allowed"), [("operate", False), ("edit", True)])
def test_the_role_decides(boss, person, role, is_allowed, monkeypatch):
    enqueue(4)
    row = carried_out(boss, "delete", "state:queued")
    person(role)
    user = User.objects.get(username=f"{role}-er")
    if not is_allowed:
        with pytest.raises(PermissionDenied):
            taken_back(user, row)
        return
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "MANY", 3)
        with pytest.raises(PermissionDenied):
            taken_back(user, row)
    assert taken_back(user, row).changed == 4


def test_what_was_kept_for_its_time_is_pruned(boss):
    enqueue(3)
    row = carried_out(boss, "delete", "state:queued")
    KeptJob.objects.update(kept_at=timezone.now() - timedelta(hours=24, minutes=30))
    assert KeptJob.objects.prune() == 0  # one may be on its way back

    KeptJob.objects.filter(bulk=row).update(kept_at=timezone.now() - timedelta(hours=26))
    enqueue(1)
    carried_out(boss, "delete", "state:queued")
    assert KeptJob.objects.count() == 1
    KeptJob.objects.update(kept_at=timezone.now() - timedelta(hours=26))
    cleanup()
    assert not KeptJob.objects.exists()


# One job


@pytest.mark.parametrize("make", [waiting, planned, held, failed, cancelled])
def test_one_job_is_deleted_and_brought_back_from_its_page(redis, person, make):
    make(redis)
    before = picture(redis)
    job_id = next(redis.scan_iter("rq:job:*", count=1000)).decode().removeprefix("rq:job:")
    client = person("edit")
    client.post(reverse("monitor:job-delete", args=[job_id]), {"reason": "A test"})
    assert not redis.exists(f"rq:job:{job_id}")

    page = client.get(reverse("monitor:job", args=[job_id]))
    assert page.status_code == 404
    assert "Bring back" in page.content.decode()
    client.post(reverse("monitor:job-restore", args=[job_id]), {"reason": "A mistake"})

    after = picture(redis)
    if make is waiting:  # it is the head of its queue
        assert set(after.pop(QUEUE.encode())[0]) == set(before.pop(QUEUE.encode())[0])
    assert after == before
    lines = AuditEntry.objects.order_by("pk").values_list("action", "count", "reason")
    assert list(lines) == [("delete", 1, "A test"), ("restore", 1, "A mistake")]


def test_who_may_only_look_learns_that_a_job_was_deleted(boss, person):
    [job_id] = enqueue(1)
    row = carried_out(boss, "delete", "state:queued")
    page = person("view").get(reverse("monitor:job", args=[job_id])).content.decode()
    assert "The job was deleted." in page
    assert reverse("monitor:bulk", args=[row.pk]) in page
    assert reverse("monitor:job-restore", args=[job_id]) not in page


def test_one_job_of_many_is_brought_back_alone(boss):
    ids = enqueue(3)
    row = carried_out(boss, "delete", "state:queued")

    assert operations.on_job(boss, "restore", ids[1]).count == 1
    assert operations.on_job(boss, "restore", ids[1]).count == 0
    assert numbers(taken_back(boss, row)) == ("done", 2, 2, 0)
    assert queues.size("default") == 3


def test_one_job_comes_back_once_though_it_has_run_and_is_gone(boss, redis):
    [job_id] = enqueue(1)
    operations.on_job(boss, "delete", job_id)
    kept = KeptJob.objects.get()
    assert operations.on_job(boss, "restore", job_id).count == 1
    redis.delete(QUEUE, f"rq:job:{job_id}")
    kept.save()  # as if the web server had been killed before it could drop the row

    operations.on_job(boss, "restore", job_id)

    assert not redis.exists(f"rq:job:{job_id}")


def test_one_job_that_could_not_come_back_may_be_tried_again(boss, redis):
    [job_id] = enqueue(1)
    operations.on_job(boss, "delete", job_id)
    redis.hset(f"rq:job:{job_id}", "status", "queued")
    assert "exists again" in operations.on_job(boss, "restore", job_id).text
    redis.delete(f"rq:job:{job_id}")

    assert operations.on_job(boss, "restore", job_id).count == 1


@pytest.mark.parametrize("is_done", [False, True])
def test_a_web_server_killed_while_it_deletes_leaves_the_truth(boss, redis, monkeypatch, is_done):
    [job_id] = enqueue(1)
    with monkeypatch.context() as patch:
        die(patch, "_forget", 1, is_done=is_done)
        with pytest.raises(SystemExit):
            operations.on_job(boss, "delete", job_id)
    if not is_done:
        redis.delete(QUEUE, f"rq:job:{job_id}")  # it runs, and is gone
    assert bool(deletion.kept(job_id)) is is_done

    assert operations.on_job(boss, "restore", job_id).count == int(is_done)
    assert redis.exists(f"rq:job:{job_id}") == int(is_done)


def test_a_job_in_no_place_of_ours_is_deleted_for_good(boss, redis):
    [job_id] = enqueue(1)
    redis.lrem(QUEUE, 1, job_id)

    assert "for good" in operations.on_job(boss, "delete", job_id).text
    assert not redis.exists(f"rq:job:{job_id}")
    assert operations.on_job(boss, "restore", job_id).count == 0


# Pages, JSON, command line


def test_the_page_says_until_when_and_brings_back_once(boss, person):
    enqueue(4)
    row = carried_out(boss, "delete", "state:queued")
    client = person("edit")
    address = reverse("monitor:bulk", args=[row.pk])
    page = client.get(address)
    assert "4 deleted jobs can be brought back until" in page.content.decode()
    assert page.context["kept_until"] == row.started_at + timedelta(hours=24)

    words = {"token": str(page.context["token"]), "reason": "A mistake"}
    first, second = (client.post(reverse("monitor:bulk_restore", args=[row.pk]), words) for _ in range(2))
    assert first.url == second.url
    back = BulkAction.objects.get(action="restore")
    bulk.run(back.pk)

    assert queues.size("default") == 4
    assert f'href="{address}">#{row.pk}' in client.get(first.url).content.decode()
    page = client.get(address).content.decode()
    assert "nothing to bring back any more" in page
    assert first.url in page


@pytest.mark.parametrize(("role", "status"), [("view", 403), ("operate", 403), ("edit", 302)])
def test_the_button_needs_its_role_and_a_post(boss, person, role, status):
    enqueue(2)
    row = carried_out(boss, "delete", "state:queued")
    client = person(role)
    address = reverse("monitor:bulk_restore", args=[row.pk])

    assert ("<form" in client.get(reverse("monitor:bulk_part", args=[row.pk])).content.decode()) is (status == 302)
    assert client.get(address).status_code == 405
    assert client.post(address, {"token": str(uuid.uuid4()), "reason": "A mistake"}).status_code == status
    assert BulkAction.objects.filter(action="restore").exists() is (status == 302)


def test_scripts_bring_back_by_json(boss, person):
    ids = enqueue(3)
    row = carried_out(boss, "delete", "state:queued")
    client = person("edit")

    def post(name, *args, **body):
        answer = client.post(reverse(f"monitor:{name}", args=args), json.dumps(body), "application/json")
        return answer.status_code, answer.json()

    assert post("api-job-restore", ids[0], reason="A mistake")[0] == 200
    token = str(uuid.uuid4())
    answers = [post("api-bulk-restore", row.pk, reason="A mistake", token=token) for _ in range(2)]
    assert [(status, told["deletion"], told["is_new"]) for status, told in answers] == [
        (200, row.pk, True), (200, row.pk, False)
    ]  # fmt: skip
    bulk.run(answers[0][1]["id"])
    assert queues.size("default") == 3
    assert post("api-bulk-restore", row.pk, reason="A mistake")[1]["error"]["message"] == (
        "There is nothing to bring back."
    )
    assert post("api-job-restore", ids[0], reason="A mistake")[0] == 409
    assert client.get(reverse("monitor:api-bulk", args=[row.pk])).json()["kept_until"]


@pytest.mark.later
def test_the_command_line_brings_back(boss, capsys):
    ids = enqueue(3)
    row = carried_out(boss, "delete", "state:queued")
    call_command("jobs", "restore", ids[0], "--reason", "A mistake")
    with pytest.raises(CommandError, match="left alone"):
        call_command("jobs", "restore", ids[0])

    call_command("jobs", "bulk", "restore", str(row.pk), "--reason", "A mistake")
    bulk.run(BulkAction.objects.get(action="restore").pk)

    assert queues.size("default") == 3
    assert counted("queued") == 3
