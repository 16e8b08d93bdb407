"""Files of sellers: every shape is read, wrong lines are named, good ones taken at one press, and all of it undone."""

import contextlib
import io
import time
import zipfile
from datetime import timedelta
from decimal import Decimal

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils.timezone import now

from products.amazon import MARKETPLACES
from products.models import Import, Product, Tracking
from products.taking_in import taking
from products.taking_in.columns import find_site
from products.taking_in.lines import Usual, cost_per_day, read_file
from products.taking_in.tables import UnreadableFile, read_table
from products.tasks import resume_unfinished, take_import
from tests.world import enqueued

USUAL = Usual("amazon.com", "own", "3_daily")
A, B = "B0SYN00001", "B0SYN00002"


def identities(data):
    return [wish.identity for wish in read_file(data, USUAL).good]


def workbook(rows, **more):
    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(row)
    for name, value in more.items():
        sheet[name] = value
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def csv_of(rows):
    return "\r\n".join(",".join(row) for row in rows).encode()


@pytest.fixture
def upload(client, alice):
    client.force_login(alice)

    def send(data, name="list.csv", **words):
        words = {"marketplace": "amazon.com", "role": "own", "frequency": "3_daily"} | words
        return client.post(reverse("products:look"), {"file": SimpleUploadedFile(name, data), **words}, follow=True)

    return send


# Names of columns as the programs write them; each file names the same two products.
HEADERS = {
    "plain": f"ASIN\n{A}\n{B}",
    "helium 10 xray": f'"Product Details","ASIN","URL","Price  US$"\n"A lamp, black",{A},x,"19.99"\n"b",{B},x,1',
    "keepa viewer": (
        f'"Locale","Title","Sales Rank: Current","ASIN","URL: Amazon"\n"com","t",5,"{A}",""\n"com","t",,"{B}",""'
    ),
    "jungle scout": f'Search Term: lamp\n\n"ASIN","Product Name","Brand","Price"\n"{A}","x","y","1"\n"{B}","x","y","1"',
    "seller central": f'item-name\tseller-sku\tasin1\tasin2\tproduct-id\nLamp 12"\tS\t{A}\t\t1\nb\tS\t{B}\t\t4',
    "seller central, german": f"Artikelbezeichnung\tHändler-SKU\tPreis\tASIN 1\nFür Büro\tS\t9,9\t{A}\nb\tS\t9,9\t{B}",
    "seller central, french": f"nom-produit\tsku-vendeur\tprix\tasin1\nLampe \xe9t\xe9\tS\t9,99\t{A}\nb\tS\t9,99\t{B}",
    "seller central, japanese": f"商品名\t出品者SKU\t価格\t数量\tasin1\nランプ\tS\t999\t1\t{A}\nb\tS\t999\t1\t{B}",
    "chinese": f"商品链接;站点;别名\nhttps://www.amazon.com/dp/{A};美国;灯\nhttps://www.amazon.com/dp/{B};US;",
    "addresses": f"Product URL,Alias\nhttps://www.amazon.com/x/dp/{A}?th=1,one\namazon.com/dp/{B},two",
    "excel's own separator": f"sep=;\r\nASIN;Alias\r\n{A};x\r\n{B};y",
    "texts as formulas": f'ASIN,Alias\n="{A}",x\n="{B}",y',
    "without names": f"{A}\n{B}",
    "without names, several columns": f"{A};My lamp;own\n{B};Another;own",
    "isbn that lost its zero": "ASIN\n306406152",
}
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "latin-1",
    "cp932",
    "gb18030",
]


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_programs_file_is_read_in_each_encoding_that_can_hold_it(name, encoding):
    try:
        data = HEADERS[name].encode(encoding)
    except UnicodeEncodeError:
        pytest.skip("this encoding has no such letters")

    reading = read_file(data, USUAL)

    expected = [("amazon.com", "0306406152")] if name.startswith("isbn") else [("amazon.com", A), ("amazon.com", B)]
    assert [wish.identity for wish in reading.good] == expected, reading.wrong
    assert reading.wrong == []


@pytest.mark.parametrize(
    ("encoding", "alias"),
    [("cp1252", "Lampe für Büro"), ("cp932", "卓上ランプ"), ("gb18030", "台灯"), ("utf-16-le", "名")],
)
def test_aliases_keep_their_letters(encoding, alias):
    data = f"ASIN\t商品名\tAlias\n{A}\tx\t{alias}".encode(encoding) if encoding != "cp1252" else (
        f"ASIN\tHändler-SKU\tAlias\n{A}\tx\t{alias}".encode(encoding)
    )  # fmt: skip

    assert read_file(data, USUAL).good[0].alias == alias


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_columns_say_marketplace_alias_role_and_frequency(separator):
    head = separator.join(["Alias", "Marketplace", "asin", "Role", "Frequency", "Cost"])
    line = separator.join(["My lamp", "DE", A.lower(), "Competitor", "hourly", "3"])

    (wish,) = read_file(f"{head}\n{line}".encode(), USUAL).good

    assert (wish.identity, wish.alias, wish.role, wish.frequency) == (
        ("amazon.de", A), "My lamp", "competitor", "1_hourly",
    )  # fmt: skip


@pytest.mark.parametrize("domain", MARKETPLACES)
def test_each_site_is_known_by_its_domain_its_ending_and_its_id(domain):
    names = [domain, f"www.{domain}", f"https://www.{domain}/", domain.removeprefix("amazon."), domain.upper()]
    assert {find_site(name) for name in [*names, MARKETPLACES[domain].marketplace_id]} == {domain}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{A[:-1]},DE,,", "is not an ASIN"),
        ("5012345678900,DE,,", "is not an ASIN"),
        (f"{A},Atlantis,,", "no Amazon site"),
        (f"{A},DE,friend,", "Write own or competitor"),
        (f"{A},DE,,yearly", "Write hourly"),
        (",DE,own,", "names no product"),
        ("9.78031E+12,DE,,", "is not an ASIN"),
        ("https://www.amazon.com.evil.example/dp/B0SYN00001,,,", "not an address on an Amazon site"),
    ],
)
def test_a_wrong_line_is_named_and_its_neighbours_are_good(line, reason):
    reading = read_file(f"ASIN,Marketplace,Role,Frequency\n{A},,,\n{line}\n{B},,,".encode(), USUAL)

    assert [wish.number for wish in reading.good] == [2, 4]
    ((number, _text, said),) = reading.wrong
    assert number == 3
    assert reason in said


def test_repeated_and_watched_lines_are_told(upload, alice, lamp):
    answer = upload(f"ASIN\n{A}\n{lamp.asin}\n{A}".encode())

    row = Import.objects.get()
    assert (len(row.good), len(row.repeated), len(row.watched)) == (1, 1, 1)
    text = answer.content.decode()
    assert "You watch it already." in text
    assert f"{A} stands in line 2." in text


def lines_of(size):
    lines = [["ASIN", "Alias"]]
    for number in range(size):
        asin = f"B0{number:08}" if number % 100 > 2 else f"wrong{number}"
        lines.append([asin, f"name {number}"])
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("size", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_of_each_hundred_lines_97_are_taken_and_the_3_wrong_ones_named(
    upload, client, kind, size, django_assert_max_num_queries
):
    data = csv_of(lines_of(size)) if kind == "csv" else workbook(lines_of(size))
    good, wrong = size * 97 // 100, size * 3 // 100

    answer = upload(data, f"list.{kind}")

    assert answer.status_code == 200
    assert Tracking.objects.count() == 0  # nothing before it was looked at
    row = Import.objects.get()
    assert (len(row.good), len(row.wrong)) == (good, wrong)
    assert [number for number, _text, _reason in row.wrong] == [
        number + 2 for number in range(size) if number % 100 <= 2
    ]
    assert f"{good:,}" in answer.content.decode()
    pages = "".join(client.get(row.get_absolute_url(), {"page": page}).content.decode() for page in (1, 2, 3))
    assert all(f"“wrong{number}”" in pages for number in range(size) if number % 100 <= 2)

    # SQLite takes a thousand values a statement; steps of 500 have the same number each.
    with django_assert_max_num_queries(size // 500 * 60):
        taken = client.post(reverse("products:take_import", args=[row.pk]), follow=True).content.decode()
        assert "500 of" in taken
        assert 'hx-trigger="every 1s"' in taken
        take_import(row.pk)

    text = client.get(row.get_absolute_url()).content.decode()
    assert f"{good:,}" in text
    assert "hx-trigger" not in text
    assert (Tracking.objects.count(), Product.objects.count()) == (good, good)
    assert Tracking.objects.get(product__asin="B000000005").alias == "name 5"


@pytest.mark.slow
def test_the_statements_of_each_500_lines_are_the_same(upload, client, django_assert_max_num_queries):
    counts = []
    for start, size in ((0, 500), (1000, 1000)):
        upload(csv_of([["ASIN"], *([f"B1{number:08}"] for number in range(start, start + size))]))
        row = Import.objects.first()
        with django_assert_max_num_queries(10_000) as captured:
            client.post(reverse("products:take_import", args=[row.pk]))
            take_import(row.pk)
        counts.append(len(captured))

    assert counts[1] <= 2 * counts[0]


def test_the_cost_of_a_day_is_told_before(upload, settings):
    settings.APIFY_USD_PER_RESULT = Decimal("0.50")
    answer = upload(f"ASIN,Frequency\n{A},hourly\n{B},daily".encode())

    text = answer.content.decode()
    assert "$12.50" in text
    assert "more than the budget of a day" in text


@pytest.mark.parametrize(
    ("frequency", "looks"), [("1_hourly", 24), ("2_six_hourly", 4), ("3_daily", 1), ("4_weekly", Decimal(1) / 7)]
)
def test_the_cost_follows_the_frequency(settings, frequency, looks):
    settings.APIFY_USD_PER_RESULT = Decimal("0.07")
    wishes = read_file(A.encode(), Usual("amazon.com", "own", frequency)).good

    assert round(cost_per_day(wishes), 6) == round(Decimal("0.07") * looks, 6)


def test_taking_twice_adds_once_and_asks_for_a_look_once_committed(upload, client, django_capture_on_commit_callbacks):
    upload(f"ASIN\n{A}\n{B}".encode())
    row = Import.objects.get()

    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("products:take_import", args=[row.pk]))
    assert [name for name, _args in enqueued()] == ["products.tasks.batch_update_products"]
    again = client.post(reverse("products:take_import", args=[row.pk]), follow=True)

    assert "taken before" in again.content.decode()
    assert Tracking.objects.count() == 2


def test_a_long_import_is_taken_step_by_step_by_whoever_is_there(
    upload, client, django_capture_on_commit_callbacks, monkeypatch
):
    monkeypatch.setattr("products.models.imports.AT_ONCE", 7)
    upload(csv_of([["ASIN"], *([f"B1{number:08}"] for number in range(40))]))
    row = Import.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("products:take_import", args=[row.pk]))
    assert ("products.tasks.take_import", [row.pk]) in enqueued()
    assert (Tracking.objects.count(), Import.objects.get().done) == (7, 7)

    first, other = Import.objects.get(), Import.objects.get()  # two jobs, after a worker was taken for lost
    assert first.move() == [*other.good[7:14]]
    assert first.keep_added([])
    Import.objects.update(done=7)
    assert taking.step(other)
    undone = client.post(reverse("products:undo_import", args=[row.pk]), follow=True)
    assert "still being taken" in undone.content.decode()

    Import.objects.update(taken_at=now() - timedelta(minutes=3))
    with django_capture_on_commit_callbacks(execute=True):
        resume_unfinished()
    assert enqueued().count(("products.tasks.take_import", [row.pk])) == 2
    assert take_import(row.pk) == "40 lines, 40 added, taken"
    assert take_import(row.pk) == "40 lines, 40 added, taken"
    row.refresh_from_db()
    assert sorted(row.added) == sorted(Tracking.objects.values_list("pk", flat=True))
    assert row.good == []
    assert row.undo() == 40


def test_a_step_that_breaks_off_is_taken_again_whole(upload, client, monkeypatch):
    monkeypatch.setattr("products.models.imports.AT_ONCE", 7)
    upload(csv_of([["ASIN"], *([f"B1{number:08}"] for number in range(20))]))
    row = Import.objects.get()
    client.post(reverse("products:take_import", args=[row.pk]))

    def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(taking, "tag", dies)
        with pytest.raises(RuntimeError):
            take_import(row.pk)

    row.refresh_from_db()
    assert (row.state, row.done, Tracking.objects.count()) == ("taking", 7, 7)
    take_import(row.pk)
    assert Tracking.objects.count() == 20


def test_undo_removes_just_what_the_import_added(upload, client, alice, charlie, lamp):
    kept = Product.objects.create(marketplace="amazon.com", asin=B)
    Tracking.objects.create(team=charlie.teams.get(), product=kept)
    upload(f"ASIN\n{A}\n{B}\n{lamp.asin}".encode())
    row = Import.objects.get()
    client.post(reverse("products:take_import", args=[row.pk]))
    assert Tracking.objects.filter(team=alice.teams.get()).count() == 3

    client.post(reverse("products:undo_import", args=[row.pk]))
    client.post(reverse("products:undo_import", args=[row.pk]))

    assert list(Tracking.objects.filter(team=alice.teams.get()).values_list("product", flat=True)) == [lamp.pk]
    assert Tracking.objects.filter(team=charlie.teams.get()).count() == 1
    assert Product.objects.get(asin=A).asked_at is None  # nobody pays for what nobody watches


def test_an_import_is_its_owners_alone_and_a_get_changes_nothing(upload, client, charlie):
    upload(f"ASIN\n{A}".encode())
    row = Import.objects.get()
    addresses = [reverse(f"products:{name}", args=[row.pk]) for name in ("take_import", "undo_import")]

    assert [client.get(address).status_code for address in addresses] == [405, 405]
    client.force_login(charlie)
    assert client.get(row.get_absolute_url()).status_code == 404
    assert [client.post(address).status_code for address in addresses] == [404, 404]
    assert Tracking.objects.count() == 0


def test_a_paste_can_be_looked_at_first(client, alice):
    client.force_login(alice)
    words = {"products": f"{A}\nnonsense", "marketplace": "amazon.de", "role": "own", "frequency": "3_daily"}

    answer = client.post(reverse("products:look"), words, follow=True)

    assert "nonsense" in answer.content.decode()
    assert Import.objects.get().good[0]["marketplace"] == "amazon.de"


def bomb(size):
    file = io.BytesIO(workbook([["ASIN"], [A]]))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings2.xml", b" " * size)
    return file.getvalue()


def with_entity():
    source, file = zipfile.ZipFile(io.BytesIO(workbook([["ASIN"], [A]]))), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in source.namelist():
            text = source.read(name)
            if name == "xl/workbook.xml":
                text = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + text
            archive.writestr(name, text)
    return file.getvalue()


def zip_of(**files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


HOSTILE = {
    "a bomb": lambda: bomb(200_000_000),
    "entities": with_entity,
    "no workbook": zip_of(a="b"),
    "a broken archive": b"PK\x03\x04" + b"x" * 1000,
    "an old file": b"\xd0\xcf\x11\xe0" + b"\0" * 600,
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0\x01" * 40,
    "nothing": b"",
    "blanks": b" \n\n\t\n",
    "a head alone": b"ASIN\n",
    "10,001 lines": b"ASIN\n" + b"B0SYN00001\n" * 10_001,
    "10 MB and more": b"x" * 10_000_001,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_table_is_refused_with_a_sentence_and_costs_no_time(upload, name):
    began = time.process_time()

    table = HOSTILE[name]
    answer = upload(table() if callable(table) else table, "list.xlsx")

    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    assert Import.objects.count() == 0
    assert time.process_time() - began < 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        b'"' * 500_000,
        b'ASIN\n"' + b"B0SYN00001\n" * 9000,
        b"\n" * 9_000_000,
        b"," * 3_000_000,
        b"ASIN\n" + b"x" * 5_000_000,
        b"\xff\xfe" * 100_000,
        b"ASIN\n" + b"\x00" * 100_000,
        "ASIN\n\ud800".encode("utf-8", "surrogatepass"),
        workbook([["ASIN"], [A]], XFD1048576="x"),
    ],
    ids=range(9),
)
def test_hostile_tables_end_soon_and_without_an_error_of_ours(data):
    began = time.process_time()
    with contextlib.suppress(UnreadableFile):
        read_file(data, USUAL)
    assert time.process_time() - began < 6


def test_a_quote_that_is_never_closed_swallows_no_lines():
    data = ("ASIN,Title\n" + "\n".join(f'B0{number:08},"x' for number in range(200))).encode()

    assert len(read_file(data, USUAL).good) == 200


def test_the_numbers_are_those_that_an_editor_shows():
    rows = read_table(b'ASIN,Title\n\n\nB0SYN00001,"two\nlines"\n\nB0SYN00002,x', 100)

    assert [row.number for row in rows] == [1, 4, 7]


def test_a_workbook_may_hold_numbers_dates_formulas_and_gaps():
    data = workbook([["ASIN", "x"], [306406152, 1.5], [None, None], [A, "=1+1"], [9780306406157.0, None]])

    assert identities(data) == [("amazon.com", "0306406152"), ("amazon.com", A)]
    assert read_file(data, USUAL).repeated == [(5, "0306406152 stands in line 2.")]


def test_what_was_never_taken_is_forgotten(upload, alice):
    for number in range(8):
        upload(f"ASIN\nB0SYN0000{number}".encode())

    assert Import.objects.count() == 5
    Import.objects.update(created_at="2026-01-01T00:00:00Z")
    assert Import.objects.prune() == 5


def test_tags_of_a_file_are_given_and_made_once(upload, client, alice):
    alice.teams.get().tags.create(name="Winter")
    upload(f"ASIN,Tags\n{A},winter; Client A\n{B},Client A\nB0SYN00003,\n".encode())
    client.post(reverse("products:take_import", args=[Import.objects.get().pk]))

    assert sorted(alice.teams.get().tags.values_list("name", flat=True)) == ["Client A", "Winter"]
    assert Tracking.objects.get(product__asin=A).tags.count() == 2
    assert Tracking.objects.get(product__asin=B).tags.count() == 1


def test_what_was_removed_a_moment_ago_comes_back_and_undo_removes_it_again(upload, client, lamp):
    Tracking.objects.filter(product=lamp).remove()
    upload(f"ASIN\n{lamp.asin}".encode())
    row = Import.objects.get()

    client.post(reverse("products:take_import", args=[row.pk]))
    assert Tracking.objects.filter(product=lamp).count() == 1
    client.post(reverse("products:undo_import", args=[row.pk]))

    assert not Tracking.everything.filter(product=lamp).exists()
