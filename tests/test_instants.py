"""An instant is read from PostgreSQL as Django itself reads it, or refused as it refuses it."""

import pytest
from django.db import DataError, connection
from django.db.backends.postgresql.psycopg_any import BaseTzLoader

from amazon_pilot.postgresql.base import UTCLoader

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite keeps instants as text"),
]
INSTANTS = [
    "2026-11-30 12:55:07.978846+00", "2026-11-30 12:55:07.9+00", "2026-11-30 12:55:07+00",
    "2024-02-29 23:59:59.000001+00",
    "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00", "1900-01-01 00:00:00.10+00", "1970-01-01 00:00:00+00",
]  # fmt: skip
ZONES = ["UTC", "Asia/Kolkata", "America/St_Johns", "Africa/Monrovia"]
NO_DATES = ["infinity", "-infinity", "0044-03-15 BC", "12000-01-01"]


def read(text: str, zone: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL TIME ZONE '{zone}'")
        cursor.execute("SELECT %s::timestamptz", [text])
        return cursor.fetchone()[0]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", INSTANTS[:4] + INSTANTS[6:])
def test_an_instant_is_what_djangos_own_loader_makes_of_it(text, zone, monkeypatch):
    ours = read(text, zone)
    monkeypatch.setattr(UTCLoader, "load", BaseTzLoader.load)

    assert repr(ours) == repr(read(text, zone))


@pytest.mark.parametrize("text", INSTANTS)
def test_every_instant_that_python_has_is_read(text):
    assert f"{read(text, 'UTC'):%H:%M}" == text[11:16]


@pytest.mark.parametrize("text", NO_DATES)
def test_an_instant_that_python_has_not_is_refused(text):
    with pytest.raises(DataError):
        read(text, "UTC")
