"""The listing score: known inputs, known points."""

from decimal import Decimal

import pytest

from analysis.score import FREE_TO_REPEAT, PROMOTIONAL, listing_score
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
        ({"title": "x" * 200}, "title", 25),
        ({"title": "Lamp Lamp"}, "title", 25),
        ({"title": "LAMP lamp Lamp"}, "title", 20),
        ({"title": "..."}, "title", 25),
        *(({"title": f"Lamp {sign} x"}, "title", 20) for sign in "!$?_{}^¬¦"),
        *(({"title": f"Lamp {words.title()}"}, "title", 21) for words in PROMOTIONAL if not {*words} & {*"!$?"}),
        *(({"title": f"{word} x {word} y {word}"}, "title", 25) for word in sorted(FREE_TO_REPEAT)),
        ({"title": "Lamp! Best"}, "title", 20),
        ({"title": "Lamp Lamp Lamp"}, "title", 20),
        ({"title": "the lamp the desk the arm"}, "title", 25),
        ({"title": "Best Seller Lamp"}, "title", 21),
        ({"title": "x" * 201}, "title", 19),
        ({"bullets": ["One.", "y" * 501]}, "bullets", 6),
        ({"bullets": []}, "bullets", 0),
        ({"bullets": ["One."]}, "bullets", 8),
        ({"bullets": ["One."] * 4}, "bullets", 17),
        ({"bullets": ["One."] * 6}, "bullets", 20),
        ({"bullets": ["y" * 500]}, "bullets", 8),
        ({"bullets": ["y" * 501]}, "bullets", 3),
        ({"description": "short"}, "description", 5),
        ({"description": ""}, "description", 0),
        *(({"description": "x" * size}, "description", points) for size, points in
          ((199, 5), (200, 10), (2000, 10), (2001, 5))),
        *(({"images": ["a"] * count, "has_video": None}, "images", min(count, 6) * 3) for count in range(9)),
        ({"images": [], "has_video": True}, "images", 2),
        ({"images": ["a", "b"], "has_video": False}, "images", 6),
        *(({"review_count": count}, "reviews", points) for count, points in
          ((0, 0), (9, 0), (10, 4), (99, 4), (100, 8), (499, 8), (500, 12), (999, 12), (1000, 15), (10**6, 15))),
        *(({"rating": Decimal(stars)}, "rating", points) for stars, points in
          (("0", 0), ("3.4", 0), ("3.5", 2), ("3.9", 2), ("4.0", 5), ("4.2", 5), ("4.3", 8), ("4.7", 8), ("4.8", 10),
           ("5.0", 10))),
    ],
)  # fmt: skip
def test_each_rule_has_its_points(facts, part, expected):
    assert points(**facts)[part] == expected


def test_what_was_not_seen_is_left_out_and_the_rest_is_scaled():
    score = listing_score(Product(**(FULL | {"rating": None, "review_count": None, "images": []})))

    assert score.unseen == ["reviews", "rating"]
    assert score.total == round((25 + 20 + 10 + 2) * 100 / 75)


def test_each_part_has_its_weight_and_they_make_a_hundred():
    parts = listing_score(Product(**FULL)).parts

    assert {part.name: part.most for part in parts} == {
        "title": 25, "bullets": 20, "description": 10, "images": 20, "reviews": 15, "rating": 10,
    }  # fmt: skip
    assert sum(part.most for part in parts) == sum(part.points for part in parts) == 100


@pytest.mark.parametrize(
    ("facts", "total"),
    [
        ({"rating": None, "description": ""}, 89),  # 80 of 90
        ({"content_seen_at": None, "rating": Decimal("4.0"), "review_count": 100}, 52),  # 13 of 25
        ({"content_seen_at": None, "rating": Decimal("4.0"), "review_count": None}, 50),
        ({"content_seen_at": None, "rating": None, "review_count": 9}, 0),
        ({"rating": Decimal("3.4"), "review_count": 10, "images": ["a"]}, 64),
        (
            {"review_count": None, "rating": None, "images": ["a"] * 3, "title": "LAMP! lamp lamp"},
            75,
        ),  # 56 of 75: 74.67
        ({"review_count": None, "title": "x" * 201, "bullets": ["a"] * 4, "rating": None}, 88),  # 66 of 75
        ({"review_count": 500, "rating": None, "description": "x"}, 91),  # 82 of 90: 91.1
        ({"content_seen_at": None, "rating": Decimal("3.5"), "review_count": 10}, 24),
        ({"review_count": None, "images": [], "has_video": False}, 76),  # 65 of 85: 76.47
        (
            {
                "images": ["a"] * 3,
                "has_video": None,
                "rating": None,
                "review_count": 100,
                "description": "",
                "title": "",
            },
            41,
        ),
    ],
)
def test_the_total_is_the_share_of_what_was_seen(facts, total):
    assert points(**facts)["total"] == total


def test_a_product_never_seen_has_no_score():
    assert listing_score(Product()).total is None
