"""What the model is asked to write, as schemas that strict servers accept: no defaults, no open objects, money as text.

`evidence` holds ids of the facts that were sent. Bounds are checked by the caller, who knows the facts: a strict schema
cannot say "between half and twice the price". Servers that do not enforce a schema are read with patience: a word in
capitals, 80.5 for 80, a null left out; of a list of items only those are lost that cannot be read.
"""

import functools
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator


def _word(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    try:
        return round(float(value)) if isinstance(value, str | float) else value
    except OverflowError:
        raise ValueError("must be a whole number") from None


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str | int | float) and item != ""]
    return value


def _readable(kind: type[BaseModel], value: Any) -> Any:
    """Keep the items that fit; when none does, all of them, so that the complaint says why."""
    if not isinstance(value, list):
        return value
    kept = []
    for item in value:
        try:
            kept.append(kind.model_validate(item))
        except ValidationError:
            continue
    return kept or value


Priority = Annotated[Literal["high", "medium", "low"], BeforeValidator(_word)]
Whole = Annotated[int, BeforeValidator(_whole)]
Texts = Annotated[list[str], BeforeValidator(_texts)]


class Written(BaseModel):
    """What a model writes: numbers may stand for texts, and a field that may be null may be left out."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _left_out_is_null(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        nullable = [name for name, field in cls.model_fields.items() if field.annotation == str | None]
        return dict.fromkeys(nullable) | value


class Recommendation(Written):
    """One thing to do about the competitors."""

    type: Annotated[
        Literal["pricing", "features", "positioning", "listing", "inventory"],
        BeforeValidator(_word),
    ]
    priority: Priority
    title: str
    reason: str
    expected_effect: str
    evidence: Texts


class CompetitorReport(Written):
    """What a comparison means; its numbers are computed by us and not asked for."""

    summary: str
    price_insight: str
    rank_insight: str
    rating_insight: str
    unique_features: Texts
    missing_features: Texts
    common_features: Texts
    recommendations: Annotated[list[Recommendation], BeforeValidator(functools.partial(_readable, Recommendation))]
    market_insights: Texts


class Suggestion(Written):
    """One change to a listing; `impact_score` is meant from 0 to 100, `proposed_price` as an amount in its currency."""

    category: Annotated[
        Literal["title", "pricing", "description", "bullets", "images", "keywords"],
        BeforeValidator(_word),
    ]
    priority: Priority
    impact_score: Whole
    title: str
    reason: str
    proposed_text: str | None
    proposed_price: str | None
    action_items: Texts
    evidence: Texts


class OptimizationReport(Written):
    """What could be better about a listing; `overall_score` is meant from 0 to 100."""

    overall_score: Whole
    summary: str
    suggestions: Annotated[list[Suggestion], BeforeValidator(functools.partial(_readable, Suggestion))]
