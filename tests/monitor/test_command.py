"""manage.py jobs: the same verbs for scripts, with an exit code that tells."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.models import AuditEntry, JobRun, Pause
from amazon_pilot.jobs.operate import changes
from tests.jobs import tasks

from .faces import jobs, staff

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.later
def test_queues_list_and_show(capsys):
    job_id = tasks.add.enqueue(1, 2)

    assert jobs(capsys, "queues", "--json")["queues"][1]["waiting"] == 1
    assert "waiting 1" in jobs(capsys, "queues")
    listed = jobs(capsys, "list", "--json")
    present = listed.pop("present")
    assert listed == {"jobs": [], "total": 0, "is_more_than": False, "next": "", "note": ""}
    assert [job["job_id"] for job in present.pop("jobs")] == [job_id]
    states = {"started": 0, "queued": 1, "scheduled": 0, "deferred": 0}
    assert present == {"number": 1, "looked_at": 1, "total": 1, "states": states}
    assert f"queued  default  {job_id}" in jobs(capsys, "list", job_id)
    assert jobs(capsys, "show", job_id, "--json")["args"] == [1, 2]
    assert "state: queued" in jobs(capsys, "show", job_id)


@pytest.mark.parametrize("words", [["list", "--all"], ["list", "--jsonl"], ["show"], ["show", "--json"], ["list"]])
def test_what_a_job_says_is_shown_and_never_obeyed_by_a_terminal(capsys, words):
    signs = "\x1b]0;owned\x07\x9b2J\u202e\u200f\x7f\u2028\U000e0041"
    job_id = tasks.add.enqueue(f"{signs}品", 2)
    JobRun.objects.create(
        job_id=job_id, execution_id="e", task=f"t{signs}", queue="default", outcome="failed", started_at=now(),
        message=signs, traceback=f"line\n{signs}", args=[signs],
    )  # fmt: skip

    call_command("jobs", words[0], *([job_id] if words[0] == "show" else []), *words[1:])

    said = capsys.readouterr().out
    assert job_id in said
    assert not {sign for sign in said if not sign.isprintable()} - {"\n"}
    if words[-1] in ("--json", "--jsonl"):
        assert json.loads(said.splitlines()[0])["args"][0] == f"{signs}品"


def test_an_unknown_job_is_an_error(capsys):
    with pytest.raises(CommandError, match="knows a job nobody"):
        jobs(capsys, "show", "nobody")


def test_verbs_act_in_a_persons_name(capsys):
    staff("mia", "view_jobrun", "operate_jobs")
    job_id = tasks.add.enqueue(1, 2)

    jobs(capsys, "hold", job_id, "--user", "mia", "--reason", "A test")
    jobs(capsys, "release", job_id)

    entries = AuditEntry.objects.order_by("at")
    assert [(entry.actor and entry.actor.username, entry.action, entry.reason) for entry in entries] == [
        ("mia", "hold", "A test"), (None, "release", ""),
    ]  # fmt: skip
    assert queues.size("default") == 1


@pytest.mark.later
def test_a_role_is_not_exceeded(capsys):
    staff("mia", "view_jobrun", "operate_jobs")
    staff("nil")
    job_id = tasks.add.enqueue(1, 2)

    with pytest.raises(CommandError, match="does not allow"):
        jobs(capsys, "delete", job_id, "--user", "mia")
    with pytest.raises(CommandError, match="does not allow"):
        jobs(capsys, "queues", "--user", "nil")
    with pytest.raises(CommandError, match="no user zoe"):
        jobs(capsys, "queues", "--user", "zoe")
    assert changes.find(job_id) is not None
    assert not AuditEntry.objects.exists()


def test_it_fails_where_one_of_many_was_left_alone_and_does_the_others(capsys):
    job_id = tasks.add.enqueue(1, 2)

    with pytest.raises(CommandError, match="1 of 2 were left alone"):
        jobs(capsys, "cancel", job_id, "nobody", "--json")

    told = json.loads(capsys.readouterr().out)
    assert [row["count"] for row in told] == [1, 0]
    assert AuditEntry.objects.count() == 2


@pytest.mark.later
def test_a_job_is_put_off_run_now_moved_and_edited(capsys):
    job_id = tasks.add.enqueue(1, 2)

    jobs(capsys, "snooze", job_id, "--minutes", "90")
    assert changes.state(job_id) == "scheduled"
    jobs(capsys, "run-now", job_id, "--reason", "No need to wait")
    assert changes.state(job_id) == "queued"
    with pytest.raises(CommandError, match="1 of 1 were left alone"):
        jobs(capsys, "run-now", job_id)
    jobs(capsys, "move", job_id, "--to", "low")
    assert queues.size("low") == 1
    new = jobs(capsys, "edit", job_id, "[5, 6]", "--json")["job"]
    assert changes.find(new).args == [5, 6]
    told = AuditEntry.objects.order_by("at").values_list("action", "count")
    assert list(told) == [("snooze", 1), ("run now", 1), ("run now", 0), ("move", 1), ("edit", 1)]


@pytest.mark.later
def test_pause_resume_and_run(capsys):
    jobs(capsys, "pause", "queue:low", "--reason", "A test", "--minutes", "5")
    assert Pause.objects.active().get().until is not None
    jobs(capsys, "resume", "queue:low")
    assert queues.paused() == {}
    with pytest.raises(CommandError, match="Nothing was changed"):
        jobs(capsys, "resume", "queue:low")

    new = jobs(capsys, "run", "tests.jobs.tasks.add", "[5, 6]", "--json")["job"]
    assert changes.find(new).args == [5, 6]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pause", "queue:low"), "Say why"),
        (("pause", "low", "--reason", "x"), "is not a queue"),
        (("pause", "queue:low", "--reason", "x", "--until", "soon"), "Write --until"),
        (("snooze", "j1"), "Say how long"),
        (("move", "j1", "--to", "nowhere"), "There is no queue nowhere"),
        (("run", "os.system", '["true"]'), "is not a registered task"),
        (("run", "tests.jobs.tasks.add", "{"), "not JSON"),
        (("list", "--limit", "0"), "--limit"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, words, said):
    with pytest.raises(CommandError, match=said):
        jobs(capsys, *words)
    assert not AuditEntry.objects.exists()
    assert not Pause.objects.exists()
