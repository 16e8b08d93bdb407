"""What was misread once: each text is read right, or unknown, and never wrong."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from products import fields
from products.amazon import parse_money
from products.availability import parse_availability
from products.ranks import Rank, is_rank_label, parse_ranks

CASES = Path(__file__).parents[1] / "data" / "cases"
FIELDS = json.loads((CASES / "fields.json").read_text())


def check_availability(text: str, expected: str) -> None:
    state = parse_availability(text, has_price=True)
    assert state != expected.removeprefix("not ") if expected.startswith("not ") else state == expected


def check_rating(text: str, expected: str) -> None:
    assert fields.rating(text) == Decimal(expected.removesuffix(" or none"))


def check_ranks(text: str, expected: list[Any]) -> None:
    assert parse_ranks(text) == tuple(Rank(category, rank) for category, rank in expected)


CHECKS = {
    "availability": check_availability,
    "rating": check_rating,
    "ranks": check_ranks,
    "brand byline": lambda text, expected: _equal(fields.brand([], text), expected),
    "aboutProduct row name": lambda text, _: _equal(fields.brand([{"name": text, "value": "Quiroa"}], None), "Quiroa"),
    "price JPY": lambda text, _: _equal(parse_money(Decimal(text), "JPY"), None),
    "rank label": lambda text, _: _equal(is_rank_label(text), True),
}


def _equal(seen: object, expected: object) -> None:
    assert seen == expected


@pytest.mark.parametrize("case", FIELDS, ids=lambda case: case["id"])
def test_what_was_misread_is_read(case):
    CHECKS[case["kind"]](case["input"], case["expected"])


# One site of each language at least; the sentences are those that its pages show.
SITES = [
    ("4.4 out of 5 stars", "4.4"),
    ("4,6 von 5 Sternen", "4.6"),
    ("4,5 sur 5 étoiles", "4.5"),
    ("4,5 su 5 stelle", "4.5"),
    ("4,5 de 5 estrellas", "4.5"),
    ("4,5 de 5 estrelas", "4.5"),
    ("4,5 van 5 sterren", "4.5"),
    ("4,5 av 5 stjärnor", "4.5"),
    ("4,5 z 5 gwiazdek", "4.5"),
    ("5 yıldız üzerinden 4,5", "4.5"),
    ("4.5 من 5 نجوم", "4.5"),
    ("٤٫٥ من ٥ نجوم", "4.5"),
    ("5 में से 4.5 स्टार", "4.5"),
    ("5つ星のうち4.3", "4.3"),
    ("星5つ中の4.3", "4.3"),
    ("4.9 颗星，最多 5 颗星", "4.9"),
    ("５つ星のうち４．３", "4.3"),
    ("별 5개 중 4.5개", "4.5"),
    ("5 out of 5 stars", "5.0"),
    ("4.5/5", "4.5"),
]
SCALES = [
    "out of 5 stars",
    "von 5 Sternen",
    "5 yıldız üzerinden",
    "5つ星のうち",
    "5 में से",
    "5 stars 4 ratings",
    "/5",
    "من ٥ نجوم",
    "1 star of 10",
    "8 out of 10",
    "4.5 out of 10",
    "45 out of 50",
    "4.555.5",
    "5 ratings",
    "4 of 7 people",
    "12 von 5",
    "0 out of 5",
]


@pytest.mark.parametrize(("text", "stars"), SITES)
def test_a_rating_is_read_on_every_site(text, stars):
    assert fields.rating(text) == Decimal(stars)


@pytest.mark.parametrize("text", SCALES)
def test_a_scale_is_never_a_rating(text):
    assert fields.rating(text) is None


DENIED = [
    "Not in stock",
    "We don't know when or if this item will be back in stock.",
    "In stock soon",
    "In stock on March 3, 2027",
    "Currently unavailable",
    "No longer available",
    "Sold out",
    "Not available",
    "Wieder auf Lager: unbekannt",
    "Nicht lieferbar",
    "Ab 5. März auf Lager",
    "Bald wieder auf Lager",
    "Actuellement indisponible",
    "Bientôt en stock",
    "Pas en stock",
    "Plus disponible",
    "No disponible por el momento",
    "Pronto en stock",
    "Sin stock",
    "Esaurito",
    "Attualmente non disponibile",
    "Non è disponibile",
    "Presto disponibile",
    "Não disponível",
    "Indisponível no momento",
    "Em breve disponível",
    "Sem estoque",
    "Niet op voorraad",
    "Binnenkort op voorraad",
    "Uitverkocht",
    "Inte i lager",
    "Ej i lager",
    "Snart i lager",
    "Tillfälligt slut",
    "Niedostępny",
    "Produkt nie jest dostępny",
    "Wkrótce dostępny",
    "Brak w magazynie",
    "Şu anda mevcut değil",
    "Stokta yok",
    "Yakında stokta",
    "Tükendi",
    "غير متوفر حالياً",
    "نفدت الكمية",
    "قريباً متوفر",
    "उपलब्ध नहीं है",
    "स्टॉक में नहीं है",
    "अनुपलब्ध है",
    "在庫切れです",
    "在庫がありません",
    "在庫あり次第発送ではない",
    "现在无现货",
    "目前缺货",
    "暂时没有现货",
    "現貨售完",
    "재고 없음",
    "품절",
    "Available from these sellers",
    "Erhältlich bei diesen Anbietern. Auf Lager",
    "Disponible a través de estos vendedores.",
    "Disponibile presso questi venditori.",
]


@pytest.mark.parametrize("text", DENIED)
@pytest.mark.parametrize("shape", ["{}", "  {}!", "{} – Amazon"])
def test_a_denial_is_never_in_stock(text, shape):
    assert parse_availability(shape.format(text), has_price=True) not in ("in_stock", "low_stock")


OFFERED = [
    ("In Stock.", "in_stock"),
    ("Auf Lager", "in_stock"),
    ("En stock", "in_stock"),
    ("Disponibile", "in_stock"),
    ("Disponible", "in_stock"),
    ("Em estoque", "in_stock"),
    ("Disponível", "in_stock"),
    ("Op voorraad", "in_stock"),
    ("I lager", "in_stock"),
    ("Dostępny", "in_stock"),
    ("Stokta var", "in_stock"),
    ("متوفر", "in_stock"),
    ("स्टॉक में है", "in_stock"),
    ("在庫あり。", "in_stock"),
    ("现货", "in_stock"),
    ("재고 있음", "in_stock"),
    ("In Stock. Ships from and sold by Amazon.com.", "in_stock"),
    ("Only 3 left in stock (more on the way).", "low_stock"),
    ("Nur noch 2 auf Lager", "low_stock"),
    ("Solo quedan 3", "low_stock"),
    ("Apenas 3 em estoque", "low_stock"),
    ("Nog maar 3 op voorraad", "low_stock"),
    ("Endast 3 kvar i lager", "low_stock"),
    ("Pozostało tylko 3", "low_stock"),
    ("Stokta sadece 3 adet kaldı", "low_stock"),
    ("تبقى ٣ فقط", "low_stock"),
    ("केवल 3 बचे हैं", "low_stock"),
    ("残り３点", "low_stock"),
    ("Jetzt vorbestellen", "preorder"),
    ("En précommande", "preorder"),
    ("Em pré-venda", "preorder"),
    ("Ön sipariş verin", "preorder"),
]


@pytest.mark.parametrize(("text", "state"), OFFERED)
def test_an_offer_is_read_on_every_site(text, state):
    assert parse_availability(text, has_price=True) == state


RANKS = [
    ("#1,23,456 in Books (See Top 100 in Books) #12 in Yoga", [("Books", 123456), ("Yoga", 12)]),
    ("Nº 1.234 em Casa (Conheça o Top 100 na categoria Casa) Nº 5 em Luminárias", [("Casa", 1234), ("Luminárias", 5)]),
    ("Nr 1 234 w kategorii Dom (Zobacz Top 100 w kategorii Dom) Nr 5 w kategorii Lampy", [("Dom", 1234), ("Lampy", 5)]),
    ("#1 234 i Hem (Se Topp 100 i Hem) #5 i Lampor", [("Hem", 1234), ("Lampor", 5)]),
    ("#1,234 in Thuis (Top 100 in Thuis bekijken) #5 in Lampen", [("Thuis", 1234), ("Lampen", 5)]),
    ("#٧٣ في المنزل #١ في مصابيح", [("المنزل", 73), ("مصابيح", 1)]),
    ("가정에서 1,234위 (가정 제품 Top 100 보기) 램프에서 5위", [("가정", 1234), ("램프", 5)]),
    ("#5 Free in Kindle Store", [("Kindle Store", 5)]),
    ("#5 in 2 in 1 Laptops", [("2 in 1 Laptops", 5)]),
    ("#5 in Lamps Unknown Row: 12 in a box", []),
    ("1.5 in Lamps", []),
    ("#1,23 in Lamps", []),
]


@pytest.mark.parametrize(("text", "ranks"), RANKS)
def test_ranks_are_read_on_every_site(text, ranks):
    check_ranks(text, ranks)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,23,456 ratings", 123456),
        ("1,234個の評価", 1234),
        ("1 234 évaluations", 1234),
        ("١٬٢٣٤ تقييم", 1234),
        ("12.345 Bewertungen", 12345),
        ("1.2万", None),
        ("12 mil", None),
        ("3 Tsd.", None),
        ("4.6", None),
        ("1,2", None),
        ("1,23", None),
        ("2B", None),
        ("5 lakh", None),
        ("2 million", None),
    ],
)
def test_a_count_is_read_on_every_site(text, number):
    assert fields.count(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10K+ bought in past month", 10_000),
        ("過去1か月で1万点以上購入されました", 10_000),
        ("Plus de 100 achats le mois dernier", 100),
        ("Más de 2 mil compras el mes pasado", 2_000),
        ("Mehr als 1.000 Mal im letzten Monat gekauft", 1_000),
        ("1.5 bought in past month", None),
        ("2 of 3 bought in past month", None),
        ("10x bought in past month", None),
        ("Bought last week: 40", None),
    ],
)
def test_what_was_bought_in_a_month_is_a_lower_bound_or_unknown(text, number):
    assert fields.bought_past_month(text) == number
