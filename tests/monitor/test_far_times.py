"""What others have put into Redis under an odd time is shown as a far one, and can be deleted."""

import pytest
from django.core.management import call_command
from django.urls import reverse

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect.redis_jobs import moment
from amazon_pilot.jobs.operate import operations
from tests.jobs import tasks

pytestmark = pytest.mark.django_db(transaction=True)
SCORES = ["1e300", "253402300800", "inf", "-inf", "-99999999999", "0"]


@pytest.fixture(params=SCORES)
def job_id(request):
    job_id = tasks.do_nothing.enqueue_in(3600, "kettle")
    queues.connection().zadd("rq:scheduled:default", {job_id: float(request.param)})
    return job_id


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Shanghai"])
def test_every_page_shows_it_and_it_can_be_deleted(admin_client, job_id, zone, capsys):
    admin_client.cookies["zone"] = zone
    for name, words in [
        ("monitor:jobs", {"q": "state:scheduled"}), ("monitor:jobs", {}),
        ("monitor:api-jobs", {"q": "state:scheduled"}),
        ("monitor:jobs-export", {"q": "state:scheduled", "as": "csv"}),
        ("monitor:jobs-export", {"q": "state:scheduled", "as": "jsonl"}),
        ("monitor:bulk_preview", {"q": "state:scheduled", "action": "delete"}),
        ("monitor:queues", {}), ("admin:index", {}),
        ("monitor:api-bulk-preview", {"q": "state:scheduled", "action": "delete"}), ("monitor:api-stats", {}),
    ]:  # fmt: skip
        answer = admin_client.get(reverse(name), words)
        assert answer.status_code == 200, name
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert b"Infinity" not in text
        assert b"NaN" not in text
    assert admin_client.get(reverse("monitor:job", args=[job_id])).status_code == 200
    assert admin_client.get(reverse("monitor:api-job", args=[job_id])).status_code == 200
    call_command("jobs", "list", "state:scheduled")
    assert job_id in capsys.readouterr().out
    assert operations.on_job(None, "delete", job_id, reason="x").count == 1
    assert not queues.connection().zcard("rq:scheduled:default")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "99999-01-01", "²", "", "NaN"])
def test_a_time_of_a_job_is_one_that_every_zone_can_write(text):
    found = moment(text)
    assert found is None or 1970 <= found.year <= 9999


STATES = {"failed": "failed", "finished": "finished", "canceled": "canceled", "deferred": "deferred", "wip": "started"}


@pytest.mark.slow
@pytest.mark.parametrize("place", STATES)
def test_every_page_shows_odd_times_in_every_place(admin_client, place):
    redis, ids = queues.connection(), []
    for number, score in enumerate(SCORES):
        ids.append(tasks.do_nothing.enqueue(number))
        redis.zadd(f"rq:{place}:default", {ids[-1] + (":pilot-1-0" if place == "wip" else ""): float(score)})
        odd = ("99999-01-01T00:00:00Z", "0000-00-00", "1e300", "²", "", "9999-12-31T23:59:59.999999Z")[number]
        redis.hset(f"rq:job:{ids[-1]}", mapping={"status": STATES[place], "enqueued_at": odd, "started_at": odd})
        redis.hset(f"rq:job:{ids[-1]}", mapping={"ended_at": odd, "created_at": odd, "lost_at": odd, "planned": odd})
    redis.delete("rq:queue:default")

    for name, words in [
        ("monitor:jobs", {}), ("monitor:jobs", {"q": f"state:{STATES[place]}"}), ("monitor:api-jobs", {}),
        ("monitor:jobs-export", {"as": "csv"}), ("monitor:bulk_preview", {"q": "state:failed", "action": "delete"}),
        ("monitor:queues", {}), ("monitor:workers", {}), ("monitor:api-stats", {}),
    ]:  # fmt: skip
        answer = admin_client.get(reverse(name), words)
        assert answer.status_code == 200, name
        assert b"Infinity" not in (b"".join(answer.streaming_content) if answer.streaming else answer.content)
    for job_id in ids:
        assert admin_client.get(reverse("monitor:job", args=[job_id])).status_code == 200
        assert admin_client.get(reverse("monitor:api-job", args=[job_id])).status_code == 200
        assert operations.on_job(None, "delete", job_id, reason="x").count == (place != "wip")
