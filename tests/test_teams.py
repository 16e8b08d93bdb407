"""Teams: how one gets into one, what each role may, how one leaves, and that there is always an owner."""

import re
from datetime import timedelta
from decimal import Decimal
from itertools import product as pairs
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from accounts import leaving
from accounts.models import ApiToken, Invitation, Membership, Preferences, Team, TeamRole
from amazon_pilot.jobs.models import AuditEntry
from notifications.models import Channel, Notification
from products.models import Change, Product, Tracking
from tests.migrating import OldPath
from tests.world import NOON, run_jobs, see

OWNER, MEMBER, VIEWER = TeamRole.OWNER, TeamRole.MEMBER, TeamRole.VIEWER


@pytest.fixture(autouse=True)
def _nobody_has_tried_before():
    cache.clear()


@pytest.fixture
def team(alice):
    return alice.teams.get()


def signed_in(user, team=None):
    client = Client()
    client.force_login(user)
    if team:
        client.post(f"/account/teams/{team.pk}/enter/")
    return client


def join(team, name, role=MEMBER):
    user = User.objects.create_user(name, f"{name}@example.com", f"{name}-password")
    return Membership.objects.create(team=team, user=user, role=role)


def owners(team):
    return [membership.user for membership in Membership.objects.filter(team=team, role=OWNER)]


def test_each_new_user_owns_a_team_of_his_own(alice, charlie):
    assert [team.name for team in alice.teams.all()] == ["alice"]
    assert owners(charlie.teams.get()) == [charlie]
    assert alice.teams.get() != charlie.teams.get()


def test_two_members_share_one_tracking_and_what_is_told_of_it(alice, team, lamp):
    bea = join(team, "bea").user
    assert Tracking.objects.watch(team, [lamp], "own", "3_daily") == 0
    see(lamp)
    changes = see(lamp, price=Decimal("20.00"), at=NOON + timedelta(hours=1))
    Notification.objects.draft_changes(changes)

    for user in (alice, bea):
        client = signed_in(user, team)
        assert b"A lamp" in client.get("/products/").content
        assert Notification.objects.of(team, user).count() == len(changes)
        assert "unread" in client.get("/").content.decode()
    signed_in(bea, team).post(reverse("notifications:read_all"))
    assert not Notification.objects.of(team, alice).unread().exists()


def invite(client, email, role="member"):
    return client.post("/account/team/invite/", {"invite-email": email, "invite-role": role})


def link_in(message):
    return urlsplit(re.search(r"https?://\S+", message.body)[0]).path


@pytest.fixture
def invited(alice, team, django_capture_on_commit_callbacks):
    def act(email, role="member"):
        with django_capture_on_commit_callbacks(execute=True):
            invite(signed_in(alice), email, role)
        run_jobs()
        return link_in(mail.outbox[-1])

    return act


@pytest.mark.parametrize("role", [MEMBER, VIEWER])
def test_who_has_an_account_joins_by_a_link_that_works_once(invited, team, charlie, role):
    link = invited("charlie@example.com", role)
    client = signed_in(charlie)
    assert client.get(link).status_code == 200
    assert not team.members.filter(pk=charlie.pk).exists()  # a look changes nothing

    client.post(link)

    assert Membership.objects.get(team=team, user=charlie).role == role
    assert "alice" in client.get("/").content.decode()  # he works for it at once
    assert Preferences.objects.get(user=charlie).team == team
    late = signed_in(User.objects.create_user("dora"))
    assert late.post(link).status_code == 410
    assert AuditEntry.objects.filter(action="join").count() == 1


@pytest.mark.parametrize(("setting", "may"), [("open", True), ("invited", True), ("closed", False)])
def test_who_has_none_makes_one_and_is_in_the_team(invited, team, settings, setting, may):
    settings.SIGN_UP = setting
    link = invited("new@example.com")
    words = {"username": "newcomer", "password1": "a-long-Secret-7", "password2": "a-long-Secret-7"}

    answer = Client().post(link, words)

    user = User.objects.filter(username="newcomer").first()
    assert bool(user) == may
    if user is None:
        assert answer.headers["Location"].startswith("/login/?next=")
        return
    assert {one.team.name: one.role for one in Membership.objects.filter(user=user)} == {
        "newcomer": OWNER,
        "alice": MEMBER,
    }


def test_who_is_the_owner_stays_it_whatever_he_accepts(invited, alice, team):
    link = invited("another@example.com", "viewer")

    signed_in(alice).post(link)

    assert owners(team) == [alice]


@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@example.com", "twice@example.com", "no address", ""])
def test_what_cannot_be_invited_is_refused_with_a_reason(alice, team, email):
    Invitation.objects.create(email="twice@example.com", team=team, role=MEMBER)

    answer = invite(signed_in(alice), email)

    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    assert Invitation.objects.count() == 1


def test_an_invitation_does_not_tell_who_has_an_account(alice, charlie):
    known, unknown = (invite(signed_in(alice), email) for email in ("charlie@example.com", "nobody@example.com"))

    assert known.status_code == unknown.status_code == 302


@pytest.mark.parametrize("role", [MEMBER, VIEWER])
@pytest.mark.parametrize("what", ["invite", "rename", "withdraw", "role", "remove"])
def test_only_the_owner_decides_who_is_in_it(team, role, what):
    client, other = signed_in(join(team, "bea", role).user, team), join(team, "cleo")
    open_ = Invitation.objects.create(email="x@example.com", team=team, role=MEMBER)
    path, form = {
        "invite": ("/account/team/invite/", {"invite-email": "y@example.com", "invite-role": "member"}),
        "rename": ("/account/team/", {"name": "ours"}),
        "withdraw": (f"/account/team/invitations/{open_.pk}/withdraw/", {}),
        "role": (f"/account/team/members/{other.pk}/role/", {"role": "viewer"}),
        "remove": (f"/account/team/members/{other.pk}/remove/", {}),
    }[what]

    assert client.post(path, form).status_code == 403

    assert Invitation.objects.get() == open_
    assert Team.objects.get(pk=team.pk).name == "alice"
    assert Membership.objects.get(pk=other.pk).role == MEMBER


def test_a_team_is_handed_over_and_its_old_owner_may_leave(alice, team):
    heir = join(team, "bea", VIEWER)
    client = signed_in(alice)
    mine = Membership.objects.get(user=alice, team=team)
    client.post(f"/account/team/members/{mine.pk}/remove/")
    assert owners(team) == [alice]  # an owner cannot leave

    client.post(f"/account/team/members/{heir.pk}/role/", {"role": "owner"})
    assert owners(team) == [heir.user]
    assert Membership.objects.get(pk=mine.pk).role == MEMBER
    client.post(f"/account/team/members/{mine.pk}/remove/")

    assert not team.members.filter(pk=alice.pk).exists()
    assert [one.name for one in alice.teams.all()] == ["alice"]  # a new one of his own
    assert alice.teams.get() != team
    assert signed_in(alice).get("/").status_code == 200


@pytest.mark.parametrize(("mine", "theirs"), list(pairs((OWNER, MEMBER, VIEWER), repeat=2)))
def test_a_team_is_handed_over_by_its_owner_or_not_at_all(team, alice, mine, theirs):
    one, other = join(team, "bea", MEMBER), join(team, "cleo", MEMBER)
    if mine != OWNER:
        Membership.objects.filter(pk=one.pk).update(role=mine)
    else:
        assert Membership.objects.hand_over(alice.memberships.get(), one)
    if theirs == OWNER:
        assert Membership.objects.hand_over(Membership.objects.get(team=team, role=OWNER), other)
    else:
        Membership.objects.filter(pk=other.pk).update(role=theirs)
    stands = list(Membership.objects.filter(team=team, role=OWNER))

    done = Membership.objects.hand_over(one, other)

    assert done == (mine == OWNER and theirs != OWNER)
    assert list(Membership.objects.filter(team=team, role=OWNER)) == ([other] if done else stands)


def test_nobody_is_handed_over_another_team(alice, charlie, team):
    assert not Membership.objects.hand_over(alice.memberships.get(), charlie.memberships.get())
    assert owners(team) == [alice]


def test_a_second_owner_does_not_exist(team):
    with pytest.raises(IntegrityError), transaction.atomic():
        join(team, "bea", OWNER)


def test_who_leaves_leaves_no_key_and_no_ear_behind(team, alice):
    leaver = join(team, "bea")
    token, text = ApiToken.objects.issue(leaver, "script", "write")
    Channel.objects.create(team=team, user=leaver.user, kind="email", address="bea@example.com")
    mine = Channel.objects.create(team=team, user=alice, kind="email", address="alice@example.com")
    client = signed_in(leaver.user, team)

    client.post(f"/account/team/members/{leaver.pk}/remove/")

    assert not ApiToken.objects.filter(pk=token.pk).exists()
    assert Client().get("/api/v1/products", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    assert list(Channel.objects.active().exclude(kind="app").filter(team=team)) == [mine]
    client.get("/account/team/")  # says that he has left it
    assert "alice" not in client.get("/account/team/").content.decode()


@pytest.mark.parametrize(
    ("scope", "role", "status"), [("write", MEMBER, 200), ("read", MEMBER, 403), ("write", VIEWER, 403)]
)
def test_a_token_may_no_more_than_who_made_it(team, lamp, scope, role, status):
    membership = join(team, "bea")
    _row, text = ApiToken.objects.issue(membership, "script", scope)
    Membership.objects.filter(pk=membership.pk).update(role=role)
    headers = {"Authorization": f"Bearer {text}"}

    answer = Client().patch(
        "/api/v1/products/amazon.com/B0LAMP0001", {"alias": "x"}, content_type="application/json", headers=headers
    )

    assert answer.status_code == status
    assert Client().get("/api/v1/products", headers=headers).json()["items"][0]["asin"] == "B0LAMP0001"


def test_a_team_whose_owner_goes_goes_on_with_who_was_there_longest(team, alice, lamp):
    join(team, "viewer", VIEWER)
    heir = join(team, "bea", MEMBER).user
    join(team, "cleo", MEMBER)

    leaving.close(alice)
    leaving.remove_rows(alice.pk)
    alice.delete()

    assert owners(team) == [heir]
    assert Tracking.objects.filter(team=team, paused=False).exists()


def test_a_team_ends_with_its_last_member(alice, charlie, team, lamp):
    Tracking.objects.create(team=charlie.teams.get(), product=lamp)

    alice.delete()  # by whichever way, an operator's included

    assert not Team.objects.filter(pk=team.pk).exists()
    assert [tracking.team for tracking in Tracking.everything.all()] == [charlie.teams.get()]


def test_nobody_owns_more_teams_than_there_are_budgets_for(alice):
    client = signed_in(alice)
    for number in range(25):
        client.post("/account/teams/new/", {"new-name": f"client {number}"})

    assert Membership.objects.filter(user=alice, role=OWNER).count() == 20


def test_the_team_of_the_last_switch_is_shown_after_the_next_sign_in(alice, team):
    signed_in(alice).post("/account/teams/new/", {"new-name": "A client"})
    client = Client()
    client.post("/login/", {"username": "alice", "password": "alice-password"})

    assert client.get("/").context["request"].team.name == "A client"


def test_the_number_of_queries_does_not_grow_with_the_teams(alice, team, lamp, django_assert_max_num_queries):
    client = signed_in(alice)
    client.get("/")
    with django_assert_max_num_queries(30) as few:
        client.get("/")
        count = len(few)
    for number in range(15):
        client.post("/account/teams/new/", {"new-name": f"client {number}"})
        join(Team.objects.latest("pk"), f"user{number}")
    client.post(f"/account/teams/{team.pk}/enter/")
    with django_assert_max_num_queries(count):
        client.get("/")


def test_a_user_without_a_team_is_told_so(alice):
    Membership.objects.all().delete()

    for path in ("/", "/products/", "/account/team/"):
        answer = signed_in(alice).get(path)
        assert answer.status_code == 403
        assert "You are in no team" in answer.content.decode()


def tell_of(old, tracking):
    """Have a change of a time at which changes did not name their user."""
    run = old.get_model("products", "ScrapeRun").objects.create(marketplace="amazon.com", asins=[], cost_cap_usd=0)
    look = old.get_model("products", "Snapshot").objects.create(product=tracking.product, scrape_run=run, taken_at=NOON)
    words = {"before": "1", "after": "2", "severity": "1_info", "before_at": NOON, "seen_at": NOON}
    old.get_model("products", "Change").objects.create(tracking=tracking, snapshot=look, kind="bsr_change", **words)


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_today_s_users_get_a_team_with_all_that_was_theirs():
    before = [
        *(("accounts", "0001_initial"), ("analysis", "0002_hold_budgets_in_rows_and_use_the_databases_clock")),
        *(("products", "0002_keep_answers_apart_and_days_within_budget"),),
        ("notifications", "0003_find_the_newest_by_an_index"),
    ]
    executor = OldPath(connection)
    latest = executor.loader.graph.leaf_nodes()
    executor.migrate(before)
    old = executor.loader.project_state(before).apps
    try:
        users = [old.get_model("auth", "User").objects.create(username=name) for name in ("gone", "ann", "ben")]
        users[0].delete()  # so that keys are not 1, 2, 3
        product = old.get_model("products", "Product").objects.create(marketplace="amazon.com", asin="B0LAMP0001")
        for user in users[1:]:
            words = {"user": user, "product": product, "alias": user.username}
            words |= {"price_threshold": 5} if user.username == "ann" else {}
            tracking = old.get_model("products", "Tracking").objects.create(**words)
            tell_of(old, tracking)
            old.get_model("notifications", "Channel").objects.create(user=user, kind="app")
            old.get_model("notifications", "Channel").objects.create(user=user, kind="email", address="a@example.com")
            old.get_model("accounts", "ApiToken").objects.create(user=user, name=user.username, digest=user.username)
    finally:
        executor = OldPath(connection)
        executor.migrate(latest)

    for name in ("ann", "ben"):
        user = User.objects.get(username=name)
        team = user.teams.get()
        assert (team.name, owners(team)) == (name, [user])
        tracking = team.trackings.get()
        assert tracking.alias == name
        assert tracking.price_threshold == (5 if name == "ann" else None)  # said where it is not the usual one
        assert (tracking.bsr_threshold, tracking.bsr_unit, tracking.tell_buybox) == (None, "", None)
        assert Change.objects.get(tracking__team=team).team == team
        assert ApiToken.objects.get(membership__team=team).membership.user == user
        assert {(one.kind, one.user) for one in team.channels.all()} == {("app", None), ("email", user)}
    assert User.objects.create_user("later").teams.get().name == "later"  # keys go on behind the old ones
    assert Product.objects.count() == 1
