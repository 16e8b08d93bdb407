"""Whatever can be pressed, by page, by JSON or by command: where, how it is placed before, and who may."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.models import ApiToken, AuditEntry, BulkAction, Pause, SavedSearch
from amazon_pilot.jobs.operate import bulk, changes, operations, preview, table
from amazon_pilot.jobs.operate.operation import slug
from products.models import Product
from tests.busy_day import as_failed, as_running
from tests.jobs import tasks
from tests.jobs.schedule_world import TASK, make_entry
from tests.staff import serve

roles = import_module("amazon_pilot.jobs.migrations.0002_add_roles")
PERMISSIONS = {"nobody": [], **{name.rpartition(" ")[2]: given for name, given in roles.ROLES.items()}}
LADDER = list(PERMISSIONS)
WHY = "A walk through the audit"
Placed = tuple[list[Any], dict[str, Any]]  # what the address names, and what the form says


@dataclass(frozen=True)
class Act:
    """One thing to press: where, what the audit calls it, who may, how it is placed before, and what of its reason.

    `says` tells whether it keeps a reason, `must` whether it refuses to go without one. `answers` are the statuses by
    which it is refused to who may not.
    """

    at: str
    action: str
    role: str
    place: Callable[[], Placed]
    says: bool = True
    must: bool = False
    what: str = ""
    answers: tuple[int, ...] = (403,)
    rights: tuple[str, ...] = ()  # where a permission of the product decides instead of a role

    def __str__(self) -> str:
        return f"{self.at} {self.what}".strip()


def later() -> str:
    return (timezone.now() + timedelta(hours=1)).isoformat()


def failed() -> str:
    return as_failed(tasks.add.enqueue(1, 2))


def held() -> str:
    job_id = tasks.add.enqueue(1, 2)
    assert changes.one("hold", job_id)
    return job_id


def waiting() -> str:
    return tasks.add.enqueue(1, 2)


def running() -> str:
    job_id = tasks.add.enqueue(1, 2)
    as_running(job_id, "pilot-walk", "w1", 0, 60)
    return job_id


def deleted() -> str:
    job_id = tasks.add.enqueue(1, 2)
    assert operations.on_job(None, "delete", job_id).count == 1
    return job_id


# How a job stands before each operation on jobs, and what the operation asks for beside it.
JOBS: dict[str, tuple[Callable[[], str], dict[str, Callable[[], Any]]]] = {
    "retry": (failed, {}),
    "run now": (lambda: tasks.add.enqueue_in(3600, 1, 2), {}),
    "hold": (waiting, {}),
    "release": (held, {}),
    "snooze": (waiting, {"until": later}),
    "cancel": (waiting, {}),
    "stack": (running, {}),
    "edit": (waiting, {"args": lambda: [3, 4]}),
    "free": (lambda: tasks.once_at_a_time.enqueue("tea"), {}),
    "move": (waiting, {"queue": lambda: "low"}),
    "delete": (waiting, {}),
    "restore": (deleted, {}),
}


def asked_for(name: str) -> dict[str, Any]:
    return {field: value() for field, value in JOBS[name][1].items()}


def in_bulk_words(name: str) -> dict[str, Any]:
    """Return what a bulk action asks for beside its jobs."""
    return {{"queue": "to_queue"}.get(field, field): value for field, value in asked_for(name).items()}


def paused() -> None:
    Pause.objects.begin("queue:low", by=None, reason="before")


def a_worker() -> str:
    serve()
    return "w1"


def an_entry(**fields: Any) -> str:
    return make_entry("walk", **fields).name


def a_paused_entry() -> str:
    return an_entry(paused_at=timezone.now(), paused_reason="before")


def a_bulk_action() -> int:
    return BulkAction.objects.create(action="retry", query="state:failed", reason="before", state="running").pk


def a_bulk_deletion() -> int:
    row, _is_new = bulk.start(None, "delete", token=uuid.uuid4(), ids=[waiting()], reason="before", expected=1)
    bulk.run(row.pk)
    return row.pk


def walker() -> User:
    return User.objects.get(username="walker")


def a_token() -> int:
    row, _text = ApiToken.objects.issue(walker(), "walk", "read")
    return row.pk


def a_search() -> int:
    return SavedSearch.objects.create(user=walker(), name="walk", query="state:failed").pk


def of_jobs(door: str) -> Iterator[Act]:
    """Yield the operations on one job, as pages or as JSON."""
    for name, row in table.OPERATIONS.items():

        def place(name: str = name) -> Placed:
            given = asked_for(name)
            if door == "job" and "args" in given:
                given["args"] = json.dumps(given["args"])
            return [JOBS[name][0]()], given

        yield Act(f"monitor:{door}-{row.slug}", name, row.role, place)


def of_bulk() -> Iterator[Act]:
    """Yield each bulk action, as a page and as JSON."""
    for name in table.in_bulk():
        row = table.OPERATIONS[name]

        def form(name: str = name) -> Placed:
            return [], {"action": name, "id": [JOBS[name][0]()], "token": str(uuid.uuid4()), **in_bulk_words(name)}

        def body(name: str = name) -> Placed:
            given = table.OPERATIONS[name].given_in_bulk(in_bulk_words(name))
            return [], {"preview": preview.previewed(None, name, "", [JOBS[name][0]()], given)["preview"]}

        yield Act("monitor:bulk_start", name, row.role, form, must=True, what=name)
        yield Act("monitor:api-bulk-start", name, row.role, body, must=True, what=name)


def of_workers(door: str) -> Iterator[Act]:
    for verb in operations.WORKER_COMMANDS:

        def place(verb: str = verb) -> Placed:
            return [a_worker()], {"slot": 1} if verb == "kill" else {}

        yield Act(f"monitor:{door}-{verb}", verb, "admin", place)


def resumable(**words: Any) -> Placed:
    paused()
    return [], {"name": "queue:low", **words}


def of_schedule(door: str) -> Iterator[Act]:
    at = f"monitor:{door}"
    yield Act(f"{at}-pause", "pause", "operate", lambda: ([an_entry()], {}), must=True)
    yield Act(f"{at}-resume", "resume", "operate", lambda: ([a_paused_entry()], {}))
    yield Act(f"{at}-run-now", "run now", "operate", lambda: ([an_entry()], {}))
    yield Act(f"{at}-edit", "edit", "edit", lambda: ([an_entry()], {"queue": "low"}))


def bulk_restore() -> Placed:
    return [a_bulk_deletion()], {"token": str(uuid.uuid4())}


RULE = ["poison"]
PRESSED = [
    *of_jobs("job"), *of_jobs("api-job"), *of_bulk(), *of_workers("worker"), *of_workers("api-worker"),
    *of_schedule("schedule"), *of_schedule("api-schedule"),
    Act("monitor:pause", "pause", "operate", lambda: ([], {"name": "queue:low"}), must=True),
    Act("monitor:api-pause", "pause", "operate", lambda: ([], {"name": "queue:low"}), must=True),
    Act("monitor:resume", "resume", "operate", resumable),
    Act("monitor:api-resume", "resume", "operate", resumable),
    Act("monitor:drain", "drain", "admin", lambda: (["low"], {"typed": "low"}), must=True),
    Act("monitor:api-drain", "drain", "admin", lambda: (["low"], {"confirm": "low"}), must=True),
    Act("monitor:recover", "recover", "admin", lambda: ([], {})),
    Act("monitor:api-recover", "recover", "admin", lambda: ([], {})),
    Act("monitor:task-run", "run", "edit", lambda: ([tasks.add.name], {"args": "[1, 2]"})),
    Act("monitor:bulk_abort", "abort", "operate", lambda: ([a_bulk_action()], {})),
    Act("monitor:api-bulk-abort", "abort", "operate", lambda: ([a_bulk_action()], {})),
    Act("monitor:bulk_restore", "restore", "edit", bulk_restore, must=True),
    Act("monitor:api-bulk-restore", "restore", "edit", bulk_restore, must=True),
    Act("monitor:api-schedule-create", "create", "edit", lambda: (["new"], {"cron": "@daily", "task": TASK})),
    Act("monitor:api-schedule-delete", "delete", "admin", lambda: ([an_entry()], {"confirm": "walk"})),
    Act("monitor:alert-silence", "silence", "operate", lambda: (RULE, {"minutes": "9"}), must=True, what="on"),
    Act("monitor:alert-silence", "end silence", "operate", lambda: (RULE, {"minutes": "0"}), what="off"),
    Act("monitor:alert-edit", "edit", "edit", lambda: (RULE, {"is_on": "on", "limit": "5"})),
    Act("monitor:alert-test", "test alert", "edit", lambda: ([], {})),
    Act("monitor:save-search", "save search", "view", lambda: ([], {"name": "n", "q": "state:failed"}), says=False),
    Act("monitor:forget-search", "forget search", "view", lambda: ([a_search()], {}), says=False),
    Act("monitor:token-make", "create", "view", lambda: ([], {"name": "n", "scope": "read"}), says=False),
    Act("monitor:token-revoke", "revoke", "view", lambda: ([a_token()], {}), says=False),
]  # fmt: skip


# The admin


RAW_PLACES: dict[str, Callable[[], Placed]] = {
    "clear": lambda: ([1], {}),
    "requeue_all": lambda: ([1], {}) if failed() else ([], {}),
    "delete_failed_jobs": lambda: ([1], {}) if failed() else ([], {}),
    "delete_job": lambda: ([1, waiting()], {}),
    "requeue_job": lambda: ([1, failed()], {}),
    "enqueue_job": lambda: ([1, waiting()], {}),
    "stop_job": lambda: ([1, waiting()], {}),
    "actions": lambda: ([1], {"action": "delete", "job_ids": [waiting()]}),
}


def chosen(action: str, row: Callable[[], Any], **words: Any) -> Callable[[], Placed]:
    """Return what presses an action of a list of rows."""
    return lambda: ([], {"action": action, "_selected_action": [row()], **words})


def entry_form(**fields: Any) -> dict[str, Any]:
    words = {
        "name": "walk", "cron": "0 9 * * *", "zone": "UTC", "task": TASK, "args": "[]", "queue": "default",
        "missed": "skip", "missed_limit": "1", "missed_window": "1 00:00:00", "overlap": "queue",
    }  # fmt: skip
    return words | fields


def entry_pk(**fields: Any) -> int:
    return make_entry("walk", **fields).pk


def pause_pk() -> int:
    paused()
    return Pause.objects.get().pk


def audit_pk() -> int:
    AuditEntry.objects.all().delete()
    return AuditEntry.objects.record(None, "before", "walk").pk


def product_pk() -> int:
    return Product.objects.create(asin="B0WALK0001", marketplace="amazon.com").pk


def no_row() -> int:
    """Return what stands for a row that is gone by now: the act is done, to nothing."""
    return 0


QUIETLY = (200, 302, 403)  # Django offers an action to nobody else, and answers with the list
SCHEDULE, RAW = "admin:jobs_scheduleentry", "admin:django_rq"
IN_ADMIN = [
    Act(f"{SCHEDULE}_add", "create", "edit", lambda: ([], entry_form()), says=False),
    Act(f"{SCHEDULE}_change", "edit", "edit", lambda: ([entry_pk()], entry_form(queue="low")), says=False),
    Act(f"{SCHEDULE}_delete", "delete", "admin", lambda: ([entry_pk()], {"post": "yes"}), says=False),
    Act(f"{SCHEDULE}_changelist", "run now", "operate", chosen("run_now", entry_pk), False, False, "run_now", QUIETLY),
    Act(f"{SCHEDULE}_changelist", "pause", "operate", chosen("pause", entry_pk, apply="1"), True, True, "pause",
        QUIETLY),
    Act(f"{SCHEDULE}_changelist", "resume", "operate", chosen("resume", lambda: entry_pk(paused_at=timezone.now())),
        False, False, "resume", QUIETLY),
    Act(f"{SCHEDULE}_changelist", "delete", "admin", chosen("delete_selected", entry_pk, post="yes"), False, False,
        "delete_selected", QUIETLY),
    Act("admin:jobs_pause_add", "pause", "operate", lambda: ([], {"name": "queue:low"}), must=True),
    Act("admin:jobs_pause_changelist", "resume", "operate", chosen("resume", pause_pk), False, False, "resume",
        QUIETLY),
    Act("admin:jobs_auditentry_changelist", "export", "view", chosen("export", audit_pk), False, False, "export"),
    *(Act(f"{RAW}_{name}", "django-rq", "admin", place, says=False) for name, place in RAW_PLACES.items()),
    *(
        Act(f"admin:{model}_changelist", word, "operate", chosen(action, row), False, False, action, QUIETLY, rights)
        for model, action, word, row, rights in (
            ("products_product", "update_now", "update", product_pk, ("view_product", "change_product")),
            ("products_product", "monitor", "monitor", product_pk, ("view_product", "change_product")),
            ("products_product", "leave_alone", "leave alone", product_pk, ("view_product", "change_product")),
            ("products_scraperun", "collect", "collect", no_row, ("view_scraperun", "change_scraperun")),
            ("products_scraperun", "resume_planning", "resume planning", no_row,
             ("view_scraperun", "change_scraperun")),
            ("notifications_notification", "send_again", "send again", no_row,
             ("view_notification", "change_notification")),
            ("analysis_comparison", "analyse", "analyse", no_row, ("view_comparison", "change_comparison")),
        )
    ),
]  # fmt: skip
# Posted to, these only show what would be done, or what is asked for.
LOOKS = {f"{RAW}_confirm_action"}


APPS = {"jobs", "django_rq", "products", "analysis", "notifications", "accounts"}


# Commands


@dataclass(frozen=True)
class Said:
    """One verb of the command line: its words before, and those that follow for what it acts on."""

    words: str
    action: str
    role: str
    place: Callable[[], list[str]]
    must: bool = False

    def __str__(self) -> str:
        return self.words


def said_of_jobs() -> Iterator[Said]:
    for name, row in table.OPERATIONS.items():

        def place(name: str = name) -> list[str]:
            given, job_id = asked_for(name), JOBS[name][0]()
            if "args" in given:
                return [job_id, json.dumps(given["args"])]
            options = {"until": "--until", "queue": "--to"}
            return [job_id, *(word for field, value in given.items() for word in (options[field], value))]

        yield Said(row.slug, name, row.role, place)


def said_in_bulk() -> Iterator[Said]:
    for name in table.in_bulk():

        def place(name: str = name) -> list[str]:
            given = asked_for(name)
            options = {"until": "--until", "queue": "--to"}
            return ["--job", JOBS[name][0](), *(w for field, value in given.items() for w in (options[field], value))]

        yield Said(f"bulk {slug(name)}", name, table.OPERATIONS[name].role, place, must=True)


def resumed_by_word() -> list[str]:
    paused()
    return ["queue:low"]


SAID = [
    *said_of_jobs(), *said_in_bulk(),
    Said("bulk abort", "abort", "operate", lambda: [str(a_bulk_action())]),
    Said("bulk restore", "restore", "edit", lambda: [str(a_bulk_deletion())], must=True),
    Said("pause", "pause", "operate", lambda: ["queue:low"], must=True),
    Said("resume", "resume", "operate", resumed_by_word),
    Said("drain", "drain", "admin", lambda: ["low", "--yes"], must=True),
    Said("quiet", "quiet", "admin", lambda: [a_worker()]),
    Said("wake", "wake", "admin", lambda: [a_worker()]),
    Said("stop", "stop", "admin", lambda: [a_worker(), "--yes"]),
    Said("kill", "kill", "admin", lambda: [a_worker(), "--slot", "1", "--yes"]),
    Said("recover", "recover", "admin", list),
    Said("run", "run", "edit", lambda: [tasks.add.name, "[1, 2]"]),
    Said("schedule pause", "pause", "operate", lambda: [an_entry()], must=True),
    Said("schedule resume", "resume", "operate", lambda: [a_paused_entry()]),
    Said("schedule run-now", "run now", "operate", lambda: [an_entry()]),
    Said("schedule create", "create", "edit", lambda: ["new", "--cron", "@daily", "--task", TASK]),
    Said("schedule edit", "edit", "edit", lambda: [an_entry(), "--queue", "low"]),
    Said("schedule delete", "delete", "admin", lambda: [an_entry(), "--yes"]),
]  # fmt: skip
ONLY_LOOK = {
    "queues", "stats", "queue-history", "retention", "list", "show", "limits", "batches", "workers", "dash",
    "schedule list", "schedule show", "schedule history", "bulk show",
}  # fmt: skip


def sign_in(client: Any, role: str, rights: tuple[str, ...] = ()) -> None:
    """Have the one who walks stand in a role, or hold these permissions of the product."""
    user, _is_new = User.objects.get_or_create(username="walker", defaults={"is_staff": True})
    held = Permission.objects.filter(codename__in=PERMISSIONS[role], content_type__app_label="jobs")
    user.user_permissions.set([*held, *Permission.objects.filter(codename__in=rights)])
    client.force_login(user)


def below(role: str) -> str:
    return LADDER[LADDER.index(role) - 1]


def press(client: Any, act: Act, why: str = WHY) -> tuple[Any, list[AuditEntry]]:
    """Press it where it stands, and return the answer with what the audit has gained."""
    args, form = act.place()
    if act.action != "export":
        AuditEntry.objects.all().delete()
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    address, given = reverse(act.at, args=args), form | ({"reason": why} if why else {})
    is_api = ":api-" in act.at
    answer = client.post(address, json.dumps(given), "application/json") if is_api else client.post(address, given)
    return answer, list(AuditEntry.objects.exclude(pk__in=before))


def told(entry: AuditEntry) -> tuple[str, str, str, str]:
    return (entry.actor.username if entry.actor else "", entry.source, entry.action, entry.reason)


def sign_in_by_name(role: str) -> None:
    """Make the one who speaks, in a role."""
    user = User.objects.create_user("walker", is_staff=True)
    held = Permission.objects.filter(codename__in=PERMISSIONS[role], content_type__app_label="jobs")
    user.user_permissions.set(held)
