"""A tour of the site in a real browser, in English and in Chinese: the seller's pages, and the monitor's central ones.

No page is closed to anybody (axe, in both themes), scrolls sideways on a phone, or mixes the two languages.
"""

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from django.utils.timezone import now

from analysis.models import Comparison, Report
from analysis.sharing import address_of
from analysis.tasks import competitor_analysis, optimization_analysis
from notifications.models import Notification
from products.models import Change, Product
from tests.monitor.test_browser import DESKTOP, PHONE, chromium, sync_api, too_small, violations  # noqa: F401

pytestmark = pytest.mark.browser

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


@pytest.fixture
def owner(transactional_db, redis):
    """An administrator who sells: the demo's products, a report, suggestions, notifications."""
    return User.objects.create_superuser("owner", "owner@example.com", "x")


@pytest.fixture
def shop(owner, sandbox):
    call_command("seed_demo", verbosity=0)
    comparison, lamp = Comparison.objects.get(), Product.objects.get(asin="B0LAMP0001", marketplace="amazon.com")
    report = Report.objects.ask_comparison(comparison)
    competitor_analysis(report.pk)
    comparison.shared_until = now() + timedelta(days=9)
    comparison.save()
    advice = Report.objects.ask_optimization(owner.teams.get(), lamp)
    optimization_analysis(advice.pk)
    Notification.objects.draft_changes(Change.objects.order_by("-pk")[:30])
    one = {"marketplace": lamp.marketplace, "asin": lamp.asin}
    return {
        "home": reverse("products:home"),
        "changes": reverse("products:changes"),
        "products": reverse("products:list"),
        "product": reverse("products:detail", kwargs=one),
        "product edit": reverse("products:edit", kwargs=one),
        "product add": reverse("products:add"),
        "rules": reverse("products:rules"),
        "sellers": reverse("products:sellers"),
        "new products": reverse("products:beginning"),
        "team": reverse("team"),
        "team deleted": reverse("delete_team"),
        "comparisons": reverse("analysis:comparisons"),
        "comparison": reverse("analysis:comparison", args=[comparison.pk]),
        "comparison shared": address_of(comparison),
        "comparison new": reverse("analysis:compare"),
        "suggestions": reverse("analysis:suggestions", kwargs=one),
        "notifications": reverse("notifications:list"),
        "channels": reverse("notifications:channels"),
    }


@pytest.fixture
def visitor(chromium, live_server, client, owner):  # noqa: F811
    """Answer a browser's page for a language, signed in."""
    client.force_login(owner)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    contexts = []

    def open_in(language):
        context = chromium.new_context(base_url=live_server.url, viewport=DESKTOP, locale=language)
        context.set_default_timeout(60_000)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        context.add_init_script("localStorage.setItem('monitor.seconds', '0')")
        contexts.append(context)
        return context.new_page()

    yield open_in
    for context in contexts:
        context.close()


def picture(page, language: str, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{language} {name}.png".replace(" ", "_"), full_page=True)


def headings(page) -> list[str]:
    """Answer the words that are surely ours: headings, labels, buttons, columns and the menu."""
    return page.evaluate(
        """() => [...document.querySelectorAll("h1, h2, h3, label, button, summary, th[scope=col], nav a, legend")]
            .filter((each) => each.checkVisibility() && !each.querySelector("code"))
            .map((each) => each.innerText.trim())"""
    )


def look_at(page, language: str, name: str, address: str) -> list[tuple[str, ...]]:
    """Look at one page in both themes and sizes; answer what is wrong with it."""
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")
    answer = page.goto(address)
    faults: list[tuple[str, ...]] = [(name, str(answer.status))] if answer.status >= 400 else []
    picture(page, language, f"{name} light")
    faults += [(name, "light", fault) for fault in violations(page)]
    page.emulate_media(color_scheme="dark")
    faults += [(name, "dark", fault) for fault in violations(page, runOnly=["color-contrast"])]
    picture(page, language, f"{name} dark")
    if language == "zh-CN" and name in CENTRAL:  # the seller's pages are full of names that are not ours
        faults += [(name, "English", words) for words in headings(page) if ENGLISH.search(words)]
    page.set_viewport_size(PHONE)
    try:  # a chart is drawn anew a moment after its page has become narrow
        page.wait_for_function(
            "width => document.documentElement.scrollWidth <= width", arg=PHONE["width"], timeout=5000
        )
    except sync_api.TimeoutError:
        wide = page.evaluate("document.documentElement.scrollWidth")
        faults.append((name, f"{wide} px wide on a phone"))
    faults += [(name, "small", fault) for fault in too_small(page)]
    picture(page, language, f"{name} phone")
    return faults


@pytest.mark.parametrize("language", ["en-GB", pytest.param("zh-CN", marks=pytest.mark.long)])
def test_a_seller_meets_no_closed_page(visitor, shop, language, live_server):
    page, faults = visitor(language), []
    page.on("console", lambda line: faults.append((page.url, line.text)) if line.type == "error" else None)
    page.on("pageerror", lambda error: faults.append((page.url, str(error))))
    outside = (live_server.url, "data:")
    page.on("request", lambda asked: None if asked.url.startswith(outside) else faults.append(("outside", asked.url)))
    for name, address in shop.items():
        faults += look_at(page, language, name, address)
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.long
def test_a_chinese_operator_meets_no_closed_page_and_no_english(visitor, busy_day):
    page, faults, pages = visitor("zh-CN"), [], busy_day.pages()
    for name in CENTRAL:
        busy_day.still_alive()
        faults += look_at(page, "zh-CN", name, pages[name])
    assert not faults, "\n".join(map(str, faults))


def test_the_way_in_speaks_the_browsers_language(visitor, chromium, live_server):  # noqa: F811
    context = chromium.new_context(base_url=live_server.url, viewport=DESKTOP, locale="zh-CN")
    try:
        page = context.new_page()
        faults = look_at(page, "zh-CN", "login", "/login/")
        assert page.locator("html").get_attribute("lang") == "zh-hans"
    finally:
        context.close()
    assert not faults, "\n".join(map(str, faults))
