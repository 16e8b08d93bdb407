"""The pictures of the sandbox's invented products, drawn for this project: each lies beside the SVG it was made of."""

from functools import cache
from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from amazon_pilot.sandbox import drift
from amazon_pilot.sandbox.assortment import PRODUCTS
from amazon_pilot.sandbox.wire import service

FOLDER = Path(__file__).parent / "drawn"
OF_AMAZON_COM = 16  # the templates of whatever is invented from an ASIN's letters, as in catalogue.product
KNOWN = {product.asin for product in PRODUCTS}


def drawn(asin: str) -> bytes:
    """Answer the picture of a product: its own, or that of the one from which the catalogue invents it."""
    if asin in KNOWN:
        return _read(asin)
    return _read(PRODUCTS[int(drift.chance(asin, "template") * OF_AMAZON_COM)].asin)


@cache
def _read(asin: str) -> bytes:
    return (FOLDER / f"{asin}.jpg").read_bytes()


@service
@require_GET
def picture(request: HttpRequest, name: str) -> HttpResponse:
    """Answer the picture that a listing names, as B0LAMP0001-1.jpg."""
    asin, _dash, number = name.removesuffix(".jpg").partition("-")
    if len(asin) != 10 or not asin.isalnum() or not number.isdecimal():
        raise Http404
    return HttpResponse(drawn(asin.upper()), content_type="image/jpeg")
