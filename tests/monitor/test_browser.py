"""The monitor in a real browser: every page is looked at, and every role presses what it may."""

import os
import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User

from tests.staff import ROLES

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

pytestmark = pytest.mark.browser

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SHOTS = os.environ.get("MONITOR_SHOTS", "")  # a folder for pictures of every page, to be looked at by a person


@pytest.fixture(scope="module")
def chromium():
    # Playwright keeps an event loop in this thread, at which Django would refuse the test's own queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium).")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def visit(chromium, live_server, client):
    """Sign somebody in who has a role, and answer the browser's page."""
    opened = []

    def sign_in(role, seconds=0):
        """`seconds` is how often pages refresh themselves; 0 is never."""
        user = User.objects.create_user(f"{role}-er", password="x", is_staff=True)
        schedule = {
            "view": ["view_scheduleentry", "view_fire", "view_pause", "view_auditentry"],
            "operate": ["operate_schedule"],
            "edit": ["add_scheduleentry", "change_scheduleentry"],
            "admin": ["delete_scheduleentry"],
        }
        names = [name for each in list(schedule)[: list(schedule).index(role) + 1] for name in schedule[each]]
        allowed = Permission.objects.filter(codename__in=ROLES[role] + names, content_type__app_label="jobs")
        user.user_permissions.set(allowed)
        client.force_login(user)
        context = chromium.new_context(base_url=live_server.url, viewport=DESKTOP)
        context.set_default_timeout(10_000)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        context.add_init_script(f"localStorage.setItem('monitor.seconds', '{seconds}')")
        opened.append(context)
        return context.new_page()

    yield sign_in
    for context in opened:
        context.close()


def violations(page, **options) -> list[str]:
    """Answer what axe finds against a page, one line for each thing."""
    found = axe.run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['target']}" for each in found]


def too_small(page) -> list[str]:
    """Answer the buttons that a thumb misses: lower or narrower than 24 px (WCAG 2.5.8)."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#content button, #content summary, #content select")]
            .filter((each) => each.checkVisibility()).map((each) => [each, each.getBoundingClientRect()])
            .filter(([each, box]) => box.width < 24 || box.height < 23.5)
            .map(([each, box]) => `${each.tagName} ${each.textContent.trim()} ${box.width} x ${box.height}`)"""
    )


def picture(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name.replace(' ', '_')}.png", full_page=True)


def test_no_page_is_closed_to_anybody(visit, busy_day):
    """axe in both themes; on a phone no page scrolls sideways and no button is too small."""
    page, faults = visit("admin"), []
    page.on("pageerror", lambda error: faults.append((page.url, str(error))))
    for name, address in busy_day.pages().items():
        busy_day.still_alive()
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")
        answer = page.goto(address)
        if answer.status >= 400 and name != "job unknown":
            faults.append((name, answer.status))
        page.add_style_tag(content="* { transition: none !important }")  # else axe sees a colour on its way
        faults += [(name, "light", fault) for fault in violations(page)]
        picture(page, f"{name} light")
        page.emulate_media(color_scheme="dark")
        faults += [(name, "dark", fault) for fault in violations(page, runOnly=["color-contrast"])]
        picture(page, f"{name} dark")
        page.set_viewport_size(PHONE)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > PHONE["width"]:
            faults.append((name, f"{wide} px wide on a phone"))
        faults += [(name, "small", fault) for fault in too_small(page)]
        picture(page, f"{name} phone")
        page.emulate_media(color_scheme="light")
        picture(page, f"{name} phone light")
    assert not faults, "\n".join(map(str, faults))
