"""Histories from files: read right or refused, kept apart from what was seen, private, and undone at one press."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from django.utils.timezone import now

from products import history_import
from products.charts import history
from products.history_import import WrongPoint, read_history, read_price, read_rank
from products.models import Import, ImportedPoint, Product, Snapshot, Tracking
from products.taking_in.tables import UnreadableFile
from tests.world import see

ONE = ("amazon.com", "B0LAMP0001")
PLAIN = "time,price,currency,rank\n2024-01-01T00:00:00Z,49.99,USD,120\n2024-01-02T00:00:00Z,,USD,130\n"


@pytest.fixture
def upload(client, alice, lamp):
    client.force_login(alice)
    address = reverse("products:import_history", args=ONE)
    return lambda data: client.post(address, {"file": SimpleUploadedFile("keepa.csv", data)}, follow=True)


def points(text, product, **more):
    return [(point.at.isoformat(), point.price, point.rank) for point in read_history(text.encode(), product)[0]]


MIDNIGHT = "2024-01-31T00:00:00+00:00"
ONE_POINT = [(MIDNIGHT, Decimal("1299.00"), 1200)]


@pytest.mark.parametrize(
    "text",
    [
        "time,price,currency,rank\n2024-01-31T00:00:00Z,1299.00,USD,1200",
        '"Time","Buy Box (USD)","Sales Rank"\n"2024-01-31 00:00","$1,299.00","1,200"',
        '"Date";"New";"Rang"\n31.01.2024;1.299,00;#1.200',
        "Keepa Time\tNew\tSales Rank\n6880320\t129900\t1200",
        "timestamp,amazon,bsr\n1706659200,1299,1200",
        "timestamp,price,bsr\n1706659200000,1299,1200.0",
        "2024-01-31,1299.00,USD,1200",
        "date,price,rank\n1/31/2024,USD 1299,1200",
        "日期,价格,货币,排名\n2024/01/31,1299,USD,1200",
        "some words first\n\ntime,price,rank\n2024-01-31T01:00:00+01:00,1299,1200",
        "time,amazon,new,buy box,rank\n2024-01-31,1,2,1299,1200",
    ],
)
def test_each_shape_of_a_history_is_read(lamp, text):
    assert points(text, lamp) == ONE_POINT


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_each_encoding_is_read(lamp, encoding):
    assert read_history(PLAIN.encode(encoding), lamp)[0][0].price == Decimal("49.99")


def test_times_without_a_zone_are_the_readers(lamp):
    with timezone.override("Asia/Shanghai"):
        assert points("time,price\n2024-01-31 08:00,1", lamp)[0][0] == "2024-01-31T08:00:00+08:00"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2024-13-01,1,USD,", "is not a time"),
        ("yesterday,1,USD,", "is not a time"),
        ("3/4/2024,1,USD,", "is not a time"),  # nobody knows which is the day
        ("1990-01-01,1,USD,", "before Amazon began"),
        ("2999-01-01,1,USD,", "in the future"),
        ("2024-01-01,1,EUR,", "prices of this product are in USD"),
        ("2024-01-01,€5,USD,", "not a price in USD"),
        ("2024-01-01,about 5,USD,", "not a price"),
        ("2024-01-01,-5,USD,", "not a price"),
        ("2024-01-01,1e5,USD,", "not a price"),
        ("2024-01-01,1.2345,USD,", "not a price"),
        ("2024-01-01,99999999,USD,", "not a price"),
        ("2024-01-01,,USD,0", "not a rank"),
        ("2024-01-01,,USD,-5", "not a rank"),
        ("2024-01-01,,USD,1.5", "not a rank"),
        ("2024-01-01,,USD,99999999999", "not a rank"),
        ("2024-01-01,,USD,", "neither a price nor a rank"),
        ("2024-02-02,1,USD,", "of the same time"),
        (",1,USD,", "is not a time"),
    ],
)
def test_a_wrong_line_is_named_and_its_neighbours_are_good(lamp, line, reason):
    text = f"time,price,currency,rank\n2024-02-02,1,USD,5\n{line}\n2024-02-03,2,USD,6"
    good, wrong, _columns = read_history(text.encode(), lamp)

    assert [point.number for point in good] == [2, 4]
    ((number, _text, said),) = wrong
    assert number == 3
    assert reason in said


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("49.99", "USD", "49.99"), ("49,99", "EUR", "49.99"), ("49,9", "EUR", "49.90"), ("1,299", "USD", "1299.00"),
        ("1.299", "EUR", "1299.00"), ("1.299.000,50", "EUR", "1299000.50"), ("1 299,00 zł", "PLN", "1299.00"),
        ("¥1,299", "JPY", "1299"), ("1299", "JPY", "1299"), ("R$ 5,00", "BRL", "5.00"), ("CDN$ 5", "CAD", "5.00"),
        ("-1", "USD", None), ("", "USD", None), ("n/a", "USD", None), ("1'299.00", "USD", "1299.00"),
    ],
)  # fmt: skip
def test_prices_never_grow_or_shrink_a_thousandfold(text, currency, amount):
    assert read_price(text, currency) == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    ("text", "rank"), [("1,204", 1204), ("#73", 73), ("1.204.500", 1_204_500), ("-1", None), ("", None)]
)
def test_ranks(text, rank):
    assert read_rank(text) == rank


@pytest.mark.parametrize(("cents", "currency", "amount"), [("4999", "USD", "49.99"), ("4999", "JPY", "4999")])
def test_keepas_own_numbers_are_in_the_smallest_unit(cents, currency, amount):
    assert read_price(cents, currency, is_in_cents=True) == Decimal(amount)
    with pytest.raises(WrongPoint):
        read_price("0", currency)


@pytest.mark.parametrize("text", ["a,b,c\n1,2,3", "price,rank\n1,2", "time\n2024-01-01", "time,price\n", ""])
def test_a_file_that_is_no_history_is_refused(lamp, text):
    with pytest.raises(UnreadableFile):
        read_history(text.encode(), lamp)


def test_an_import_names_what_was_refused_and_is_drawn(upload, alice, lamp):
    answer = upload(PLAIN.encode() + b"nonsense,1,USD,\n")

    text = answer.content.decode()
    assert "2 points imported" in text
    assert "is not a time" in text
    drawn = history(lamp, "all", lamp.trackings.get(team__members=alice))
    assert drawn["price"][:2] == [49.99, None]
    assert drawn["bsr"][:2] == [120, 130]
    assert drawn["imported"] == [True, True, True]  # the last runs on to now


def test_own_looks_are_never_overwritten(upload, alice, lamp):
    at = datetime(2024, 1, 1, 12, tzinfo=UTC)
    see(lamp, at, price=Decimal("30.00"))

    upload(PLAIN.encode())

    assert Snapshot.objects.get().price == Decimal("30.00")
    lamp.refresh_from_db()
    assert lamp.price == Decimal("30.00")
    drawn = history(lamp, "all", lamp.trackings.get(team__members=alice))
    assert drawn["price"][:2] == [30.0, None]  # the imported point of that day is left out
    assert drawn["imported"][:2] == [False, True]


def test_nobody_else_sees_what_was_imported(upload, client, charlie, lamp):
    Tracking.objects.create(team=charlie.teams.get(), product=lamp)
    upload(PLAIN.encode())

    assert history(lamp, "all", lamp.trackings.get(team__members=charlie))["price"] == []
    client.force_login(charlie)
    row = Import.objects.get()
    assert client.get(row.get_absolute_url()).status_code == 404
    assert client.post(reverse("products:undo_import", args=[row.pk])).status_code == 404
    exported = b"".join(client.get(reverse("products:history_export", args=ONE)).streaming_content)
    assert exported.count(b"\r\n") == 1


def test_undo_removes_its_points_and_no_others(upload, client, lamp):
    upload(PLAIN.encode())
    first = Import.objects.get()
    upload(b"time,price\n2023-01-01,5\n2024-01-01T00:00:00Z,6\n")

    client.post(reverse("products:undo_import", args=[first.pk]))

    assert sorted(ImportedPoint.objects.values_list("price", flat=True)) == [5, 6]
    assert Import.objects.get(pk=first.pk).state == "undone"


def test_history_is_imported_only_into_what_one_watches(client, charlie, lamp):
    client.force_login(charlie)
    address = reverse("products:import_history", args=ONE)

    assert client.get(address).status_code == 404
    assert client.post(address, {"file": SimpleUploadedFile("x.csv", PLAIN.encode())}).status_code == 404
    assert not ImportedPoint.objects.exists()


@pytest.mark.slow
@pytest.mark.parametrize("most", [5000, pytest.param(50_000, marks=pytest.mark.long)])
def test_as_many_points_as_are_allowed_go_in_and_one_more_is_refused(upload, lamp, monkeypatch, most):
    monkeypatch.setattr(history_import, "MOST_POINTS", most)
    began = now() - timedelta(days=2000)
    lines = [f"{(began + timedelta(minutes=30 * n)).isoformat()},{n % 90 + 10}.50,USD,{n + 1}" for n in range(most)]

    upload(("time,price,currency,rank\n" + "\n".join(lines)).encode())
    answer = upload(("time,price,currency,rank\n" + "\n".join([*lines, lines[0]])).encode())

    assert ImportedPoint.objects.count() == most
    assert answer.status_code == 422
    assert "50,000 lines" in answer.content.decode()
    assert len(history(Product.objects.get(), "all", Tracking.objects.get())["price"]) <= 1501
