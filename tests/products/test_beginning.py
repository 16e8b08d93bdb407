"""With what new products begin: the team says it, the page offers it, and who adds some may choose otherwise."""

import re
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from openpyxl import Workbook

from accounts.models import Membership
from products.models import Beginning, Tag, Tracking
from products.models.beginning import check_tags, names_of

ADDRESS, ADD = "/products/add/usual/", "/products/add/"


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


def test_what_a_team_says_is_offered_and_taken(page, alice):
    words = {"frequency": "1_hourly", "marketplace": "amazon.de", "tags": "Spring,  My   client ,spring"}
    assert page.post(ADDRESS, words).status_code == 302

    text = page.get(ADD).content.decode()
    assert '<option value="1_hourly" selected>' in text
    assert '<option value="amazon.de" selected>' in text
    assert 'value="Spring,  My   client ,spring"' in text
    page.post(ADD, {"products": "B0SYN00006", "role": "own"} | words)

    row = Tracking.objects.get()
    assert (row.frequency, row.product.marketplace, row.team) == ("1_hourly", "amazon.de", alice.teams.get())
    assert sorted(row.tags.values_list("name", flat=True)) == ["My client", "spring"]
    assert "They get the tags" in page.get("/account/team/").content.decode()


TABLE = "asin\nB0SYN00006\n"
SHEET = "asin,marketplace,frequency,tags\nB0SYN00006,{marketplace},{frequency},{tags}\n"
OTHER = {"marketplace": "amazon.fr", "frequency": "weekly", "tags": "Own"}


def by_paste(page, said):
    page.post(ADD, {"products": "B0SYN00006"} | offered(page, "paste") | said)


def by_paste_looked_at(page, said):
    take(page, {"products": "B0SYN00006"} | offered(page, "paste") | said)


def by_csv(page, said):
    text = SHEET.format(**OTHER) if said else TABLE
    take(page, offered(page, "file") | {"file": SimpleUploadedFile("a.csv", text.encode())})


def by_xlsx(page, said):
    book, stream = Workbook(), BytesIO()
    for line in (SHEET.format(**OTHER) if said else TABLE).splitlines():
        book.active.append(line.split(","))
    book.save(stream)
    take(page, offered(page, "file") | {"file": SimpleUploadedFile("a.xlsx", stream.getvalue())})


def by_file_whose_form_says(page, said):
    take(page, offered(page, "file") | said | {"file": SimpleUploadedFile("a.csv", TABLE.encode())})


def by_api(page, said):
    one = {"asin": "B0SYN00006"} | ({**OTHER, "tags": ["Own"]} if said else {})
    answer = page.post("/api/v1/products", {"products": [one]}, content_type="application/json")
    assert answer.json()["added"], answer.content


def offered(page, section):
    """Return what the form of a section holds before anybody touches it, as a browser would send it."""
    text = page.get(ADD).content.decode().partition(f'aria-labelledby="{section}"')[2].partition("</section>")[0]
    chosen = re.findall(r'<select name="(\w+)"[^>]*>.*?<option value="([^"]*)" selected>', text, re.S)
    return dict(chosen) | dict(re.findall(r'name="(tags)" value="([^"]*)"', text))


def take(page, form):
    looked_at = page.post("/products/add/look/", form)
    assert looked_at.status_code == 302, looked_at.content.decode()
    page.post(f"{looked_at.url}take/")


WAYS = [by_paste, by_paste_looked_at, by_csv, by_xlsx, by_file_whose_form_says, by_api]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", [{}, OTHER | {"frequency": "4_weekly"}], ids=["as usual", "otherwise"])
def test_every_way_in_begins_as_the_team_says_unless_it_says_otherwise(page, alice, way, said):
    page.post(ADDRESS, {"frequency": "1_hourly", "marketplace": "amazon.de", "tags": "Spring, Lamps"})

    way(page, said)

    row = Tracking.objects.get()
    found = (row.frequency, row.product.marketplace, sorted(row.tags.values_list("name", flat=True)), row.role)
    usual = ("1_hourly", "amazon.de", ["Lamps", "Spring"], "own")
    assert found == (("4_weekly", "amazon.fr", ["Own"], "own") if said else usual)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_knows_what_is_usual_where_a_team_says_nothing(page, way):
    way(page, {})

    row = Tracking.objects.get()
    assert (row.frequency, row.product.marketplace, row.tags.count()) == ("3_daily", "amazon.com", 0)


@pytest.mark.parametrize("tags", [["x" * 41], [""], [" "], ["a,b"], ["a"] * 11, "a", [None]])
def test_the_api_refuses_what_cannot_be_a_tag(page, tags):
    wrong = {"products": [{"asin": "B0SYN00006", "tags": tags}]}

    assert page.post("/api/v1/products", wrong, content_type="application/json").status_code == 422
    assert not Tracking.objects.exists()


def test_who_adds_chooses_otherwise_and_what_is_watched_stays(page, alice, tracking):
    page.post(ADDRESS, {"frequency": "1_hourly", "marketplace": "amazon.com", "tags": "New"})

    page.post(ADD, {"products": "B0LAMP0001\nB0SYN00006", "marketplace": "amazon.com", "role": "own",
                    "frequency": "4_weekly", "tags": "New"})  # fmt: skip

    tracking.refresh_from_db()
    assert (tracking.frequency, tracking.tags.count()) == ("3_daily", 0)
    other = Tracking.objects.get(product__asin="B0SYN00006")
    assert (other.frequency, other.tags.get().name) == ("4_weekly", "New")


@pytest.mark.parametrize(
    "words",
    [{"frequency": "odd"}, {"marketplace": "amazon.example"}, {"tags": "x" * 41}, {"tags": ",".join("abcdefghijk")},
     {"tags": "y, " * 200}],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_said(page, words):
    answer = page.post(ADDRESS, {"frequency": "3_daily", "marketplace": "amazon.com", "tags": ""} | words)

    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    assert not Beginning.objects.exists()


def test_a_wrong_tag_adds_nothing(page):
    answer = page.post(ADD, {"products": "B0SYN00006", "marketplace": "amazon.com", "role": "own",
                             "frequency": "3_daily", "tags": "x" * 41})  # fmt: skip

    assert answer.status_code == 422
    assert not Tracking.objects.exists()
    assert not Tag.objects.exists()


def test_it_is_the_teams_alone_and_no_viewers(client, page, alice, charlie):
    page.post(ADDRESS, {"frequency": "1_hourly", "marketplace": "amazon.com", "tags": "Secret"})
    client.force_login(charlie)
    assert "Secret" not in client.get(ADD).content.decode()

    charlie.memberships.all().delete()
    Membership.objects.create(team=alice.teams.get(), user=charlie, role="viewer")
    assert client.get(ADDRESS).status_code == 403
    assert client.post(ADDRESS, {"frequency": "4_weekly", "marketplace": "amazon.com"}).status_code == 403
    assert Beginning.objects.get().frequency == "1_hourly"


@pytest.mark.parametrize(("text", "names"), [("", []), (" , ,", []), ("a，b, A", ["A", "b"]), ("x  y", ["x y"])])
def test_tags_are_named_with_commas(text, names):
    check_tags(text)
    assert names_of(text) == names
