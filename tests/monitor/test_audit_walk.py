"""Whatever can be pressed, by page, by JSON or by command, leaves one line of audit; one role below it does nothing.

The addresses are read from the url resolver, the admin's registry and the command's parser: one that has no row in the
table fails until somebody says how it is pressed, by whom, and what the audit calls it.
"""

from argparse import ArgumentParser
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from django.urls import reverse

from amazon_pilot.jobs.cli.jobs import Command
from amazon_pilot.jobs.models import AuditEntry
from amazon_pilot.jobs.operate import table
from tests.test_teams_crawl import PARAMETER, addresses

from .pressing import (
    APPS,
    IN_ADMIN,
    JOBS,
    LOOKS,
    ONLY_LOOK,
    PRESSED,
    SAID,
    WHY,
    below,
    press,
    sign_in,
    sign_in_by_name,
    told,
)  # fmt: skip

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("act", [*PRESSED, *IN_ADMIN], ids=str)
def test_what_is_pressed_leaves_one_line(client, act):
    sign_in(client, act.role, act.rights)

    answer, lines = press(client, act)

    assert answer.status_code in (200, 302), answer.content
    door = "api" if ":api-" in act.at else "page"
    assert [told(line) for line in lines] == [("walker", door, act.action, WHY if act.says else "")]
    assert lines[0].target


@pytest.mark.parametrize("act", [*PRESSED, *IN_ADMIN], ids=str)
def test_one_role_below_presses_nothing(client, act):
    sign_in(client, act.role if act.rights else below(act.role), act.rights[:1])
    if act.at == "monitor:alert-silence":
        sign_in(client, "view")

    answer, lines = press(client, act)

    assert answer.status_code in act.answers
    assert lines == []


@pytest.mark.parametrize("act", [act for act in [*PRESSED, *IN_ADMIN] if act.must], ids=str)
def test_what_others_meet_is_not_done_without_a_reason(client, act):
    sign_in(client, act.role)

    _answer, lines = press(client, act, why="")

    assert lines == []


@pytest.mark.parametrize("verb", SAID, ids=str)
def test_what_is_said_leaves_one_line(verb):
    sign_in_by_name(verb.role)
    words = verb.place()
    AuditEntry.objects.all().delete()

    call_command("jobs", *verb.words.split(), *words, "--user", "walker", "--reason", WHY)

    assert [told(line) for line in AuditEntry.objects.all()] == [("walker", "command", verb.action, WHY)]


@pytest.mark.parametrize("verb", SAID, ids=str)
def test_one_role_below_says_nothing(verb):
    sign_in_by_name(below(verb.role))
    words = verb.place()
    AuditEntry.objects.all().delete()

    with pytest.raises(CommandError, match="does not allow"):
        call_command("jobs", *verb.words.split(), *words, "--user", "walker", "--reason", WHY)

    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("verb", [verb for verb in SAID if verb.must], ids=str)
def test_what_others_meet_is_not_said_without_a_reason(verb):
    sign_in_by_name(verb.role)
    words = verb.place()
    AuditEntry.objects.all().delete()

    with pytest.raises(CommandError, match=r"why"):
        call_command("jobs", *verb.words.split(), *words, "--user", "walker")

    assert not AuditEntry.objects.exists()


def test_a_release_that_is_marked_by_hand_leaves_one_line():
    call_command("release", "walked")
    call_command("release", "walked")

    assert [told(line) for line in AuditEntry.objects.all()] == [("", "command", "mark release", "")]


# The table is whole


def of_the_monitor() -> list[tuple[str, str]]:
    rooms = ("admin/monitor/", "admin/jobs/", "admin/django_rq/")
    found = [(route, name) for route, name, _view in addresses() if route.startswith(rooms)]
    return [(route, name) for route, name in found if not name.endswith(":")]


def test_each_address_that_takes_a_post_is_in_the_table(admin_client):
    """An address that only looks says 405, or 403 to who may do anything."""
    known = {act.at for act in [*PRESSED, *IN_ADMIN]} | LOOKS
    looked = 0
    for route, name in of_the_monitor():
        if name in known or "(?P<" in route:
            continue
        answer = admin_client.post("/" + PARAMETER.sub("1", route).replace("^", "").replace("/?$", ""), {})
        is_list = name.endswith("_changelist") and answer.status_code == 200  # without an action it is looked at
        is_unknown = name.startswith("admin:") and answer.get("Location") == reverse("admin:index")
        assert answer.status_code in (403, 404, 405) or is_list or is_unknown, (name, answer.status_code)
        looked += 1

    assert looked > 40
    assert not AuditEntry.objects.exists()
    assert len(known) > 75


def test_each_form_of_the_engines_rows_is_in_the_table(rf: RequestFactory, admin_user):
    request = rf.get("/")
    request.user = admin_user
    known = {act.at for act in IN_ADMIN}
    for model, rows in admin.site._registry.items():
        if model._meta.app_label in ("jobs", "django_rq"):
            label = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            assert rows.has_add_permission(request) == (f"{label}_add" in known), label
            assert rows.has_change_permission(request) == (f"{label}_change" in known), label
            assert rows.has_delete_permission(request) == (f"{label}_delete" in known), label


def test_each_action_of_a_list_is_in_the_table(rf: RequestFactory, admin_user):
    request = rf.get("/")
    request.user = admin_user
    known = {(act.at, act.what) for act in IN_ADMIN}
    for model, rows in admin.site._registry.items():
        label = f"{model._meta.app_label}_{model._meta.model_name}"
        if model._meta.app_label not in APPS:
            continue
        is_ours = model._meta.app_label in ("jobs", "django_rq")
        found = set(rows.get_actions(request)) - (set() if is_ours else {"delete_selected"})
        told = {action for at, action in known if at == f"admin:{label}_changelist"}
        assert found == told, label


def verbs_of(parser: ArgumentParser) -> Iterator[str]:
    """Yield each verb that a command line knows, with its second word if it takes one of several."""
    for name, verb in parser._subparsers._group_actions[0].choices.items():  # type: ignore[union-attr]
        seconds = [action.choices for action in verb._actions if action.dest == "what"]
        yield from (f"{name} {second}" for second in seconds[0] or ()) if seconds else [name]


def test_each_verb_of_the_command_line_is_in_the_table():
    assert set(verbs_of(Command().create_parser("manage.py", "jobs"))) == {verb.words for verb in SAID} | ONLY_LOOK


def test_each_operation_on_jobs_has_its_place():
    assert JOBS.keys() == table.OPERATIONS.keys()
