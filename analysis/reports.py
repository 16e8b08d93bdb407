"""What the model is asked to write, as schemas that strict servers accept: no defaults, no open objects, money as text.

`evidence` holds ids of the facts that were sent. Bounds are checked by the caller, who knows the facts: a strict schema
cannot say "between half and twice the price".
"""

from typing import Literal

from pydantic import BaseModel

Priority = Literal["high", "medium", "low"]


class Recommendation(BaseModel):
    """One thing to do about the competitors."""

    type: Literal["pricing", "features", "positioning", "listing", "inventory"]
    priority: Priority
    title: str
    reason: str
    expected_effect: str
    evidence: list[str]


class CompetitorReport(BaseModel):
    """What a comparison means; its numbers are computed by us and not asked for."""

    summary: str
    price_insight: str
    rank_insight: str
    rating_insight: str
    unique_features: list[str]
    missing_features: list[str]
    common_features: list[str]
    recommendations: list[Recommendation]
    market_insights: list[str]


class Suggestion(BaseModel):
    """One change to a listing; `impact_score` is meant from 0 to 100, `proposed_price` as an amount in its currency."""

    category: Literal["title", "pricing", "description", "bullets", "images", "keywords"]
    priority: Priority
    impact_score: int
    title: str
    reason: str
    proposed_text: str | None
    proposed_price: str | None
    action_items: list[str]
    evidence: list[str]


class OptimizationReport(BaseModel):
    """What could be better about a listing; `overall_score` is meant from 0 to 100."""

    overall_score: int
    summary: str
    suggestions: list[Suggestion]
