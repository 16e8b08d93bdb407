"""A tour of the site in a real browser, in English and in Chinese: the seller's pages, and the monitor's central ones.

No page is closed to anybody (axe, in both themes), scrolls sideways on a phone, or mixes the two languages.
"""

from datetime import timedelta

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
from tests.browser import CENTRAL, DESKTOP, look_at

pytestmark = pytest.mark.browser


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
def visitor(chromium, live_server, client, owner):
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


def test_the_way_in_speaks_the_browsers_language(visitor, chromium, live_server):
    context = chromium.new_context(base_url=live_server.url, viewport=DESKTOP, locale="zh-CN")
    try:
        page = context.new_page()
        faults = look_at(page, "zh-CN", "login", "/login/")
        assert page.locator("html").get_attribute("lang") == "zh-hans"
    finally:
        context.close()
    assert not faults, "\n".join(map(str, faults))
