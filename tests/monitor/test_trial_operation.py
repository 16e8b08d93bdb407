"""An operation is one row of the table: a trial one, added here, is met at every face, and acts through each of them.

Its script is one that exists; its words are its own.
"""

import json
import subprocess
import sys
from importlib import reload

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import clear_url_caches, reverse

from amazon_pilot import urls as site_urls
from amazon_pilot.jobs.inspect import redis_jobs
from amazon_pilot.jobs.models import AuditEntry, BulkAction
from amazon_pilot.jobs.operate import table
from amazon_pilot.jobs.operate.bulk import run_bulk_action
from amazon_pilot.jobs.operate.operation import Bulk, Operation
from amazon_pilot.jobs.web import api, job, urls
from tests.jobs import tasks

pytestmark = pytest.mark.django_db(transaction=True)

PUT_AWAY = Operation(
    name="put away", label="Put away", role="operate", help="Put jobs away.", states=("queued",),
    effect="It is put away until somebody fetches it.", script="hold", told=lambda values: "It is put away.",
    bulk=Bulk("Each waiting job is put away.", ("queued",), ("queued",)),
)  # fmt: skip


@pytest.fixture
def trial(monkeypatch):
    """The table with one more row, and the addresses made of it."""
    monkeypatch.setattr(table, "ROWS", (*table.ROWS, PUT_AWAY))
    monkeypatch.setitem(table.OPERATIONS, PUT_AWAY.name, PUT_AWAY)
    monkeypatch.setitem(job.BUTTONS, PUT_AWAY.slug, job.button(PUT_AWAY))
    monkeypatch.setitem(api.JOB_OPERATIONS, PUT_AWAY.slug, api.operation(PUT_AWAY))
    make_addresses()
    yield PUT_AWAY
    monkeypatch.undo()
    make_addresses()


def make_addresses():
    reload(urls)
    reload(site_urls)
    clear_url_caches()


def is_held(job_id: str) -> bool:
    return [found.held for found in redis_jobs.find([job_id])] == ["job"]


def test_its_page_offers_it_and_does_it(trial, admin_client):
    job_id = tasks.do_nothing.enqueue()
    page = admin_client.get(reverse("monitor:job", args=[job_id])).content.decode()
    assert "Put away" in page
    assert "It is put away until somebody fetches it." in page

    answer = admin_client.post(reverse("monitor:job-put-away", args=[job_id]), {"reason": "tidy"}, follow=True)

    assert "It is put away." in answer.content.decode()
    assert is_held(job_id)
    entry = AuditEntry.objects.get(target=f"job:{job_id}")
    assert (entry.action, entry.reason, entry.count) == ("put away", "tidy", 1)
    assert "put away" in admin_client.get(reverse("admin:jobs_auditentry_changelist")).content.decode()


def test_the_api_does_it(trial, admin_client):
    job_id = tasks.do_nothing.enqueue()

    address = reverse("monitor:api-job-put-away", args=[job_id])
    answer = admin_client.post(address, json.dumps({"reason": "tidy"}), content_type="application/json")

    assert answer.json() == {"count": 1, "message": "It is put away."}
    assert is_held(job_id)


@pytest.mark.later
def test_the_command_line_does_it_to_one_and_to_many(trial, capsys):
    first, second = tasks.do_nothing.enqueue(1), tasks.do_nothing.enqueue(2)

    call_command("jobs", "put-away", first)
    assert f"{first}: It is put away." in capsys.readouterr().out
    assert is_held(first)

    call_command("jobs", "bulk", "put-away", "state:queued task:do_nothing", "--reason", "tidy", "--dry-run")
    assert "Each waiting job is put away." in capsys.readouterr().out
    call_command("jobs", "bulk", "put-away", "state:queued task:do_nothing", "--reason", "tidy")
    run_bulk_action(BulkAction.objects.get().pk)
    assert is_held(second)


def test_the_bulk_page_offers_it(trial, admin_client):
    tasks.do_nothing.enqueue()

    page = admin_client.get(reverse("monitor:bulk_preview"), {"action": "put away", "q": "state:queued"})

    assert "Each waiting job is put away." in page.content.decode()


def test_the_docs_name_every_operation():
    text = (settings.BASE_DIR / "docs" / "monitor.md").read_text()
    assert [row.slug for row in table.ROWS if row.slug not in text] == []


@pytest.mark.slow
def test_neither_pages_nor_the_command_line_load_the_supervisor():
    code = (
        "import django; django.setup(); import sys\n"
        "import amazon_pilot.jobs.web.urls, amazon_pilot.jobs.cli.jobs\n"
        "assert 'amazon_pilot.jobs.worker.supervisor' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""
