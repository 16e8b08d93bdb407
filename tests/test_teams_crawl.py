"""Every address there is, asked by who has no business with what it names: a new page cannot be forgotten here.

The addresses are read from the url resolver. One whose object nobody placed in OBJECTS fails until somebody says whose
it is.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from accounts.models import ApiToken, Invitation, Membership, Scope, Team, TeamRole
from accounts.teams import ROOMS
from analysis.models import Comparison, Competitor, Report, Suggestion
from notifications.models import Channel, Notification
from products.models import (
    Beginning,
    BulkChange,
    Change,
    Import,
    ImportedPoint,
    Picture,
    Rules,
    SavedView,
    Seller,
    Tag,
    Tracking,
)
from products.models.imports import ImportKind
from tests.world import NOON, see

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\{(?:\w+:)?(\w+)\}")
METHODS = ("get", "post", "put", "patch", "delete")
# Not a team's: operators' rooms, the played services, links that are secrets themselves, and what says so of itself.
OPERATORS_ROOMS = ("admin/", "sandbox/")
SECRET_LINKS = {"invited", "products:apify_hook", "analysis:shared", "account_confirm_email"}
SECRET_LINKS |= {"account_reset_password_from_key"}
OPERATORS = {"products:release", "products:discard", "withdraw_invitation"}
EXPLAINS = {"api:openapi-json", "api:api-root"}  # what can be asked, for everybody
MARK, LATER = "aliceonly", NOON + timedelta(hours=1)
OWNED: dict[type[Model], str] = {
    Tracking: "team",
    Change: "team",
    Tag: "team",
    Seller: "team",
    Rules: "team",
    SavedView: "team",
    BulkChange: "team",
    Beginning: "team",
    Import: "team",
    ImportedPoint: "team",
    Comparison: "team",
    Competitor: "comparison__team",
    Report: "team",
    Suggestion: "report__team",
    Channel: "team",
    Notification: "channel__team",
    ApiToken: "membership__team",
    Invitation: "team",
    Membership: "team",
    Team: "pk",
    Tracking.tags.through: "tag__team",
}
UNSEEN = {"analysis.ModelCall", "accounts.Preferences"}  # costs that only operators list; a user's own choice


def addresses(patterns: Any = None, path: str = "", names: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (route, full name, callback) of every address of the site."""
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        route = path + str(entry.pattern)
        if isinstance(entry, URLResolver):
            space = f"{names}{entry.namespace}:" if entry.namespace else names
            yield from addresses(entry.url_patterns, route, space)
        elif isinstance(entry, URLPattern):
            yield route, f"{names}{entry.name or ''}", entry.callback


def of_the_desk() -> list[tuple[str, str]]:
    found = [(route, name) for route, name, _view in addresses() if not route.startswith(OPERATORS_ROOMS)]
    return [(route, name) for route, name in found if name not in SECRET_LINKS and "(?P<" not in route]


@pytest.fixture
def things(alice, lamp, competitors):
    """What Alice's team has: one thing of each kind. Return, by the name of an address, what it names."""
    team, membership = alice.teams.get(), alice.memberships.get()
    Team.objects.filter(pk=team.pk).update(name=f"{MARK} team")
    see(lamp)
    see(lamp, price=Decimal("29.99"), at=LATER)
    Picture.objects.want_all([(lamp.pk, "https://images.example/1.jpg", None)])
    Picture.objects.get().keep("jpeg", b"a picture")
    tracking = lamp.trackings.get()
    Tracking.objects.filter(pk=tracking.pk).update(alias=f"{MARK} lamp")
    tag = Tag.objects.named(team, f"{MARK} tag")
    tag.put_on([tracking.pk])
    comparison = Comparison.objects.start(team, lamp, competitors[:3], f"{MARK} comparison")
    report = Report.objects.ask_comparison(comparison)
    advice = Suggestion.objects.create(
        report=Report.objects.ask_optimization(team, lamp), category="title", priority="high", impact_score=5,
        title=f"{MARK} advice", reason="r",
    )  # fmt: skip
    file = Import.objects.create(team=team, name=f"{MARK}.csv", kind=ImportKind.PRODUCTS)
    ImportedPoint.objects.create(source=file, team=team, product=lamp, at=LATER, price="1.23")
    channel = Channel.objects.create(team=team, user=alice, kind="webhook", address=f"https://{MARK}.example/x")
    Notification.objects.ensure_app_channels({team.pk})
    app = Channel.objects.get(team=team, kind="app")
    notice = Notification.objects.create(channel=app, subject=f"{MARK} notice", path="/", state="sent")
    token, _text = ApiToken.objects.issue(membership, f"{MARK} token", Scope.WRITE)
    invitation = Invitation.objects.create(email=f"{MARK}@example.com", team=team, role="member")
    seller = Seller.objects.create(team=team, key="A1", name=f"{MARK} seller", is_own=True)
    Rules.objects.create(team=team, tag=tag, price_threshold=5)
    Beginning.objects.create(team=team, tags=f"{MARK} beginning")
    view = SavedView.objects.create(team=team, user=alice, name=f"{MARK} view", query="role=own")
    change = BulkChange.objects.tag(team, Tracking.objects.filter(team=team), f"{MARK} new")
    one = {"marketplace": lamp.marketplace, "asin": lamp.asin}
    return {
        "one": one,
        "tracking": tracking.pk,
        "tag": tag.pk,
        "product": lamp.pk,
        "pk": {
            **dict.fromkeys(("products:import", "products:take_import", "products:undo_import"), file.pk),
            **dict.fromkeys(("products:release", "products:discard"), tracking.changes.first().snapshot.scrape_run_id),
            "products:tag_rules": tag.pk,
            **dict.fromkeys(("products:change_view", "products:delete_view"), view.pk),
            "products:undo_bulk": change.pk,
            "products:forget_seller": seller.pk,
            "analysis:decide": advice.pk,
            **dict.fromkeys(
                ("analysis:comparison", "analysis:comparison_export", "analysis:ask_comparison", "analysis:share"),
                comparison.pk,
            ),
            "analysis:remove_comparison": comparison.pk,
            "analysis:end_sharing": comparison.pk,
            "notifications:read": notice.pk,
            **dict.fromkeys(("notifications:pause_channel", "notifications:remove_channel"), channel.pk),
            "revoke_token": token.pk,
            "withdraw_invitation": Invitation.objects.create(email="stranger@example.com").pk,
            "withdraw_team_invitation": invitation.pk,
            **dict.fromkeys(("change_role", "remove_member"), membership.pk),
            "enter_team": team.pk,
            "api:get_comparison": comparison.pk,
            "api:get_report": report.pk,
        },
    }


def filled(route: str, name: str, things: dict[str, Any]) -> str | None:
    """Return the path at which an address shows what is Alice's; None for one that names nothing."""
    wanted = [first or second for first, second in PARAMETER.findall(route)]
    if not wanted:
        return None
    values = things["one"] if set(wanted) == {"marketplace", "asin"} else {"pk": things["pk"].get(name)}
    assert set(wanted) == set(values), f"{name} ({route}): say in this test whose things it names"
    assert None not in values.values(), f"{name} ({route}): say in this test whose things it names"
    return "/" + PARAMETER.sub(lambda found: str(values[found[1] or found[2]]), route)


def everything(team: Team) -> dict[str, list[Any]]:
    """Return all rows of a team."""
    return {
        model._meta.label: list(model._base_manager.filter(**{path: team.pk}).order_by("pk").values())
        for model, path in OWNED.items()
    }


def body(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode("utf-8", "replace")


HOSTILE = {
    "do": "remove",
    "role": "owner",
    "state": "applied",
    "name": "mine",
    "scope": "write",
    "marketplace": "amazon.com",
    "frequency": "1_hourly",
    "products": "B0LAMP0009",
    "kind": "email",
    "address": "x@example.com",
    "least_severity": "1_info",
    "until": "2100-01-01T00:00:00Z",
    "invite-email": "x@example.com",
    "invite-role": "member",
    "new-name": "new",
    "password": "wrong",
}


def press(client: Client, method: str, path: str, things: dict[str, Any]) -> Any:
    """Ask one address, with a form that names Alice's things; a script's with JSON."""
    if method == "get":
        return client.get(path)
    if path.startswith("/api/"):
        new = {"products": [{"asin": "B0LAMP0009", "marketplace": "amazon.com"}]}
        words: dict[str, Any] = {"alias": "mine"} if method == "patch" else new
        return getattr(client, method)(path, words, content_type="application/json")
    form = HOSTILE | {"id": [things["tracking"]], "product": things["product"], "tag": f"{MARK} tag"}
    return client.post(path, form) if method == "post" else client.generic(method.upper(), path)


def test_every_kind_of_row_that_belongs_to_a_team_is_watched_here():
    ours = [model for label in (*ROOMS, "accounts") for model in apps.get_app_config(label).get_models()]
    of_teams = {model._meta.label for model in ours if any(field.name == "team" for field in model._meta.fields)}

    assert of_teams <= {model._meta.label for model in OWNED} | UNSEEN


@pytest.fixture
def other(charlie, things, alice, request):
    """A client to whom Alice's things are another team's: a stranger, or a member of both who is in the other one."""
    client = Client()
    client.force_login(charlie)
    if request.param == "of both":
        Membership.objects.create(team=alice.teams.get(), user=charlie, role=TeamRole.MEMBER)
        client.post(f"/account/teams/{charlie.memberships.get(role='owner').team_id}/enter/")
    return client


both_kinds = pytest.mark.parametrize("other", ["a stranger", "of both"], indirect=True)


@pytest.mark.slow
@both_kinds
def test_what_is_another_team_s_is_found_at_no_address(other, things, alice):
    team = alice.teams.get()
    before = everything(team)
    asked = 0

    for route, name in of_the_desk():
        path = filled(route, name, things)
        if path is None or name == "enter_team":
            continue
        told = {method: press(other, method, path, things).status_code for method in METHODS}
        allowed = {403, 405} if name in OPERATORS else {404, 405}
        assert set(told.values()) <= allowed, (name, told)
        assert allowed - {405} <= set(told.values()), (name, told)
        asked += 1

    assert asked >= 25
    assert everything(team) == before


@pytest.mark.slow
@both_kinds
def test_no_list_shows_what_is_another_team_s_and_no_form_reaches_it(other, things, alice):
    team = alice.teams.get()
    before = everything(team)

    for route, name in of_the_desk():
        if filled(route, name, things) is not None or name in ("account_logout", "logout", "account_delete"):
            continue
        for query in ("", f"?tag={things['tag']}&tracking={things['tracking']}&product={things['product']}&q={MARK}"):
            shown = body(press(other, "get", f"/{route}{query}", things)).replace(f'value="{MARK}"', "")
            seen = [line for line in shown.splitlines() if MARK in line and "enter/" not in line and "q=" not in line]
            is_head = all(f"{MARK} team" in line for line in seen)  # who is in both sees its name in the head
            assert not seen or is_head, (name, seen)
        press(other, "post", f"/{route}", things)

    assert everything(team) == before


def test_who_is_in_no_team_of_it_cannot_enter_it(charlie, things):
    client = Client()
    client.force_login(charlie)

    assert client.post(f"/account/teams/{things['pk']['enter_team']}/enter/").status_code == 404


@pytest.fixture
def viewer(things, alice):
    user = User.objects.create_user("victor", "victor@example.com", "victor-password")
    client = Client()
    client.force_login(user)
    Membership.objects.create(team=alice.teams.get(), user=user, role=TeamRole.VIEWER)
    client.post(f"/account/teams/{alice.teams.get().pk}/enter/")
    return client


OWNERS = {
    "team",
    "invite_to_team",
    "withdraw_team_invitation",
    "change_role",
    "remove_member",
    "revoke_token",
    "tokens",
}


@pytest.mark.slow
def test_a_viewer_changes_nothing_at_any_address(viewer, things, alice):
    team = alice.teams.get()
    before = everything(team)
    refused = 0

    for route, name in of_the_desk():
        path = filled(route, name, things) or f"/{route}"
        room = name.partition(":")[0]
        if name in EXPLAINS or not (room in ROOMS or room == "api" or name in OWNERS):
            continue
        methods = METHODS[1:] if room in (*ROOMS, "api") else ["post"]
        told = {method: press(viewer, method, path, things).status_code for method in methods}
        assert set(told.values()) <= {403, 405}, (name, told)
        refused += 403 in told.values()

    assert refused >= 35
    assert everything(team) == before


@pytest.mark.slow
def test_a_viewer_is_shown_no_button_for_what_he_may_not(viewer, things):
    seen = 0
    for route, name in of_the_desk():
        path = filled(route, name, things) or f"/{route}"
        if not (name.partition(":")[0] in ROOMS or name in OWNERS):
            continue
        answer = viewer.get(path)
        if answer.status_code != 200 or "text/html" not in answer.headers["Content-Type"]:
            assert answer.status_code in (200, 403, 405), (name, answer.status_code)
            continue
        for form in re.findall(r"<form[^>]*method=\"post\"[^>]*>", body(answer)):
            action = re.search(r'action="([^"?]*)', form)
            match = resolve(action[1] if action else path)
            assert match.app_name not in ROOMS, (name, form)
            assert match.url_name not in OWNERS - {"remove_member"}, (name, form)  # he may leave
        seen += 1

    assert seen >= 9


def test_a_viewer_reads_that_only_the_owner_can_change_that(viewer):
    answer = viewer.post("/products/bulk/", {"do": "remove"})

    assert answer.status_code == 403
    assert "change nothing" in body(answer)
    assert 'class="menu"' in body(answer)


@pytest.mark.slow
def test_every_room_of_operators_is_closed_to_sellers(charlie, things):
    client = Client()
    client.force_login(charlie)

    for route, name, _view in addresses():
        if route.startswith("admin/") and "(?P" not in route and route not in ("admin/login/", "admin/jsi18n/"):
            path = "/" + PARAMETER.sub("1", route)
            assert client.get(path).status_code in (302, 401, 403, 404, 405), name
