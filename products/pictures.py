"""The door to Amazon's pictures: an address that a listing names goes in, a small picture comes out, or PictureError.

An address is a stranger's text: only Amazon's own hosts for pictures are asked, over https, at a public address that
was checked and is then connected to, without redirects, for a bounded time and a bounded number of bytes.
"""

import ipaddress
import re
import socket
import time
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import httpcore2
from django.conf import settings

from amazon_pilot import outside
from notifications.addresses import SAFE_IN_PATH, is_public
from notifications.transports import Pinned, trusted

from .picture_kind import NoPictureError, kind_of

SECONDS, MOST_BYTES = 10.0, 200_000
HOSTS = ("media-amazon.com", "ssl-images-amazon.com", "images-amazon.com")
# The sandbox's listings name pictures there, which can be nobody (RFC 2606); the settings say where that is.
SANDBOX_HOST = "images.example"
# Amazon draws a picture in the size that stands before its ending: 71abc._AC_SL1500_.jpg, 71abc._SL160_.jpg.
SIZED = re.compile(r"(/images/[A-Z]/[^/.]+)(?:\.[^/]*)?\.(jpe?g|png|gif|webp)", re.IGNORECASE)
SMALL = "._SL160_."
# Statuses after which asking later may help.
BUSY = (408, 425, 429)


class PictureError(Exception):
    """There is no picture to show. `is_final` says that asking again will not help."""

    def __init__(self, reason: object, *, is_final: bool) -> None:
        super().__init__(str(reason))
        self.is_final = is_final


@dataclass(frozen=True)
class Place:
    """Where a picture is asked for; `is_ours` says that the settings name the host, and not a listing."""

    url: httpcore2.URL
    is_ours: bool = False

    @property
    def host(self) -> str:
        return self.url.host.decode("ascii")

    @property
    def port(self) -> int:
        return self.url.port or (443 if self.url.scheme == b"https" else 80)


def fetch(address: str) -> tuple[str, bytes]:
    """Return the kind and the bytes of the small picture behind an address. Raises PictureError."""
    place = where(address)
    with outside.calling("pictures"):
        content = _get(place, Pinned(_resolved(place), time.monotonic() + SECONDS))
    try:
        return kind_of(content), content
    except NoPictureError as error:
        raise PictureError(error, is_final=True) from error


def where(address: str) -> Place:
    """Return where the small picture behind a listing's address lies; raises PictureError for what is never asked."""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise PictureError(f"the address cannot be read: {error}", is_final=True) from error
    if host == SANDBOX_HOST and settings.SANDBOX_PICTURES_URL:
        return Place(httpcore2.URL(settings.SANDBOX_PICTURES_URL + quote(parts.path, SAFE_IN_PATH)), is_ours=True)
    is_amazon = any(host == known or host.endswith(f".{known}") for known in HOSTS)
    if parts.scheme != "https" or not is_amazon or not re.fullmatch(r"[a-z0-9.-]+", host):
        raise PictureError("not an https address of Amazon's pictures", is_final=True)
    if port not in (None, 443) or "@" in parts.netloc:
        raise PictureError("an address with a port or a password", is_final=True)
    path = small(quote(parts.path, SAFE_IN_PATH))
    return Place(httpcore2.URL(scheme="https", host=host, port=443, target=path or "/"))


def small(path: str) -> str:
    """Return the path of the same picture as a square of at most 160; what is not one of Amazon's stays as it is."""
    sized = SIZED.fullmatch(path)
    return f"{sized[1]}{SMALL}{sized[2]}" if sized else path


def _resolved(place: Place) -> str:
    """Return one IP address of the host; none when any of a stranger's lies in a private network."""
    try:
        found = [info[4][0] for info in socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise PictureError("the host's name is unknown", is_final=False) from error
    if not place.is_ours and not all(is_public(ipaddress.ip_address(str(one))) for one in found):
        raise PictureError("the host leads into a private network", is_final=False)
    return str(found[0])


def _get(place: Place, backend: httpcore2.NetworkBackend) -> bytes:
    headers: dict[bytes | str, bytes | str] = {"Accept": "image/*", "Accept-Encoding": "identity"}
    headers |= {"User-Agent": "Amazon-Pilot", "Host": place.host if place.port in (80, 443) else _named(place)}
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=trusted(), network_backend=backend) as pool,
            pool.stream("GET", place.url, headers=headers) as answer,
        ):
            if answer.status != 200:
                is_final = answer.status < 500 and answer.status not in BUSY
                raise PictureError(f"answered {answer.status}", is_final=is_final)
            return _bounded(answer)
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError) as error:
        raise PictureError(f"did not come ({type(error).__name__})", is_final=False) from error


def _named(place: Place) -> str:
    return f"{place.host}:{place.port}"


def _bounded(answer: httpcore2.Response) -> bytes:
    """Read an answer; whatever length it promised, no more than the bound is taken."""
    content = b""
    for part in answer.iter_stream():
        content += part
        if len(content) > MOST_BYTES:
            raise PictureError(f"more than {MOST_BYTES:,} bytes", is_final=True)
    return content
