"""A new user without any staff right, from sign-up to the first alert, in a real browser and never in the admin."""

import json
import re
from datetime import UTC, datetime

import pytest
from django.core import mail
from django.urls import reverse
from playwright.sync_api import expect

from amazon_pilot.sandbox import catalogue
from notifications.models import Notification
from products.models import Change, Product, Snapshot
from tests.browser import DESKTOP, ENGLISH, PHONE, headings, picture, violations
from tests.world import run_jobs

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ASIN, SITE = "B0SYN00001", "amazon.com"
SHOP = {"desktop": DESKTOP, "phone": PHONE}
NOT_OURS = "Amazon Pilot"


class Walk:
    """A browser that looks at each page it passes: axe, its width, its language; and at all that it asks for."""

    def __init__(self, context, url, language, name):
        self.page, self.url, self.language, self.name = context.new_page(), url, language, name
        self.faults: list[tuple[str, ...]] = []
        self.page.on("request", self._asked)
        self.page.on("console", lambda said: said.type == "error" and self.faults.append(("console", said.text)))
        self.page.on("pageerror", lambda error: self.faults.append(("script", str(error))))
        self.page.on("response", lambda got: got.status >= 400 and self.faults.append((got.url, str(got.status))))

    def _asked(self, asked):
        if not asked.url.startswith((self.url, "data:")):
            self.faults.append(("outside", asked.url))
        if "/admin" in asked.url:
            self.faults.append(("admin", asked.url))

    def go(self, address):
        self.page.goto(address)
        self.look(address)

    def press(self, selector):
        """Press a button or a link of the page itself, and look at the page it leads to."""
        self.page.locator(selector).first.click()
        self.page.wait_for_load_state()
        self.look(selector)

    def look(self, where):
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            self.faults.append((where, f"{wide} px too wide"))
        self.faults += [(where, fault) for fault in violations(self.page)]
        if self.language == "zh-CN":
            ours = [words for words in headings(self.page) if NOT_OURS not in words]
            self.faults += [(where, "English", words) for words in ours if ENGLISH.search(words)]
        picture(self.page, f"{self.language} {self.name} {re.sub('[^a-z]+', ' ', where)}")


def cheaper(share: float) -> str:
    """Return what the played Apify answers when the product costs so much of what it costs now."""
    item = catalogue.item(ASIN, SITE, datetime.now(UTC))
    return json.dumps([item | {"price": round(float(item["price"]) * share, 2), "priceSaving": None}])


def sign_up(walk: Walk) -> None:
    """Sign up, follow the link of the mail, and sign in. The address is new: a second mail to one has to wait."""
    address = f"{walk.name.replace(' ', '.')}.{walk.language}@example.com".lower()
    walk.go(reverse("account_signup"))
    page = walk.page
    page.fill("[name=email]", address)
    page.fill("[name=username]", "newcomer")
    page.fill("[name=password1]", "a long pass phrase")
    page.fill("[name=password2]", "a long pass phrase")
    walk.press("main form button")
    run_jobs()
    (link,) = re.findall(r"https?://[^/\s]+(/\S+confirm\S+)", str(mail.outbox[-1].body))
    walk.go(link)
    walk.press("main form button")
    walk.go(reverse("login"))
    page.fill("[name=username]", "newcomer")
    page.fill("[name=password]", "a long pass phrase")
    walk.press("main form button")


@pytest.mark.parametrize(
    ("language", "theme", "size"),
    [
        (language, theme, size)
        if (theme == "dark") == ((language == "zh-CN") == (size == "desktop"))  # of each two the four pairs
        else pytest.param(language, theme, size, marks=pytest.mark.long)
        for language in ("en-GB", "zh-CN")
        for theme in ("light", "dark")
        for size in SHOP
    ],
)
def test_from_sign_up_to_the_first_alert(
    chromium, live_server, transactional_db, redis, sandbox, settings, language, theme, size
):  # fmt: skip
    settings.SIGN_UP = "open"
    context = chromium.new_context(
        base_url=live_server.url, viewport=SHOP[size], locale=language, color_scheme=theme, has_touch=size == "phone"
    )
    context.set_default_timeout(30_000)
    walk = Walk(context, live_server.url, language, f"first {theme} {size}")
    page = walk.page

    sign_up(walk)
    walk.go(reverse("products:home"))
    walk.press("main a[href='/products/add/']")
    page.fill("[name=products]", ASIN)
    walk.press("main form:has([name=products]) button")
    run_jobs()
    assert Snapshot.objects.filter(product__asin=ASIN).count() == 1

    walk.go(reverse("products:rules"))
    page.fill("[name=price_threshold]", "25")
    walk.press("main form button:not([value])")
    sandbox.apify.fail_next(on="items", body=cheaper(0.6))
    walk.go(reverse("products:detail", args=[SITE, ASIN]))
    walk.press("main form[action$='/refresh/'] button")
    run_jobs()

    (change,) = Change.objects.filter(kind="price_change")
    assert change.threshold == "25.00 %"
    assert change.severity == "3_critical"
    assert Product.objects.get().checked_at
    walk.go(reverse("products:home"))
    expect(page.locator("section:has(#what) > ul > li")).to_have_count(1)
    expect(page.locator("section:has(#what)")).to_contain_text(f"{change.percent:.1f} %")
    walk.go(reverse("notifications:list"))
    told = Notification.objects.get(change=change)
    expect(page.get_by_role("link", name=told.subject)).to_be_visible()
    context.close()
    assert not walk.faults, "\n".join(map(str, walk.faults))
