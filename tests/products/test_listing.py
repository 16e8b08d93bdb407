"""normalise: what each kind of actor item becomes, field by field."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from products import fields
from products.amazon import MARKETPLACES
from products.availability import parse_availability
from products.listing import Listing, Outcome, answers, normalise
from products.ranks import Rank, find_ranks, is_rank_label, parse_ranks

DATA = Path(__file__).parents[1] / "data"
ITEMS = json.loads((DATA / "apify_items.json").read_bytes(), parse_float=Decimal)
EXPECTED = json.loads((DATA / "apify_expected.json").read_bytes())
USA = MARKETPLACES["amazon.com"]


def item(number: int = 0, **changes: Any) -> dict[str, Any]:
    return ITEMS[number] | changes


def read(number: int = 0, **changes: Any) -> Listing:
    changed = item(number, **changes)
    return normalise(changed, marketplace=USA, asked=ITEMS[number]["asin"])


def plain(listing: Listing) -> dict[str, Any]:
    """The listing with decimals as text, as the expected values are written."""
    shown = {name: str(value) if isinstance(value, Decimal) else value for name, value in vars(listing).items()}
    return shown | {
        "warnings": list(listing.warnings),
        "ranks": [[rank.category, rank.rank] for rank in listing.ranks],
        "variants": list(listing.variants),
        "categories": list(listing.categories),
        "bullet_count": len(listing.bullets),
        "image_count": len(listing.images),
    }


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda row: f"{row['item']}-{row['asked']}")
def test_each_invented_item_becomes_the_expected_listing(expected):
    listing = normalise(ITEMS[expected["item"]], marketplace=MARKETPLACES[expected["domain"]], asked=expected["asked"])

    wanted = {name: value for name, value in expected.items() if name not in ("item", "asked", "domain")}
    assert listing.asin == expected["asked"]
    assert {name: plain(listing)[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "stars"),
    [
        ("4.4 out of 5 stars", "4.4"),
        ("4,6 von 5 Sternen", "4.6"),
        ("5つ星のうち4.3", "4.3"),
        ("5 つ星のうち 4.3", "4.3"),
        ("5つ星のうち5.0", "5.0"),
        ("4.9 顆星，最高 5 顆星", "4.9"),
        ("4,5 sur 5 étoiles", "4.5"),
        ("4,5 de 5 estrellas", "4.5"),
        ("4,5 su 5 stelle", "4.5"),
        ("4,5 van 5 sterren", "4.5"),
        ("4,5 z 5 gwiazdek", "4.5"),
        ("4.9 颗星，最多 5 颗星", "4.9"),
        ("4.8", "4.8"),
        (Decimal("4.5"), "4.5"),
        ("", None),
        (0, None),
        (None, None),
        ("0.0 out of 5 stars", None),
        ("12 von 5", None),
        (True, None),
    ],
)
def test_a_rating_is_read_in_the_languages_of_our_sites(text, stars):
    assert fields.rating(text) == (stars and Decimal(stars))


@pytest.mark.parametrize(
    ("text", "ranks"),
    [
        (
            "#73 in Office Products (See Top 100 in Office Products) #1 in Paper Trays",
            [("Office Products", 73), ("Paper Trays", 1)],
        ),
        (
            "#1,234 in Home & Kitchen (See Top 100 in Home & Kitchen) #3 in Bowls (Ceramic) #9 in Sets",
            [("Home & Kitchen", 1234), ("Bowls (Ceramic)", 3), ("Sets", 9)],
        ),
        ("#42 in Bowls (Ceramic) (See Top 100 in Bowls (Ceramic))", [("Bowls (Ceramic)", 42)]),
        (
            "#5 in Computers (See Top 100 in Computers) #3 in 2 in 1 Laptops",
            [("Computers", 5), ("2 in 1 Laptops", 3)],
        ),
        (
            "1,205,314 in Garden (See Top 100 in Garden) 88 in Watering Cans",
            [("Garden", 1205314), ("Watering Cans", 88)],
        ),
        (
            "Nr. 1.234 in Küche, Haushalt & Wohnen (Siehe Top 100 in Küche, Haushalt & Wohnen) Nr. 5 in Wasserkocher",
            [("Küche, Haushalt & Wohnen", 1234), ("Wasserkocher", 5)],
        ),
        (
            "1\u202f204\u00a0350 en Jardin (Voir les 100 premiers en Jardin) 1 307 en Arrosoirs",
            [("Jardin", 1204350), ("Arrosoirs", 1307)],
        ),
        (
            "nº2.405 en Hogar (Ver el Top 100 en Hogar) nº31 en Lámparas de mesa",
            [("Hogar", 2405), ("Lámparas de mesa", 31)],
        ),
        (
            "n. 2.405 in Casa e cucina (Visualizza i Top 100 nella categoria Casa e cucina) n. 31 in Lampade da tavolo",
            [("Casa e cucina", 2405), ("Lampade da tavolo", 31)],
        ),
        (
            "- 8,310位ホーム＆キッチン (ホーム＆キッチンの売れ筋ランキングを見る) - 45位デスクライト",
            [("ホーム＆キッチン", 8310), ("デスクライト", 45)],
        ),
        (
            "文房具 - 7,015位 (文房具の売れ筋ランキングを見る) 鉛筆 (文房具) - 62位",
            [("文房具", 7015), ("鉛筆 (文房具)", 62)],
        ),
        ("#640 在 家居 (請參閱 家居 前 100 名) #52 在 桌燈", [("家居", 640), ("桌燈", 52)]),
        ("#0 in Nothing", []),
        ("#7 in Lamps #9 in Lamps", [("Lamps", 7)]),
        ("Not ranked yet", []),
        ("", []),
    ],
)
def test_a_rank_text_is_read_by_the_grammar_of_its_language(text, ranks):
    assert parse_ranks(text) == tuple(Rank(category, rank) for category, rank in ranks)


@pytest.mark.parametrize(
    "label",
    [
        "Best Sellers Rank",
        " Amazon Best Sellers Rank: ",
        "\u200eAmazon Bestseller-Rang \u200f:",
        "Bestseller-Rang",
        "Classement des meilleures ventes d'Amazon",
        "Clasificación en los más vendidos de Amazon",
        "Posizione nella classifica Bestseller di Amazon",
        "Plaats in bestsellerlijst",
        "Ranking najlepiej sprzedających się",
        "Amazon 売れ筋ランキング",
        "売れ筋ランキング",
        "暢銷商品排名",
        "热销商品排名",
    ],
)
def test_the_rank_row_is_known_by_how_its_label_starts(label):
    assert is_rank_label(label)


@pytest.mark.parametrize("label", ["Wasserbeständigkeit", "Composizione della batteria", "Is best sellers rank", ""])
def test_a_label_that_merely_contains_the_words_is_not_the_rank_row(label):
    details = [{"name": label, "value": "#1 in Wrong Place"}, {"name": "Best Sellers Rank", "value": "#2 in Lamps"}]

    assert find_ranks(details) == (Rank("Lamps", 2),)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("In Stock", "in_stock"),
        ("現貨。", "in_stock"),
        ("Auf Lager", "in_stock"),
        ("En stock", "in_stock"),
        ("Disponible", "in_stock"),
        ("Disponibilità immediata", "in_stock"),
        ("在庫あり。", "in_stock"),
        ("现货", "in_stock"),
        ("Only 11 left in stock - order soon.", "low_stock"),
        ("Nur noch 3 auf Lager", "low_stock"),
        ("残り2点 ご注文はお早めに", "low_stock"),
        ("僅剩 4 件", "low_stock"),
        ("Available for Pre-order", "preorder"),
        ("Preorder now", "preorder"),
        ("Jetzt vorbestellen", "preorder"),
        ("予約受付中", "preorder"),
        ("Currently unavailable.", "unavailable"),
        ("Temporarily out of stock.", "unavailable"),
        ("Derzeit nicht verfügbar", "unavailable"),
        ("Nicht auf Lager", "unavailable"),
        ("Temporairement indisponible", "unavailable"),
        ("No disponible", "unavailable"),
        ("Non disponibile", "unavailable"),
        ("在庫切れ", "unavailable"),
        ("目前無法供應", "unavailable"),
        ("无货", "unavailable"),
        ("Ships from a far planet", "unknown"),
        ("", "unknown"),
    ],
)
def test_negative_phrases_win_over_the_positive_words_inside_them(text, state):
    assert parse_availability(text, has_price=True) == state


def test_without_a_known_phrase_and_without_a_price_there_is_no_offer():
    assert parse_availability("", has_price=False) == "no_offer"


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (1842, 1842),
        (0, 0),
        ("1,234 ratings", 1234),
        ("1.234 Sternebewertungen", 1234),
        ("1\u202f234 évaluations", 1234),
        ("7 ratings", 7),
        ("1.2K", None),
        ("12K ratings", None),
        (-3, None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_a_count_is_never_a_misread_abbreviation(raw, number):
    assert fields.count(raw) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10K+ bought in past month", 10_000),
        ("200+ bought in past month", 200),
        ("1.5K+ bought in past month", 1_500),
        ("Mehr als 100 Mal gekauft", None),
        (None, None),
    ],
)
def test_bought_past_month_is_a_lower_bound(text, number):
    assert fields.bought_past_month(text) == number


@pytest.mark.parametrize(
    ("line", "brand"),
    [
        ("Visit the Brimsett Store", "Brimsett"),
        ("Brand: Quillmark", "Quillmark"),
        ("品牌：Wexaro", "Wexaro"),
        ("Besuche den Varnhold-Store", "Varnhold"),
        ("ミナソルのストアを表示", "ミナソル"),
        ("Marke: Varnhold", "Varnhold"),
        ("Somebody & Sons", "Somebody & Sons"),
        ("", None),
        (None, None),
    ],
)
def test_a_brand_loses_the_words_around_it(line, brand):
    assert fields.brand([], line) == brand


@pytest.mark.parametrize("label", ["Brand", "Brand name", "\u200eMarke", "Marque", "品牌", "ブランド"])
def test_the_brand_row_wins_over_the_line_under_the_title(label):
    assert fields.brand([{"name": label, "value": "\u200eTrue"}], "Visit the Other Store") == "True"


def test_a_used_offer_never_becomes_the_price():
    listing = read(10)

    assert (listing.price, listing.used_price, listing.seller) == (None, Decimal("18.49"), None)


def test_a_price_in_another_currency_is_refused_and_the_rest_is_kept():
    listing = read(priceShippingInformation="€ 4,99 Versand")

    assert (listing.price, listing.list_price) == (None, None)
    assert listing.warnings == ("price in another currency: €",)
    assert listing.ranks


@pytest.mark.parametrize("price", ["19,99", "$19.99", [], {"amount": 3}])
def test_a_price_that_would_have_to_be_guessed_is_none(price):
    assert read(price=price).price is None


@pytest.mark.parametrize("key", sorted(set(ITEMS[0]) - {"asin", "title", "statusCode"}))
@pytest.mark.parametrize("odd", [None, [], {}, "", 12, True, [[None]], {"name": {}}, float("nan"), "x" * 5000])
def test_a_field_of_an_unexpected_type_costs_only_itself(key, odd):
    listing = read(**{key: odd})

    assert listing.outcome is Outcome.OK
    assert listing.title == ITEMS[0]["title"]


def test_missing_and_unknown_keys_are_tolerated():
    bare = {"statusCode": 200, "asin": "B0SYN00001", "title": "A lamp", "features": ["Bright."], "newKeyOfTomorrow": {}}

    listing = normalise(bare, marketplace=USA, asked="B0SYN00001")

    assert listing.outcome is Outcome.OK
    assert (listing.price, listing.rating, listing.ranks, listing.images) == (None, None, (), ())
    assert (listing.has_video, listing.deal, listing.review_count) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"statusCode": 404}, Outcome.NOT_FOUND),
        ({"statusCode": 200, "statusMessage": "PRODUCT_NOT_FOUND"}, Outcome.NOT_FOUND),
        ({"statusCode": 503}, Outcome.BLOCKED),
        ({"statusCode": None}, Outcome.BLOCKED),
        ({"error": "captcha"}, Outcome.BLOCKED),
        ({"#error": True}, Outcome.BLOCKED),
        ({"title": " "}, Outcome.BAD),
        ({"asin": None, "url": ""}, Outcome.BAD),
        ({"asin": "B0SYN00002"}, Outcome.MISMATCH),
    ],
)
def test_an_item_that_is_not_the_asked_product_has_no_facts(changes, outcome):
    listing = read(**changes)

    assert listing.outcome is outcome
    assert (listing.title, listing.price, listing.rating) == (None, None, None)


@pytest.mark.parametrize("title", ["Amazon.com", "Amazon.de: Robot Check", "Sorry! Something went wrong!", "A lamp"])
@pytest.mark.parametrize("empty", [None, "", [], 0])
def test_a_page_that_says_nothing_but_a_title_is_blocked(title, empty):
    bare = dict.fromkeys(ITEMS[0], empty) | {"statusCode": 200, "asin": "B0SYN00001", "title": title, "error": None}

    listing = normalise(bare, marketplace=USA, asked="B0SYN00001")

    assert (listing.outcome, listing.title, listing.warnings) == (Outcome.BLOCKED, None, ("no fact",))


def test_nothing_about_reviewers_is_kept():
    person = {"userName": "Jo Invented", "text": "I bought it", "profilePath": "/profile/jo"}
    aspect = {"name": "Clamp", "reviewSnippets": ["Jo Invented says"]}

    listing = read(
        reviews=[person],
        globalReviews=[person],
        reviewInsights={"summary": "Liked", "featureAspects": [aspect]},
        customerVoices=[person],
    )

    assert "Jo Invented" not in json.dumps(listing.raw)
    assert listing.raw["reviewInsights"]["summary"] == "Liked"


def test_the_raw_item_fits_json_without_a_float():
    listing = read(title="A\x00lamp", price=Decimal("34.99"))

    assert json.loads(json.dumps(listing.raw))["price"] == "34.99"
    assert listing.raw["title"] == listing.title == "Alamp"


def test_the_content_hash_changes_with_what_a_seller_writes_and_nothing_else():
    first = read()

    assert read(price=1, productRating="1.0", priceShippingInformation="").content_hash == first.content_hash
    assert read(features=["New"]).content_hash != first.content_hash
    assert read(title="New").content_hash != first.content_hash


def test_a_listing_is_cut_to_a_bounded_size():
    listing = read(title="t" * 9000, features=["b", " ", ""] * 40, imageUrlList=["https://i.example/1"] * 90)

    assert (len(listing.title or ""), len(listing.bullets), len(listing.images)) == (2000, 20, 30)


def test_a_batch_is_answered_in_the_order_asked_with_the_unanswered_as_missing():
    batch = [ITEMS[1], ITEMS[0], ITEMS[7]]

    listings = answers(batch, ["B0SYN00001", "B0SYN00002", "B0SYN00003", "B0SYN00008"], marketplace=USA)

    assert [(listing.asin, listing.outcome) for listing in listings] == [
        ("B0SYN00001", "ok"),
        ("B0SYN00002", "ok"),
        ("B0SYN00003", "missing"),
        ("B0SYN00008", "not_found"),
    ]


def test_the_one_item_left_over_is_the_mismatch_of_the_one_asin_unanswered():
    listings = answers([ITEMS[0], ITEMS[9]], ["B0SYN00001", "B0SYN00011"], marketplace=USA)

    assert [(listing.asin, listing.outcome) for listing in listings] == [
        ("B0SYN00001", "ok"),
        ("B0SYN00011", "mismatch"),
    ]


def test_items_that_nobody_asked_for_answer_no_asin():
    listings = answers([ITEMS[0], ITEMS[1], ITEMS[2]], ["B0SYN00001"], marketplace=USA)

    assert [listing.asin for listing in listings] == ["B0SYN00001", None, None]


def test_a_repeated_item_does_not_replace_a_good_one():
    listings = answers([ITEMS[0], item(statusCode=503), ["not an item"]], ["B0SYN00001"], marketplace=USA)

    assert listings[0].outcome is Outcome.OK
