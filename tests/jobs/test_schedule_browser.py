"""The schedule in a real browser: pause, run now, a wrong cron line, an edit, the history."""

import shutil

import pytest

from amazon_pilot.jobs.models import ScheduleEntry
from tests.jobs.schedule_world import make_entry, queued

sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser


@pytest.fixture
def page(live_server, admin_user, monkeypatch):
    """The list of entries, as an administrator sees it after logging in."""
    # Playwright keeps an event loop in this thread, at which Django would refuse the test's own queries.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium).")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{live_server.url}/admin/login/?next=/admin/jobs/scheduleentry/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", "password")
        page.click("[type=submit]")
        page.wait_for_url("**/admin/jobs/scheduleentry/")
        yield page
        browser.close()


def choose(page, action: str) -> None:
    """Tick the entry and press a button of the list."""
    page.reload()
    page.check("tr:has-text('stock') input.action-select")
    page.select_option("select[name=action]", action)
    page.click("button[name=index]")


def test_an_operator_pauses_runs_and_edits_an_entry(transactional_db, page, redis):
    make_entry("stock", cron="30 2 * * *", zone="America/New_York")

    choose(page, "pause")
    page.fill("#id_reason", "Stocktaking")
    page.click("[name=apply]")
    page.wait_for_selector("text=Paused by admin: Stocktaking")

    choose(page, "run_now")
    page.wait_for_selector("text=Entries run now: 1.")
    assert len(queued(redis)) == 1

    choose(page, "resume")
    page.wait_for_selector("text=Entries resumed: 1.")

    page.click("a:text-is('stock')")
    page.fill("#id_cron", "0 25 * * *")
    page.click("[name=_save]")
    page.wait_for_selector("text=“25” cannot be read as hour")
    page.fill("#id_cron", "daily at 10:15")
    page.click("[name=_save]")
    page.wait_for_selector("text=Daily at 10:15")
    assert ScheduleEntry.objects.get().cron == "daily at 10:15"

    page.click("a:text-is('run by hand')")
    page.wait_for_selector("text=1 fire")
