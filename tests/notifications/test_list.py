"""The page of notifications: the user's own by keys, found by one index in their order, acknowledged."""

import re
from datetime import datetime

import pytest
from django.conf import settings as configured
from django.db import connection
from django.urls import reverse

from notifications.models import Channel, ChannelKind, Notification
from products.keyset import NowAsKey

pytestmark = pytest.mark.both

COUNT = 120


def told(user, count=COUNT):
    channel, _made = Channel.objects.get_or_create(team=user.teams.get(), kind=ChannelKind.APP)
    rows = [
        Notification(channel=channel, subject=f"{user} {number}", path="/", state="sent") for number in range(count)
    ]
    return Notification.objects.bulk_create(rows)


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


def test_keys_lead_through_all_of_the_users_own_newest_first_and_back(page, alice, charlie):
    mine, _others = told(alice), told(charlie)
    walked, key, pages = [], "", []
    while (not pages or key) and len(pages) < 10:
        context = page.get(reverse("notifications:list"), {"page": key}).context
        pages.append(context["rows"])
        walked += context["rows"]
        key = context["part"].after
    assert [row.pk for row in walked] == sorted((row.pk for row in mine), reverse=True)
    back = page.get(reverse("notifications:list"), {"page": context["part"].before}).context
    assert back["rows"] == pages[-2]


@pytest.mark.later
def test_a_time_that_the_database_wrote_is_found_by_itself(alice):
    """SQLite keeps times as text, and compares them as such."""
    told(alice, 1)
    for _ in range(100):
        row = told(alice, 1)[0]
        row.refresh_from_db()
        assert Notification.objects.filter(pk=row.pk, created_at=row.created_at).exists()


@pytest.mark.skipif("postgresql" in configured.DATABASES["default"]["ENGINE"], reason="it keeps times as times")
@pytest.mark.parametrize("fraction", ["", ".001", ".120", ".999"])
def test_it_is_written_as_django_writes_it(db, fraction):
    sql, _given = Notification.objects.values_list(NowAsKey())[:1].query.sql_with_params()
    expression = sql.partition("SELECT ")[2].partition(" AS ")[0].replace("'NOW'", f"'2026-11-30 09:00:05{fraction}'")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {expression}", ())
        written = cursor.fetchone()[0]
    moment = datetime.fromisoformat(f"2026-11-30 09:00:05{fraction or '.000'}")
    assert written == connection.ops.adapt_datetimefield_value(moment)


def test_only_the_unread_are_shown_to_who_asks(page, alice):
    rows = told(alice, 3)
    page.post(reverse("notifications:read", args=[rows[1].pk]))

    shown = page.get(reverse("notifications:list"), {"unread": "1"}).context["rows"]
    assert {row.pk for row in shown} == {rows[0].pk, rows[2].pk}
    page.post(reverse("notifications:read_all"))
    assert not page.get(reverse("notifications:list"), {"unread": "1"}).context["rows"]


def test_the_queries_do_not_grow(page, alice, django_assert_max_num_queries):
    for count in (0, 1, COUNT):
        told(alice, count)
        with django_assert_max_num_queries(7):
            assert page.get(reverse("notifications:list")).status_code == 200


def test_they_are_found_by_an_index_in_their_order(alice, charlie):
    told(alice)
    told(charlie)
    own = Channel.objects.get(team=alice.teams.get())
    newest = Notification.objects.filter(channel=own).order_by("-created_at", "-pk")[:50]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE notifications_notification")
            cursor.execute("SET LOCAL enable_seqscan = off")
    plan = newest.explain()

    assert "notification_newest_first" in plan
    assert "sort" not in plan.lower()
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(("count", "shown"), [(0, ""), (1, "1"), (99, "99"), (COUNT, "99+")])
def test_the_menu_counts_the_unread_up_to_a_bound(page, alice, charlie, count, shown):
    told(alice, count)
    told(charlie, 7)

    text = page.get(reverse("notifications:list")).content.decode()
    assert re.findall(r'class="count">([\d+]*)\s*<', text) == ([shown] if shown else [])
