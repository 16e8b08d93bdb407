"""A tour in a real browser: files that come in, batches that wait, the API's page, and the pages of an account."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.models import ApiToken, Invitation
from products.models import Import, Product, Tracking
from tests.browser import DESKTOP, look_at
from tests.world import NOON, answer_of, listing, started_run

pytestmark = pytest.mark.browser

LINES = "ASIN,Alias,Role,Notes\nB0SYN00001,One,own,x\nnonsense,Two,own,y\nB0SYN00001,Again,own,z\nB0LAMP0001,,,\n"


@pytest.fixture
def boss(transactional_db, redis):
    return User.objects.create_superuser("boss", "boss@example.com", "boss-password")


@pytest.fixture
def pages(boss, client, settings):
    """What there is to be looked at, by name."""
    settings.SIGN_UP = "open"
    products = Product.objects.ensure([("amazon.com", f"B0LAMP{number:04}") for number in range(1, 11)])
    Tracking.objects.watch(boss.teams.get(), products, "own", "3_daily")
    started_run(products).ingest(answer_of(*(listing(asin=product.asin) for product in products)))
    broken = (listing(asin=p.asin, price=None if n < 5 else Decimal(9), ranks=()) for n, p in enumerate(products))
    started_run(products).ingest(answer_of(*broken, at=NOON + timedelta(days=1)))
    ApiToken.objects.issue(boss.memberships.get(), "the nightly script", "write")
    Invitation.objects.create(email="somebody@example.com", invited_by=boss)
    client.force_login(boss)
    words = {"marketplace": "amazon.com", "role": "own", "frequency": "3_daily"}
    client.post(reverse("products:look"), words | {"file": SimpleUploadedFile("list.csv", LINES.encode())})
    looked = Import.objects.get()
    history = b"time,price,currency,rank\n2024-01-01,49.99,USD,120\nnonsense,1,USD,\n"
    one = ("amazon.com", "B0LAMP0001")
    client.post(reverse("products:import_history", args=one), {"file": SimpleUploadedFile("keepa.csv", history)})
    names = (
        *("account", "account_data", "account_delete", "tokens", "invitations", "account_change_password", "mfa_index"),
        *("usersessions_list", "account_email", "account_reauthenticate", "api_docs"),
    )
    return {name: reverse(name) for name in names if name != "account_data"} | {
        "add": reverse("products:add"),
        "file looked at": looked.get_absolute_url(),
        "history imported": Import.objects.get(kind="history").get_absolute_url(),
        "import a history": reverse("products:import_history", args=one),
        "held": reverse("products:held"),
        "totp": reverse("mfa_activate_totp"),
    }


@pytest.fixture
def browser(chromium, live_server):
    """Answer a browser's page for a language; nothing is asked of other hosts and no console tells of an error."""
    contexts, faults = [], []

    def open_in(language):
        context = chromium.new_context(base_url=live_server.url, viewport=DESKTOP, locale=language)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda asked: asked.url.startswith((live_server.url, "data:")) or faults.append(asked.url))
        page.on("console", lambda said: said.type == "error" and "422" not in said.text and faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        return page

    yield open_in
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("language", ["en-GB", pytest.param("zh-CN", marks=pytest.mark.long)])
def test_nobody_meets_a_closed_page(browser, pages, language):
    page, faults = browser(language), []
    for name, address in {
        "login": "/login/",
        "sign up": "/account/signup/",
        "reset": "/account/password/reset/",
    }.items():
        faults += look_at(page, language, name, address)
    page.goto("/login/")
    page.fill("[name=username]", "boss")
    page.fill("[name=password]", "boss-password")
    page.click("main button")
    page.goto("/account/reauthenticate/")
    page.fill("[name=password]", "boss-password")
    page.click("main button")
    for name, address in pages.items():
        faults += look_at(page, language, name, address)
    assert not faults, "\n".join(map(str, faults))


def test_a_file_is_looked_at_taken_and_undone_with_the_mouse(browser, boss, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text(LINES)
    page = browser("en-GB")
    page.goto("/login/?next=/products/add/")
    page.fill("[name=username]", "boss")
    page.fill("[name=password]", "boss-password")
    page.click("main button")

    page.set_input_files("[name=file]", file)
    page.click("text=Look at the file")
    page.click("text=Add 2 products")
    assert Tracking.objects.count() == 2
    page.click("text=Undo: remove what this import added")
    page.wait_for_selector("text=2 entries removed.")

    assert Tracking.objects.count() == 0
