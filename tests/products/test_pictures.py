"""Pictures: fetched once by the worker, kept, and shown by this site; a hostile one is no picture and harms nothing."""

import contextlib
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from amazon_pilot.sandbox.pictures import drawn
from products import pictures
from products.models import Picture, Product, Tracking
from products.models.picture import WAITS
from products.picture_kind import NoPictureError, kind_of
from products.pictures import PictureError, where
from products.tasks import fetch_pictures, resume_unfinished, update_product
from tests.world import answer_of as answered
from tests.world import enqueued, listing, run_jobs, started_run

pytestmark = pytest.mark.django_db(transaction=True)
JPEG = drawn("B0LAMP0001")
HTML = b"<html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def png(width: int, height: int) -> bytes:
    """Return a PNG of so many black dots, or one that says so."""
    dots = zlib.compress(b"".join(b"\0" + b"\0" * width for _row in range(height if height < 1000 else 1)))
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", dots), (b"IEND", b""))
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"\x2c" + bytes(20) + b"\x3b"


def webp(kind: bytes, head: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(head)) + head
    return b"RIFF" + struct.pack("<I", len(body)) + body


PICTURES = {
    "jpeg": JPEG,
    "png": png(160, 90),
    "gif": gif(160, 90),
    "webp lossy": webp(b"VP8 ", bytes(6) + struct.pack("<HH", 160, 90)),
    "webp lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 159 | 89 << 14)),
    "webp extended": webp(b"VP8X", bytes(4) + (159).to_bytes(3, "little") + (89).to_bytes(3, "little")),
}
NONE = {
    "nothing": b"",
    "html": HTML,
    "svg": SVG,
    "a comment in front of svg": b"<?xml version='1.0'?>" + SVG,
    "html behind four letters": b"GIF8" + HTML,
    "a script that calls itself gif": b"GIF89a=1;" + HTML,
    "a dot": gif(1, 1),
    "no width": png(0, 90),
    "a plane": png(50_000, 50_000),
    "a wide plane": webp(b"VP8X", bytes(4) + b"\xff\xff\xff" + b"\x59\0\0"),
    "half a jpeg": JPEG[: len(JPEG) // 2],
    "the head of a jpeg": JPEG[:20],
    "three bytes of a jpeg": JPEG[:3],
    "a jpeg that leads nowhere": b"\xff\xd8\xff\xe0\0\0" * 50,
    "half a png": png(160, 90)[:40],
    "half a webp": webp(b"VP8X", bytes(4) + (159).to_bytes(3, "little") + (89).to_bytes(3, "little"))[:-3],
    "a webp of no kind": webp(b"XXXX", bytes(30)),
    "a film": b"RIFF\x24\0\0\0AVI LIST" + bytes(30),
    "a document": b"%PDF-1.7" + bytes(100),
    "bytes packed with gzip": zlib.compress(JPEG, wbits=31),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_known_by_its_own_bytes(name):
    assert kind_of(PICTURES[name]) == name.split()[0]


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_picture_is_known_for_it(name):
    with pytest.raises(NoPictureError, match=r"\w+ \w+"):
        kind_of(NONE[name])


@pytest.mark.parametrize("name", PICTURES)
def test_no_prefix_of_a_picture_stops_the_reader(name):
    for length in range(len(PICTURES[name])):
        with contextlib.suppress(NoPictureError):
            kind_of(PICTURES[name][:length])


# Where a listing's address leads.

MEDIA, OLDER = "m.media-amazon.com", "images-na.ssl-images-amazon.com"
AMAZONS = [
    (f"https://{MEDIA}/images/I/71abc+D-L._AC_SL1500_.jpg", f"{MEDIA}/images/I/71abc+D-L._SL160_.jpg"),
    (f"https://{MEDIA}/images/I/71abc.jpg", f"{MEDIA}/images/I/71abc._SL160_.jpg"),
    (f"https://{OLDER}/images/I/51x._SX3,2_.png?x=1#y", f"{OLDER}/images/I/51x._SL160_.png"),
    (f"https://{MEDIA.upper()}:443/images/G/01/no.gif", f"{MEDIA}/images/G/01/no.gif"),
    (f"https://{MEDIA}/images/I/a b\r\nX: y.jpg", f"{MEDIA}/images/I/a%20bX:%20y._SL160_.jpg"),
    (f"https://{MEDIA}", f"{MEDIA}/"),
]
NEVER = [
    "",
    "x",
    "71abc.jpg",
    "//m.media-amazon.com/images/I/71abc.jpg",
    "http://m.media-amazon.com/images/I/71abc.jpg",
    "ftp://m.media-amazon.com/x.jpg",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "https://m.media-amazon.com:8443/x.jpg",
    "https://m.media-amazon.com:99999/x.jpg",
    "https://me@m.media-amazon.com/x.jpg",
    "https://m.media-amazon.com@127.0.0.1/x.jpg",
    "https://m.media-amazon.com.evil.example/x.jpg",
    "https://evilmedia-amazon.com/x.jpg",
    "https://evil.example/m.media-amazon.com/x.jpg",
    "https://127.0.0.1/x.jpg",
    "https://[::1]/x.jpg",
    "https://[::1/x.jpg",
    "https://169.254.169.254/latest/meta-data/",
    "https://x%00.media-amazon.com/x.jpg",
    "https://ümlaut.media-amazon.com/x.jpg",
    "https://images.example.com/x.jpg",
]


@pytest.mark.parametrize(("address", "asked"), AMAZONS)
def test_amazons_own_hosts_are_asked_for_the_small_picture(address, asked):
    place = where(address)

    assert (place.url.scheme, place.is_ours, place.port) == (b"https", False, 443)
    assert place.host + place.url.target.decode() == asked


@pytest.mark.parametrize("address", NEVER)
def test_nobody_else_is_ever_asked(address):
    with pytest.raises(PictureError) as refused:
        pictures.fetch(address)

    assert refused.value.is_final


def test_the_sandbox_s_host_is_nobody_where_there_is_no_sandbox(settings):
    settings.SANDBOX_PICTURES_URL = ""

    with pytest.raises(PictureError, match="Amazon"):
        where("https://images.example/B0LAMP0001-1.jpg")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00:ec2::254", "64:ff9b::7f00:1"]
)
@pytest.mark.parametrize("beside", [[], ["52.84.1.1"]], ids=["alone", "beside a public one"])
def test_a_name_of_amazons_that_leads_into_a_private_network_is_not_connected_to(monkeypatch, address, beside):
    found = [(0, 0, 0, "", (one, 443)) for one in (*beside, address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: pytest.fail("it was connected to"))

    with pytest.raises(PictureError, match="private network"):
        pictures.fetch("https://m.media-amazon.com/images/I/71abc.jpg")


# What a server may answer.

OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
FINAL, LATER, KEPT = "never again", "later", "kept"
ANSWERS = {
    "good": (OK % len(JPEG) + JPEG, KEPT),
    "without a length": (b"HTTP/1.1 200 OK\r\n\r\n" + JPEG, KEPT),
    "more than it promised": (OK % len(JPEG) + JPEG + HTML, KEPT),
    "called a text": ((OK % len(JPEG)).replace(b"image/jpeg", b"text/html") + JPEG, KEPT),
    "less than it promised": (OK % 10_000_000 + JPEG, LATER),
    "half of it promised": (OK % (len(JPEG) // 2) + JPEG, FINAL),
    "html": (OK % len(HTML) + HTML, FINAL),
    "svg": (OK % len(SVG) + SVG, FINAL),
    "a plane": (OK % len(png(50_000, 50_000)) + png(50_000, 50_000), FINAL),
    "nothing": (OK % 0, FINAL),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", FINAL),
    "not found": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", FINAL),
    "redirect to loopback": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", FINAL),
    "redirect to a file": (b"HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", FINAL),
    "busy": (b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", LATER),
    "broken": (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", LATER),
    "garbage": (b"\x16\x03\x01 what is this\r\n\r\n", LATER),
    "hang up": (b"", LATER),
    "a wrong length": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + JPEG, LATER),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n" + JPEG, LATER),
    "endless": (b"HTTP/1.1 200 OK\r\n\r\n" + JPEG, FINAL),
    "endless head": (b"HTTP/1.1 200 OK\r\nX: ", LATER),
    "drip": (b"HTTP/1.1 200 OK\r\n\r\n", LATER),
    "silent": (b"", LATER),
}  # fmt: skip


def behave(connection: socket.socket, name: str) -> None:
    """Answer one request as the case says."""
    with connection, contextlib.suppress(OSError):
        connection.recv(65536)
        connection.sendall(ANSWERS[name][0])
        while name.startswith("endless"):
            connection.sendall(b"x" * 65536)
        for _turn in range(30 if name in ("drip", "silent") else 0):
            time.sleep(0.1)
            connection.sendall(b"x" if name == "drip" else b"")


@pytest.fixture
def answers(settings, sandbox, monkeypatch) -> Iterator[dict[str, str]]:
    """A server of raw bytes in the place of the sandbox's pictures; the case is chosen by `name`."""
    chosen = {"name": "good"}
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                behave(listener.accept()[0], chosen["name"])

    threading.Thread(target=accept, daemon=True).start()
    settings.SANDBOX_PICTURES_URL = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(pictures, "SECONDS", 0.4)
    yield chosen
    listener.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_comes_of_a_picture_the_product_is_updated(lamp, answers, name):
    answers["name"] = name
    update_product(lamp.pk)
    ran = run_jobs(also_delayed=True)

    lamp.refresh_from_db()
    assert (lamp.last_outcome, lamp.failures) == ("ok", 0)
    assert lamp.price
    assert ran.count("fetch_pictures") == 1
    row, (_answer, told) = Picture.objects.get(), ANSWERS[name]
    assert bool(row.kind) == bool(lamp.picture) == (told == KEPT)
    assert bool(row.error) == (told != KEPT)
    assert bool(row.due_at) == (told == LATER)
    assert len(row.content) == (len(JPEG) if told == KEPT else 0)


def test_what_does_not_come_waits_longer_each_time_and_ends(lamp, answers):
    answers["name"] = "broken"
    row = wanted(lamp)
    for wait in WAITS:
        fetch_pictures([lamp.pk])
        row.refresh_from_db()
        assert timedelta(0) <= now() + wait - row.due_at < timedelta(minutes=1)
        fetch_pictures([lamp.pk])  # before its time
        Picture.objects.update(due_at=now())
    attempts = Picture.objects.get().attempts
    fetch_pictures([lamp.pk])

    row.refresh_from_db()
    assert (attempts, row.due_at, row.error) == (3, None, "answered 500")


@pytest.mark.parametrize("error", [RuntimeError("odd"), UnicodeError("odd"), RecursionError(), MemoryError()], ids=repr)
def test_whatever_is_raised_it_is_not_tried_for_ever(lamp, answers, monkeypatch, error):
    row = wanted(lamp)

    def breaks(address):
        raise error

    monkeypatch.setattr(pictures, "fetch", breaks)
    for _attempt in range(len(WAITS) + 1):
        with pytest.raises(type(error)):  # the job fails, where its operators see it
            fetch_pictures([lamp.pk])
        Picture.objects.exclude(due_at=None).update(due_at=now())

    row.refresh_from_db()
    assert (row.due_at, row.error) == (None, type(error).__name__)
    assert fetch_pictures([lamp.pk]) == "0 of 0 pictures kept"


def test_a_picture_stays_until_its_better_has_come(lamp, answers):
    wanted(lamp)
    fetch_pictures([lamp.pk])
    answers["name"] = "html"
    Picture.objects.want_all([(lamp.pk, "https://images.example/other.jpg", Picture.objects.get().source)])
    fetch_pictures([lamp.pk])

    row = Picture.objects.get()
    assert (bytes(row.content), row.source, row.kind) == (JPEG, "https://images.example/other.jpg", "jpeg")
    assert Product.objects.get(pk=lamp.pk).picture


def wanted(product: Product, address: str = "https://images.example/B0LAMP0001-1.jpg") -> Picture:
    Picture.objects.want_all([(product.pk, address, None)])
    return Picture.objects.get(product=product)


# When it is fetched.


def look(product: Product, *addresses: str) -> list[int]:
    run = started_run([product])
    run.ingest(answered(listing(asin=product.asin, images=addresses)))
    return Picture.objects.want(run)


def test_the_same_address_is_asked_for_once(lamp):
    one, other = "https://images.example/1.jpg", "https://images.example/2.jpg"

    assert look(lamp, one, other) == [lamp.pk]
    assert look(lamp, one) == []
    assert look(lamp) == []
    assert look(lamp, other, one) == [lamp.pk]
    assert Picture.objects.get().source == other


@pytest.mark.parametrize("address", ["", " ", "x" * 501, "\N{PILE OF POO}"])
def test_an_odd_address_harms_no_look(lamp, address):
    look(lamp, address)
    run_jobs()

    assert Product.objects.get(pk=lamp.pk).last_outcome == "ok"
    assert not Product.objects.get(pk=lamp.pk).picture


@pytest.mark.parametrize("count", [1, 5])
def test_a_run_asks_what_is_wanted_in_as_many_queries_for_any_number(
    lamp, competitors, django_assert_num_queries, count
):
    products = [lamp, *competitors][:count]
    run = started_run(products)
    run.ingest(answered(*(listing(asin=one.asin) for one in products)))

    with django_assert_num_queries(4):  # a transaction around the writing
        assert len(Picture.objects.want(run)) == count
    with django_assert_num_queries(1):
        assert Picture.objects.want(run) == []


def test_of_two_jobs_one_fetches(lamp, sandbox):
    first, second = wanted(lamp), Picture.objects.get()

    assert (first.claim(), second.claim()) == (True, False)
    assert fetch_pictures([lamp.pk]) == "0 of 0 pictures kept"
    assert sandbox.count("GET", ".jpg") == 0


def test_what_a_killed_job_had_is_found_again(lamp, sandbox):
    wanted(lamp).claim()
    resume_unfinished()
    assert "products.tasks.fetch_pictures" not in [name for name, _args in enqueued()]

    Picture.objects.update(due_at=now() - timedelta(minutes=6))
    resume_unfinished()
    run_jobs()
    assert Product.objects.get(pk=lamp.pk).picture


def test_a_picture_at_which_each_job_is_killed_is_given_up(lamp, sandbox):
    row = wanted(lamp)
    for _killed in range(len(WAITS) + 1):
        row.refresh_from_db()
        assert row.claim()
        Picture.objects.update(due_at=now())

    assert fetch_pictures([lamp.pk]) == "0 of 1 pictures kept"
    row.refresh_from_db()
    assert (row.due_at, row.error) == (None, "each attempt was ended from outside")
    assert sandbox.count("GET", ".jpg") == 0


def test_where_no_pictures_are_wished_nobody_is_asked(lamp, sandbox, settings):
    settings.PICTURES = False
    wanted(lamp, "https://images.example/before.jpg")
    Picture.objects.update(due_at=now() - timedelta(days=1))

    assert look(lamp, "https://images.example/B0LAMP0001-1.jpg") == []
    resume_unfinished()
    assert "fetch_pictures" not in run_jobs()


def test_slow_sites_hold_a_job_up_only_for_a_while(lamp, competitors, sandbox, monkeypatch):
    monkeypatch.setattr("products.tasks.FETCHING_SECONDS", -1)
    rows = [(one.pk, f"https://images.example/{one.asin}-1.jpg", None) for one in competitors]
    ids = Picture.objects.want_all(rows)

    assert fetch_pictures(ids) == "0 of 0 pictures kept, 5 left to another job"
    monkeypatch.setattr("products.tasks.FETCHING_SECONDS", 60)
    run_jobs()
    assert Product.objects.exclude(picture="").count() == 5


# Who is shown it.


@pytest.fixture
def shown(lamp, sandbox, alice):
    """A client of Alice, whose lamp has its picture."""
    update_product(lamp.pk)
    run_jobs()
    lamp.refresh_from_db()
    client = Client()
    client.force_login(alice)
    return client


def test_members_are_served_the_kept_bytes(shown, lamp):
    answer = shown.get(lamp.picture_url)

    assert answer.content == JPEG
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert {"private", "immutable", "max-age=2592000"} <= set(answer.headers["Cache-Control"].split(", "))


def test_nobody_else_is(shown, lamp, charlie, alice):
    stranger = Client()
    assert stranger.get(lamp.picture_url).status_code == 302
    stranger.force_login(charlie)
    assert stranger.get(lamp.picture_url).status_code == 404
    Tracking.objects.filter(product=lamp).remove()
    assert shown.get(lamp.picture_url).status_code == 404


def test_a_product_without_a_picture_has_a_drawn_tile_and_no_address(client, alice, lamp):
    client.force_login(alice)

    assert 'class="tile hue-' in client.get(reverse("products:list")).content.decode()
    assert client.get(reverse("products:picture", args=[lamp.marketplace, lamp.asin])).status_code == 404


@pytest.mark.parametrize("name", ["home", "list", "changes"])
def test_the_pages_show_it_from_this_site_and_ask_no_more_for_it(shown, lamp, name, django_assert_num_queries):
    see_it_cheaper(lamp)
    page = reverse(f"products:{name}")
    shown.get(page)
    with CaptureQueriesContext(connection) as with_it:
        body = shown.get(page).content.decode()
    assert f'<img src="{lamp.picture_url}" alt=""' in body
    assert "images.example" not in body
    Product.objects.update(picture="")
    with django_assert_num_queries(len(with_it)):
        assert lamp.picture_url not in shown.get(page).content.decode()


def test_the_product_s_page_shows_it(shown, lamp):
    assert lamp.picture_url in shown.get(lamp.get_absolute_url()).content.decode()


def see_it_cheaper(product: Product) -> None:
    started_run([product]).ingest(answered(listing(asin=product.asin, price=Decimal("9.99")), at=now()))
