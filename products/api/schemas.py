"""The shapes of what the API takes and answers; amounts are texts with all their decimals, times are in UTC."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from django.utils.translation import gettext as _
from ninja import Field, Schema
from pydantic import AfterValidator, BeforeValidator, ConfigDict

from amazon_pilot.jobs.web.parameters import is_plain_text

RoleWord = Literal["own", "competitor"]
FrequencyWord = Literal["hourly", "six_hourly", "daily", "weekly"]


def _plain(text: str) -> str:
    if not is_plain_text(text):
        raise ValueError(_("it holds a sign that no database takes"))
    return text.strip()


def _no_float(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, float) and value != value):
        raise ValueError(_('write a number such as 10 or "12.5"'))
    return str(value) if isinstance(value, float) else value


PlainText = Annotated[str, AfterValidator(_plain)]
TagName = Annotated[str, AfterValidator(_plain), Field(pattern=r"^[^,，]*[^,，\s][^,，]*$", max_length=40)]
Percent = Annotated[Decimal, BeforeValidator(_no_float), Field(ge=0, le=100, max_digits=5, decimal_places=2)]


class Strict(Schema):
    """What is sent to us: an unknown field is a mistake, and is told."""

    model_config = ConfigDict(extra="forbid")


class ErrorBody(Schema):
    code: str
    message: str


class Error(Schema):
    """The one form of every refusal."""

    error: ErrorBody


class ProductOut(Schema):
    """A product that you watch, with the last value of each fact and when it was seen; null means never seen."""

    marketplace: str
    asin: str
    url: str
    alias: str
    role: RoleWord
    frequency: FrequencyWord
    paused: bool
    title: str
    brand: str
    currency: str
    price: Decimal | None
    list_price: Decimal | None
    price_seen_at: datetime | None
    rank: int | None
    rank_category: str
    rank_seen_at: datetime | None
    rating: Decimal | None
    rating_seen_at: datetime | None
    review_count: int | None
    review_count_seen_at: datetime | None
    seller: str
    seller_id: str
    seller_seen_at: datetime | None
    availability: str
    availability_seen_at: datetime | None
    bought_past_month: int | None
    checked_at: datetime | None
    price_threshold: Decimal | None
    rank_threshold: int | None
    rank_threshold_unit: Literal["percent", "positions"] | None
    rating_threshold: Decimal | None
    review_threshold: Decimal | None


class Products(Schema):
    items: list[ProductOut]
    next: str | None


class ProductIn(Strict):
    """One product: its ASIN, or the address of its page, which names its own marketplace."""

    asin: PlainText = Field("", max_length=40)
    url: PlainText = Field("", max_length=2000)
    marketplace: PlainText = Field("", max_length=40)
    alias: PlainText = Field("", max_length=100)
    role: RoleWord = "own"
    frequency: FrequencyWord | None = None
    tags: list[TagName] | None = Field(None, max_length=10)


class ProductsIn(Strict):
    products: list[ProductIn] = Field(min_length=1, max_length=500)


class Refused(Schema):
    """A product that was not added: its place in what was sent, from 0, and the reason."""

    index: int
    message: str


class Added(Schema):
    """What became of each: added, watched before (left as they were), refused."""

    added: list[str]
    watched: list[str]
    refused: list[Refused]


class TrackingIn(Strict):
    """What to change; what is left out stays. A threshold that is null is as the tag's or the team's rules say."""

    alias: PlainText | None = Field(None, max_length=100)
    role: RoleWord | None = None
    frequency: FrequencyWord | None = None
    paused: bool | None = None
    price_threshold: Percent | None = None
    rank_threshold: int | None = Field(None, ge=1, le=1_000_000_000)
    rank_threshold_unit: Literal["percent", "positions"] | None = None


class PointOut(Schema):
    """One look, or what you imported (`source`); null means that it was not seen."""

    at: datetime
    source: Literal["seen", "imported"]
    currency: str
    price: Decimal | None
    list_price: Decimal | None
    used_price: Decimal | None
    rank: int | None
    rank_category: str
    rating: Decimal | None
    review_count: int | None
    seller: str
    seller_id: str
    availability: str


class History(Schema):
    items: list[PointOut]
    next: str | None


class ChangeOut(Schema):
    id: int
    marketplace: str
    asin: str
    kind: str
    subject: str
    before: str
    after: str
    percent: Decimal | None
    direction: str
    severity: Literal["info", "warning", "critical"]
    seen_at: datetime
    before_at: datetime


class Changes(Schema):
    items: list[ChangeOut]
    next: str | None


class MemberOut(Schema):
    marketplace: str
    asin: str
    title: str


class ComparisonOut(Schema):
    id: int
    name: str
    paused: bool
    created_at: datetime
    product: MemberOut
    competitors: list[MemberOut]


class Comparisons(Schema):
    items: list[ComparisonOut]
    next: str | None


class SuggestionOut(Schema):
    id: int
    category: str
    priority: str
    impact: int
    title: str
    reason: str
    proposed_text: str
    proposed_price: Decimal | None
    currency: str
    steps: list[Any]
    state: str


class ReportHead(Schema):
    """A report without its text."""

    id: int
    kind: Literal["competitors", "optimization"]
    version: int
    state: str
    error: str
    comparison: int | None
    marketplace: str
    asin: str
    created_at: datetime
    completed_at: datetime | None


class ReportOut(ReportHead):
    """A report: our numbers, the model's text, the suggestions."""

    numbers: dict[str, Any]
    content: dict[str, Any]
    suggestions: list[SuggestionOut]


class Reports(Schema):
    items: list[ReportHead]
    next: str | None


class Me(Schema):
    """Who a token belongs to, and what it may."""

    username: str
    team: str
    role: str
    may_write: bool
    requests_per_minute: int
