"""The smallest of `python -m benchmarks.told`: who has to hear hears once, whatever dies and whoever refuses."""

import pytest

from tests.jobs.test_chaos import run

ZEROS = (
    "changes_missing", "on_pages_wrong", "messages_missing", "messages_unexpected", "rows_doubled", "arrived_twice",
    "arrived_unexpected", "sent_not_arrived", "arrived_and_failed", "good_and_failed", "bad_and_sent", "unended",
    "without_reason", "attempts_beyond", "asked_beyond", "owners_untold", "headers_injected", "stamps_ahead",
    "jobs_left",
)  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_message_arrives_once_or_stands_with_its_reason():
    figures = run("benchmarks.told", changes=60, users=20, pace=20, **{"kill-every": 4, "seed": 3})

    assert int(figures["changes"]) >= 60
    assert int(figures["messages_arrived"]) > 20
    assert int(figures["killed_slots"]) + int(figures["killed_workers"]) > 0
    assert {name: figures[name] for name in ZEROS} == dict.fromkeys(ZEROS, "0")
