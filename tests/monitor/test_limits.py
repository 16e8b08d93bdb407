"""The page of limits: who holds a unique key or a permit, until when, who waits, and letting go of it."""

import pytest
from rq import Queue
from rq.rate_limit import RateLimit
from rq.serializers import JSONSerializer

from amazon_pilot.jobs.core import keys
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.inspect import holders
from amazon_pilot.jobs.models import AuditEntry
from amazon_pilot.jobs.operate import changes, operations
from tests.jobs import tasks
from tests.jobs.stock import TASKS
from tests.staff import person  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/admin/monitor/limits"


@pytest.fixture
def stock(redis):
    return Queue("default", connection=redis, job_class=JSONJob, serializer=JSONSerializer)


def held():
    return {each.id: each for each in holders.look().keys}


def limited(stock, number, permits=1, key="apify"):
    limit = RateLimit(key=key, concurrency=permits)
    return [stock.enqueue(f"{TASKS}.add", n, n, rate_limit=limit).id for n in range(number)]


def run_as_if(redis, job_id, started="2026-06-01T12:00:00.000000Z"):
    redis.lrem("rq:queue:default", 1, job_id)
    redis.hset(f"rq:job:{job_id}", mapping={"status": "started", "started_at": started, "worker_name": "w1"})


# Unique keys


def test_a_unique_key_names_its_job_its_call_and_who_joined_it(redis):
    job_id = tasks.once_at_a_time.enqueue("tea")
    for _ in range(3):
        assert tasks.once_at_a_time.enqueue("tea") == job_id
    tasks.add.enqueue(1, 2)

    (found,) = held().values()

    assert (found.id, found.call, found.state) == (job_id, (tasks.once_at_a_time.name, ["tea"], {}), "queued")
    assert (found.joined, found.until, found.due) == (3, None, None)


@pytest.mark.parametrize("status", ["finished", "failed", "stopped", "canceled", ""])
def test_a_job_that_has_ended_holds_nothing(redis, status):
    job_id = tasks.once_at_a_time.enqueue("tea")
    if status:
        redis.hset(f"rq:job:{job_id}", "status", status)
    else:
        redis.delete(f"rq:job:{job_id}")

    assert held() == {}


def test_a_running_one_is_free_at_the_latest_when_its_timeout_is_over(redis):
    job_id = tasks.once_at_a_time.enqueue("tea")
    run_as_if(redis, job_id)

    found = held()[job_id]

    assert (found.until - found.started_at).total_seconds() == tasks.once_at_a_time.timeout


def test_a_planned_one_says_when_it_is_due():
    job_id = tasks.once_at_a_time.enqueue_in(3600, "tea")

    assert held()[job_id].due is not None


@pytest.mark.later
def test_the_index_keeps_few_keys_of_jobs_that_have_ended(redis):
    for n in range(400):
        redis.hset(f"rq:job:{tasks.once_at_a_time.enqueue(str(n))}", "status", "finished")

    assert redis.zcard(keys.UNIQUES) < 40


def test_many_keys_are_shown_in_part_and_the_page_says_so(redis, client, boss):
    tasks.once_at_a_time.enqueue_many([(str(n),) for n in range(150)])
    client.force_login(boss)

    assert len(held()) == holders.KEYS_SHOWN
    assert "There are more" in client.get(URL).content.decode()


def test_a_secret_among_the_arguments_is_not_shown(client, boss):
    tasks.once_at_a_time.enqueue({"password": "0123456789abcdef"})
    client.force_login(boss)

    assert "0123456789abcdef" not in client.get(URL).content.decode()


# Rate limits


def test_a_rate_limit_names_who_holds_its_permits_and_who_is_next(stock):
    ids = limited(stock, 5, permits=2)

    (found,) = holders.look().limits

    assert (found.name, found.permits, found.held, found.waiting) == ("apify", 2, 2, 3)
    assert {each.id for each in found.holders} == set(ids[:2])  # those of one second are in no order
    assert {each.id for each in found.next} == set(ids[2:])


def test_each_job_says_the_number_of_permits_anew_and_the_page_says_that(stock, client, boss):
    client.force_login(boss)
    assert "so a limit is changed there" not in client.get(URL).content.decode()
    limited(stock, 3, permits=2)
    limited(stock, 1, permits=5)

    (found,) = holders.look().limits

    assert found.permits == 5
    assert "so a limit is changed there" in client.get(URL).content.decode()


@pytest.mark.slow
def test_very_many_rate_limits_come_in_parts(stock):
    for n in range(300):
        limited(stock, 1, key=f"user-{n}")
    seen, cursor, parts = set(), "0", 0
    while cursor:
        part = holders.look(cursor)
        assert len(part.limits) < 150
        seen |= {each.name for each in part.limits}
        cursor, parts = part.following, parts + 1

    assert len(seen) == 300
    assert parts > 2


@pytest.mark.parametrize("after", ["x", "²", "-1", "9" * 30, ""])
def test_a_cursor_that_is_none_begins_anew(stock, client, boss, after):
    limited(stock, 1)
    client.force_login(boss)

    assert "apify" in client.get(URL, {"after": after}).content.decode()


# Letting go


def test_a_freed_key_lets_the_same_call_be_enqueued_beside_it(client, boss):
    job_id = tasks.once_at_a_time.enqueue("tea")
    client.force_login(boss)

    answer = client.post(f"/admin/monitor/job/{job_id}/free", {"reason": "It hangs"}, follow=True)

    assert "Its unique key is free." in answer.content.decode()
    assert changes.state(job_id) == "queued"
    other = tasks.once_at_a_time.enqueue("tea")
    assert other != job_id
    assert set(held()) == {other}
    entry = AuditEntry.objects.get(action="free")
    assert (entry.target, entry.count, entry.reason, entry.actor) == (f"job:{job_id}", 1, "It hangs", boss)


def test_the_key_of_another_job_is_left_alone():
    first = tasks.once_at_a_time.enqueue("tea")
    operations.on_job(None, "free", first)
    second = tasks.once_at_a_time.enqueue("tea")

    assert operations.on_job(None, "free", first).count == 0
    assert tasks.once_at_a_time.enqueue("tea") == second


def test_a_freed_permit_goes_to_the_next_in_line(redis, stock):
    first, *waiting = limited(stock, 3)
    run_as_if(redis, first)

    done = operations.on_job(None, "free", first)

    assert (done.count, done.text) == (1, "Its permit is free.")
    for _ in range(2):
        assert changes.state(first) == "started"
        assert sorted(changes.state(each) for each in waiting) == ["queued", "rate_limited"]
        assert operations.on_job(None, "free", first).count == 0


@pytest.mark.parametrize("what", ["nobody", "plain", "waits"])
def test_what_holds_nothing_is_told_so(stock, what):
    job_id = {"nobody": "nobody", "plain": tasks.add.enqueue(1, 2), "waits": limited(stock, 2)[1]}[what]

    assert operations.on_job(None, "free", job_id).count == 0
    assert AuditEntry.objects.get(action="free").count == 0


@pytest.mark.parametrize(("role", "status"), [("view", 403), ("operate", 403), ("edit", 302)])
def test_only_an_editor_may_let_go(person, role, status):  # noqa: F811
    job_id = tasks.once_at_a_time.enqueue("tea")
    client = person(role)

    assert ("job/" + job_id + "/free" in client.get(URL).content.decode()) == (role == "edit")
    assert client.post(f"/admin/monitor/job/{job_id}/free").status_code == status
    assert client.get(f"/admin/monitor/job/{job_id}/free").status_code == 405


def test_the_action_is_offered_only_to_what_can_hold_something(client, boss):
    client.force_login(boss)
    plain, unique = tasks.add.enqueue(1, 2), tasks.once_at_a_time.enqueue("tea")

    assert "/free" not in client.get(f"/admin/monitor/job/{plain}").content.decode()
    assert "/free" in client.get(f"/admin/monitor/job/{unique}").content.decode()


# What it costs


def test_the_page_is_one_command_and_changes_nothing(redis, client, boss, stock):
    tasks.once_at_a_time.enqueue_many([(str(n),) for n in range(30)])
    limited(stock, 5)
    client.force_login(boss)
    client.get(URL)
    before = {key: redis.dump(key) for key in redis.scan_iter("pilot:uniq*")}
    calls = redis.info("commandstats")["cmdstat_evalsha"]["calls"]

    holders.look()

    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] - calls == 1
    assert {key: redis.dump(key) for key in redis.scan_iter("pilot:uniq*")} == before
