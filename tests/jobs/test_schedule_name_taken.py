"""Two people add an entry of one name in the same moment: one is first, the other is told, nobody loses a thing."""

import threading
import time
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.urls import reverse

from amazon_pilot.jobs.models import AuditEntry, ScheduleEntry
from amazon_pilot.jobs.schedule import entries
from tests.jobs.schedule_world import TASK, make_entry

from .test_schedule_admin import ADD, FORM

pytestmark = pytest.mark.django_db(transaction=True)
SENTENCE = "An entry of this name exists: edit it, or choose another name."


def waits() -> bool:
    """Tell whether somebody waits for this transaction to end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])


@contextmanager
def somebody_first():
    """Add the entry tea on another connection, and commit only when what happens inside has to wait for that.

    PostgreSQL waits at the insert, after the form was found good; SQLite before anything is read.
    """
    written, waited = threading.Event(), []

    def other() -> None:
        try:
            with transaction.atomic():
                make_entry("tea", cron="@daily", task=TASK)
                written.set()
                deadline = time.monotonic() + 10
                if connection.vendor == "sqlite":
                    time.sleep(0.4)
                    waited.append(True)
                    return
                while not waits() and time.monotonic() < deadline:
                    time.sleep(0.02)
                waited.append(time.monotonic() < deadline)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    assert written.wait(10)
    yield
    thread.join(15)
    assert waited == [True]


def the_first_is_alone():
    return ScheduleEntry.objects.get().cron == "@daily" and not AuditEntry.objects.filter(action="create").exists()


def test_the_page_shows_the_form_again_with_the_sentence_and_all_that_was_typed(admin_client):
    with somebody_first():
        answer = admin_client.post(ADD, FORM)

    text = answer.content.decode()
    assert answer.status_code == 200
    assert SENTENCE in text
    assert 'value="daily at 09:00"' in text
    assert the_first_is_alone()


def test_a_script_is_told(admin_client):
    address = reverse("monitor:api-schedule-create", args=["tea"])
    with somebody_first():
        answer = admin_client.post(address, {"cron": "daily at 09:00", "task": TASK}, "application/json")

    assert answer.status_code == 400
    assert answer.json()["error"] == {"code": "invalid", "message": f"name: {SENTENCE}"}
    assert the_first_is_alone()


def test_the_command_line_is_told():
    with somebody_first(), pytest.raises(CommandError, match=f"name: {SENTENCE}"):
        call_command("jobs", "schedule", "create", "tea", "--cron", "daily at 09:00", "--task", TASK)

    assert the_first_is_alone()


def test_two_schedulers_that_start_at_once_write_one_row(settings, caplog):
    settings.SCHEDULE = {"tea": {"cron": "daily at 09:00", "task": TASK}}
    with somebody_first():
        entries.load_settings()

    assert ScheduleEntry.objects.get().name == "tea"
    assert not caplog.records
