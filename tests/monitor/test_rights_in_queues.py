"""Who has a role in some queues does there what the role does everywhere, and nothing elsewhere, by no face."""

import uuid

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect.query import parse
from amazon_pilot.jobs.models import AuditEntry, BulkAction, Pause
from amazon_pilot.jobs.operate import bulk, changes, operations, preview, roles
from tests.jobs import tasks

from .many_jobs import bury, enqueue
from .pressing import IN_ADMIN, PRESSED, SAID, WHY, Act, Said, press, sign_in, sign_in_by_name, told, walker

pytestmark = pytest.mark.django_db(transaction=True)

ALL = ("critical", "default", "low")
OF_ONE_JOB = ("monitor:job-", "monitor:api-job-", "monitor:bulk_start", "monitor:api-bulk-start", "monitor:task-run")
OF_THE_LOW_QUEUE = (
    "monitor:pause", "monitor:api-pause", "monitor:resume", "monitor:api-resume", "monitor:drain", "monitor:api-drain",
    "admin:jobs_pause_add", "admin:jobs_pause_changelist",
)  # fmt: skip
SAID_OF_ONE_JOB = {*preview.in_bulk(), *operations.OPERATIONS, "run"}


def places(act: Act) -> tuple[str, ...]:
    """Return in which queues an act of the table takes place, none where it is about more than queues."""
    if act.at.startswith(OF_ONE_JOB) or act.at in ("monitor:bulk_restore", "monitor:api-bulk-restore"):
        return ("default", "low") if act.action == "move" else ("default",)
    return ("low",) if act.at in OF_THE_LOW_QUEUE else ()


def places_said(verb: Said) -> tuple[str, ...]:
    if verb.words in ("pause", "resume", "drain"):
        return ("low",)
    if verb.action not in SAID_OF_ONE_JOB or verb.words.startswith("schedule "):
        return ()
    return ("default", "low") if verb.action == "move" else ("default",)


def let(role: str, *where: str) -> None:
    """Give the one who walks a role in these queues."""
    names = [roles.permission(role, queue).removeprefix("jobs.") for queue in where]
    found = Permission.objects.filter(codename__in=names, content_type__app_label="jobs")
    assert len(found) == len(where)
    walker().user_permissions.add(*found)


HERE = [act for act in [*PRESSED, *IN_ADMIN] if places(act)]
ELSEWHERE = [
    act for act in [*PRESSED, *IN_ADMIN]
    if not places(act) and act.role != "view" and not act.rights and "schedule" not in act.at
]  # fmt: skip  # the schedule goes by Django's rights to its rows


def test_the_table_knows_of_each_act_whether_it_is_of_a_queue():
    assert len(HERE) > 40
    assert {act.at for act in ELSEWHERE if "django_rq" not in act.at} == {
        "monitor:recover", "monitor:api-recover", "monitor:bulk_abort", "monitor:api-bulk-abort",
        "monitor:alert-silence", "monitor:alert-edit", "monitor:alert-test",
        *(f"monitor:{door}-{verb}" for door in ("worker", "api-worker") for verb in operations.WORKER_COMMANDS),
    }  # fmt: skip


@pytest.mark.parametrize("act", HERE, ids=str)
def test_a_role_in_its_queues_is_enough(client, act):
    sign_in(client, "view")
    let(act.role, *places(act))

    answer, lines = press(client, act)

    assert answer.status_code in (200, 302), answer.content
    assert [(line.action, line.reason) for line in lines] == [(act.action, WHY if act.says else "")]


@pytest.mark.parametrize("act", HERE, ids=str)
def test_a_role_in_all_other_queues_is_not(client, act):
    for missing in places(act):
        sign_in(client, "view")
        let(act.role, *(queue for queue in ALL if queue != missing))

        answer, lines = press(client, act)

        assert answer.status_code in act.answers
        assert lines == []
        queues.connection().flushdb()
        BulkAction.objects.all().delete()
        Pause.objects.all().delete()


@pytest.mark.parametrize("act", ELSEWHERE, ids=str)
def test_what_is_of_no_queue_wants_the_role_everywhere(client, act):
    sign_in(client, "view")
    let(act.role, *ALL)

    answer, lines = press(client, act)

    assert answer.status_code in act.answers
    assert lines == []


@pytest.mark.parametrize("verb", [verb for verb in SAID if places_said(verb)], ids=str)
@pytest.mark.parametrize("is_here", [True, False])
def test_the_command_line_keeps_to_the_queues(verb, is_here):
    sign_in_by_name("view")
    let(verb.role, *(queue for queue in ALL if (queue in places_said(verb)) == is_here))
    words = verb.place()
    AuditEntry.objects.all().delete()
    call = ("jobs", *verb.words.split(), *words, "--user", "walker", "--reason", WHY)

    if is_here:
        call_command(*call)
        assert [told(line) for line in AuditEntry.objects.all()] == [("walker", "command", verb.action, WHY)]
    else:
        with pytest.raises(CommandError, match="does not allow"):
            call_command(*call)
        assert not AuditEntry.objects.exists()


@pytest.fixture
def limited(client) -> User:
    """Somebody who may operate in `low` and `critical`."""
    sign_in(client, "view")
    let("operate", "low", "critical")
    return walker()


def failed_in(queue: str, number: int) -> list[str]:
    """Put so many jobs among the failed of a queue; returns their ids."""
    ids = enqueue(number, queue=queue)
    bury(ids, queue)
    return ids


def fresh(user: User) -> User:
    """Return a user without the permissions that Django has kept of him."""
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize(
    ("asked", "about"),
    [
        ("state:failed", {"low", "critical"}),
        ("state:failed queue:low", {"low"}),
        ("state:failed queue:default", None),
        ("state:failed (queue:low OR queue:default)", {"low"}),
        ("state:failed NOT queue:low", {"low", "critical"}),
        ("task:fail OR task:add", {"low", "critical"}),
        ("", {"low", "critical"}),
    ],
)
def test_a_question_is_narrowed_to_the_own_queues(limited, asked, about):
    if about is None:
        with pytest.raises(PermissionDenied):
            bulk.own_part(limited, "retry", asked)
    else:
        narrowed = bulk.own_part(limited, "retry", asked)
        assert parse(narrowed).queues == about
        assert parse(narrowed).states == parse(asked).states
        assert bulk.own_part(limited, "retry", narrowed) == narrowed


def test_an_action_over_a_search_changes_jobs_of_the_own_queues_alone(client, limited):
    there = {queue: failed_in(queue, 2) for queue in ALL}
    shown = client.get(reverse("monitor:bulk_preview"), {"action": "retry", "q": "state:failed"})
    form = {"action": "retry", "q": shown.context["q"], "token": str(uuid.uuid4()), "number": "4", "reason": WHY}

    client.post(reverse("monitor:bulk_start"), form)
    row = BulkAction.objects.get()
    bulk.run(row.pk)

    row.refresh_from_db()
    assert (row.state, row.changed) == ("done", 4)
    states = {queue: {changes.state(job_id) for job_id in ids} for queue, ids in there.items()}
    assert states == {"critical": {"queued"}, "default": {"failed"}, "low": {"queued"}}


def test_a_forged_question_is_refused(client, limited):
    failed_in("default", 2)
    form = {"action": "retry", "q": "state:failed queue:default", "token": str(uuid.uuid4()), "reason": WHY}

    assert client.post(reverse("monitor:bulk_start"), form).status_code == 403
    with pytest.raises(PermissionDenied):
        bulk.start(limited, "retry", token=uuid.uuid4(), query="state:failed", reason=WHY, expected=2)
    assert not BulkAction.objects.exists()


def test_a_right_that_is_taken_away_stops_an_action(limited):
    failed_in("low", 2)
    row, _is_new = bulk.start(
        limited, "retry", token=uuid.uuid4(), query="state:failed queue:low", reason=WHY, expected=2
    )
    limited.user_permissions.clear()

    bulk.run(row.pk)

    row.refresh_from_db()
    assert (row.state, row.changed) == ("failed", 0)
    assert "role" in row.error


def test_more_than_a_thousand_want_the_role_admin_in_the_queue(limited):
    asked = {"query": "queue:low", "reason": WHY, "expected": bulk.MANY + 1}
    with pytest.raises(PermissionDenied):
        bulk.start(limited, "retry", token=uuid.uuid4(), **asked)
    let("admin", "low")

    row, is_new = bulk.start(fresh(limited), "retry", token=uuid.uuid4(), **asked)

    assert is_new
    assert not bulk.allows(fresh(limited), BulkAction(action="retry", query="queue:critical"), bulk.MANY + 1)
    assert row.query == "queue:low"


def test_each_role_adds_to_the_one_before_in_its_queue(limited):
    limited.user_permissions.clear()
    let("admin", "low")
    user = fresh(limited)

    assert [role for role in roles.ROLES if roles.may(user, role, {"low"})] == ["operate", "edit", "admin"]
    assert not any(roles.may(user, role, {"default"}) or roles.may(user, role) for role in roles.ROLES)


def test_a_job_of_a_queue_that_nobody_serves_is_for_who_may_everywhere(limited):
    job_id = tasks.add.enqueue(1, 2)
    queues.connection().hset(f"rq:job:{job_id}", "origin", "long-gone")
    with pytest.raises(PermissionDenied):
        operations.on_job(limited, "hold", job_id)
    with pytest.raises(PermissionDenied):
        operations.on_job(limited, "hold", "no-such-job")


def test_the_pages_offer_what_may_be_done_in_a_queue(client, limited):
    mine, other = (tasks.add.options(queue=queue).enqueue(1, 2) for queue in ("low", "default"))
    buttons = {job_id: client.get(reverse("monitor:job", args=[job_id])).content.decode() for job_id in (mine, other)}
    listed = client.get(reverse("monitor:queues")).content.decode()
    chosen = client.get(reverse("monitor:jobs"), {"q": "state:queued"}).content.decode()
    narrowed = client.get(reverse("monitor:bulk_preview"), {"action": "hold", "id": [other]}).content.decode()

    assert f"/{mine}/hold" in buttons[mine]
    assert f"/{other}/hold" not in buttons[other]
    assert [f'value="queue:{queue}"' in listed for queue in ALL] == [True, False, True]
    assert f'value="{mine}"' in chosen
    assert f'value="{other}"' not in chosen
    assert reverse("monitor:bulk_start") not in narrowed


def test_the_admin_offers_the_rights_of_each_queue(admin_client):
    page = admin_client.get(reverse("admin:auth_group_add")).content.decode()
    for queue in ALL:
        assert f"Can drain the queue {queue}" in page
    group = Group.objects.create(name="Payments")
    group.permissions.add(Permission.objects.get(codename="operate_jobs_in_critical"))
    user = User.objects.create_user("p", is_staff=True)
    user.groups.add(group)
    assert roles.within(user, "operate") == {"critical"}


def test_another_name_of_a_pause_is_refused_in_the_admin(admin_client):
    for name, until in (("queue:nowhere", ""), ("task:none", ""), ("queue:low", "2001-01-01")):
        words = {"name": name, "reason": WHY, "until_0": until, "until_1": "10:00" if until else ""}
        assert admin_client.post(reverse("admin:jobs_pause_add"), words).status_code == 200
    assert not Pause.objects.exists()
    with pytest.raises(ValidationError):
        operations.pause(None, "queue:nowhere", reason=WHY)
