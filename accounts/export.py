"""All that is kept about one user and for his team, as one file that people and programs can read."""

import json
import tempfile
import zipfile
from collections.abc import Iterable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q
from django.forms.models import model_to_dict

from analysis.models import Comparison, Report
from notifications.models import Channel, Notification
from products.exports import change_rows, product_columns, product_rows
from products.giving_out import as_csv, in_chunks
from products.models import Beginning, ImportedPoint, Rules, SavedView, Seller, Tracking

from .models import ApiToken, Membership, Preferences, Team

CHANGE_COLUMNS = (
    *("seen_at", "asin", "marketplace", "product", "what", "category", "before", "after", "currency", "percent"),
    *("direction", "severity", "threshold", "before_at"),
)


def all_of(membership: Membership) -> Any:
    """Return a temporary zip file; rows are read by their keys, so that memory does not grow with them."""
    team = membership.team
    file = tempfile.TemporaryFile()  # noqa: SIM115 # the answer closes it
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("account.json", _json(_account(membership)))
        _write(archive, "products.csv", as_csv(product_columns(), product_rows(_trackings(team))))
        _write(
            archive,
            "thresholds.jsonl",
            (_json(model_to_dict(row, exclude=["tags"])) + b"\n" for row in _each(_trackings(team))),
        )
        _write(archive, "changes.csv", as_csv(CHANGE_COLUMNS, change_rows(team)))
        points = ImportedPoint.objects.filter(team=team).prefetch_related("product")
        _write(archive, "imported_history.csv", as_csv(("asin", "marketplace", "at", "price", "rank"), _points(points)))
        comparisons = Comparison.objects.filter(team=team).prefetch_related("competitors")
        _write(archive, "comparisons.jsonl", (_json(_comparison(row)) + b"\n" for row in _each(comparisons)))
        reports = Report.objects.filter(team=team).prefetch_related("suggestions")
        _write(archive, "reports.jsonl", (_json(_report(row)) + b"\n" for row in _each(reports)))
        told = Notification.objects.filter(
            channel__in=Channel.objects.filter(Q(team=team) | Q(team=None, user=membership.user))
        ).select_related("channel")
        _write(archive, "notifications.jsonl", (_json(_notification(row)) + b"\n" for row in _each(told)))
    file.seek(0)
    return file


def _trackings(team: Team) -> Any:
    return Tracking.objects.filter(team=team).prefetch_related("product", "tags")


def _each(rows: Any) -> Iterable[Any]:
    return (row for chunk in in_chunks(rows, 200) for row in chunk)


def _points(rows: Any) -> Iterable[Any]:
    return ((row.product.asin, row.product.marketplace, row.at, row.price, row.bsr) for row in _each(rows))


def _write(archive: zipfile.ZipFile, name: str, parts: Iterable[bytes]) -> None:
    with archive.open(name, "w") as file:
        for part in parts:
            file.write(part)


def _json(value: Any) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False).encode("utf-8", "replace")


def _account(membership: Membership) -> dict[str, Any]:
    """Return what the account says of its user; passwords, secrets and digests are not given out."""
    user: Any = membership.user
    channels = Channel.objects.filter(team=membership.team)
    tokens = ApiToken.objects.filter(membership__user=user)
    chosen = Preferences.objects.filter(user=user).first()
    return {
        "username": user.get_username(),
        "email": user.email,
        "joined_at": user.date_joined,
        "last_login": user.last_login,
        "zone": chosen.zone if chosen else "",
        "language": chosen.language if chosen else "",
        "team": membership.team.name,
        "teams": list(Membership.objects.filter(user=user).values("team__name", "role", "created_at")),
        "channels": list(channels.values("kind", "address", "least_severity", "paused", "created_at")),
        "tokens": list(tokens.values("name", "scope", "start", "created_at", "last_used_at")),
        "rules": list(Rules.objects.filter(team=membership.team).values()),
        "sellers": list(Seller.objects.filter(team=membership.team).values("key", "name", "is_own")),
        "views": list(SavedView.objects.of(membership).values("name", "query", "is_default")),
        "new_products": Beginning.objects.of(membership.team).words,
        "addresses": list(user.emailaddress_set.values("email", "verified", "primary")),
    }


def _comparison(row: Comparison) -> dict[str, Any]:
    return model_to_dict(row, exclude=["competitors", "team"]) | {
        "created_at": row.created_at,
        "product": row.product.asin,
        "competitors": [product.asin for product in row.competitors.all()],
    }


def _report(row: Report) -> dict[str, Any]:
    suggestions = [model_to_dict(one) for one in row.suggestions.all()]
    return model_to_dict(row, exclude=["team"]) | {"created_at": row.created_at, "suggestions": suggestions}


def _notification(row: Notification) -> dict[str, Any]:
    names = ("subject", "body", "path", "state", "error", "created_at", "sent_at", "read_at")
    return {name: getattr(row, name) for name in names} | {"channel": str(row.channel)}
