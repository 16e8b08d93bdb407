"""At most FAILED_JOBS_KEPT failed jobs of a queue stay; what goes was told of for a day, and can be brought back."""

import json
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone
from rq.utils import utcformat

from amazon_pilot.jobs import tasks as engine
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import health, snapshot
from amazon_pilot.jobs.models import AuditEntry, BulkAction
from amazon_pilot.jobs.operate import bulk, failed_kept
from tests.jobs import tasks

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)
KEPT = 10


@pytest.fixture(autouse=True)
def few_are_kept(settings, monkeypatch):
    settings.FAILED_JOBS_KEPT = KEPT
    monkeypatch.setattr(failed_kept, "STEP", 4)


def fail(number, at, queue="default", days=30):
    """Have jobs fail at a moment, one a second, and answer their ids, the oldest first."""
    ids = tasks.do_nothing.options(queue=queue).enqueue_many([(n,) for n in range(number)])
    connection = queues.connection()
    for n, job_id in enumerate(ids):
        ended = at + timedelta(seconds=n)
        connection.lrem(queues.key(queue), 1, job_id)
        connection.hset(f"rq:job:{job_id}", mapping={"status": "failed", "ended_at": utcformat(ended)})
        connection.zadd(f"rq:failed:{queue}", {job_id: (ended + timedelta(days=days)).timestamp()})
    return ids


def failed(redis, queue="default"):
    return [job_id.decode() for job_id in redis.zrange(f"rq:failed:{queue}", 0, -1)]


def told():
    """Answer the lines of health about failed jobs, of a fresh sample."""
    queues.connection().delete(snapshot.KEY)
    return [finding.text for finding in health.failed_jobs(snapshot.current())]


@pytest.fixture
def now():
    return timezone.now()


@pytest.mark.parametrize(("number", "gone"), [(0, 0), (KEPT - 1, 0), (KEPT, 0), (KEPT + 1, 1), (KEPT + 9, 9), (35, 25)])
def test_the_oldest_beyond_the_limit_go_a_day_after_they_were_told_of(redis, now, number, gone):
    ids = fail(number, now - 2 * HOUR)

    assert sum(going["number"] for going in failed_kept.look(now).values()) == gone
    assert failed_kept.trim(now + 24 * HOUR - timedelta(seconds=1)) == (0, True)
    assert failed(redis) == ids
    assert failed_kept.trim(now + 24 * HOUR) == (gone, True)

    assert failed(redis) == ids[gone:]
    assert failed_kept.look(now + 25 * HOUR) == {}
    assert told() == []


def test_nothing_goes_that_was_never_told_of(redis, now):
    ids = fail(30, now - 900 * HOUR)

    assert failed_kept.trim(now) == (0, True)  # this look tells of them

    assert failed(redis) == ids
    assert failed_kept.trim(now + 24 * HOUR)[0] == 20


def test_what_fails_after_the_notice_waits_for_the_next_one(redis, now):
    first = fail(KEPT + 5, now - HOUR)
    failed_kept.look(now)
    short = fail(2, now + HOUR, days=1)  # they would go before the others by themselves
    later = fail(6, now + 2 * HOUR)

    assert failed_kept.trim(now + 25 * HOUR) == (5, True)

    assert failed(redis) == [*short, *first[5:], *later]
    again = fail(4, now + 26 * HOUR)
    assert failed_kept.trim(now + 30 * HOUR) == (0, True)
    assert failed_kept.trim(now + 49 * HOUR) == (8, True)
    assert failed(redis) == [*first[11:], *later, *again]


def test_each_queue_has_its_own_notice(redis, now):
    fail(KEPT + 2, now - HOUR)
    fail(KEPT, now - HOUR, "critical")
    failed_kept.look(now)
    fail(3, now, "critical")
    failed_kept.look(now + 10 * HOUR)

    assert failed_kept.trim(now + 24 * HOUR) == (2, True)
    assert (len(failed(redis)), len(failed(redis, "critical"))) == (KEPT, KEPT + 3)
    assert failed_kept.trim(now + 34 * HOUR) == (3, True)


def test_a_notice_shrinks_with_what_is_retried_and_ends(redis, now):
    ids = fail(KEPT + 5, now - HOUR)
    failed_kept.look(now)

    redis.zrem("rq:failed:default", *ids[:2])
    assert failed_kept.look(now + HOUR)["default"]["number"] == 3
    redis.zrem("rq:failed:default", *ids[2:6])
    assert failed_kept.look(now + HOUR) == {}
    assert failed_kept.trim(now + 48 * HOUR) == (0, True)
    assert failed(redis) == ids[6:]


def test_each_that_goes_is_counted_stands_in_the_audit_and_can_be_brought_back(redis, now):
    ids = fail(KEPT + 9, now - HOUR)
    failed_kept.look(now)

    failed_kept.trim(now + 24 * HOUR)

    lines = AuditEntry.objects.filter(action="delete").order_by("pk")
    assert [(line.count, line.source, line.actor) for line in lines] == [(n, "system", None) for n in (4, 4, 1)]
    assert all("FAILED_JOBS_KEPT (10)" in line.reason for line in lines)
    assert failed(redis) == ids[9:]
    for row in BulkAction.objects.order_by("pk"):
        assert (row.state, row.changed) == ("done", len(row.ids))
        back, _is_new = bulk.restore(None, row, token=uuid.uuid4(), reason="They were needed")
        bulk.run(back.pk)
    assert failed(redis) == ids


def test_a_step_that_was_killed_goes_on_where_it_was(redis, now):
    ids = fail(KEPT + 6, now - HOUR)
    failed_kept.look(now)
    row = BulkAction.objects.create(token=uuid.uuid4(), action="delete", ids=ids[:4], reason="killed", expected=4)

    bulk.run(row.pk)  # as `resume` has it picked up
    assert failed_kept.trim(now + 24 * HOUR) == (2, True)

    assert failed(redis) == ids[6:]


def test_it_stops_when_its_time_is_over_and_goes_on(redis, now):
    fail(KEPT + 9, now - HOUR)
    failed_kept.look(now)

    assert failed_kept.trim(now + 24 * HOUR, seconds=0) == (0, False)
    assert failed_kept.trim(now + 24 * HOUR) == (9, True)


def test_jobs_of_which_only_the_id_is_left_keep_nobody(redis, now):
    fail(KEPT + 2, now - HOUR)
    redis.zadd("rq:failed:default", {f"ghost{n}": 1 for n in range(3)})
    failed_kept.look(now)

    assert failed_kept.trim(now + 24 * HOUR) == (2, True)


def test_the_clean_up_and_the_minute_do_it(redis, now, settings):
    fail(KEPT + 3, now - HOUR)
    engine.tally()
    assert failed_kept.read(redis)["default"]["number"] == 3
    going = failed_kept.read(redis)["default"]
    redis.hset("pilot:going", "default", json.dumps(going | {"due": now.timestamp() - 1}))

    assert ", 3 failed jobs, " in engine.cleanup()

    assert len(failed(redis)) == KEPT


def test_it_is_told_on_every_page_and_by_every_door(admin_client, redis, now):
    fail(KEPT + 3, now - HOUR)
    due = timezone.localtime(now + 24 * HOUR)
    failed_kept.look(now)

    [text] = told()
    assert text == f"3 failed jobs of default will be deleted from {due:%Y-%m-%d %H:%M %Z} on: at most 10 are kept."
    for name in ("queues", "retention"):
        assert text in admin_client.get(reverse(f"monitor:{name}")).content.decode()
    chinese = admin_client.get(reverse("monitor:retention"), headers={"accept-language": "zh-hans"}).content.decode()
    assert "default 的 3 个失败作业将自" in chinese
    known = admin_client.get(reverse("monitor:api-retention")).json()["redis"]
    assert known["failed_most"] == 10
    assert known["failed_going"][0] | {"from": ""} == {"queue": "default", "number": 3, "from": ""}
    out = StringIO()
    call_command("jobs", "retention", stdout=out)
    assert "3 failed jobs of default will be deleted from" in out.getvalue()
