"""The page of one job: what it tells in every state, and what its buttons do, for whom."""

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import snapshot, store
from amazon_pilot.jobs.models import AuditEntry, JobRun, Pause
from amazon_pilot.jobs.operate import changes
from amazon_pilot.jobs.operate.table import OPERATIONS
from amazon_pilot.jobs.worker import recoverer
from tests.jobs import tasks
from tests.jobs.conftest import children, env, history, start, wait_for  # noqa: F401 - fixtures
from tests.staff import serve

pytestmark = pytest.mark.django_db(transaction=True)


def text_of(client, job_id):
    answer = client.get(reverse("monitor:job", args=[job_id]))
    assert answer.status_code == 200
    return answer.content.decode()


def press(client, verb, job_id, **form):
    return client.post(reverse(f"monitor:job-{verb}", args=[job_id]), {"reason": "A test"} | form, follow=True)


def status(job_id):
    return queues.connection().hget(f"rq:job:{job_id}", "status").decode()


def attempt(job_id="old", number=1, **fields):
    began = timezone.now() - timedelta(hours=2)
    given = {
        "job_id": job_id, "execution_id": f"e{number}", "task": "tests.jobs.tasks.add", "queue": "low", "args": [1, 2],
        "attempt": number, "enqueued_at": began, "started_at": began, "ended_at": began, "outcome": "failed",
        "exception": "ValueError", "message": "Boom", "traceback": f"Trace {number}", "log": f"Log {number}",
    }  # fmt: skip
    return JobRun.objects.create(**given | fields)


def as_failed(job_id):
    """Put a job where a failed one is."""
    connection = queues.connection()
    connection.lrem(queues.key("default"), 1, job_id)
    connection.hset(f"rq:job:{job_id}", "status", "failed")
    connection.zadd("rq:failed:default", {job_id: time.time() + 1000})
    return job_id


# Why it waits


def test_it_says_who_paused_the_queue_why_and_until_when(person):
    job_id = tasks.do_nothing.enqueue()
    boss = User.objects.create_user("boss")
    Pause.objects.begin("queue:default", by=boss, reason="Apify is down", until=timezone.now() + timedelta(hours=1))

    text = text_of(person("view"), job_id)

    assert "The queue default is paused." in text
    assert "boss: “Apify is down”" in text
    assert "in 59 min" in text


@pytest.mark.parametrize("name", ["task:tests.jobs.tasks.tagged", "tag:apify"])
def test_it_says_that_its_task_or_tag_is_paused(person, name):
    job_id = tasks.tagged.enqueue()
    Pause.objects.begin(name, by=None, reason="Enough")

    assert f"The {name.replace(':', ' ')} is paused." in text_of(person("view"), job_id)


def test_it_says_that_nobody_listens(person):
    assert "No worker listens on the queue default." in text_of(person("view"), tasks.do_nothing.enqueue())


def test_it_says_that_rq_is_suspended(person, redis):
    job_id = tasks.do_nothing.enqueue()
    redis.set("rq:suspended", 1)

    assert "All workers are suspended" in text_of(person("view"), job_id)


def test_it_says_that_all_slots_are_busy_and_how_many_stand_before_it(person):
    serve(busy=2)
    tasks.do_nothing.enqueue()
    job_id = tasks.do_nothing.enqueue()

    text = text_of(person("view"), job_id)

    assert "All 2 slots are held: 2 by t (the longest since" in text
    assert "1 job stands before it." in text


def test_its_place_in_a_long_queue_is_told_from_the_times(person, redis):
    serve(busy=1)
    first = tasks.do_nothing.enqueue()
    redis.hset(f"rq:job:{first}", "enqueued_at", "2026-01-01T00:00:00.000000Z")
    job_id = tasks.do_nothing.enqueue()
    redis.hset(f"rq:job:{job_id}", "enqueued_at", "2026-01-01T00:00:25.000000Z")
    last = tasks.do_nothing.enqueue_many([(n,) for n in range(1998)])[-1]
    redis.hset(f"rq:job:{last}", "enqueued_at", "2026-01-01T00:01:40.000000Z")

    assert "About 500 of the 2000 that wait stand before it." in text_of(person("view"), job_id)


def test_it_says_who_holds_it(person):
    job_id = tasks.do_nothing.enqueue()
    press(person("operate"), "hold", job_id, reason="Wait for the fix")

    text = text_of(person("view"), job_id)

    assert "It is held until somebody releases it." in text
    assert "operate-er: “Wait for the fix”" in text


def test_it_says_for_when_it_is_planned(person):
    text = text_of(person("view"), tasks.do_nothing.enqueue_in(timedelta(hours=2)))

    assert "It is planned for later." in text
    assert "in 2 h" in text or "in 1 h" in text


def test_it_says_which_job_it_waits_for(person, redis):
    parent, child = tasks.do_nothing.enqueue(), tasks.do_nothing.enqueue()
    redis.lrem(queues.key("default"), 1, child)
    redis.hset(f"rq:job:{child}", mapping={"status": "deferred", "dependency_ids": json.dumps([parent])})

    assert f"It waits for other jobs to end: {parent} (queued)." in text_of(person("view"), child)


# What it tells


def test_a_job_that_redis_has_forgotten_is_told_by_its_history(person):
    attempt()

    text = text_of(person("view"), "old")

    assert "Redis has forgotten this job" in text
    for words in ("ValueError", "Boom", "Trace 1", "Log 1", "Attempt 1 ended after"):
        assert words in text


def test_a_job_that_neither_knows_is_told_in_words(person):
    answer = person("view").get(reverse("monitor:job", args=["nobody"]))

    assert answer.status_code == 404
    assert "Neither Redis nor the history knows a job nobody." in answer.content.decode()


def test_without_redis_the_history_is_shown(person, redis_away):
    attempt()
    text = text_of(person("admin"), "old")

    assert "This is the history alone" in text
    assert "Boom" in text
    assert "<form method" not in text.split('id="live"')[1]


def test_long_arguments_are_cut_and_can_be_unfolded(person):
    job_id = tasks.do_nothing.enqueue("x" * 30_000)
    client = person("view")

    text = text_of(client, job_id)

    assert "200 of 30,008 characters: show more" in text
    assert len(text) < 60_000
    whole = client.get(reverse("monitor:job-arguments", args=[job_id])).content.decode()
    assert json.loads(whole) == ["x" * 30_000]


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "queued"},
        {"status": "queued", "origin": "", "data": "no call", "enqueued_at": "yesterday", "meta": "[", "timeout": "x"},
        {"status": "deferred", "origin": "a/b", "task": "a/b", "dependency_ids": "nonsense"},
        {"status": "started", "origin": "low", "worker_name": "nobody"},
        {"status": "scheduled", "origin": "low"},
        {"origin": "low"},
    ],
)
def test_a_damaged_job_still_has_its_page(person, redis, fields):
    redis.hset("rq:job:broken", mapping=fields)
    redis.rpush(queues.key("low"), "broken")

    assert "broken" in text_of(person("admin"), "broken")
    store.connect().delete(snapshot.KEY)
    answer = person("view").get(reverse("monitor:queue", args=["low"]))
    assert answer.context["queue"]["value"].waiting == 1


def test_the_arguments_cannot_carry_markup(person):
    text = text_of(person("edit"), tasks.do_nothing.enqueue("</textarea><script>alert(1)</script>"))

    assert "<script>alert" not in text


def test_three_attempts_are_told_after_every_process_was_restarted(person, start, redis):  # noqa: F811
    job_id = tasks.shout_and_fail.enqueue()
    for number in (1, 2, 3):
        worker = start(name=f"w{number}")
        wait_for(lambda n=number: JobRun.objects.filter(job_id=job_id, ended_at__isnull=False).count() == n, "an end")
        worker.kill()
        if redis.zscore("rq:scheduled:default", job_id):
            redis.zadd("rq:scheduled:default", {job_id: time.time() - 1})

    text = text_of(person("view"), job_id)

    assert status(job_id) == "failed"
    for number in (1, 2, 3):
        assert f"shouted in attempt {number}" in text
    assert text.count("<summary>Traceback</summary>") == 3
    assert text.count("<summary>Log</summary>") == 3
    assert text.count("in shout_and_fail") == 3


def test_a_running_job_shows_its_progress_and_the_end_of_its_log(person, start):  # noqa: F811
    job_id = tasks.tell_progress.enqueue(20)
    start()
    client = person("view")

    shown = ("printed", "40% four of ten")  # each second the worker shows what the slot has said by then
    text = wait_for(lambda: all(word in (text := text_of(client, job_id)) for word in shown) and text, "the live log")

    assert "w1</a>, " in text


def test_a_page_goes_on_asking_until_the_end_is_written_in_the_history(person):
    job_id = as_failed(tasks.do_nothing.enqueue())
    client = person("view")
    run = attempt(job_id, outcome="started", ended_at=None)

    assert "data-live" in text_of(client, job_id)
    JobRun.objects.filter(pk=run.pk).update(outcome="failed", ended_at=timezone.now())
    assert "data-live" not in text_of(client, job_id)
    part = client.get(reverse("monitor:job", args=[job_id]), headers={"HX-Request": "true"}).content.decode()
    assert "data-settled" in part


@pytest.mark.parametrize(("left", "words"), [("1", "1 retry left"), ("2", "2 retries left"), ("0", ""), ("x", "")])
def test_it_says_how_many_retries_are_left(person, redis, left, words):
    job_id = tasks.fail.enqueue()
    redis.hset(f"rq:job:{job_id}", "retries_left", left)

    text = text_of(person("view"), job_id)

    assert (words or "Attempts") in text
    assert ("left" in text.split("Arguments</h2>")[0]) is bool(words)


def test_it_costs_few_commands_and_queries(person, commands, django_assert_max_num_queries):
    serve(busy=1)
    tasks.do_nothing.enqueue_many([(n,) for n in range(1500)])
    job_id = tasks.do_nothing.enqueue()
    client = person("admin")
    text_of(client, job_id)
    store.connect().delete(snapshot.KEY)  # the dearest case: this viewer takes the sample
    commands.clear()

    with django_assert_max_num_queries(30):  # 29, and one whose answer is kept for some seconds
        text_of(client, job_id)
    assert 5 < len(commands) <= 20, commands


# Buttons

VERBS = [row.slug for row in OPERATIONS.values()]


@pytest.mark.parametrize("verb", VERBS)
def test_who_may_only_look_changes_nothing(person, verb):
    job_id = tasks.do_nothing.enqueue()
    client = person("view")

    assert press(client, verb, job_id, args="[1]", queue="low").status_code == 403
    assert status(job_id) == "queued"
    assert not AuditEntry.objects.exists()
    assert '<h2 id="actions-title"' not in text_of(client, job_id)


@pytest.mark.parametrize("verb", ["move", "delete", "edit"])
def test_who_may_only_operate_does_not_edit(person, verb):
    job_id = tasks.do_nothing.enqueue()

    assert press(person("operate"), verb, job_id, args="[1]", queue="low").status_code == 403
    assert status(job_id) == "queued"


@pytest.mark.parametrize("verb", VERBS)
def test_looking_at_a_button_is_refused(person, verb):
    assert person("admin").get(reverse(f"monitor:job-{verb}", args=["x"])).status_code == 405


def test_retry_puts_a_failed_job_back_and_writes_who_and_why(person):
    job_id = as_failed(tasks.do_nothing.enqueue())

    answer = press(person("operate"), "retry", job_id, reason="Fixed")

    assert "The job is back on its queue." in answer.content.decode()
    assert status(job_id) == "queued"
    entry = AuditEntry.objects.get()
    said = (entry.actor.username, entry.action, entry.target, entry.count, entry.reason)
    assert said == ("operate-er", "retry", f"job:{job_id}", 1, "Fixed")
    assert "operate-er: retry" in answer.content.decode()


def test_a_forgotten_job_is_run_again_as_a_new_one(person):
    attempt()

    answer = press(person("operate"), "retry", "old")

    new = answer.redirect_chain[-1][0].rpartition("/")[2]
    assert new != "old"
    job = changes.find(new)
    assert (job.args, job.origin, job.meta) == ([1, 2], "low", {"copy_of": "old"})
    assert AuditEntry.objects.get().detail["new_job"] == new


def test_retrying_what_waits_changes_nothing_and_says_so(person):
    job_id = tasks.do_nothing.enqueue()

    assert "waits or runs already" in press(person("operate"), "retry", job_id).content.decode()
    assert AuditEntry.objects.get().count == 0


def test_a_planned_job_is_run_now(person):
    job_id = tasks.do_nothing.enqueue_in(timedelta(hours=2))
    client = person("operate")
    assert "<summary>Run now</summary>" in text_of(client, job_id)

    text = press(client, "run-now", job_id, reason="No need to wait").content.decode()

    assert "it is the next of its queue" in text
    assert "<summary>Run now</summary>" not in text
    assert status(job_id) == "queued"
    assert AuditEntry.objects.values_list("action", "reason", "count").get() == ("run now", "No need to wait", 1)


@pytest.mark.parametrize(("where", "word"), [("queue", "queued"), ("held", "held"), ("failed", "failed")])
def test_a_job_that_waits_for_no_time_says_so(person, where, word):
    job_id = tasks.do_nothing.enqueue()
    if where == "held":
        changes.one("hold", job_id)
    elif where == "failed":
        as_failed(job_id)

    text = press(person("operate"), "run-now", job_id).content.decode()

    assert f"the job does not wait for a time; it is {word}." in text
    assert AuditEntry.objects.get().count == 0


def test_hold_release_snooze_and_cancel(person):
    job_id = tasks.do_nothing.enqueue()
    client = person("operate")

    press(client, "hold", job_id)
    assert status(job_id) == "deferred"
    press(client, "release", job_id)
    assert status(job_id) == "queued"
    press(client, "snooze", job_id, until=f"{timezone.localtime() + timedelta(hours=3):%Y-%m-%dT%H:%M}")
    assert status(job_id) == "scheduled"
    press(client, "cancel", job_id)
    assert status(job_id) == "canceled"
    assert sorted(AuditEntry.objects.values_list("action", flat=True)) == ["cancel", "hold", "release", "snooze"]


@pytest.mark.parametrize("until", ["", "tomorrow", "2020-01-01T00:00", "2026-13-45T99:00"])
def test_a_time_that_is_none_is_refused_in_words(person, until):
    job_id = tasks.do_nothing.enqueue()

    answer = press(person("operate"), "snooze", job_id, until=until)

    assert answer.redirect_chain[-1][0] in ("/admin/", reverse("monitor:job", args=[job_id]))
    assert status(job_id) == "queued"
    assert not AuditEntry.objects.exists()


def test_move_and_delete(person):
    job_id = tasks.do_nothing.enqueue()
    client = person("edit")

    press(client, "move", job_id, queue="low")
    assert changes.find(job_id).origin == "low"
    press(client, "move", job_id, queue="nowhere")
    assert changes.find(job_id).origin == "low"
    press(client, "delete", job_id)
    assert changes.find(job_id) is None


def test_edited_arguments_make_a_new_job_that_leads_to_the_old_one(person):
    job_id = as_failed(tasks.add.enqueue(1, 2))

    answer = press(person("edit"), "edit", job_id, args="[3, 4]")

    new = answer.redirect_chain[-1][0].rpartition("/")[2]
    assert changes.find(new).args == [3, 4]
    assert changes.find(job_id).args == [1, 2]
    assert status(job_id) == "failed"
    assert reverse("monitor:job", args=[job_id]) in answer.content.decode()


@pytest.mark.parametrize(
    ("args", "said"),
    [("[1,", "This is not JSON"), ("17", "Write a list such as"), ('{"a": 1}', "Write a list"), ("[NaN, 1]", "JSON")],
)
def test_wrong_arguments_are_answered_beside_the_field(person, args, said):
    job_id = as_failed(tasks.add.enqueue(1, 2))

    answer = press(person("edit"), "edit", job_id, args=args)

    assert answer.status_code == 422
    text = answer.content.decode()
    assert said in text.split('id="edit-error"')[1][:200]
    assert status(job_id) == "failed"
    assert not AuditEntry.objects.exists()


def test_a_job_of_an_unknown_task_cannot_be_run_with_other_arguments(person):
    attempt(task="gone.tasks.nothing")

    answer = press(person("edit"), "edit", "old", args="[]")

    assert answer.status_code == 422
    assert "is not a registered task" in answer.content.decode()


def test_a_running_job_is_asked_to_end(person, start):  # noqa: F811
    job_id = tasks.sleep.enqueue(50)
    start()
    wait_for(lambda: status(job_id) == "started", "the start")
    wait_for(lambda: JobRun.objects.filter(job_id=job_id).exists(), "the first line of history")

    answer = press(person("operate"), "cancel", job_id)

    assert "The job was asked to end" in answer.content.decode()
    wait_for(lambda: JobRun.objects.filter(job_id=job_id, outcome="stopped").exists(), "its end")


def test_a_lost_job_tells_of_its_loss(person, start, history, redis):  # noqa: F811
    job_id = tasks.sleep.enqueue(50)
    worker = start()
    wait_for(lambda: status(job_id) == "started", "the start")
    born = children(worker.pid)
    worker.kill()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in born), "the end of its historian, who would read")
    wait_for(lambda: recoverer.recover("default", ahead=30), "the loss")
    history()

    text = text_of(person("view"), job_id)

    assert "Put back at the head of the queue" in text
    assert "worker_lost" in text


def test_the_audit_is_exported_and_carries_no_formula(person):
    AuditEntry.objects.record(None, "hold", "job:1", reason="=1+1")
    client = person("view")
    user = User.objects.get()
    user.user_permissions.add(Permission.objects.get(codename="view_auditentry"))

    chosen = {"action": "export", "_selected_action": [AuditEntry.objects.get().pk]}
    answer = client.post(reverse("admin:jobs_auditentry_changelist"), chosen)

    assert answer["Content-Type"].startswith("text/csv")
    assert ",hold,job:1,1,'=1+1," in answer.content.decode()


@pytest.mark.parametrize("sign", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_a_sign_that_turns_the_direction_is_shown_by_its_code(person, sign):
    """Else txt.exe could pretend to be exe.txt, in arguments as in names and errors."""
    job_id = tasks.do_nothing.enqueue(f"invoice{sign}txt.exe")
    client = person("view")
    for address in (reverse("monitor:job", args=[job_id]), reverse("monitor:jobs")):
        text = client.get(address).content.decode()
        assert sign not in text
        assert f"invoice\\u{ord(sign):04x}txt.exe" in text
    attempt(job_id, message=f"There is no {sign}txt.exe")
    assert f"There is no [U+{ord(sign):04X}]txt.exe" in text_of(client, job_id)
