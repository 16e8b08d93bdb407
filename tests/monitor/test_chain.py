"""A job's page shows the chain around it: what has to end before, what comes after, each with its state."""

import pytest
from django.urls import reverse
from django.utils import timezone
from rq import Queue
from rq.serializers import JSONSerializer

from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.inspect import chain
from amazon_pilot.jobs.models import JobRun
from tests.jobs import tasks
from tests.jobs.stock import TASKS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stock(redis):
    return Queue("default", connection=redis, job_class=JSONJob, serializer=JSONSerializer)


def add(stock, *before):
    return stock.enqueue(f"{TASKS}.add", 1, 2, depends_on=list(before) or None).id


def ids(links):
    return sorted(link.job_id for link in links)


def test_a_chain_is_seen_from_its_middle(stock, redis):
    first = add(stock)
    second, other = add(stock, first), add(stock)
    middle = add(stock, second, other)
    after = add(stock, middle)
    last = add(stock, after)

    ends = chain.chain(redis, middle)

    assert ids(ends["before"].linked) == sorted([second, other])
    (seen,) = [link for link in ends["before"].linked if link.job_id == second]
    assert (seen.state, ids(seen.linked), seen.linked[0].state) == ("deferred", [first], "queued")
    (follower,) = ends["after"].linked
    assert (follower.job_id, follower.state, ids(follower.linked)) == (after, "deferred", [last])


def test_what_redis_forgot_is_told_by_its_last_attempt(stock, redis):
    first = add(stock)
    second = add(stock, first)
    redis.delete(f"rq:job:{first}")
    assert chain.chain(redis, second)["before"].linked[0].state == ""
    began = timezone.now()
    words = {"task": "tests.jobs.tasks.add", "queue": "default", "execution_id": "e", "started_at": began}
    JobRun.objects.create(job_id=first, outcome="failed", **words)

    (link,) = chain.chain(redis, second)["before"].linked

    assert (link.state, link.task) == ("failed", "tests.jobs.tasks.add")


def test_a_circle_ends_and_a_crowd_is_cut(stock, redis):
    first = add(stock)
    second = add(stock, first)
    redis.sadd(f"rq:job:{second}:dependents", first)
    assert ids(chain.chain(redis, first)["after"].linked[0].linked) == [first]

    for _ in range(chain.SHOWN + 3):
        add(stock, first)

    after = chain.chain(redis, first)["after"]
    assert (len(after.linked), after.more) == (chain.SHOWN, 4)


def test_a_job_alone_costs_three_commands(redis, commands):
    job_id = tasks.add.enqueue(1, 2)
    commands.clear()

    ends = chain.chain(redis, job_id)

    assert (ends["before"].linked, ends["after"].linked) == ([], [])
    assert len(commands) == 3


@pytest.mark.parametrize("words", [b"", b"x", b"{}", b"3", b'["a", 7, null]'])
def test_what_others_wrote_does_not_break_it(redis, words):
    redis.hset("rq:job:odd", mapping={"dependency_ids": words, "status": "deferred"})

    chain.chain(redis, "odd")


def test_the_page_shows_it(stock, admin_client):
    first = add(stock)
    second = add(stock, first)

    page = admin_client.get(reverse("monitor:job", args=[second])).content.decode()
    assert "What has to end before" in page
    assert reverse("monitor:job", args=[first]) in page
    assert "What comes after" in admin_client.get(reverse("monitor:job", args=[first])).content.decode()
    alone = admin_client.get(reverse("monitor:job", args=[tasks.add.enqueue(1, 2)])).content.decode()
    assert "What comes after" not in alone
