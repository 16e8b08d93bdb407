"""Six days around each change of the clocks in six zones, with kills, compared with a walk through every minute."""

import pytest

from tests.jobs.simulation import simulate


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zones", "start"),
    [
        (("America/New_York", "America/St_Johns"), "2026-03-05"),
        pytest.param(("America/New_York", "America/St_Johns"), "2026-10-29", marks=pytest.mark.long),
        pytest.param(("Europe/London", "Asia/Shanghai", "UTC"), "2026-03-26", marks=pytest.mark.long),
        (("Europe/London", "Asia/Shanghai", "UTC"), "2026-10-22"),
        (("Australia/Lord_Howe",), "2026-04-02"),
        pytest.param(("Australia/Lord_Howe",), "2026-10-01", marks=pytest.mark.long),
    ],
)
def test_every_fire_comes_exactly_once(db, redis, settings, zones, start):
    settings.SCHEDULER_SYNC_INTERVAL = 60.0  # from here on pytest-django puts back what simulate() sets

    found = simulate(redis, zones, start, days=6, seed=7, random_count=8, killed=0.2)

    assert found.fires > 100
    assert (found.missing, found.double) == (0, 0)
    assert found.kills >= 10
