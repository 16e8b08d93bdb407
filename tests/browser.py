"""What tests in a real browser share: the browser, somebody signed in, and what is looked for on every page.

Every process of the suite reads this, so Playwright is only loaded by those that open a browser.
"""

import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User

from tests.staff import ROLES

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SHOTS = os.environ.get("MONITOR_SHOTS", "")  # a folder for pictures of every page, to be looked at by a person
CENTRAL = (
    "overview", "jobs", "jobs waiting", "job failed", "job running", "failures", "bulk retry", "bulk running", "queues",
    "queue", "queue paused", "tasks", "task", "workers", "stuck", "redis", "schedule", "schedule entry", "fires",
    "pauses", "audit", "runs", "run",
)  # fmt: skip
# Words of our own that a Chinese page must not show; names, code and what the sandbox invents stay as they are.
ENGLISH = re.compile(
    r"\b(the|of|and|with|since|every|waiting|paused|retry|failed lately|minutes|hours|days|entry|retrying)\b", re.I
)


@pytest.fixture(scope="module")
def chromium():
    """Answer a browser without a window; a test that asks for it is skipped where there is none."""
    # Playwright keeps an event loop in this thread, at which Django would refuse the test's own queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium).")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
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
        context.set_default_timeout(30_000)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        context.add_init_script(f"localStorage.setItem('monitor.seconds', '{seconds}')")
        opened.append(context)
        return context.new_page()

    yield sign_in
    for context in opened:
        context.close()


STILL = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("* { transition: none !important }");
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""


@cache
def axe() -> Any:
    from axe_playwright_python.sync_playwright import Axe

    return Axe()


def violations(page, **options) -> list[str]:
    """Answer what axe finds against a page, one line for each thing."""
    page.evaluate(STILL)  # else axe sees a colour on its way
    found = axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['target']} {each['nodes'][0]['failureSummary']}"
        for each in found
    ]


def too_small(page) -> list[str]:
    """Answer the buttons that a thumb misses: lower or narrower than 24 px (WCAG 2.5.8)."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#content button, #content summary, #content select")]
            .filter((each) => each.checkVisibility()).map((each) => [each, each.getBoundingClientRect()])
            .filter(([each, box]) => box.width < 24 || box.height < 23.5)
            .map(([each, box]) => `${each.tagName} ${each.textContent.trim()} ${box.width} x ${box.height}`)"""
    )


def cut(page) -> list[str]:
    """Answer the tables that are cut sideways; the one of a chart's figures may be, it has a column for each line."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#content .wide, #changelist .results")]
            .filter((each) => each.checkVisibility() && !each.querySelector("[data-chart-table]"))
            .filter((each) => each.scrollWidth > each.clientWidth)
            .map((each) => `${each.getAttribute("aria-label") ?? each.className} ${each.scrollWidth} px`)"""
    )


def is_placed(page) -> bool:
    """Tell whether the menu marks one page, and shows it without being scrolled, once it knows of a new width."""
    from playwright.sync_api import TimeoutError

    try:
        page.wait_for_function(
            """() => {
                const marked = document.querySelectorAll(".monitor-nav [aria-current]");
                const box = marked[0]?.getBoundingClientRect();
                return marked.length === 1 && box.left >= 0 && box.right <= innerWidth;
            }""",
            timeout=3000,
        )
    except TimeoutError:
        return False
    return True


def picture(page, name: str) -> None:
    """Keep a picture of the whole page, where somebody asked for pictures."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name.replace(' ', '_')}.png", full_page=True)


def tab_to(page, text: str) -> None:
    """Press Tab until what has the focus is called so."""
    for _press in range(80):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "() => { const e = document.activeElement; return (e.labels?.[0] ?? e).textContent.trim(); }"
        )
        if name.startswith(text):
            return
    raise AssertionError(f"no Tab leads to {text!r}")


def headings(page) -> list[str]:
    """Answer the words that are surely ours: headings, labels, buttons, columns and the menu."""
    return page.evaluate(
        """() => [...document.querySelectorAll("h1, h2, h3, label, button, summary, th[scope=col], nav a, legend")]
            .filter((each) => each.checkVisibility() && !each.querySelector("code"))
            .map((each) => each.innerText.trim())"""
    )


def look_at(page, language: str, name: str, address: str) -> list[tuple[str, ...]]:
    """Look at one page in both themes and sizes; answer what is wrong with it."""
    from playwright.sync_api import TimeoutError

    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")
    answer = page.goto(address)
    faults: list[tuple[str, ...]] = [(name, str(answer.status))] if answer.status >= 400 else []
    picture(page, f"{language} {name} light")
    faults += [(name, "light", fault) for fault in violations(page)]
    page.emulate_media(color_scheme="dark")
    faults += [(name, "dark", fault) for fault in violations(page, runOnly=["color-contrast"])]
    picture(page, f"{language} {name} dark")
    if language == "zh-CN" and name in CENTRAL:  # the seller's pages are full of names that are not ours
        faults += [(name, "English", words) for words in headings(page) if ENGLISH.search(words)]
    page.set_viewport_size(PHONE)
    try:  # a chart is drawn anew a moment after its page has become narrow
        page.wait_for_function(
            "width => document.documentElement.scrollWidth <= width", arg=PHONE["width"], timeout=5000
        )
    except TimeoutError:
        wide = page.evaluate("document.documentElement.scrollWidth")
        faults.append((name, f"{wide} px wide on a phone"))
    faults += [(name, "small", fault) for fault in too_small(page)]
    picture(page, f"{language} {name} phone")
    return faults
