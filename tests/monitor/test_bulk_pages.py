"""The pages of bulk actions: look, ask once, watch, stop."""

import uuid
from datetime import UTC, datetime

import pytest
from django.urls import reverse

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import lists
from amazon_pilot.jobs.models import AuditEntry, BulkAction
from amazon_pilot.jobs.operate import bulk
from amazon_pilot.jobs.operate.preview import look

from .many_jobs import begin, bury, enqueue, failures

pytestmark = pytest.mark.django_db
PREVIEW, START = reverse("monitor:bulk_preview"), reverse("monitor:bulk_start")


def form(action="retry", q="state:failed", **more):
    words = {"action": action, "q": q, "token": str(uuid.uuid4()), "reason": "A test", "next": PREVIEW}
    return {name: value for name, value in (words | more).items() if value is not None}


def text(answer):
    return answer.content.decode()


def test_the_preview_says_how_many_and_shows_some_and_changes_nothing(admin_client):
    bury(enqueue(12))

    answer = admin_client.get(PREVIEW, {"action": "retry", "q": "state:failed"})

    assert "12 jobs match." in text(answer)
    assert len(answer.context["preview"].rows) == 8
    assert not BulkAction.objects.exists()
    assert queues.counts("default")["failed"] == 12


def test_the_preview_of_a_group_counts_its_runs(admin_client):
    ids = enqueue(5)
    bury(ids)
    failures(ids[:3], "a")

    answer = admin_client.get(PREVIEW, {"action": "retry", "q": "cause:a state:failed"})

    assert "3 are looked at." in text(answer)
    assert {row.job_id for row in answer.context["preview"].rows} == set(ids[:3])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"action": "retry", "q": "state:queued"}, "for jobs that are failed, canceled"),
        ({"action": "retry", "q": "state:("}, "state wants a value"),
        ({"action": "retry", "q": "state:failed"}, "No job matches."),
        ({"q": "state:failed"}, "Choose what to do"),
        ({"action": "hold", "id": ["x"] * 101}, "At most 100"),
    ],
)
def test_the_preview_says_why_there_is_nothing_to_ask_for(admin_client, words, message):
    answer = admin_client.get(PREVIEW, words)

    assert message in text(answer)
    assert 'name="token"' not in text(answer)


def test_an_action_is_asked_for_watched_and_done(admin_client, django_capture_on_commit_callbacks):
    bury(enqueue(4))
    with django_capture_on_commit_callbacks(execute=True):
        answer = admin_client.post(START, form())
    row = BulkAction.objects.get()

    assert answer.url == reverse("monitor:bulk", args=[row.pk])
    assert (row.expected, row.by.username, row.state) == (4, "admin", "waiting")
    assert "Stop" in text(admin_client.get(answer.url))
    bulk.run(row.pk)
    part = text(admin_client.get(reverse("monitor:bulk_part", args=[row.pk]), headers={"HX-Request": "true"}))
    assert "Done" in part
    assert "Stop" not in part
    assert AuditEntry.objects.get().count == 4


def test_a_second_click_leads_to_the_first_action(admin_client):
    bury(enqueue(4))
    words = form()

    first, second = admin_client.post(START, words), admin_client.post(START, words)

    assert first.url == second.url
    assert BulkAction.objects.count() == AuditEntry.objects.count() == 1


def test_chosen_jobs_are_acted_on_alone(admin_client):
    ids = enqueue(5)

    preview = text(admin_client.get(PREVIEW, {"action": "hold", "id": ids[:2]}))
    admin_client.post(START, form("hold", None, id=ids[:2]))
    bulk.run(BulkAction.objects.get().pk)

    assert "2 jobs." in preview
    assert (queues.size("default"), queues.counts("default")["deferred"]) == (3, 2)


@pytest.mark.parametrize(("typed", "is_done"), [("", False), ("4", False), ("5", True)])
def test_a_large_action_wants_its_number_typed(admin_client, monkeypatch, typed, is_done):
    monkeypatch.setattr(bulk, "MANY", 3)
    bury(enqueue(5))
    preview = admin_client.get(PREVIEW, {"action": "retry", "q": "state:failed"})
    assert "Type 5 to confirm" in text(preview)

    admin_client.post(START, form(number="5", typed=typed))

    assert BulkAction.objects.exists() is is_done


def test_jobs_are_put_off_until_a_time_of_the_viewer(admin_client):
    ids = enqueue(3)
    admin_client.cookies["zone"] = "Asia/Shanghai"
    preview = text(admin_client.get(PREVIEW, {"action": "snooze", "q": "state:queued"}))
    assert "Until (Asia/Shanghai)" in preview

    answer = admin_client.post(START, form("snooze", "state:queued", until="2033-05-01T09:30"))
    bulk.run(BulkAction.objects.get().pk)

    due = datetime(2033, 5, 1, 1, 30, tzinfo=UTC)
    planned = queues.connection().zrange("rq:scheduled:default", 0, -1, withscores=True)
    assert planned == [(job_id.encode(), due.timestamp()) for job_id in sorted(ids)]
    assert "2033" in text(admin_client.get(answer.url))


def test_the_page_of_a_cancellation_tells_what_was_removed_asked_and_too_late(admin_client):
    ids = enqueue(4)
    begin(ids[:1])
    bury(ids[1:2])
    preview = text(admin_client.get(PREVIEW, {"action": "cancel", "q": "state:started OR state:queued"}))
    assert "asked to end, and killed after 5 seconds" in preview

    answer = admin_client.post(START, form("cancel", None, id=ids))
    bulk.run(BulkAction.objects.get().pk)

    page = text(admin_client.get(answer.url))
    for word, number in (("Removed", 2), ("Asked to end", 1), ("Too late", 1)):
        assert f"<dt>{word}</dt><dd>{number}</dd>" in page


def test_an_action_without_a_reason_is_refused(admin_client):
    bury(enqueue(2))

    answer = admin_client.post(START, form(reason=" "), follow=True)

    assert "Say why" in text(answer)
    assert not BulkAction.objects.exists()


def test_it_is_stopped_by_a_button(admin_client):
    bury(enqueue(2))
    admin_client.post(START, form())
    row = BulkAction.objects.get()

    admin_client.post(reverse("monitor:bulk_abort", args=[row.pk]))
    bulk.run(row.pk)

    row.refresh_from_db()
    assert (row.state, row.aborted_by.username, row.changed) == ("aborted", "admin", 0)
    again = admin_client.post(reverse("monitor:bulk_abort", args=[row.pk]), follow=True)
    assert "it had ended before" in text(again)


@pytest.mark.parametrize(
    ("role", "action", "status"),
    [("view", "retry", 403), ("operate", "retry", 302), ("operate", "delete", 403), ("edit", "delete", 302)],
)
def test_the_role_decides(person, role, action, status):
    bury(enqueue(2))

    assert person(role).post(START, form(action)).status_code == status
    assert BulkAction.objects.exists() is (status == 302)


def test_a_large_action_needs_the_role_admin(person, monkeypatch):
    monkeypatch.setattr(bulk, "MANY", 3)
    bury(enqueue(5))
    client = person("operate")

    assert "need the role admin" in text(client.get(PREVIEW, {"action": "retry", "q": "state:failed"}))
    assert client.post(START, form(number="5", typed="5")).status_code == 403
    assert not BulkAction.objects.exists()


@pytest.mark.parametrize("name", ["bulk_preview", "bulk"])
def test_a_page_refuses_post_and_a_button_get(admin_client, name):
    row = BulkAction.objects.create(action="retry")
    address = reverse("monitor:bulk", args=[row.pk]) if name == "bulk" else PREVIEW

    assert admin_client.post(address).status_code == 405
    assert admin_client.get(START).status_code == 405
    assert admin_client.get(reverse("monitor:bulk_abort", args=[row.pk])).status_code == 405


@pytest.mark.parametrize(
    ("action", "q"),
    [
        ("retry", "state:failed"), ("retry", "cause:a state:failed"), ("hold", "task:nothing"), ("cancel", ""),
        ("cancel", "state:started"), ("snooze", ""),
        ("move", "task:nothing"), ("delete", "state:failed OR state:queued OR state:held OR state:scheduled"),
    ],
)  # fmt: skip
def test_a_preview_asks_redis_little(admin_client, commands, django_assert_max_num_queries, action, q):
    bury(enqueue(30))
    admin_client.get(PREVIEW, {"action": action, "q": q})  # the scripts are loaded, the sample is taken
    commands.clear()

    with django_assert_max_num_queries(34):
        admin_client.get(PREVIEW, {"action": action, "q": q})

    assert len(commands) <= 20, commands


def test_more_than_is_counted_is_large(monkeypatch):
    monkeypatch.setattr(lists, "COUNTED", 3)
    ids = enqueue(5)
    bury(ids)
    failures(ids, "a")

    assert look("retry", "cause:a state:failed", []).number is None
    assert look("retry", "cause:a", []).is_large


def test_the_preview_says_that_redis_is_away(admin_client, redis_away):
    assert "Redis does not answer." in text(admin_client.get(PREVIEW, {"action": "retry", "q": "state:failed"}))
