"""What the monitor's tests share."""

from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import cache

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import snapshot
from amazon_pilot.jobs.operate import batches
from tests.browser import DESKTOP


@pytest.fixture(autouse=True)
def _nothing_of_the_test_before():
    cache.clear()
    yield
    queues._connections.clear()


@pytest.fixture
def boss():
    return User.objects.create_superuser("boss")


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 3)


class Walk:
    """A person at the monitor: counts what she clicks and what she types."""

    def __init__(self, page):
        self.page, self.clicks, self.searches = page, 0, 0

    def click(self, name, within="body"):
        self.page.locator(within).get_by_role("link", name=name).first.click()
        self.clicks += 1

    def search(self, text):
        """Press `/`, write, Enter: one search, from whichever page."""
        self.page.keyboard.press("/")
        self.page.wait_for_function("() => document.activeElement?.id === 'q'")
        self.page.locator("#q").fill(text)
        self.page.locator("#q").press("Enter")
        self.page.wait_for_load_state()
        self.searches += 1

    @property
    def text(self):
        return self.page.locator("body").inner_text()

    @property
    def health(self):
        return self.page.locator("#health").inner_text()

    def has_cost(self, clicks, searches=0):
        assert (self.clicks, self.searches) == (clicks, searches)
        assert self.clicks <= 2
        assert self.searches <= 1


@pytest.fixture
def walk(chromium, live_server, client, transactional_db):
    """Open the overview as an operator whose browser is in a zone."""
    opened = []

    def begin(zone="UTC"):
        boss = User.objects.filter(username="boss").first() or User.objects.create_superuser("boss")
        client.force_login(boss)
        context = chromium.new_context(base_url=live_server.url, viewport=DESKTOP, timezone_id=zone)
        context.set_default_timeout(15_000)
        cookie = client.cookies[django_settings.SESSION_COOKIE_NAME].value
        cookies = {django_settings.SESSION_COOKIE_NAME: cookie, "zone": quote(zone, safe="")}
        context.add_cookies([{"name": each, "value": cookies[each], "url": live_server.url} for each in cookies])
        context.add_init_script("localStorage.setItem('monitor.seconds', '0')")
        opened.append(context)
        page = context.new_page()
        queues.connection().delete(snapshot.KEY)
        page.goto("/admin/")
        return Walk(page)

    yield begin
    for context in opened:
        context.close()


def shown_busy():
    queues.connection().delete(snapshot.KEY)
    return len(snapshot.current().running)
