"""The end of a team: its owner types its name; it is gone for all at once, its rows in steps, and nothing else."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import connection
from django.db.models.deletion import Collector
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from accounts import leaving
from accounts.models import ApiToken, Invitation, Membership, Scope, Team
from accounts.tasks import cleanup, remove_team
from amazon_pilot.jobs.models import AuditEntry
from analysis.models import Comparison, Report
from notifications.models import Channel, Notification
from products.models import BulkChange, Change, Product, Rules, SavedView, Snapshot, Tag, Tracking
from tests.test_teams_crawl import OWNED
from tests.world import NOON, enqueued, see

pytestmark = pytest.mark.both

PAGE = "/account/team/delete/"


@pytest.fixture
def team(alice, charlie, lamp, competitors):
    """Alice's team with something of each kind; Charlie is a member, and watches the lamp in a team of his own."""
    team = alice.teams.get()
    Team.objects.filter(pk=team.pk).update(name="Client & Sons")
    Membership.objects.create(team=team, user=charlie, role="member")
    Tracking.objects.create(team=charlie.memberships.get(role="owner").team, product=lamp)
    see(lamp)
    see(lamp, NOON + timedelta(hours=1), price=Decimal(20))
    Rules.objects.create(team=team, price_threshold=5)
    tag = Tag.objects.named(team, "x")
    BulkChange.objects.tag(team, Tracking.objects.filter(team=team), "y")
    Rules.objects.create(team=team, tag=tag)
    SavedView.objects.create(team=team, user=alice, name="v")
    Report.objects.ask_comparison(Comparison.objects.start(team, lamp, competitors[:3]))
    Channel.objects.create(team=team, user=charlie, kind="webhook", address="https://hook.example/x")
    Notification.objects.draft_changes(list(Change.objects.filter(team=team)))
    ApiToken.objects.issue(charlie.memberships.get(team=team), "t", Scope.READ)
    Invitation.objects.create(email="new@example.com", team=team, role="member")
    return team


def rows_of(team):
    return {
        model.__name__: count
        for model, path in OWNED.items()
        if model is not Team and (count := model._base_manager.filter(**{path: team.pk}).count())
    }


def test_it_is_gone_at_once_and_its_rows_in_steps_and_nothing_of_others(
    client, alice, charlie, lamp, team, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(leaving, "AT_ONCE", 2)
    others = rows_of(charlie.memberships.get(role="owner").team)
    client.force_login(alice)
    assert "Client &amp; Sons" in client.get(PAGE).content.decode()

    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(PAGE, {"name": "Client & Sons "}, follow=True)

    assert "is deleted" in answer.content.decode()
    assert answer.status_code == 200
    assert alice.teams.get() != team
    assert not ApiToken.objects.exists()
    assert not Tracking.objects.filter(team=team, paused=False).exists()
    assert [charlie.teams.get().name] == ["charlie"]
    entry = AuditEntry.objects.get(action="delete")
    assert "Client & Sons" in str(entry.target)
    assert ("accounts.tasks.remove_team", [team.pk]) in enqueued()

    remove_team(team.pk)

    assert rows_of(team) == {}
    assert not Team.objects.filter(pk=team.pk).exists()
    assert rows_of(charlie.memberships.get().team) == others
    assert Product.objects.filter(pk=lamp.pk).exists()
    assert Snapshot.objects.exists()
    assert remove_team(team.pk) == "it has not ended"


@pytest.mark.later
def test_a_removal_that_broke_off_goes_on(alice, team, monkeypatch, django_capture_on_commit_callbacks):
    leaving.end_team(team)
    monkeypatch.setattr(leaving, "AT_ONCE", 2)
    deletions = []

    def breaking(rows, **_more):
        deletions.append(rows)
        if len(deletions) == 4:
            raise OSError("the machine was switched off")
        return original(rows)

    original = Collector.delete
    monkeypatch.setattr(Collector, "delete", breaking)
    with pytest.raises(OSError, match="switched off"):
        remove_team(team.pk)
    monkeypatch.setattr(Collector, "delete", original)
    assert rows_of(team)
    Team.objects.filter(pk=team.pk).update(ended_at=now() - timedelta(hours=2))

    with django_capture_on_commit_callbacks(execute=True):
        assert "1 teams" in cleanup()
    assert ("accounts.tasks.remove_team", [team.pk]) in enqueued()
    remove_team(team.pk)
    assert rows_of(team) == {}


@pytest.mark.parametrize("name", ["", "client & sons", "Client", "alice"])
def test_another_name_deletes_nothing(client, alice, team, name):
    client.force_login(alice)
    before = rows_of(team)

    answer = client.post(PAGE, {"name": name})

    assert answer.status_code == 422
    assert rows_of(team) == before
    assert not AuditEntry.objects.filter(action="delete").exists()


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_who_does_not_own_it_is_refused(client, charlie, team, role):
    Membership.objects.filter(team=team, user=charlie).update(role=role)
    client.force_login(charlie)
    client.post(reverse("enter_team", args=[team.pk]))
    before = rows_of(team)

    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"name": "Client & Sons"}).status_code == 403
    assert "Delete this team" not in client.get("/account/team/").content.decode()
    assert rows_of(team) == before


def test_a_get_deletes_nothing_and_a_second_post_meets_the_next_team(client, alice, team):
    client.force_login(alice)
    client.get(PAGE, {"name": "Client & Sons"})
    assert Team.objects.get(pk=team.pk).ended_at is None
    client.post(PAGE, {"name": "Client & Sons"})

    assert client.post(PAGE, {"name": "Client & Sons"}).status_code == 422  # it is called alice now
    assert alice.teams.get().ended_at is None


def test_the_queries_of_the_press_do_not_grow_with_what_is_watched(alice):
    counts = []
    for size in (1, 40):
        team = Team.objects.found(alice, f"t{size}").team
        products = Product.objects.ensure([("amazon.com", f"B1{size:03}{number:05}") for number in range(size)])
        Tracking.objects.watch(team, products, "own", "3_daily")
        with CaptureQueriesContext(connection) as asked:
            leaving.end_team(team)
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_every_kind_of_row_of_a_team_is_known_here():
    """A new model with a team has to be among those that the walk and the end of a team know."""
    known = {model._meta.label for model in OWNED} | {
        "accounts.Preferences",
        "analysis.ModelCall",
        "products.Beginning",
    }
    found = {
        model._meta.label for model in apps.get_models() if any(f.related_model is Team for f in model._meta.fields)
    }
    assert found <= known
