"""A bulk action is about what was shown: its question is frozen, bounded, and says when nothing came of it."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect.grammar import QueryError
from amazon_pilot.jobs.inspect.query import frozen, parse
from amazon_pilot.jobs.models import BulkAction, JobRun, SavedSearch
from amazon_pilot.jobs.operate import bulk, preview
from tests.jobs import tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]
ZONES = {"America/New_York": timedelta(hours=-5), "Asia/Shanghai": timedelta(hours=8), "": timedelta(0)}


def fail(count, at):
    """Put jobs among the failed, with a run each that began at a time."""
    ids = tasks.fail.enqueue_many([()] * count)
    connection = queues.connection()
    connection.delete(queues.key("default"))
    for job_id in ids:
        connection.hset(f"rq:job:{job_id}", "status", "failed")
        connection.zadd("rq:failed:default", {job_id: 1e10})
    JobRun.objects.bulk_create(
        JobRun(job_id=id, execution_id=uuid.uuid4().hex, task="tests.jobs.tasks.fail", queue="default",
               outcome="failed", started_at=at, ended_at=at)
        for id in ids
    )  # fmt: skip
    return ids


@pytest.mark.parametrize("zone", ZONES)
def test_what_was_shown_in_a_browsers_zone_is_what_is_done(person, zone):
    client = person("admin")
    client.cookies["zone"] = zone
    now = timezone.now().replace(microsecond=0)
    new, _old = fail(3, now - timedelta(minutes=10)), fail(9, now - timedelta(hours=7))
    local = (now - timedelta(hours=1) + ZONES[zone]).replace(tzinfo=None)
    address = reverse("monitor:bulk_preview")

    page = client.get(address, {"action": "delete", "q": f"state:failed task:fail since:{local:%Y-%m-%dT%H:%M}"})

    assert page.context["preview"].number == 3
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.content.decode()))
    client.cookies["zone"] = "Pacific/Kiritimati"  # the question means the same wherever it is sent from
    client.post(reverse("monitor:bulk_start"), form | {"q": page.context["q"], "reason": "A test"})
    row = BulkAction.objects.get()
    bulk.run(row.pk)
    row.refresh_from_db()
    assert (row.state, row.changed) == ("done", 3)
    assert all(not queues.connection().exists(f"rq:job:{id}") for id in new)
    assert queues.connection().zcard("rq:failed:default") == 9


@pytest.mark.parametrize(
    "text", ["since:2h", "until:30m", "since:2026-05-01", "since:2026-05-01T12:00", "NOT since:1d x"]
)
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Shanghai"])
def test_a_frozen_question_means_the_same_in_any_zone_and_later(text, zone, monkeypatch):
    with timezone.override(zone):
        before = parse(text)
        once = frozen(text)
    times = [term.value for term in terms(parse(once))]
    assert all(abs(a - b.value) < timedelta(seconds=2) for a, b in zip(times, terms(before), strict=True))
    assert frozen(once) == once
    assert not {"2h", "30m", "1d"} & {*once.replace(":", " ").split()}  # what lasts from now on is none later
    assert all(term.value.utcoffset() == timedelta(0) for term in terms(parse(once)))


def terms(query):
    found, left = [], list(query.rest)
    while left:
        node = left.pop()
        left += getattr(node, "parts", ()) or ([node.part] if hasattr(node, "part") else [])
        if getattr(node, "field", "") in ("since", "until"):
            found.append(node)
    return found


def test_quotes_brackets_and_other_words_stay_as_they_are():
    text = 'task:x (error:"since:2h" OR "since:2h") -since:2026-01-01T00:00Z'
    assert frozen(text) == 'task:x (error:"since:2h" OR "since:2h") -since:2026-01-01T00:00:00+00:00'
    with pytest.raises(QueryError):
        frozen("since:nonsense")


@pytest.mark.later
@pytest.mark.parametrize(
    ("shown", "there", "stops"), [(8, 108, False), (8, 109, True), (200, 400, False), (200, 401, True)]
)
def test_an_action_stops_before_it_acts_on_far_more_than_was_shown(admin_user, shown, there, stops):
    fail(there, timezone.now() - timedelta(hours=1))
    row, _new = bulk.start(
        admin_user, "delete", token=uuid.uuid4(), query="state:failed task:fail", reason="x", expected=shown
    )

    bulk.run(row.pk)

    row.refresh_from_db()
    assert row.state == ("failed" if stops else "done")
    if stops:
        assert row.changed < there
        assert f"far more jobs match than the {shown} that were shown" in row.error
        assert row.changed <= bulk.most_for(shown)
    assert queues.connection().zcard("rq:failed:default") == there - row.changed


def test_far_more_than_was_shown_is_refused_when_it_is_asked_for(admin_user):
    fail(120, timezone.now() - timedelta(hours=1))

    with pytest.raises(ValidationError, match="120 jobs match now, and 8 were shown"):
        preview.ask(
            admin_user,
            "delete",
            token=uuid.uuid4(),
            text="state:failed",
            ids=[],
            given={},
            reason="x",
            shown=8,
            typed=None,
        )
    assert not BulkAction.objects.exists()


def test_the_limit_of_a_role_holds_while_it_is_done(person, monkeypatch):
    monkeypatch.setattr(bulk, "MANY", 5)
    client = person("edit")
    from django.contrib.auth.models import User

    user = User.objects.get(username="edit-er")
    fail(6, timezone.now() - timedelta(hours=1))
    row, _new = bulk.start(user, "delete", token=uuid.uuid4(), query="state:failed", reason="x", expected=4)
    bulk.run(row.pk)
    row.refresh_from_db()
    assert (row.state, row.changed) == ("failed", 0)
    assert "role" in row.error
    assert "Done" not in client.get(reverse("monitor:bulk", args=[row.pk])).content.decode()


def test_who_lost_the_role_meanwhile_changes_nothing(person):
    person("edit")
    from django.contrib.auth.models import User

    user = User.objects.get(username="edit-er")
    fail(2, timezone.now() - timedelta(hours=1))
    row, _new = bulk.start(user, "delete", token=uuid.uuid4(), query="state:failed", reason="x", expected=2)
    user.user_permissions.remove(Permission.objects.get(codename="edit_jobs"))
    bulk.run(row.pk)
    row.refresh_from_db()
    assert (row.state, row.changed) == ("failed", 0)


def test_nothing_changed_is_never_called_done(admin_client, admin_user):
    row, _new = bulk.start(admin_user, "retry", token=uuid.uuid4(), ids=["gone"], reason="x", expected=1)
    bulk.run(row.pk)

    page = admin_client.get(reverse("monitor:bulk", args=[row.pk])).content.decode()
    assert "Nothing was changed" in page
    assert "Done" not in page.split('id="bulk-title"')[1][:400]


def test_a_saved_search_and_a_shared_address_carry_their_zone(person):
    client = person("view")
    client.cookies["zone"] = "Asia/Shanghai"
    client.post(reverse("monitor:save-search"), {"name": "n", "q": "since:2026-05-01T08:00 until:1h"})
    assert SavedSearch.objects.get().query == "since:2026-05-01T00:00:00+00:00 until:1h"

    answer = client.get(reverse("monitor:jobs"), {"q": "since:2026-05-01T08:00"}, follow=True)
    assert "since%3A2026-05-01T00%3A00%3A00%2B00%3A00" in answer.redirect_chain[0][0]
    assert answer.context["q"] == f"since:{datetime(2026, 5, 1, tzinfo=UTC).isoformat()}"


CLOCK_CHANGES = ["2026-11-01T01:30", "2026-11-01", "2026-03-08T02:30", "2026-03-08", "2026-11-01T01:30-05:00"]


@pytest.mark.parametrize("time", CLOCK_CHANGES)
@pytest.mark.parametrize("reader", ["Asia/Shanghai", "Australia/Lord_Howe", "America/New_York"])
def test_a_search_saved_over_a_clock_change_means_the_same_to_who_opens_it_elsewhere(person, time, reader):
    """01:30 is there twice on one night, and 02:30 not at all on another."""
    client = person("view")
    client.cookies["zone"] = "America/New_York"
    with timezone.override("America/New_York"):
        meant = terms(parse(f"since:{time}"))[0].value.astimezone(UTC)
    client.post(reverse("monitor:save-search"), {"name": "n", "q": f"since:{time}"})

    client.cookies["zone"] = reader
    answer = client.get(reverse("monitor:jobs"), {"q": SavedSearch.objects.get().query}, follow=True)

    assert terms(parse(answer.context["q"]))[0].value == meant


@pytest.mark.parametrize("length", [483, 484])
def test_a_question_is_as_long_as_it_was_typed(person, length):
    """Its times are written out in the address, so that it would else be refused for what nobody has typed."""
    client = person("operate")
    client.cookies["zone"] = "Asia/Shanghai"
    text = f"{'x' * length} since:2026-05-01"

    shown = client.get(reverse("monitor:jobs"), {"q": text}, follow=True).context
    client.post(reverse("monitor:save-search"), {"name": "n", "q": text})
    preview = client.get(reverse("monitor:bulk_preview"), {"action": "delete", "q": f"state:failed {text[13:]}"})

    assert ("longer than 500" in shown["problem"]) == (len(text) > 500)
    assert "since:2026-04-30T16:00:00+00:00" in shown["q"] or len(text) > 500
    assert not SavedSearch.objects.exists()  # there is room for 500 letters
    assert preview.status_code == 200
