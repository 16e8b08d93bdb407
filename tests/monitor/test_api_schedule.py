"""The schedule's JSON: what its pages show, who may do what, what is written down, and what makes no sense."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import store
from amazon_pilot.jobs.models import AuditEntry, Fire, ScheduleEntry
from amazon_pilot.jobs.schedule import cron_text
from tests.jobs.schedule_world import TASK, at, make_entry, queued

from .faces import fired, get, post, ran

pytestmark = pytest.mark.django_db(transaction=True)
VERBS = ("pause", "resume", "run-now", "create", "edit", "delete")
ENOUGH = {"pause": "operate", "resume": "operate", "run-now": "operate", "create": "edit", "edit": "edit"}
BODIES = {
    "pause": {"reason": "A test"}, "run-now": {"reason": "A test"}, "resume": {},
    "create": {"cron": "@daily", "task": TASK}, "edit": {"cron": "0 10 * * *"}, "delete": {"confirm": "stock"},
}  # fmt: skip


def test_an_entry_is_told_with_its_words_times_last_fire_and_result(person):
    entry = make_entry(zone="Asia/Shanghai", args=["tea"], queue="low", next_at=at("2036-01-06 01:00"))
    fired()
    ran("stock-0", 1, "retrying")
    ran("stock-0", 2, "succeeded")

    status, told = get(person("view"), "schedule")

    (seen,) = told["entries"]
    assert status == 200
    assert [seen[name] for name in ("name", "cron", "words", "zone", "task", "args", "queue", "next_at")] == [
        "stock", "0 9 * * *", "Daily at 09:00", "Asia/Shanghai", TASK, ["tea"], "low", "2036-01-06T01:00:00Z",
    ]  # fmt: skip
    coming = cron_text.preview(entry.cron, entry.zone, timezone.now())
    assert [each["local"] for each in seen["next_fires"]] == [f"{each.local:%FT%T}+08:00" for each in coming]
    assert len(coming) == 5
    last = seen["last_fire"]
    assert (last["planned_at"], last["lag_seconds"], last["outcome"]) == ("2026-01-05T09:00:00Z", 0.25, "enqueued")
    assert (last["run"]["outcome"], last["run"]["attempt"]) == ("succeeded", 2)
    assert (seen["paused"], seen["is_paused"], seen["broken"]) == (None, False, "")


def test_a_pause_and_a_broken_row_are_told(person):
    client = person("operate")
    make_entry()
    make_entry("odd", cron="what", broken="cannot be read")
    make_entry("unmet", cron="what", zone="Mars/Base")

    post(client, "schedule-pause", "stock", reason="A test", until="2099-01-01T00:00:00Z")
    odd, stock, unmet = get(client, "schedule")[1]["entries"]

    assert stock["paused"] | {"since": ""} == {
        "by": "operate-er", "reason": "A test", "since": "", "until": "2099-01-01T00:00:00Z"
    }  # fmt: skip
    assert (odd["broken"], odd["next_fires"], odd["words"]) == ("cannot be read", [], "what")
    assert unmet["next_fires"] == []


def test_all_entries_take_few_queries(person, django_assert_max_num_queries):
    client = person("view")
    for number in range(30):
        make_entry(f"stock-{number}")
        fired(f"stock-{number}")

    with django_assert_max_num_queries(7):
        assert len(get(client, "schedule")[1]["entries"]) == 30


def test_the_history_is_read_page_by_page(person):
    make_entry()
    make_entry("tea")
    fired(number=7)
    fired("tea")
    ran("stock-0", 1, "failed")
    client = person("view")

    seen, cursor = [], ""
    for _ in range(3):
        status, told = get(client, "schedule-history", "stock", limit="3", **({"from": cursor} if cursor else {}))
        assert status == 200
        seen += told["fires"]
        cursor = told["next"]

    assert [fire["job_id"] for fire in seen] == [f"stock-{n}" for n in range(7)]
    assert cursor == ""
    assert [seen[0][name] for name in ("planned_at", "enqueued_at", "lag_seconds")] == [
        "2026-01-05T09:00:00Z", "2026-01-05T09:00:00.250Z", 0.25
    ]  # fmt: skip
    assert (seen[0]["run"]["outcome"], seen[1]["run"]) == ("failed", None)


def test_a_history_outlives_its_entry(person):
    fired("gone")
    client = person("view")

    assert len(get(client, "schedule-history", "gone")[1]["fires"]) == 1
    assert get(client, "schedule-entry", "gone")[0] == 404
    assert get(client, "schedule-history", "never")[1]["error"]["code"] == "unknown"


@pytest.mark.parametrize(
    "words",
    [
        *({"limit": limit} for limit in ("0", "x", "501")),
        *({"from": place} for place in ("soon", "2026-01-05", "2026-01-05T09:00:00", "2026-02-30T09:00:00Z")),
    ],
)
def test_a_page_that_makes_no_sense_is_refused(person, words):
    make_entry()
    status, told = get(person("view"), "schedule-history", "stock", **words)

    assert (status, told["error"]["code"]) == (400, "invalid")


def test_every_verb_acts_and_is_written_down(person, redis):
    client = person("admin")

    assert post(client, "schedule-create", "tea", cron="daily at 09:00", task=TASK, args=["x"], reason="New")[0] == 200
    assert post(client, "schedule-pause", "tea", reason="Wait")[0] == 200
    assert ScheduleEntry.objects.get().is_paused
    assert post(client, "schedule-resume", "tea", reason="Go")[0] == 200
    status, told = post(client, "schedule-run-now", "tea", reason="Asked")
    assert (status, queued(redis)) == (200, [told["job"]])
    assert Fire.objects.get().outcome == "manual"
    assert post(client, "schedule-edit", "tea", queue="low", missed_window="2 00:00:00", reason="Slow")[0] == 200
    entry = ScheduleEntry.objects.get()
    assert (entry.queue, entry.missed_window, entry.args) == ("low", timedelta(days=2), ["x"])
    assert redis.zscore("rq:scheduler:scheduled_jobs", "schedule-tea") == entry.next_at.timestamp()
    assert post(client, "schedule-delete", "tea", confirm="tea", reason="Over")[0] == 200

    assert not ScheduleEntry.objects.exists()
    assert redis.zscore("rq:scheduler:scheduled_jobs", "schedule-tea") is None
    lines = AuditEntry.objects.order_by("at")
    assert [(line.actor.username, line.action, line.target, line.reason, line.count) for line in lines] == [
        ("admin-er", action, "schedule entry tea", reason, 1)
        for action, reason in (
            ("create", "New"), ("pause", "Wait"), ("resume", "Go"), ("run now", "Asked"), ("edit", "Slow"),
            ("delete", "Over"),
        )
    ]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_refused_below_its_role_and_allowed_in_it(person, redis, verb):
    roles = ["view", "operate", "edit", "admin"]
    enough = roles.index(ENOUGH.get(verb, "admin"))
    name = "tea" if verb == "create" else "stock"
    entry = make_entry()
    if verb == "resume":
        entry.paused_at = timezone.now()
        entry.save()

    assert post(person(roles[enough - 1]), f"schedule-{verb}", name, **BODIES[verb])[0] == 403
    assert not AuditEntry.objects.exists()
    assert queued(redis) == []
    assert post(person(roles[enough]), f"schedule-{verb}", name, **BODIES[verb])[0] == 200
    assert AuditEntry.objects.count() == 1


def test_whoever_may_not_see_the_schedules_page_may_not_read_it_here(client):
    user = User.objects.create_user("jobs-only", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_jobrun", "operate_jobs"]))
    client.force_login(user)
    make_entry()

    assert [get(client, f"schedule{what}", *names)[0] for what, *names in (
        ("",), ("-entry", "stock"), ("-history", "stock")
    )] == [403, 403, 403]  # fmt: skip
    assert post(client, "schedule-run-now", "stock")[0] == 403


def test_what_changes_nothing_is_told_by_its_status(person):
    client = person("edit")
    make_entry()

    assert post(client, "schedule-resume", "stock")[0] == 409
    assert post(client, "schedule-edit", "stock", cron="0 9 * * *")[0] == 409
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("verb", "body", "said"),
    [
        ("pause", {}, "Say why"),
        ("pause", {"reason": "x", "until": "2001-01-01T00:00:00Z"}, "still to come"),
        ("pause", {"reason": "x", "until": "soon"}, "Write a time"),
        ("edit", {}, "Say what to change"),
        ("edit", {"next_at": "2099-01-01T00:00:00Z"}, "These cannot be changed: next_at."),
        ("edit", {"cron": "0 25 * * *"}, "cron: “25” cannot be read as hour"),
        ("edit", {"cron": 7}, "cron has to be a text."),
        ("edit", {"args": {"shelf": 3}}, "args: Write a list such as"),
        ("edit", {"missed_limit": True}, "missed_limit has to be a whole number."),
        ("edit", {"missed_limit": -1}, "missed_limit: "),
        ("edit", {"missed_window": "long"}, "Write missed_window"),
        ("edit", {"missed_window": "99999999999 00:00:00"}, "Write missed_window"),
        ("edit", {"missed": "never"}, "missed: "),
        ("edit", {"queue": "urgent"}, "queue: There is no such queue."),
        ("edit", {"zone": "Mars/Base"}, "zone: This time zone is not known"),
        ("edit", {"task": "os.system"}, "There is no task os.system."),
        ("create", {"cron": "@daily"}, "Say also: task."),
        ("create", {"cron": "@daily", "task": TASK}, "name: "),  # there is one of this name
        ("delete", {}, "as confirm"),
        ("delete", {"confirm": "tea"}, "as confirm"),
    ],
)
def test_what_makes_no_sense_changes_nothing(person, verb, body, said):
    make_entry()
    before = list(ScheduleEntry.objects.values())

    status, told = post(person("admin"), f"schedule-{verb}", "stock", **body)

    assert status == 400
    assert said in told["error"]["message"]
    assert list(ScheduleEntry.objects.values()) == before
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "create"])
def test_an_unknown_entry_is_a_404(person, verb):
    status, told = post(person("admin"), f"schedule-{verb}", "nobody", **BODIES[verb])

    assert (status, told["error"]["code"]) == (404, "unknown")
    assert "nobody" in told["error"]["message"]


def test_an_entry_whose_task_is_gone_is_not_run(person, redis):
    make_entry(task="gone.tasks.dust")

    status, told = post(person("operate"), "schedule-run-now", "stock")

    assert (status, told["error"]["message"]) == (400, "There is no task gone.tasks.dust.")
    assert not Fire.objects.exists()


def test_nothing_is_run_while_redis_is_away(person, redis_away):
    make_entry()

    status, told = post(person("operate"), "schedule-run-now", "stock")

    assert (status, told["error"]["code"]) == (503, "redis_away")
    assert not Fire.objects.exists()


def test_looking_needs_no_redis(person, redis_away):
    make_entry()
    fired()
    client = person("view")

    assert get(client, "schedule")[0] == get(client, "schedule-history", "stock")[0] == 200


def test_a_name_like_a_verb_is_a_name(person):
    client = person("admin")

    assert post(client, "schedule-create", "create", cron="@daily", task=TASK)[0] == 200
    assert get(client, "schedule-entry", "create")[1]["name"] == "create"


def test_the_settings_entry_that_was_deleted_is_said_to_come_back(person):
    make_entry(from_settings=True)
    address = reverse("monitor:api-schedule-delete", args=["stock"])

    body = json.dumps({"confirm": "stock"})
    answer = person("admin").post(address, body, content_type="application/json").json()

    assert "brings it back" in answer["message"]
    assert store.connect().ping()
