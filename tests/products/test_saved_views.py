"""Saved views: a user's own in one team, by name; one of them begins the list; another's are not found."""

import pytest
from django.http import QueryDict
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Membership
from products.models import SavedView
from products.watchlist import SORTS, STATES, Wanted

pytestmark = pytest.mark.both

LIST = "/products/"


@pytest.fixture
def page(client, alice, lamp):
    client.force_login(alice)
    return client


def keep(client, name="Late ones", query="state=late&sort=-price", **more):
    return client.post(reverse("products:keep_view"), {"name": name, "query": query} | more, follow=True)


def test_a_view_is_kept_shown_renamed_and_deleted(page, alice):
    text = keep(page).content.decode()
    view = SavedView.objects.get()
    assert (view.name, view.query, view.user, view.team) == ("Late ones", "state=late&sort=-price", alice,
                                                             alice.teams.get())  # fmt: skip
    assert 'aria-current="page">\n    Late ones' in text

    page.post(reverse("products:change_view", args=[view.pk]), {"name": "  Old   ones "})
    assert SavedView.objects.get().name == "Old ones"
    page.post(reverse("products:delete_view", args=[view.pk]))
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    ("query", "is_offered"), [("", False), ("?show=all", False), ("?sort=-price", False), ("?state=gone", True)]
)
def test_an_empty_list_offers_no_view_to_keep_but_a_question_does(client, charlie, query, is_offered):
    client.force_login(charlie)

    assert ("Keep this view" in client.get(f"{LIST}{query}").content.decode()) == is_offered


def test_the_same_name_takes_the_new_question(page):
    keep(page)
    keep(page, query="role=own")

    assert [view.query for view in SavedView.objects.all()] == ["role=own"]


def test_one_view_begins_the_list_and_all_can_still_be_shown(page, lamp):
    keep(page, "A", "state=paused", begin="on")
    keep(page, "B", "role=competitor", begin="on")

    assert [view.name for view in SavedView.objects.filter(is_default=True)] == ["B"]
    assert page.get(LIST).headers["Location"] == f"{LIST}?role=competitor"
    assert lamp.asin in page.get(LIST, {"show": "all"}).content.decode()
    assert page.get(LIST, {"q": "", "role": ""}).status_code == 200
    b = SavedView.objects.get(name="B")
    page.post(reverse("products:change_view", args=[b.pk]), {"name": "B"})
    assert page.get(LIST).status_code == 200


def test_a_beginning_that_asks_for_nothing_leads_in_no_circle(page):
    keep(page, query="", begin="on")

    assert page.get(LIST, follow=True).status_code == 200


def test_only_what_the_list_knows_is_kept(page):
    keep(page, query="state=odd&evil=1&sort=-nothing&q=" + "x" * 3000 + "&page=abc")

    assert SavedView.objects.get().query == "q=" + "x" * 100


@pytest.mark.later
@given(
    st.builds(
        Wanted,
        q=st.text(max_size=100).map(str.strip),
        role=st.sampled_from(["", "own", "competitor"]),
        tag=st.sampled_from(["", "7"]),
        site=st.sampled_from(["", "amazon.de"]),
        state=st.sampled_from(["", *(name for name, _word in STATES)]),
        sort=st.sampled_from(list(SORTS)),
        falls=st.booleans(),
    )
)
def test_a_question_is_kept_as_it_was_asked(wanted):
    assert Wanted.of(QueryDict(wanted.text)) == wanted
    assert len(wanted.text) < 2000


@pytest.mark.parametrize("name", ["", "   ", "\n"])
def test_a_view_has_a_name(page, name):
    assert 'class="said warning"' in keep(page, name).content.decode()
    assert not SavedView.objects.exists()


def test_two_views_have_not_one_name(page):
    keep(page, "A")
    keep(page, "B", "role=own")
    b = SavedView.objects.get(name="B")

    answer = page.post(reverse("products:change_view", args=[b.pk]), {"name": "A"}, follow=True)

    assert "another view under this name" in answer.content.decode()
    assert SavedView.objects.get(pk=b.pk).name == "B"


def test_thirty_are_enough(page, alice):
    mine = {"team": alice.teams.get(), "user": alice}
    SavedView.objects.bulk_create(SavedView(name=str(number), **mine) for number in range(30))

    assert "Delete one" in keep(page).content.decode()
    keep(page, "7", "role=own")
    assert SavedView.objects.get(name="7").query == "role=own"
    assert SavedView.objects.count() == 30


@pytest.mark.parametrize("who", ["another team", "same team"])
@pytest.mark.parametrize("address", ["products:change_view", "products:delete_view"])
def test_anothers_view_is_not_found(client, page, alice, charlie, who, address):
    keep(page)
    view = SavedView.objects.get()
    if who == "same team":
        charlie.memberships.all().delete()
        Membership.objects.create(team=alice.teams.get(), user=charlie, role="member")
    client.force_login(charlie)

    assert client.post(reverse(address, args=[view.pk]), {"name": "Mine"}).status_code == 404
    assert "Late ones" not in client.get(LIST).content.decode()
    assert SavedView.objects.get().name == "Late ones"


def test_a_viewer_keeps_none_and_a_get_changes_nothing(client, page, alice, charlie):
    keep(page)
    view = SavedView.objects.get()
    for path in (reverse("products:keep_view"), reverse("products:delete_view", args=[view.pk])):
        assert page.get(path).status_code == 405
    charlie.memberships.all().delete()
    Membership.objects.create(team=alice.teams.get(), user=charlie, role="viewer")
    client.force_login(charlie)

    assert keep(client).status_code == 403
    assert "Keep this view" not in client.get(LIST).content.decode()
    assert SavedView.objects.count() == 1
