"""Alerts: each rule fires once and ends once, under a flapping input too, and is told once through a real receiver."""

import hashlib
import hmac
import ipaddress
import json
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.core import keys
from amazon_pilot.jobs.core.limits import GRACE
from amazon_pilot.jobs.inspect import alerts, snapshot, store
from amazon_pilot.jobs.models import Alert, AuditEntry, Fire, JobRun, Reading, RuleChange, Silence, Tally
from amazon_pilot.jobs.models.alert import CALM
from amazon_pilot.jobs.operate import alerts as operate_alerts
from amazon_pilot.jobs.schedule import watch
from notifications.models import Channel, Notification
from products.models import DaySpending
from tests.jobs import tasks
from tests.staff import serve

NOW = timezone.now()
SECOND = timedelta(seconds=1)


def step(found, at, hold=timedelta(), rule="queue_age"):
    Alert.objects.note(rule, "warning", found, hold, NOW + at * SECOND)


def states():
    rows = Alert.objects.order_by("pk")
    return [(row.subject, row.fired_at is not None, row.resolved_at is not None) for row in rows]


# One alert, from its first moment to its last


@pytest.mark.django_db
def test_what_lasts_fires_once_and_what_is_well_again_ends_once():
    for second in range(0, 40, 10):
        step({"low": "old"}, second, hold=20 * SECOND)
        assert states() == [("low", second >= 20, False)]
    for second in range(40, 130, 10):
        step({}, second)
    assert states() == [("low", True, True)]
    assert Alert.objects.get().resolved_at == NOW + (40 + CALM.seconds) * SECOND


@pytest.mark.django_db
def test_what_does_not_last_leaves_nothing():
    step({"low": "old"}, 0, hold=20 * SECOND)
    step({}, 10)
    assert states() == []


@pytest.mark.later
@pytest.mark.django_db
def test_a_flapping_input_is_one_alert():
    for second in range(0, 600, 10):
        step({"low": "old"} if second // 10 % 3 else {}, second)
    assert states() == [("low", True, False)]


@pytest.mark.django_db
def test_each_subject_is_an_alert_of_its_own_and_one_that_comes_again_is_a_new_one():
    step({"low": "old", "default": "old"}, 0)
    step({"low": "older"}, 10)
    step({"low": "older"}, 10 + CALM.seconds)
    step({"low": "oldest", "default": "again"}, 200)

    assert states() == [("low", True, False), ("default", True, True), ("default", True, False)]
    assert Alert.objects.get(subject="low").text == "oldest"


# Each rule, by its cause


@pytest.fixture
def well(redis, transactional_db, settings):
    settings.WEB_HEALTH_URL = ""
    well_again(redis)
    return redis


def well_again(redis):
    """Show a worker and a scheduler that live now, however slow this machine is."""
    serve()
    redis.hset(keys.SCHEDULER, mapping={"leader": "first", "tick_at": time.time()})


def old_job(redis):
    job_id = tasks.add.enqueue(1, 2)
    redis.hset(f"rq:job:{job_id}", "enqueued_at", "2026-01-01T00:00:00.000000Z")


def failing(redis):
    minute = timezone.now().replace(second=0, microsecond=0)
    for outcome, n in (("failed", 6), ("succeeded", 6)):
        Tally.objects.create(span="minute", at=minute, queue="low", task="t", outcome=outcome, count=n)


def silent(redis):
    redis.hset(keys.SCHEDULER, "tick_at", time.time() - 100)


def no_worker(redis):
    redis.delete("pilot:worker:w1")


def poisoned(redis):
    JobRun.objects.create(
        job_id="j", execution_id="e", task="t", queue="low", outcome="lost", is_poison=True, started_at=timezone.now()
    )


def behind(redis):
    redis.xadd(keys.RUNS, {"e0": "x"}, id=f"{int((time.time() - 300) * 1000)}-0")


def budget(redis):
    DaySpending.objects.create(day=timezone.now().date(), micros=9_000_000)


def nearly_full(redis):
    redis.config_set("maxmemory", redis.info()["used_memory"] + 200_000)


def evicting(redis):
    redis.config_set("maxmemory-policy", "allkeys-lru")


def missed_fire(redis):
    now = timezone.now()
    Silence.objects.note(now - timedelta(hours=3), now - 5 * SECOND)
    for hours in (2, 1):
        planned = now - timedelta(hours=hours)
        Fire.objects.create(entry_id="stock", planned_at=planned, decided_at=now, outcome="missed")


def lost_lease(redis, ago=60):
    redis.zadd("rq:wip:low", {f"job-{ago}:pilot-gone": time.time() + GRACE - ago})


def many_failed(redis, number=101, before=0, minutes=50):
    rest = dict.fromkeys(("waiting", "running", "scheduled", "held", "canceled", "oldest"), 0)
    at = timezone.now() - timedelta(minutes=minutes)
    Reading.objects.create(span="minute", at=at, queue="low", failed=before, **rest)
    redis.zadd("rq:failed:low", {f"job{n}": time.time() + 999 for n in range(before + number)})


CAUSES = {
    "fire_missed": missed_fire, "work_stuck": lost_lease, "failed_kept": many_failed,
    "queue_age": old_job, "failure_rate": failing, "scheduler_silent": silent, "worker_gone": no_worker,
    "poison": poisoned, "history_behind": behind, "product": budget, "redis_memory": nearly_full,
    "redis_settings": evicting,
}  # fmt: skip


def look(at=0):
    store.connect().delete(snapshot.KEY)
    alerts.look(timezone.now() + at * SECOND)


@pytest.mark.later
@pytest.mark.parametrize("rule", CAUSES)
def test_each_rule_fires_within_a_minute_of_its_cause_and_no_other_does(well, rule):
    look()
    assert not Alert.objects.exists()
    try:
        CAUSES[rule](well)
        for second in range(0, 60, 10):
            look(second)
        assert set(Alert.objects.firing().values_list("rule", flat=True)) - {
            "redis_settings" if rule == "redis_memory" else ""
        } == {rule}
    finally:
        well.config_set("maxmemory", 0)
        well.config_set("maxmemory-policy", "noeviction")


def test_the_web_server_is_missed_and_found_again(well, settings):
    server, received = receiver(200)
    settings.WEB_HEALTH_URL = f"http://127.0.0.1:{server.server_port}/health"
    look()
    assert not Alert.objects.exists()
    server.shutdown()
    server.server_close()
    for second in (0, 30):
        look(second)
    assert Alert.objects.firing().get().rule == "web_down"
    assert received


@pytest.mark.later
def test_redis_away_is_an_alert_though_nothing_else_is_known(well, redis_away):
    for second in (0, 30):
        alerts.look(timezone.now() + second * SECOND)
    assert [row.rule for row in Alert.objects.firing()] == ["redis_settings"]


def test_every_rule_has_a_cause_in_these_tests():
    assert {rule.name for rule in alerts.RULES} == {*CAUSES, "web_down"}


def test_a_rule_that_breaks_leaves_the_others_standing(well, monkeypatch, caplog):
    silent(well)
    broken = alerts.RULES[0].__class__(**vars(alerts.RULES[0]) | {"look": lambda look, limit: 1 / 0})
    monkeypatch.setattr(alerts, "RULES", (broken, *alerts.RULES[1:]))
    look()
    assert [row.rule for row in Alert.objects.firing()] == ["scheduler_silent"]
    assert "queue_age could not be looked at" in caplog.text


# The rules that tell of the schedule, of stuck work and of failed jobs

UNDO = {
    "fire_missed": lambda redis: Fire.objects.all().delete(),
    "work_stuck": lambda redis: redis.delete("rq:wip:low"),
    "failed_kept": lambda redis: (redis.delete("rq:failed:low"), Reading.objects.all().delete()),
}


@pytest.mark.later
@pytest.mark.parametrize("rule", UNDO)
def test_a_cause_that_comes_and_goes_is_told_once_and_over_once(well, operator, rule):
    for second in range(0, 300, 10):
        UNDO[rule](well)
        if second < 100 or second // 10 % 3:  # it lasts, and then flaps
            CAUSES[rule](well)
        well_again(well)
        look(second)
        watch.tell()
    assert [(row.rule, row.resolved_at) for row in Alert.objects.all()] == [(rule, None)]
    UNDO[rule](well)
    for second in (300, 310, 310 + CALM.seconds, 400):
        well_again(well)
        look(second)
        watch.tell()

    [alert] = Alert.objects.all()
    assert alert.resolved_at is not None
    texts = list(Notification.objects.order_by("pk").values_list("subject", flat=True))
    assert [text.startswith("Over: ") for text in texts] == [False, True]


def test_a_missed_fire_is_told_with_its_cause_and_over_after_an_hour(well, person):
    missed_fire(well)
    look()

    alert = Alert.objects.firing().get()
    assert alert.subject == "stock"
    assert alert.text.startswith("stock missed 2 fires, the last of ")
    assert "No scheduler ran from" in alert.text
    assert alerts.address(alert) == reverse("monitor:schedule")
    for second in (3500, 3700, 3700 + CALM.seconds):
        look(second)
    assert [row.resolved_at is not None for row in Alert.objects.filter(rule="fire_missed")] == [True]


@pytest.mark.parametrize("outcome", [each for each in Fire.Outcome if each != "missed"])
def test_what_fired_or_was_left_out_on_purpose_is_not_missed(well, outcome):
    now = timezone.now()
    Fire.objects.create(entry_id="stock", planned_at=now - 9 * SECOND, decided_at=now, outcome=outcome)
    assert alerts.fire_missed(alerts.Look(now, None), 3600) == {}


@pytest.mark.parametrize(("ago", "is_stuck"), [(-20, False), (0, False), (5, False), (15, True), (3600, True)])
def test_a_lease_is_stuck_when_its_countdown_is_long_over(well, ago, is_stuck):
    lost_lease(well, ago)
    found = alerts.work_stuck(alerts.Look(timezone.now(), snapshot.current()), 10)
    assert list(found) == (["low"] if is_stuck else [])
    assert not is_stuck or "1 lost and not brought back" in found["low"]


def test_what_runs_beyond_its_timeout_is_stuck(well):
    picture = json.loads(well.get("pilot:worker:w1"))
    picture["slots"][0] |= {"job": "j", "execution": "e", "task": "tests.jobs.tasks.add", "queue": "low", "since": 1.0}
    well.set("pilot:worker:w1", json.dumps(picture))
    well.delete(snapshot.KEY)

    found = alerts.work_stuck(alerts.Look(timezone.now(), snapshot.current()), 10)
    assert "1 beyond their timeout" in found["low"]


@pytest.mark.parametrize(
    ("number", "before", "minutes", "fires"),
    [
        (100, 0, 50, False), (101, 0, 50, True), (101, 5000, 50, True), (0, 5000, 50, False),
        (101, 0, 70, False),  # what there was more than an hour ago is not asked
    ],
)  # fmt: skip
def test_failed_jobs_fire_by_how_many_came_and_not_by_how_many_are_kept(well, number, before, minutes, fires):
    many_failed(well, number, before, minutes)
    found = alerts.failed_kept(alerts.Look(timezone.now(), snapshot.current()), 100)
    assert list(found) == (["low"] if fires else [])


def test_each_of_them_leads_to_what_says_more(well):
    for name in ("work_stuck", "failed_kept"):
        CAUSES[name](well)
    look()
    look(30)
    assert {alert.rule: alerts.address(alert) for alert in Alert.objects.firing()} == {
        "work_stuck": reverse("monitor:stuck"),
        "failed_kept": reverse("monitor:jobs") + "?q=state%3Afailed+queue%3Alow",
    }


# Telling


def receiver(status=200):
    """A real small server that keeps what it was sent."""
    received = []

    class Keeper(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((dict(self.headers), body))
            self.send_response(status)
            self.end_headers()

        def do_GET(self):
            received.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Keeper)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, received


@pytest.fixture
def operator(transactional_db):
    user = User.objects.create_user("olga", "olga@example.com", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="operate_jobs"))
    return user


@pytest.mark.later
def test_an_alert_is_told_once_by_signed_webhook_and_by_mail_and_once_when_it_is_over(operator, settings, redis):
    settings.WEBHOOK_PRIVATE_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    server, received = receiver()
    hook = Channel.objects.create(
        team=operator.teams.get(), user=operator, kind="webhook", address=f"http://127.0.0.1:{server.server_port}/hook"
    )
    Channel.objects.create(team=operator.teams.get(), user=operator, kind="email", address="olga@example.com")
    stranger = User.objects.create_user("sam")
    Channel.objects.create(team=stranger.teams.get(), user=stranger, kind="email", address="sam@example.com")

    step({"low": "Queue low is late."}, 0)
    for _turn in range(3):
        watch.tell(NOW)
    for second in (10, 100):
        step({}, second)
    for _turn in range(3):
        watch.tell(NOW)
    server.shutdown()

    assert [json.loads(body)["subject"] for _headers, body in received] == [
        "Queue low is late.",
        "Over: Queue low is late.",
    ]
    headers, body = received[0]
    signature = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Pilot-Signature"] == f"sha256={signature}"
    assert [(message.to, message.subject) for message in mail.outbox] == [
        (["olga@example.com"], "Queue low is late."), (["olga@example.com"], "Over: Queue low is late.")
    ]  # fmt: skip
    assert not Notification.objects.filter(channel__user=stranger).exists()
    assert json.loads(body)["link"].endswith(reverse("monitor:queue", args=["low"]))


def test_what_fired_and_ended_before_anybody_was_told_is_told_in_order(operator, redis):
    step({"low": "late"}, 0)
    for second in (10, 100):
        step({}, second)
    assert (watch.tell(NOW), watch.tell(NOW), watch.tell(NOW)) == (1, 1, 0)
    texts = Notification.objects.filter(channel__user=operator).order_by("pk").values_list("subject", flat=True)
    assert list(texts) == ["late", "Over: late"]


def test_a_silenced_rule_is_shown_and_told_to_nobody(operator, redis):
    RuleChange.objects.create(rule="queue_age", silent_until=timezone.now() + timedelta(hours=1))
    step({"low": "late"}, 0)
    assert watch.tell(NOW) == 0
    for second in (10, 100):
        step({}, second)
    assert watch.tell(NOW) == 0
    assert not Notification.objects.exists()
    assert Alert.objects.get().fired_at is not None


def test_of_two_watchers_one_tells(operator, redis):
    step({"low": "late"}, 0)
    first, second = Alert.objects.untold(), Alert.objects.untold()
    assert (first[0].claim(NOW), second[0].claim(NOW)) == (True, False)


def test_one_process_looks_in_each_turn(redis, transactional_db, settings):
    settings.WEB_HEALTH_URL = ""
    assert (watch.turn(), watch.turn()) == (True, False)
    redis.delete(keys.WATCHED)
    assert watch.turn()


def test_the_watch_lives_through_what_goes_wrong(monkeypatch, settings, caplog):
    settings.ALERT_INTERVAL = 0.01
    turns = []
    monkeypatch.setattr(watch, "turn", lambda: turns.append(1) or 1 / 0)
    thread = watch.begin()
    end = time.monotonic() + 20
    while len(turns) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    thread.is_over.set()
    thread.join(10)
    assert len(turns) >= 3
    settings.ALERTS = False
    assert watch.begin() is None


# A test of them


@pytest.fixture
def editor(person, transactional_db, redis, settings):
    settings.WEBHOOK_PRIVATE_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    client = person("edit")
    return client, User.objects.get(username="edit-er")


def channel(user, kind, address, **more):
    return Channel.objects.create(team=user.teams.get(), user=user, kind=kind, address=address, **more)


def press_test(client):
    answer = client.post(reverse("monitor:alert-test"), {"reason": "drill"}, follow=True)
    return [str(message) for message in answer.context["messages"]]


def test_a_test_goes_through_ones_own_channels_and_says_what_became_of_each(editor, operator):
    client, user = editor
    good, received = receiver()
    bad, refused = receiver(500)
    hook = channel(user, "webhook", f"http://127.0.0.1:{good.server_port}/hook")
    channel(user, "webhook", f"http://127.0.0.1:{bad.server_port}/hook")
    channel(user, "email", "edit@example.com")
    channel(user, "email", "quiet@example.com", paused=True)
    channel(operator, "email", "olga@example.com")

    said = press_test(client)
    good.shutdown()
    bad.shutdown()

    told = dict(sentence.split(": ", 1) for sentence in said)
    assert told[f"webhook http://127.0.0.1:{good.server_port}/hook"] == "was told."
    assert told["e-mail edit@example.com"] == "was told."
    assert told["e-mail quiet@example.com"] == "is paused."
    assert told["on these pages"] == "was told."
    failed = told[f"webhook http://127.0.0.1:{bad.server_port}/hook"]
    assert failed.startswith("was not told: ")
    assert failed.endswith("It is tried again.")
    assert len(said) == 5
    headers, body = received[0]
    assert headers["X-Pilot-Signature"] == f"sha256={hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()}"
    assert "A test of the alerts, asked for by edit-er" in json.loads(body)["subject"]
    assert (len(received), len(refused), [message.to for message in mail.outbox]) == (1, 1, [["edit@example.com"]])
    assert not Notification.objects.filter(channel__user=operator).exists()
    assert not Alert.objects.exists()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.reason, entry.count) == ("test alert", user, "drill", 5)
    assert entry.detail == {}  # the addresses of webhooks may be secrets


def test_a_channel_that_answers_too_late_keeps_nobody_waiting(editor, monkeypatch):
    client, user = editor
    channel(user, "email", "edit@example.com")
    monkeypatch.setattr(operate_alerts, "PATIENCE", -1.0)

    assert "e-mail edit@example.com: is told within minutes." in press_test(client)
    assert Notification.objects.get(channel__kind="email").state == "pending"


def test_whom_no_alert_is_told_hears_so(editor):
    client, user = editor
    user.user_permissions.remove(Permission.objects.get(codename="operate_jobs"))

    assert press_test(client) == ["No alert is told to you: that takes the role operate and a channel of your own."]
    assert not Notification.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["view", "operate"])
def test_only_an_editor_tests(person, redis, role):
    client = person(role)

    assert client.post(reverse("monitor:alert-test")).status_code == 403
    assert client.get(reverse("monitor:alert-test")).status_code in (403, 405)
    assert "Send a test" not in client.get(reverse("monitor:alerts")).content.decode()
    assert not AuditEntry.objects.exists()
    assert not Notification.objects.exists()


# The page


@pytest.mark.django_db
def test_the_page_shows_what_fires_what_fired_and_the_rules(admin_client, redis):
    step({"low": "Low is late."}, 0)
    step({"gone": "Gone was late."}, 0, rule="worker_gone")
    for second in (10, 100):
        Alert.objects.note("worker_gone", "critical", {}, timedelta(), NOW + second * SECOND)
    step({"default": "Not yet."}, 0, hold=60 * SECOND, rule="poison")

    text = admin_client.get(reverse("monitor:alerts")).content.decode()

    for word in ("Low is late.", "Gone was late.", "Not yet.", "The scheduler is silent", "30 seconds"):
        assert word in text
    assert reverse("monitor:queue", args=["low"]) in text


@pytest.mark.django_db
def test_a_rule_is_silenced_and_changed_with_a_line_of_audit(person, redis):
    client = person("edit")
    silence, edit = (reverse(f"monitor:alert-{verb}", args=["queue_age"]) for verb in ("silence", "edit"))

    client.post(silence, {"minutes": "90", "reason": "known"})
    client.post(edit, {"limit": "2.5", "hold": "", "is_on": "on"})

    setting = next(each for each in alerts.all_settings() if each.rule.name == "queue_age")
    assert timedelta(minutes=89) < setting.silent_until - timezone.now() <= timedelta(minutes=90)
    assert (setting.limit, setting.hold, setting.is_on) == (2.5, alerts.BY_NAME["queue_age"].hold, True)
    assert list(AuditEntry.objects.order_by("pk").values_list("action", "target")) == [
        ("silence", "alert rule queue_age"), ("edit", "alert rule queue_age")
    ]  # fmt: skip
    client.post(silence, {"minutes": "0"})
    assert next(each for each in alerts.all_settings() if each.rule.name == "queue_age").silent_until is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("silence", {"minutes": "-1"}), ("silence", {"minutes": "10081", "reason": "x"}), ("silence", {"minutes": "5"}),
        ("edit", {"limit": "many"}), ("edit", {"limit": "-3"}), ("edit", {"limit": "nan"}), ("edit", {"hold": "1.5"}),
        ("edit", {"limit": "1e300"}), ("edit", {"hold": "999999999"}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_changes_nothing(person, redis, verb, words):
    answer = person("edit").post(reverse(f"monitor:alert-{verb}", args=["poison"]), words, follow=True)

    assert "messagelist" in answer.content.decode()
    assert not RuleChange.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("role", "verb", "status"), [("view", "silence", 403), ("operate", "edit", 403), ("edit", "nothing", 404)]
)
def test_who_may_do_what(person, redis, role, verb, status):
    address = "/admin/monitor/alerts/poison/" + verb

    assert person(role).post(address, {"minutes": "5", "reason": "x"}).status_code == status
