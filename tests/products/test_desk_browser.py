"""The seller's desk in a real browser: what is pressed without a new page, and how it fits a phone."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import expect

from products import watchlist
from products.models import Beginning, Change, SavedView, Tracking
from tests.browser import picture, violations
from tests.world import see

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def desk(chromium, live_server, client, alice, lamp, competitors):
    """Alice's browser; her lamp and one competitor became cheaper an hour ago, over four weeks of looks."""
    for product in (lamp, competitors[0]):
        for days in range(28, 0, -1):
            see(product, now() - timedelta(days=days), price=Decimal(50 + days % 3), title=f"A lamp {product.pk} " * 9)
        see(product, now() - timedelta(hours=1), price=Decimal("20.00"), title=f"A lamp {product.pk} " * 9)
    client.force_login(alice)
    context = chromium.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(30_000)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
    yield context.new_page()
    context.close()


def test_acknowledging_takes_a_product_off_the_page_at_once(desk, alice):
    desk.goto(reverse("products:home"))
    groups = desk.locator("section:has(#what) > ul > li")
    expect(groups).to_have_count(2)
    desk.evaluate("window.same = true")

    groups.first.get_by_role("button").click()

    expect(groups).to_have_count(1)
    assert desk.evaluate("window.same")
    desk.reload()
    expect(groups).to_have_count(1)
    assert Change.objects.filter(acknowledged_at=None, seen_at__gte=now() - timedelta(hours=2)).count() == 1


def test_what_is_done_to_the_chosen_appears_with_the_first_of_them(desk, alice):
    desk.goto(reverse("products:list"))
    bar = desk.locator(".bulk")
    expect(bar).to_be_hidden()
    desk.get_by_label("All on this page").check()
    expect(bar).to_be_visible()

    desk.get_by_label("Do", exact=True).select_option("remove")
    desk.get_by_role("button", name="Apply").click()
    expect(desk.get_by_text("6 products are no longer watched.")).to_be_visible()
    assert not Tracking.objects.exists()

    desk.get_by_role("button", name="Undo").click()
    expect(desk.get_by_text("6 products are watched again.")).to_be_visible()
    assert Tracking.objects.count() == 6


def test_a_phone_shows_many_products_and_a_short_product_page(desk, lamp):
    desk.set_viewport_size(PHONE)
    desk.goto(reverse("products:list"))
    heights = desk.locator("tbody tr").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().height)")
    assert len(heights) == 6
    assert max(heights) <= 73  # 72 and its line
    menu = desk.get_by_role("navigation", name="Main")
    assert menu.bounding_box()["y"] + menu.bounding_box()["height"] == pytest.approx(PHONE["height"], abs=1)

    desk.goto(lamp.get_absolute_url())
    expect(desk.locator(".chart")).to_have_count(3)
    assert desk.evaluate("document.documentElement.scrollHeight") < 3500


def test_one_cursor_runs_over_all_charts(desk, lamp):
    desk.goto(lamp.get_absolute_url())
    expect(desk.locator(".chart")).to_have_count(3)
    over = desk.locator(".chart .u-over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    desk.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    times = desk.locator(".chart .u-legend tr:first-child .u-value")
    expect(times.first).not_to_have_text("–")
    assert len(set(times.all_inner_texts())) == 1
    assert "Brimsett Trading" in desk.locator(".chart .u-legend").first.inner_text()


def test_a_menu_that_was_opened_closes_by_a_key_and_elsewhere(desk, lamp):
    desk.goto(reverse("products:home"))
    summary = desk.locator("details.drop > summary").last
    out = desk.get_by_role("button", name="Sign out")
    for close in (lambda: desk.keyboard.press("Escape"), lambda: desk.locator("h1").click()):
        summary.click()
        expect(out).to_be_visible()
        close()
        expect(out).to_be_hidden()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_all_that_match_are_paused_and_given_back_with_the_mouse(desk, monkeypatch, size):
    monkeypatch.setattr(watchlist, "PER_PAGE", 3)
    if size == "phone":
        desk.set_viewport_size(PHONE)
    desk.goto(f"{reverse('products:list')}?show=all")
    desk.locator("[name=id]").first.check()
    desk.get_by_label("Do", exact=True).select_option("pause")
    desk.get_by_role("button", name="All 6 that match").click()

    expect(desk.get_by_text("6 products match.")).to_be_visible()
    assert violations(desk) == []
    assert not Tracking.objects.filter(paused=True).exists()
    desk.get_by_role("button", name="Pause").click()
    expect(desk.get_by_text("6 products changed.")).to_be_visible()
    assert violations(desk) == []
    assert not Tracking.objects.filter(paused=False).exists()
    desk.get_by_role("button", name="Undo").click()
    expect(desk.get_by_text("6 products are as before.")).to_be_visible()
    assert not Tracking.objects.filter(paused=True).exists()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_view_is_kept_and_begins_the_list(desk, size):
    if size == "phone":
        desk.set_viewport_size(PHONE)
    desk.goto(f"{reverse('products:list')}?role=competitor")
    desk.get_by_text("Keep this view").click()
    assert desk.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(desk) == []
    desk.get_by_label("Name").fill("Others")
    desk.get_by_label("Begin the list with it").check()
    desk.get_by_role("button", name="Save").click()

    expect(desk.locator(".tabs [aria-current]")).to_contain_text("Others")
    desk.goto(reverse("products:list"))
    expect(desk).to_have_url(re.compile("role=competitor"))
    desk.locator(".tabs").get_by_text("All", exact=True).click()
    expect(desk.locator("[name=id]")).to_have_count(6)
    assert SavedView.objects.get().is_default


def test_a_phone_folds_what_is_seldom_used_until_it_is_set(desk):
    pages = (
        (reverse("products:changes"), "?kind=price_change", "#filter-kind", "More filters"),
        (reverse("products:list"), "?role=own", "#filter-role", "More filters"),
        (reverse("products:add"), "", "[name=frequency] >> nth=0", "More"),
    )
    for address, wish, rare, more in pages:
        desk.set_viewport_size(PHONE)
        desk.goto(address)
        picture(desk, f"en-GB folded {address.strip('/').replace('/', ' ')}")
        expect(desk.locator(rare)).to_be_hidden()
        desk.get_by_text(more, exact=True).first.click()
        expect(desk.locator(rare)).to_be_visible()
        assert violations(desk) == []
        picture(desk, f"en-GB unfolded {address.strip('/').replace('/', ' ')}")
        if wish:
            desk.goto(address + wish)
            expect(desk.locator(rare)).to_be_visible()
        desk.set_viewport_size({"width": 1440, "height": 900})
        desk.goto(address)
        expect(desk.locator(rare)).to_be_visible()
        expect(desk.get_by_text(more, exact=True).first).to_be_hidden()
        picture(desk, f"en-GB wide {address.strip('/').replace('/', ' ')}")


def test_a_form_that_is_wrong_or_says_otherwise_shows_what_it_folds(desk, alice):
    desk.set_viewport_size(PHONE)
    Beginning.objects.create(team=alice.teams.get(), frequency="1_hourly")
    desk.goto(reverse("products:add"))

    expect(desk.locator("[name=frequency]").first).to_be_visible()


def test_a_phone_may_keep_the_desk_among_its_applications(desk):
    desk.goto(reverse("products:home"))
    browser = desk.context.new_cdp_session(desk)
    manifest = browser.send("Page.getAppManifest")
    assert manifest["url"].endswith("pilot.webmanifest")
    assert not manifest["errors"]
    reasons = {one["errorId"] for one in browser.send("Page.getInstallabilityErrors")["installabilityErrors"]}
    assert reasons <= {"in-incognito"}  # as each context of a test is
