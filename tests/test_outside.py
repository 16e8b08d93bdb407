"""Calls outside are counted by how they ended and how long they took, for what Prometheus reads."""

import pytest
from redis import Redis

from amazon_pilot import metrics, outside
from amazon_pilot.jobs.inspect import store
from products.apify import ApifyBusy, ApifyRefused


def told():
    found = {}
    for family in metrics.services(None):
        for each in family.samples:
            found.setdefault(each.name, {})[tuple(each.labels.values())] = each.value
    return found


class Cancelled(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (ApifyBusy("no room"), "ApifyBusy"),
        (ApifyRefused("no"), "ApifyRefused"),
        (Cancelled(), "broken_off"),
    ],
)
def test_a_call_counts_by_its_end_and_its_end_stays_as_it_was(redis, error, outcome):
    def call():
        with outside.calling("apify"):
            if error:
                raise error

    if error:
        with pytest.raises(type(error), check=lambda caught: caught is error):
            call()
    else:
        call()

    found = told()
    assert found["pilot_outside_calls_total"]["apify", outcome] == 1
    assert sum(found["pilot_outside_calls_total"].values()) == 1
    assert found["pilot_outside_seconds_count"]["apify",] == 1


@pytest.mark.parametrize(("seconds", "bound"), [(0, "0.1"), (0.1, "0.1"), (0.2, "0.25"), (59, "60.0"), (90, "+Inf")])
def test_it_lies_in_the_bucket_of_its_length(redis, seconds, bound):
    outside.note("openai", "ok", seconds)

    heights = {le: n for (service, le), n in told()["pilot_outside_seconds_bucket"].items() if service == "openai"}
    assert min((le for le, n in heights.items() if n), key=float) == bound
    assert told()["pilot_outside_seconds_sum"]["openai",] == pytest.approx(seconds)


def test_each_service_begins_at_nought(redis):
    found = told()

    assert found["pilot_outside_calls_total"] == {(service, "ok"): 0 for service in outside.SERVICES}


@pytest.mark.later
def test_a_call_that_cannot_be_counted_is_made_all_the_same(monkeypatch):
    monkeypatch.setattr(store, "connect", lambda: Redis(unix_socket_path="/nowhere/redis.sock"))

    with outside.calling("mail"):
        done = True

    assert done


def test_what_a_stranger_wrote_there_makes_no_series(redis):
    strange = {f"apify Error{chr(97 + n % 26)}{chr(97 + n // 26)}": 1 for n in range(300)}
    redis.hset(
        outside.KEY, mapping=strange | {"apify <script>": 1, "nobody ok": 5, "apify ok": "x", "mail": 3, b"\xff": 1}
    )

    found = told()["pilot_outside_calls_total"]

    assert len(found) <= len(outside.SERVICES) + metrics.MOST_OUTCOMES
    assert found["apify", "ok"] == 0
