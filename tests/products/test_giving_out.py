"""Files that sellers take with them: whole, their own rows only, and never a formula."""

import csv
import io
import re
import tracemalloc
from datetime import timedelta
from decimal import Decimal

import openpyxl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from analysis.models import Comparison
from products import workbook
from products.giving_out import as_csv, as_workbook, file_name, quoted
from products.models import Change, Frequency, Product, Role, ScrapeRun, Snapshot, Tracking
from products.taking_in.lines import Usual, read_file
from tests.world import NOON, see

pytestmark = pytest.mark.both

NASTY = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", '"=1', "'=1", "=HYPERLINK(\"https://evil.example\",\"x\")",
    "＝1", "＋1", "－1", "＠x", "a;=1", "a\t=1", "a\n=1", "a|=cmd", 'a;"=1', "-", "=", "=cmd|' /C calc'!A0",
]  # fmt: skip
SIGNS = tuple("=+-@\t\r＝＋－＠")


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


def content(answer):
    return b"".join(answer.streaming_content)


def rows_of(answer, kind="csv"):
    if kind == "csv":
        return list(csv.reader(io.StringIO(content(answer).decode("utf-8-sig"))))
    book = openpyxl.load_workbook(io.BytesIO(content(answer)))
    return [list(row) for sheet in book.worksheets for row in sheet.iter_rows(values_only=True)]


def book_of(rows):
    return openpyxl.load_workbook(io.BytesIO(b"".join(as_workbook(["a"] * 9, rows))))


@pytest.fixture
def addresses(lamp, competitors):
    one = {"marketplace": lamp.marketplace, "asin": lamp.asin}
    comparison = Comparison.objects.start(lamp.trackings.get().team, lamp, competitors[:3])
    return {
        "list": reverse("products:export"),
        "history": reverse("products:history_export", kwargs=one),
        "changes": reverse("products:changes_export"),
        "comparison": reverse("analysis:comparison_export", args=[comparison.pk]),
    }


@pytest.mark.parametrize("text", NASTY)
def test_no_spreadsheet_runs_a_text_of_a_csv_file_whatever_divides_its_cells(text):
    line = b"".join(as_csv(["a"], [[text, "x"]])).decode("utf-8-sig").splitlines(keepends=True)[1:]

    whole = "".join(line)
    for separator in ",;\t|":
        cells = [cell for row in csv.reader(io.StringIO(whole, newline=""), delimiter=separator) for cell in row]
        assert not [cell for cell in cells if cell.startswith(SIGNS)]


@pytest.mark.parametrize("text", NASTY)
def test_no_spreadsheet_runs_a_text_of_a_workbook(text):
    cell = book_of([[text]]).active["A2"]

    assert cell.data_type != "f"
    assert cell.quotePrefix or not text.lstrip(" \"'").startswith(SIGNS)
    assert cell.value.replace("\r", "\n").strip() == text.replace("\r", "\n").strip()


def test_numbers_stay_numbers():
    cells = [Decimal("-12.50"), 7, -3, None, True, NOON]

    assert [quoted(cell) for cell in cells] == ["-12.50", "7", "-3", "", "1", "2026-06-01T12:00:00Z"]
    row = book_of([cells]).active[2]
    assert [cell.value for cell in row[:6]] == [-12.5, 7, -3, None, True, NOON.replace(tzinfo=None)]


ODD = [
    "<b>&amp;\"'",
    "a\x00\x1fb",
    "_x003D_1",
    "x" * 40_000,
    "  blanks  ",
    "\ud83d",
    "\U0001f600",
    "\ufffe",
    "名\n行",
    "]]>",
]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_a_workbook_holds_any_text(text):
    value = book_of([[text]]).active["A2"].value

    text = text.replace("_x003D_", "_x005F_x003D_")  # the format's own way to write these seven signs
    assert value == re.sub("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe]", "", text)[:32_767]


def test_a_full_sheet_goes_on_in_the_next(monkeypatch):
    monkeypatch.setattr(workbook, "ROWS_OF_A_SHEET", 400)

    sheets = book_of([n] for n in range(1000)).worksheets

    assert [sheet.max_row for sheet in sheets] == [401, 401, 201]
    assert [sheet["A2"].value for sheet in sheets] == [0, 400, 800]


@pytest.mark.parametrize("name", ["../../etc/passwd", 'a"b\r\nX: y', "名", "", "x" * 500])
def test_a_files_name_is_safe(name):
    assert file_name(name).replace("-", "").isalnum()
    assert len(file_name(name)) <= 80


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_list_goes_out_and_comes_in_again(page, lamp, competitors, kind):
    see(lamp, title='=A lamp, "bright"\nand small')
    lamp.trackings.update(alias="-5 %")

    answer = page.get(reverse("products:export"), {"as": kind})

    data = content(answer)
    again = read_file(data, Usual("amazon.fr", "own", "1_hourly"))
    assert answer["Content-Disposition"] == f'attachment; filename="products.{kind}"'
    assert {wish.identity for wish in again.good} == {("amazon.com", f"B0LAMP000{number}") for number in range(1, 7)}
    assert {(wish.role, wish.frequency) for wish in again.good} == {("own", "3_daily"), ("competitor", "3_daily")}
    assert again.wrong == []


def test_the_list_is_narrowed_as_the_page_is(page, lamp, competitors):
    assert len(rows_of(page.get(reverse("products:export"), {"role": "own"}))) == 2
    assert len(rows_of(page.get(reverse("products:export"), {"q": "b0lamp0003"}))) == 2


def test_the_head_names_the_zone_and_times_are_utc(page, lamp):
    see(lamp)
    head, row = rows_of(page.get(reverse("products:export")))[:2]

    at = head.index("price seen at (UTC)")
    assert row[at] == "2026-06-01T12:00:00Z"


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_history_holds_every_look_in_the_order_of_time(page, lamp, addresses, kind):
    for day in (2, 0, 1):
        see(lamp, NOON + timedelta(days=day), price=Decimal(f"1{day}.00"))

    rows = rows_of(page.get(addresses["history"], {"as": kind}), kind)

    assert [Decimal(str(row[3])) for row in rows[1:]] == [10, 11, 12]
    assert "#1204 Tools" in rows[1][8]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_changes_go_out_with_numbers_as_numbers(page, lamp, addresses, kind):
    see(lamp)
    see(lamp, NOON + timedelta(days=1), price=Decimal("29.99"), seller="=evil()", seller_id="S2")

    rows = rows_of(page.get(addresses["changes"], {"as": kind}), kind)

    assert len(rows) == 1 + Change.objects.count() > 2
    price = next(row for row in rows if row[4] == "price")
    assert [str(price[6]), str(price[7]), price[8]] == ["49.99", "29.99", "USD"]
    assert any("=evil()" in str(row[7]) for row in rows)


def test_a_comparison_holds_the_own_product_first(page, addresses):
    rows = rows_of(page.get(addresses["comparison"]))

    assert [row[2] for row in rows[1:]] == ["own", "competitor", "competitor", "competitor"]


def test_another_users_rows_are_not_given_out(client, charlie, lamp, addresses):
    see(lamp)
    assert client.get(addresses["list"]).headers["Location"].startswith("/login/")
    client.force_login(charlie)

    assert [client.get(addresses[name]).status_code for name in ("history", "comparison")] == [404, 404]
    assert len(rows_of(client.get(addresses["list"]))) == len(rows_of(client.get(addresses["changes"]))) == 1


@pytest.mark.parametrize("name", ["list", "history", "changes", "comparison"])
def test_an_export_writes_nothing_and_refuses_other_forms_and_methods(page, lamp, addresses, name):
    see(lamp)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        for kind in ("csv", "xlsx"):
            content(page.get(addresses[name], {"as": kind}))

    assert not [one["sql"] for one in captured if one["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert page.get(addresses[name], {"as": "exe"}).status_code == 400
    assert page.post(addresses[name]).status_code == 405


@pytest.mark.slow
def test_five_hundred_rows_more_are_three_queries_more(page, alice):
    def queries(count):
        Tracking.objects.all().delete()
        products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(count)])
        Tracking.objects.watch(alice.teams.get(), products, Role.OWN, Frequency.DAILY)
        with CaptureQueriesContext(connection) as captured:
            content(page.get(reverse("products:export")))
        return len(captured)

    assert queries(2100) - queries(1100) == 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_memory_does_not_grow_with_the_rows(kind):
    def rows(count):
        return (
            ["B0SYN00001", f"a title that is not short {number}", number, Decimal("1.50"), NOON]
            for number in range(count)
        )

    def peak(count):
        tracemalloc.start()
        if kind == "csv":
            for _part in as_csv(["a"] * 5, rows(count)):
                pass
        else:
            for _part in as_workbook(["a"] * 5, rows(count)):
                pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(500)
    assert peak(8_000) < peak(2_000) * 1.5 + 300_000


@pytest.mark.slow
def test_the_first_lines_of_a_long_history_leave_before_the_last_are_read(page, lamp, addresses):
    runs = ScrapeRun.objects.bulk_create(
        [ScrapeRun(marketplace="amazon.com", state="ingested", cost_cap_usd=0, apify_id=f"x{n}") for n in range(2500)]
    )
    Snapshot.objects.bulk_create(
        Snapshot(product=lamp, scrape_run=run, taken_at=NOON + timedelta(minutes=n), currency="USD", availability="")
        for n, run in enumerate(runs)
    )
    answer = page.get(addresses["history"])
    with CaptureQueriesContext(connection) as captured:
        parts = iter(answer.streaming_content)
        first = [next(parts) for _ in range(3)]
        early = len(captured)
        rest = list(parts)

    assert early < len(captured)
    assert sum(part.count(b"\r\n") for part in [*first, *rest]) == 2501
