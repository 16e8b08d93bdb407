"""What is done to all that match: shown first, done to no more than that, and taken back as it was."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from accounts.models import Membership
from products import bulk_all
from products.models import BulkChange, Product, Tag, Tracking
from products.tasks import cleanup

pytestmark = pytest.mark.both

COLUMNS = ("paused", "frequency", "role", "removed_at")


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def shop(alice):
    """Sixty own products and twenty of competitors, in mixed states."""
    team = alice.teams.get()
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(80)])
    Tracking.objects.watch(team, products[:60], "own", "3_daily")
    Tracking.objects.watch(team, products[60:], "competitor", "1_hourly")
    Tracking.objects.filter(product__in=products[::3]).update(paused=True)
    Tracking.objects.filter(product__in=products[::7]).update(frequency="4_weekly")
    Tag.objects.named(team, "Old").put_on(
        Tracking.objects.filter(product__in=products[:30]).values_list("pk", flat=True)
    )
    return team


def state():
    rows = Tracking.everything.order_by("pk")
    return [*rows.values_list("pk", *COLUMNS)], sorted(
        Tracking.tags.through.objects.values_list("tracking", "tag__name")
    )


def look(client, what, query="role=own", **more):
    return client.post(reverse("products:bulk_all"), {"do": what, "query": query, "tag": "", **more})


def confirm(client, looked, **changed):
    context = looked.context
    words = {"do": context["what"], "tag": context["tag"], "query": context["query"], "next": "/products/"}
    words |= {"number": context["number"], "until": context["until"]} | changed
    return client.post(reverse("products:bulk_do_all"), words, follow=True)


@pytest.mark.parametrize(
    ("what", "tag", "is_done"),
    [
        ("pause", "", lambda row: row.paused),
        ("resume", "", lambda row: not row.paused),
        ("frequency:2_six_hourly", "", lambda row: row.frequency == "2_six_hourly"),
        ("role:competitor", "", lambda row: row.role == "competitor"),
        ("tag", "New", lambda row: "New" in {tag.name for tag in row.tags.all()}),
        ("tag", "old", lambda row: "Old" in {tag.name for tag in row.tags.all()}),
        ("untag", "OLD", lambda row: not row.tags.exists()),
        ("remove", "", lambda row: row.removed_at is not None),
    ],
)
def test_all_that_match_are_changed_and_given_back(page, shop, what, tag, is_done):
    before = state()
    own = [row.pk for row in Tracking.objects.filter(role="own")]
    looked = look(page, what, tag=tag)
    assert "<strong>60</strong> products match." in looked.content.decode()
    assert state() == before

    done = confirm(page, looked)

    assert all(is_done(row) for row in Tracking.everything.filter(pk__in=own))
    changed = [(new, old) for new, old in zip(state()[0], before[0], strict=True) if new[0] not in own]
    assert all(new == old for new, old in changed)
    text = done.content.decode()
    assert "Undo" in text
    if what == "remove":
        page.post(reverse("products:restore"), {"removed": done.redirect_chain[-1][0].split("=")[1]})
    else:
        page.post(reverse("products:undo_bulk", args=[BulkChange.objects.get().pk]))
    assert state() == before


def test_an_undo_leaves_alone_what_was_changed_since(page, shop):
    confirm(page, look(page, "frequency:2_six_hourly"))
    one, two = Tracking.objects.filter(role="own")[:2]
    Tracking.objects.filter(pk=one.pk).update(frequency="1_hourly")
    Tracking.objects.filter(pk=two.pk).remove()
    change = BulkChange.objects.get()

    page.post(reverse("products:undo_bulk", args=[change.pk]))
    answer = page.post(reverse("products:undo_bulk", args=[change.pk]), follow=True)

    assert Tracking.objects.get(pk=one.pk).frequency == "1_hourly"
    assert not Tracking.objects.filter(frequency="2_six_hourly").exists()
    assert Tracking.everything.get(pk=two.pk).frequency == "2_six_hourly"
    assert "taken back already" in answer.content.decode()


def test_what_was_added_since_is_left_alone(page, shop):
    looked = look(page, "pause")
    new = Product.objects.ensure([("amazon.com", "B0NEW00001")])
    Tracking.objects.watch(shop, new, "own", "3_daily")

    confirm(page, looked)

    assert not Tracking.objects.get(product=new[0]).paused


def test_it_stops_when_far_more_match_than_were_shown(page, shop):
    looked = look(page, "pause", "role=competitor")
    Tracking.objects.filter(role="own").update(role="competitor")
    before = state()

    text = confirm(page, looked).content.decode()

    assert "80 products match now, and 20 were shown" in text
    assert state() == before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"number": ""}, "this form is broken"),
        ({"until": "x"}, "this form is broken"),
        ({"number": "-5"}, "this form is broken"),
        ({"do": "explode"}, "Choose what to do."),
        ({"do": "tag"}, "Write the tag"),
        ({"query": "state=failing"}, "no product matches"),
        ({"do": "untag", "tag": "nobody's"}, "No product has this tag."),
    ],
)
def test_a_broken_form_does_nothing_and_says_so(page, shop, changed, words):
    looked, before = look(page, "pause"), state()

    assert words in confirm(page, looked, **changed).content.decode()
    assert state() == before


def test_the_number_of_many_is_typed(page, shop, monkeypatch):
    monkeypatch.setattr(bulk_all, "MANY", 50)
    looked = look(page, "pause")
    assert 'name="typed"' in looked.content.decode()
    before = state()

    for typed in ("", "61", "sixty"):
        assert "type the number" in confirm(page, looked, typed=typed).content.decode()
        assert state() == before
    confirm(page, looked, typed="60")
    assert Tracking.objects.filter(role="own", paused=False).count() == 0


def test_a_lie_about_the_number_widens_nothing(page, charlie, shop):
    """The form is the sender's own; what it can reach is his team's alone."""
    others = Tracking.objects.create(team=charlie.teams.get(), product=Product.objects.first(), role="own")
    looked = look(page, "pause")

    confirm(page, looked, number=1000, until=10**15)

    others.refresh_from_db()
    assert not others.paused


def test_another_teams_change_is_not_found_and_a_viewer_is_refused(client, page, alice, charlie, shop):
    looked = look(page, "pause")
    confirm(page, looked)
    change, after = BulkChange.objects.get(), state()
    client.force_login(charlie)
    assert client.post(reverse("products:undo_bulk", args=[change.pk])).status_code == 404
    assert "Undo" not in client.get("/products/", {"changed": change.pk}).content.decode()

    charlie.memberships.all().delete()
    Membership.objects.create(team=shop, user=charlie, role="viewer")
    assert client.post(reverse("products:undo_bulk", args=[change.pk])).status_code == 403
    assert look(client, "pause").status_code == 403
    assert confirm(client, looked).status_code == 403
    assert state() == after


def test_an_undo_has_an_hour(page, shop):
    confirm(page, look(page, "pause"))
    BulkChange.objects.update(done_at=now() - timedelta(minutes=61))
    after = state()

    answer = page.post(reverse("products:undo_bulk", args=[BulkChange.objects.get().pk]), follow=True)

    assert "too long ago" in answer.content.decode()
    assert state() == after
    cleanup()
    assert not BulkChange.objects.exists()


def test_the_number_of_queries_does_not_grow(page, shop):
    counts = []
    for query in ("q=B000000001&role=own", "role=own"):
        looked = look(page, "frequency:2_six_hourly", query)
        with CaptureQueriesContext(connection) as asked:
            confirm(page, looked)
        counts.append(len(asked))
    assert counts[1] - counts[0] <= 4  # one more statement for each value that was before, and the page after


def test_the_list_offers_it_where_there_is_more_than_a_page(page, shop):
    assert "All 80 that match" in page.get("/products/").content.decode()
    assert "that match" not in page.get("/products/", {"role": "competitor"}).content.decode()
