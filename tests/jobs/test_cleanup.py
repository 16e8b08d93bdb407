"""cleanup: the engine prunes its own rows, and has every app prune its own."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from amazon_pilot.jobs.models import Fire, ScheduleEntry
from amazon_pilot.jobs.schedule import entries
from amazon_pilot.jobs.tasks import cleanup
from tests.world import enqueued

pytestmark = pytest.mark.django_db


def fire(ago):
    at = now() - ago
    return Fire.objects.create(
        entry=ScheduleEntry.objects.first(), planned_at=at, decided_at=at, outcome="enqueued", job_id=f"j{ago.days}"
    )


@pytest.mark.later
def test_it_forgets_old_fires_and_asks_every_app_to_clean_up(django_capture_on_commit_callbacks):
    entries.load_settings()
    old, young = fire(timedelta(days=91)), fire(timedelta(days=1))

    with django_capture_on_commit_callbacks(execute=True):
        cleanup()

    assert list(Fire.objects.filter(pk__in=[old.pk, young.pk])) == [young]
    assert {"products.tasks.cleanup", "analysis.tasks.cleanup", "notifications.tasks.cleanup"} <= {
        name for name, _args in enqueued()
    }
