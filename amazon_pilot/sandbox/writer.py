"""What the played model writes: reports made from the facts in the request, which cite the facts they rest on.

It reads the fact sheet as the product sends it, {"facts": [{"id", "subject", "name", "value"}, …]}, with the subject
"own", "comparison" or an ASIN, and writes the fields that the two schemas of the product ask for.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LONGEST_TITLE = 200
NAMES = {"price": "price", "bsr": "rank", "rating": "rating"}
FORBIDDEN = re.compile(r"[!$?_{}^¬¦]")


@dataclass(frozen=True)
class Fact:
    """One thing that the model was told."""

    id: str
    subject: str
    name: str
    value: str

    @property
    def number(self) -> Decimal | None:
        """Answer the number that the value begins with, None when it does not."""
        found = re.match(r"-?\d+(?:\.\d+)?", self.value)
        return Decimal(found[0]) if found else None


@dataclass(frozen=True)
class Facts:
    """The fact sheet of one request."""

    all: tuple[Fact, ...]

    def named(self, name: str, subject: str = "own") -> Fact | None:
        """Answer the first fact of a subject with this name."""
        return next((fact for fact in self.all if fact.subject == subject and fact.name == name), None)

    def listed(self, name: str, subject: str) -> list[Fact]:
        """Answer all facts of a subject with this name."""
        return [fact for fact in self.all if fact.subject == subject and fact.name == name]

    @property
    def competitors(self) -> list[str]:
        """Answer the subjects that are neither the own product nor the comparison."""
        return [name for name in dict.fromkeys(fact.subject for fact in self.all) if name not in ("own", "comparison")]


def read_facts(content: Any) -> Facts:
    """Answer the facts in the parsed user message; anything without an id is passed over."""
    rows = content.get("facts") if isinstance(content, dict) else None
    found = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            subject, name = str(row.get("subject", "own")), str(row.get("name", ""))
            found.append(Fact(row["id"], subject, name, str(row.get("value", ""))))
    return Facts(tuple(found))


def competitor_report(facts: Facts) -> dict[str, Any]:
    """Write what a comparison means."""
    own = facts.named("title")
    name = _short(own.value) if own else "The product"
    rivals = len(facts.competitors)
    ours = facts.listed("bullet", "own")
    theirs = [fact for rival in facts.competitors for fact in facts.listed("bullet", rival)]
    recommendations = [*_about_price(facts), *_about_rating(facts), *_about_features(ours, theirs)]
    seller = facts.named("buy box seller")
    return {
        "summary": f"{name} stands beside {rivals} competitors. "
        f"{_position(facts, 'price')} {_position(facts, 'bsr')} {_position(facts, 'rating')}",
        "price_insight": _insight(facts, "price"),
        "rank_insight": _insight(facts, "bsr"),
        "rating_insight": _insight(facts, "rating"),
        "unique_features": [_short(fact.value) for fact in _new_in(ours, theirs)][:5],
        "missing_features": [_short(fact.value) for fact in _new_in(theirs, ours)][:5],
        "common_features": [_short(fact.value) for fact in ours if fact not in _new_in(ours, theirs)][:5],
        "recommendations": recommendations,
        "market_insights": [f"{seller.value} holds the buy box of the own product."] if seller else [],
    }


def _position(facts: Facts, what: str) -> str:
    place, of = facts.named(f"{what} place", "comparison"), facts.named(f"{what} of", "comparison")
    name = NAMES[what]
    return f"Its {name} takes place {place.value} of {of.value}." if place and of else f"Its {name} cannot be compared."


def _insight(facts: Facts, what: str) -> str:
    own, middle = facts.named(f"{what} own", "comparison"), facts.named(f"{what} median", "comparison")
    if not own or not middle:
        return f"There is too little data to say something about the {NAMES[what]}."
    return f"The {NAMES[what]} is {own.value}, and the competitors' median is {middle.value}."


def _about_price(facts: Facts) -> list[dict[str, Any]]:
    gap = facts.named("price gap_percent", "comparison")
    if gap is None or gap.number is None:
        return []
    is_dear = gap.number > 0
    evidence = [fact.id for fact in (gap, facts.named("price own", "comparison")) if fact]
    return [
        {
            "type": "pricing",
            "priority": "high" if abs(gap.number) > 15 else "medium" if abs(gap.number) > 5 else "low",
            "title": "Bring the price nearer to the competitors" if is_dear else "Keep the price and say what it buys",
            "reason": f"The price is {abs(gap.number)} percent {'above' if is_dear else 'below'} their median.",
            "expected_effect": "More buyers compare in our favour." if is_dear else "The margin stays.",
            "evidence": evidence,
        }
    ]


def _about_rating(facts: Facts) -> list[dict[str, Any]]:
    difference = facts.named("rating difference", "comparison")
    if difference is None or difference.number is None or difference.number >= 0:
        return []
    return [
        {
            "type": "positioning",
            "priority": "high" if difference.number < Decimal("-0.3") else "medium",
            "title": "Find out what costs stars",
            "reason": f"The rating is {abs(difference.number)} stars below the competitors' median.",
            "expected_effect": "A better rating lifts rank and sales.",
            "evidence": [difference.id],
        }
    ]


def _about_features(ours: list[Fact], theirs: list[Fact]) -> list[dict[str, Any]]:
    missing = _new_in(theirs, ours)
    if not missing:
        return []
    return [
        {
            "type": "features",
            "priority": "medium",
            "title": "Answer a feature that competitors name",
            "reason": f"A competitor says “{_short(missing[0].value)}”, and our bullets do not mention it.",
            "expected_effect": "Shoppers who look for it do not move on.",
            "evidence": [missing[0].id],
        }
    ]


def _new_in(bullets: list[Fact], others: list[Fact]) -> list[Fact]:
    """Answer the bullets of which less than two words of weight occur in any one of the others."""
    return [fact for fact in bullets if all(len(_words(fact) & _words(other)) < 2 for other in others)]


def _words(fact: Fact) -> set[str]:
    return {word for word in re.findall(r"\w+", fact.value.lower()) if len(word) > 4}


def _short(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:87]}…"


def optimization_report(facts: Facts) -> dict[str, Any]:
    """Write what could be better about a listing."""
    score = facts.named("listing score")
    title = facts.named("title")
    suggestions = [*_better_title(facts), *_better_bullets(facts), *_better_images(facts)]
    suggestions += [*_better_description(facts), *_better_price(facts)]
    name = _short(title.value) if title else "The listing"
    suggestions.sort(key=lambda row: -row["impact_score"])
    first = f" The first step: {suggestions[0]['title'].lower()}." if suggestions else ""
    return {
        "overall_score": int(score.number) if score and score.number is not None else 50,
        "summary": f"{name} scores {score.value if score else 'an unknown number of'} points.{first}",
        "suggestions": suggestions,
    }


def _suggest(
    category: str,
    impact: int,
    title: str,
    reason: str,
    steps: list[str],
    evidence: Iterable[Fact | None],
    **proposed: str,
) -> dict[str, Any]:
    return {
        "category": category,
        "priority": "high" if impact >= 70 else "medium" if impact >= 40 else "low",
        "impact_score": impact,
        "title": title,
        "reason": reason,
        "proposed_text": proposed.get("text"),
        "proposed_price": proposed.get("price"),
        "action_items": steps,
        "evidence": [fact.id for fact in evidence if fact],
    }


def _better_title(facts: Facts) -> list[dict[str, Any]]:
    title = facts.named("title")
    if title is None:
        return []
    kept, seen = [], set[str]()
    for word in FORBIDDEN.sub("", title.value).split():
        bare = word.strip(",.").lower()
        if bare not in seen or len(bare) < 4:
            kept.append(word)
        seen.add(bare)
    better = re.sub(r"\b(?:BEST SELLER|Guaranteed Best Quality|Cheap Price),?\s*", "", " ".join(kept))
    better = better.strip(" ,")[:LONGEST_TITLE]
    if better == title.value:
        bullet = facts.named("bullet")
        if bullet is None:
            return []
        better = f"{title.value}, {bullet.value.rstrip('.').split(',')[0]}"[:LONGEST_TITLE]
        reason = "The title follows the rules and has room for what buyers look for first."
        return [
            _suggest(
                "title",
                35,
                "Name the main benefit in the title",
                reason,
                ["Edit the title."],
                [title, bullet],
                text=better,
            )
        ]
    reason = "The title repeats words or holds signs that Amazon's rules for titles forbid."
    return [_suggest("title", 82, "Clean the title", reason, ["Replace the title."], [title], text=better)]


def _better_bullets(facts: Facts) -> list[dict[str, Any]]:
    bullets = facts.listed("bullet", "own")
    if len(bullets) >= 5:
        return []
    missing = 5 - len(bullets)
    reason = f"There are {len(bullets)} bullets, and five are shown."
    steps = [f"Write {missing} more.", "Begin each with the benefit, then the figure."]
    return [
        _suggest(
            "bullets", 40 + 8 * missing, "Fill the five bullets", reason, steps, bullets[:3] or [facts.named("title")]
        )
    ]


def _better_images(facts: Facts) -> list[dict[str, Any]]:
    images = facts.named("images")
    if images is None or images.number is None or images.number >= 6:
        return []
    reason = f"The listing shows {images.value} images; six or more answer most questions before they are asked."
    steps = ["Add one image of the product in use.", "Add one with its measures."]
    return [_suggest("images", 30 + 6 * (6 - int(images.number)), "Show more images", reason, steps, [images])]


def _better_description(facts: Facts) -> list[dict[str, Any]]:
    description = facts.named("description")
    if description and len(description.value) >= 200:
        return []
    title, bullets = facts.named("title"), facts.listed("bullet", "own")
    if title is None:
        return []
    text = " ".join([f"{title.value}.", *(fact.value for fact in bullets)])
    reason = "The description is short." if description else "There is no description."
    evidence = [description or title, *bullets[:2]]
    return [
        _suggest("description", 45, "Write a description", reason, ["Paste and adapt it."], evidence, text=text[:2000])
    ]


def _better_price(facts: Facts) -> list[dict[str, Any]]:
    price, rating = facts.named("price"), facts.named("rating")
    if price is None or price.number is None or rating is None or rating.number is None:
        return []
    is_loved = rating.number >= Decimal("4.5")
    decimals = Decimal(1).scaleb(min(0, int(price.number.as_tuple().exponent)))
    proposed = (price.number * (Decimal("1.04") if is_loved else Decimal("0.95"))).quantize(decimals)
    reason = f"Buyers give {rating.value} stars" + (
        ", which carries a little more." if is_loved else "; a lower price helps."
    )
    title = "Try a slightly higher price" if is_loved else "Try a slightly lower price"
    steps = ["Change the price for two weeks.", "Compare rank and sales before and after."]
    return [_suggest("pricing", 55 if is_loved else 62, title, reason, steps, [price, rating], price=str(proposed))]
