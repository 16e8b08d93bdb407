"""Hostile markets, each with the right reading beside it: no silly number is ever shown."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils.timezone import now

from analysis.facts import LATE, NotEnoughData, comparison_sheet, optimization_sheet
from products.models import Product

NOW = now().replace(microsecond=0)
DEAD = {"availability": "no_offer"}
OUT = {"availability": "unavailable"}
OLD = NOW - timedelta(days=90)


def product(number, price=None, bsr=None, rating=None, category="Lamps", at=NOW, **more):
    """A product, unsaved, that was seen at one time."""
    facts = {"title": f"Lamp {number}", "availability": "in_stock", "checked_at": NOW, "bsr_category": category}
    seen = dict.fromkeys(("price_seen_at", "bsr_seen_at", "rating_seen_at"), at)
    amounts = {"price": price and Decimal(price), "bsr": bsr, "rating": rating and Decimal(rating)}
    return Product(pk=number, marketplace="amazon.com", asin=f"B0LAMP000{number}", **(facts | seen | amounts | more))


def market(own, *others):
    """The numbers of a comparison: each product given by its facts, the own one first."""
    mine, *rest = [product(number, **facts) for number, facts in enumerate((own, *others))]
    return comparison_sheet(mine, rest).numbers


def prices(*amounts, own="100"):
    return [{"price": amount} if isinstance(amount, str) else amount for amount in (own, *amounts)]


pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("others", "reading"),
    [
        # Plain: the second cheapest of four, a tenth above the median.
        (("80", "110", "120"), {"median": "110", "place": 2, "of": 4, "gap_percent": "-9.1", "position": "lower"}),
        # One giant moves the mean, not the reading.
        (("95", "100", "9999"), {"median": "100", "place": 2, "of": 4, "shared_with": 1, "position": "competitive"}),
        # A dead offer, cheap or dear, is not there.
        (("90", "110", {"price": "1"} | DEAD), {"lowest": "90", "median": "100", "place": 2, "of": 3}),
        (("90", "110", {"price": "1"} | OUT), {"lowest": "90", "median": "100", "place": 2, "of": 3}),
        (({"price": "5"} | DEAD, {"price": "6"} | OUT, "50"), {"median": "50", "average": "50", "place": 2, "of": 2}),
        # An offer last seen long before the others is not there either.
        (("90", "110", {"price": "1", "at": OLD}), {"lowest": "90", "place": 2, "of": 3}),
        (("90", "110", {"price": "1", "at": NOW - LATE}), {"lowest": "1", "place": 3, "of": 4}),
        (("90", "110", {"price": "1", "at": NOW - LATE - timedelta(seconds=1)}), {"lowest": "90", "of": 3}),
        # Ties share a place.
        (("100", "100", "100"), {"place": 1, "of": 4, "shared_with": 3, "gap_percent": "0", "position": "competitive"}),
        (("50", "100", "150"), {"place": 2, "shared_with": 1}),
        # Of two with data only one has a price.
        (("80", {}), {"median": "80", "place": 2, "of": 2, "gap_percent": "25", "position": "higher"}),
        # The band is of the median, and both edges belong to it.
        (("95.24", "95.24"), {"position": "competitive", "gap_percent": "5"}),
        (("95.23", "95.23"), {"position": "higher"}),
        (("105.26", "105.26"), {"position": "competitive"}),
        (("105.27", "105.27"), {"position": "lower"}),
        ((*["100.00"] * 2, {"own": "105"}), {"own": "105", "gap_percent": "5", "position": "competitive"}),
        ((*["100.00"] * 2, {"own": "95"}), {"gap_percent": "-5", "position": "competitive"}),
        ((*["100.00"] * 2, {"own": "105.01"}), {"position": "higher"}),
        ((*["100.00"] * 2, {"own": "94.99"}), {"position": "lower"}),
        (("10.01", "10.02", {"own": "3"}), {"median": "10.02", "average": "10.02"}),  # 10.015, half to even
        (("10", "10", "10.01", {"own": "3"}), {"average": "10"}),
        (("10", "10.01", "10.01", {"own": "3"}), {"average": "10.01"}),
    ],
)
def test_a_price_is_set_beside_living_offers(others, reading):
    own = next((other["own"] for other in others if "own" in other), "100")
    numbers = market(*prices(*(other for other in others if "own" not in other), own=own))["price"]

    assert {name: numbers.get(name) for name in reading} == reading


@pytest.mark.parametrize(
    "own",
    [{"price": "100"} | DEAD, {"price": "100"} | OUT, {"price": "100", "at": OLD}, {}],
    ids=["dead", "out", "old", "none"],
)
def test_an_own_product_without_a_living_offer_has_no_place(own):
    numbers = market(own, {"price": "90"}, {"price": "110"})["price"]

    assert numbers["median"] == "100"
    assert not {"place", "position", "gap_percent"} & set(numbers)


@pytest.mark.parametrize("others", [[{}, {}], [{"price": "5"} | DEAD, {"price": "6"} | OUT]])
def test_without_any_living_offer_beside_it_a_price_is_only_a_price(others):
    assert market({"price": "100"}, *others)["price"] == {"own": "100"}


@pytest.mark.parametrize(
    ("own", "others", "reading"),
    [
        # #100 beside 50, 60, 70 and 5,000 is the fourth of five, not better than a mean of 1,295.
        (100, (50, 60, 70, 5000), {"median": "65", "place": 4, "of": 5, "position": "worse"}),
        (1, (2, 3, 4), {"place": 1, "of": 4, "position": "better", "best": 2, "worst": 4}),
        (110, (100, 100), {"position": "competitive"}),
        (111, (100, 100), {"position": "worse"}),
        (90, (100, 100), {"position": "competitive"}),
        (89, (100, 100), {"position": "better"}),
        (74, (74, 75), {"median": "75", "place": 1, "of": 3, "shared_with": 1}),  # 74.5 rounded half up
        (100, (100, 100, 1), {"place": 2, "of": 4, "shared_with": 2}),
    ],
)
def test_a_rank_is_a_place_beside_the_median(own, others, reading):
    numbers = market({"bsr": own}, *({"bsr": rank} for rank in others))["bsr"]

    assert {name: numbers.get(name) for name in reading} == reading


@pytest.mark.parametrize(
    "others",
    [
        [{"bsr": 5, "category": "Kettles"}, {"bsr": 6, "category": ""}],
        [{"bsr": 5} | DEAD, {"bsr": 6, "at": OLD}],
        [{}, {}],
    ],
)
def test_ranks_of_other_categories_dead_offers_and_other_times_have_no_common_measure(others):
    assert market({"bsr": 10}, *others)["bsr"] == {"own": 10, "category": "Lamps"}


def test_unknown_categories_are_not_the_same_category():
    assert "place" not in market({"bsr": 10, "category": ""}, *[{"bsr": 5, "category": ""}] * 2)["bsr"]


def test_ratings_have_a_median_and_the_best_comes_first():
    numbers = market({"rating": "4.2"}, {"rating": "4.4"}, {"rating": "4.6"} | DEAD, {"rating": "1.0"})["rating"]

    assert (numbers["median"], numbers["difference"]) == ("4.4", "-0.2")
    assert (numbers["place"], numbers["of"], numbers["shared_with"]) == (3, 4, 0)
    assert (numbers["highest"], numbers["lowest"]) == ("B0LAMP0002", "B0LAMP0003")


@pytest.mark.parametrize(
    ("counts", "most"), [((10, 2000), "B0LAMP0002"), ((None, None), None), ((None, 0), "B0LAMP0002")]
)
def test_the_most_reviews_are_of_somebody_who_was_counted(counts, most):
    others = [{"rating": "4.0", "review_count": count} for count in counts]

    assert market({"rating": "4.0"}, *others)["rating"].get("most_reviews") == most


def test_ratings_that_are_equal_share_a_place_and_are_rounded_to_a_hundredth():
    numbers = market({"rating": "4.2"}, {"rating": "4.2"}, {"rating": "4.3"})["rating"]

    assert (numbers["place"], numbers["of"], numbers["shared_with"]) == (2, 3, 1)
    assert (numbers["median"], numbers["difference"]) == ("4.25", "-0.05")


def test_a_difference_of_ratings_has_two_places():
    numbers = market({"rating": "4.3"}, {"rating": "4.1"}, {"rating": "4.4"})["rating"]

    assert (numbers["median"], numbers["difference"]) == ("4.25", "0.05")


def test_a_listing_is_told_by_its_first_twenty_bullets_and_a_rank_with_its_category():
    sheet, _score = optimization_sheet(product(0, "9", 73, bullets=[f"{n}" + "b" * 700 for n in range(10, 35)]))

    told = [fact["value"] for fact in sheet.facts if fact["name"] == "bullet"]
    assert told == [(f"{n}" + "b" * 700)[:600] for n in range(10, 30)]
    assert [fact["value"] for fact in sheet.facts if fact["name"] == "best sellers rank"] == ["73 in Lamps"]


def test_an_own_rating_of_long_ago_has_no_place():
    assert "place" not in market({"rating": "5.0", "at": OLD}, {"rating": "4.0"}, {"rating": "4.2"})["rating"]


def test_the_sheet_of_one_listing_has_its_score_and_what_costs_points():
    seen = {"description": "d" * 3001, "images": ["a", "b"], "content_seen_at": NOW, "review_count": 10}
    sheet, score = optimization_sheet(product(0, "9", **seen))
    told = {fact["name"]: fact["value"] for fact in sheet.facts}

    assert told["description"] == "d" * 3000
    assert (told["images"], told["listing score"], sheet.numbers["score"]) == (2, score.total, score.total)
    assert told["score of images"] == "6 of 20"
    assert "score of rating" not in told
    with pytest.raises(NotEnoughData, match="not been seen"):
        optimization_sheet(product(0, title=""))


def test_an_unrated_own_product_has_no_place():
    assert "place" not in market({}, {"rating": "4.0"}, {"rating": "4.2"})["rating"]


def test_who_is_left_out_is_said_and_each_figure_has_its_age():
    numbers = market({"price": "9"}, {"price": "8"} | DEAD, {"price": "7", "at": OLD}, {"price": "6"})

    assert numbers["gone"] == ["B0LAMP0001"]
    assert numbers["late"] == ["B0LAMP0002"]
    assert [row["counts"]["price"] for row in numbers["products"]] == [True, False, False, True]
    assert [row["price_seen_at"] for row in numbers["products"]] == [at.isoformat() for at in (NOW, NOW, OLD, NOW)]


def test_each_row_says_what_it_counts_for():
    numbers = market({"bsr": 9, "price": "9"}, {"bsr": 8, "price": "8"} | OUT, {"bsr": 7, "at": OLD, "price": "7"}, {})

    counts = [(row["is_gone"], row["counts"]["price"], row["counts"]["bsr"]) for row in numbers["products"]]
    assert counts == [(False, True, True), (True, False, False), (False, False, False), (False, True, True)]


FULL = {
    "title": "t" * 301, "brand": "b" * 101, "list_price": Decimal("12.50"), "bsr_category": "c" * 101,
    "review_count": 7, "bought_past_month": 50, "seller": "s" * 101, "bullets": [*(f"{n:02}" for n in range(20)), "x"],
}  # fmt: skip
TOLD = {
    "title": "t" * 300, "brand": "b" * 100, "price": "9.9 USD", "list price": "12.5 USD",
    "best sellers rank": f"8 in {'c' * 100}", "rating": "4.4", "review count": 7, "bought past month, at least": 50,
    "availability": "in_stock", "buy box seller": "s" * 100,
}  # fmt: skip


def test_each_fact_is_told_once_under_its_subject_with_an_id_of_its_own():
    mine = product(0, "9.90", bsr=8, rating="4.4", **FULL)
    sheet = comparison_sheet(mine, [product(1, "7", bullets=["y" * 601]), product(2)])

    own = {fact["name"]: fact["value"] for fact in sheet.facts if fact["subject"] == "own" and fact["name"] != "bullet"}
    bullets = [fact["value"] for fact in sheet.facts if fact["subject"] == "own" and fact["name"] == "bullet"]
    assert own == TOLD
    assert bullets == [f"{n:02}" for n in range(20)]
    assert [fact["id"] for fact in sheet.facts] == [f"F{n + 1}" for n in range(len(sheet.facts))]
    assert {fact["subject"] for fact in sheet.facts} == {"own", "B0LAMP0001", "B0LAMP0002", "comparison"}
    assert "y" * 600 in [fact["value"] for fact in sheet.facts]
    assert {"price", "list price", "best sellers rank", "rating"}.isdisjoint(
        fact["name"] for fact in sheet.facts if fact["subject"] == "B0LAMP0002"
    )
    assert {"own", "place", "of", "median"} <= {
        fact["name"].removeprefix("price ") for fact in sheet.facts if fact["name"].startswith("price ")
    }


def test_the_own_product_is_named_so_when_its_price_does_not_count():
    told = comparison_sheet(product(0, "9", **DEAD), [product(1, "8"), product(2, "7")]).facts

    assert ("own", "price is not current") in {(fact["subject"], fact["name"]) for fact in told}


def test_the_model_is_told_which_prices_do_not_count():
    mine, *rest = [product(0, "9"), product(1, "8", **DEAD), product(2, "7")]

    told = {(fact["subject"], fact["name"]) for fact in comparison_sheet(mine, rest).facts}

    assert ("B0LAMP0001", "price is not current") in told
    assert ("B0LAMP0002", "price is not current") not in told


@pytest.mark.parametrize("unseen", [{"title": ""}, {"checked_at": None}, {"title": "", "checked_at": None}])
def test_a_competitor_counts_as_seen_only_with_an_answer_and_a_title(unseen):
    with pytest.raises(NotEnoughData, match="Only 1"):
        market({"price": "9"}, {"price": "8"}, {"price": "7"} | unseen)

    numbers = market({"price": "9"}, {"price": "8"}, {"price": "8"}, {"price": "1"} | unseen)

    assert numbers["no_data"] == ["B0LAMP0003"]
    assert numbers["price"]["lowest"] == "8"
    assert len(numbers["products"]) == 4


def test_two_with_data_are_enough_and_the_own_product_must_have_been_seen():
    assert market({}, {}, {})["no_data"] == []
    with pytest.raises(NotEnoughData, match="Your own product"):
        market({"title": ""}, {}, {})


def test_texts_that_cannot_be_stored_do_not_reach_the_facts():
    mine = product(0, "9", title="a\ud83d\x00b", bullets=["\udc00c"], seller="\x00")
    sheet = comparison_sheet(mine, [product(1), product(2)])

    assert {"a\ud83d\x00b", "\udc00c"}.isdisjoint(str(fact["value"]) for fact in sheet.facts)
    assert sheet.numbers["products"][0]["title"] == "ab"
