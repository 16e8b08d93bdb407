"""Limits and batches for scripts: the API and the command line say the same as the pages."""

import json

import pytest
from django.core.management import CommandError, call_command
from rq import Queue
from rq.rate_limit import RateLimit
from rq.serializers import JSONSerializer

from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.inspect import batches
from amazon_pilot.jobs.models import Batch
from tests.jobs import tasks
from tests.jobs.stock import TASKS

from .faces import get

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]


def run(capsys, *words):
    call_command("jobs", *words)
    return capsys.readouterr().out


def limit(redis, number):
    stock = Queue("default", connection=redis, job_class=JSONJob, serializer=JSONSerializer)
    rate = RateLimit(key="apify", concurrency=1)
    return [stock.enqueue(f"{TASKS}.add", n, n, rate_limit=rate).id for n in range(number)]


def test_limits_are_told_alike(person, capsys, redis):
    ids = limit(redis, 3)
    unique = tasks.once_at_a_time.enqueue("tea")
    tasks.once_at_a_time.enqueue("tea")

    status, told = get(person("view"), "limits")

    (rate,), (key,) = told["limits"], told["keys"]
    assert (status, told["is_whole"], told["next"]) == (200, True, "")
    assert [rate[name] for name in ("name", "permits", "held", "waiting")] == ["apify", 1, 1, 2]
    assert sorted(each["job_id"] for each in rate["holders"] + rate["next"]) == sorted(ids)
    assert (key["job_id"], key["args"], key["joined"]) == (unique, ["tea"], 1)
    assert json.loads(run(capsys, "limits", "--json")) == told
    lines = run(capsys, "limits")
    assert "apify: 1 of 1 permits held, 2 waiting" in lines
    assert f"unique: {unique} {tasks.once_at_a_time.name} queued" in lines


def test_batches_are_told_alike_page_by_page(person, capsys, monkeypatch, redis):
    monkeypatch.setattr(batches, "SHOWN", 2)
    made = [Batch.objects.fan_out(tasks.add, [(n, 1), (n, 2)]).pk for n in range(3)]
    client = person("view")

    status, first = get(client, "batches")
    _status, second = get(client, "batches", **{"from": first["next"]})

    assert status == 200
    assert [each["id"] for each in first["batches"] + second["batches"]] == made[::-1]
    assert second["next"] == ""
    one = get(client, "batch", made[0])[1]
    assert one == second["batches"][0]
    assert [one[name] for name in ("jobs", "waiting", "succeeded", "percent", "state")] == [2, 2, 0, 0, "queued"]
    assert json.loads(run(capsys, "batches", "--json")) == first
    assert f"more: --from {first['next']}" in run(capsys, "batches")
    assert "2 waiting" in run(capsys, "batches", "--from", first["next"])


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "٣", "9" * 30])
def test_a_place_that_is_none_is_refused(person, cursor):
    status, told = get(person("view"), "batches", **{"from": cursor})

    assert (status, told["error"]["code"]) == (400, "invalid")
    with pytest.raises(CommandError, match="--from"):
        call_command("jobs", "batches", "--from", cursor)


def test_a_batch_that_there_is_not_is_unknown(person):
    assert get(person("view"), "batch", 10**12)[0] == 404


def test_nothing_is_told_while_redis_is_away_but_batches_are(person, redis_away):
    client = person("view")

    assert get(client, "limits")[1]["error"]["code"] == "redis_away"
    assert get(client, "batches") == (200, {"batches": [], "next": ""})
