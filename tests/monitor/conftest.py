"""What the monitor's tests share."""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.operate import batches


@pytest.fixture(autouse=True)
def _nothing_of_the_test_before():
    cache.clear()
    yield
    queues._connections.clear()


@pytest.fixture
def boss():
    return User.objects.create_superuser("boss")


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 3)
