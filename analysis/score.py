"""The listing score: 0 to 100, computed from what was seen, no model involved."""

import re
from collections import Counter
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from products.models import Product

# Amazon's title rules (Seller Central, "Product title requirements").
FORBIDDEN_IN_TITLE = set("!$?_{}^¬¦")
FREE_TO_REPEAT = {
    *(
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "for",
        "nor",
        "with",
        "without",
        "in",
        "on",
        "at",
        "of",
        "to",
        "by",
        "from",
    ),
    *("over", "under", "into", "per", "up", "off", "as", "der", "die", "das", "und", "mit", "für", "von", "zu"),
}
PROMOTIONAL = ("best seller", "bestseller", "free shipping", "hot item", "100% guaranteed", "on sale", "discount", "#1")
REVIEW_TIERS = ((1000, 15), (500, 12), (100, 8), (10, 4))
RATING_TIERS = ((Decimal("4.8"), 10), (Decimal("4.3"), 8), (Decimal("4.0"), 5), (Decimal("3.5"), 2))


@dataclass(frozen=True)
class Part:
    """One part of the score; `points` is None when its input was not seen."""

    name: str
    most: int
    points: int | None


@dataclass(frozen=True)
class Score:
    """The total, scaled to 100 over the parts that were seen, and the parts."""

    total: int | None
    parts: tuple[Part, ...]

    @property
    def unseen(self) -> list[str]:
        """The parts left out because their input was not seen."""
        return [part.name for part in self.parts if part.points is None]


def listing_score(product: Product) -> Score:
    """Judge the last good content of a product; the total is None when nothing was ever seen."""
    seen = product.content_seen_at is not None
    parts = (
        Part("title", 25, _title(product.title) if seen else None),
        Part("bullets", 20, _bullets(product.bullets) if seen else None),
        Part("description", 10, _description(product.description) if seen else None),
        Part("images", 20, _images(product.images, product.has_video) if seen else None),
        Part("reviews", 15, _tier(product.review_count, REVIEW_TIERS)),
        Part("rating", 10, _tier(product.rating, RATING_TIERS)),
    )
    most = sum(part.most for part in parts if part.points is not None)
    if not most:
        return Score(None, parts)
    share = Decimal(sum(part.points or 0 for part in parts)) * 100 / most
    return Score(int(share.quantize(Decimal(1), ROUND_HALF_UP)), parts)


def _title(title: str) -> int:
    if not title:
        return 0
    words = Counter(word for word in re.findall(r"\w+", title.lower()) if word not in FREE_TO_REPEAT)
    return (
        5
        + 6 * (len(title) <= 200)
        + 5 * (not FORBIDDEN_IN_TITLE & set(title))
        + 5 * (max(words.values(), default=0) <= 2)
        + 4 * (not any(phrase in title.lower() for phrase in PROMOTIONAL))
    )


def _bullets(bullets: list[str]) -> int:
    return 3 * min(len(bullets), 5) + 5 * (bool(bullets) and all(len(bullet) <= 500 for bullet in bullets))


def _description(description: str) -> int:
    return 5 * bool(description) + 5 * (200 <= len(description) <= 2000)


def _images(images: list[str], has_video: bool | None) -> int:
    return 3 * min(len(images), 6) + 2 * bool(has_video)


def _tier(value: "int | Decimal | None", tiers: "tuple[tuple[int | Decimal, int], ...]") -> int | None:
    if value is None:
        return None
    return next((points for least, points in tiers if value >= least), 0)
