"""The listing score: known inputs, known points."""

from decimal import Decimal

import pytest

from analysis.score import listing_score
from products.models import Product
from tests.world import NOON

FULL = {
    "content_seen_at": NOON,
    "title": "Desk Lamp with Clamp",
    "bullets": ["One.", "Two.", "Three.", "Four.", "Five."],
    "description": "x" * 300,
    "images": [f"https://images.example/{n}.jpg" for n in range(6)],
    "has_video": True,
    "review_count": 1500,
    "rating": Decimal("4.9"),
}


def points(**facts):
    score = listing_score(Product(**(FULL | facts)))
    return {part.name: part.points for part in score.parts} | {"total": score.total}


def test_a_perfect_listing_has_100():
    assert points()["total"] == 100


@pytest.mark.parametrize(
    ("facts", "part", "expected"),
    [
        ({"title": ""}, "title", 0),
        ({"title": "Lamp! Best"}, "title", 20),
        ({"title": "Lamp Lamp Lamp"}, "title", 20),
        ({"title": "the lamp the desk the arm"}, "title", 25),
        ({"title": "Best Seller Lamp"}, "title", 21),
        ({"title": "x" * 201}, "title", 19),
        ({"bullets": ["One.", "y" * 501]}, "bullets", 6),
        ({"bullets": []}, "bullets", 0),
        ({"description": "short"}, "description", 5),
        ({"images": ["a", "b"], "has_video": False}, "images", 6),
        ({"review_count": 99}, "reviews", 4),
        ({"review_count": 9}, "reviews", 0),
        ({"rating": Decimal("4.2")}, "rating", 5),
        ({"rating": Decimal("3.4")}, "rating", 0),
    ],
)
def test_each_rule_has_its_points(facts, part, expected):
    assert points(**facts)[part] == expected


def test_what_was_not_seen_is_left_out_and_the_rest_is_scaled():
    score = listing_score(Product(**(FULL | {"rating": None, "review_count": None, "images": []})))

    assert score.unseen == ["reviews", "rating"]
    assert score.total == round((25 + 20 + 10 + 2) * 100 / 75)


def test_a_product_never_seen_has_no_score():
    assert listing_score(Product()).total is None
