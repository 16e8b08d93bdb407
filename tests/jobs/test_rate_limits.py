"""rq's rate limits: whatever becomes of a job, its permit is free for the next one in the end."""

import pytest
from rq.rate_limit import RateLimit

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.history.writer import HistoryWriter

from .conftest import ended, wait_for
from .stock import TASKS, fetch, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LIMIT = RateLimit(key="apify", concurrency=1)


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_job_that_rq_cancels_or_deletes_while_it_runs_frees_its_permit(start, queue, how):
    start()
    first = queue.enqueue(f"{TASKS}.sleep", 60, rate_limit=LIMIT)
    second = queue.enqueue(f"{TASKS}.add", 1, 1, rate_limit=LIMIT)
    wait_for(lambda: fetch(first.id).started_at)
    assert fetch(second.id).get_status().value == "rate_limited"

    getattr(fetch(first.id), how)()

    run = ended(first.id)
    assert run.outcome == "stopped", (run.cause, run.exception, run.message)
    until(second.id, "finished")


def test_a_permit_that_a_kill_kept_from_its_release_is_freed_by_the_housekeeping(queue, redis):
    ended_long_ago = queue.enqueue(f"{TASKS}.add", 1, 1)
    ended_long_ago.set_status("finished")
    waiting = [queue.enqueue(f"{TASKS}.add", 2, 2, rate_limit=LIMIT) for _ in range(2)]
    first, second = waiting
    redis.zrem("rq:rl:apify:allowed", first.id)
    redis.zadd("rq:rl:apify:allowed", {ended_long_ago.id: 1})
    first.delete()
    historian = HistoryWriter("keeper", queues.names())
    historian.join()

    historian.keep_house()

    assert fetch(second.id).get_status().value == "queued"
    assert redis.zrange("rq:rl:apify:allowed", 0, -1) == [second.id.encode()]
