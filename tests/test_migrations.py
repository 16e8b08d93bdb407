"""A fresh database begins with few migrations, and has what all the replaced ones would have made."""

import random
import re
from pathlib import Path
from typing import Any, cast

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from tests.migrating import OURS, Database, OldPath

# What an installation may have stopped at, one of each app. At the first there were no teams.
STATES = {
    "first version": "products.0001_initial analysis.0001_initial notifications.0001_initial jobs.0001_initial",
    "users without teams": "accounts.0001_initial products.0006_pack_raw_items"
    " analysis.0002_hold_budgets_in_rows_and_use_the_databases_clock"
    " notifications.0003_find_the_newest_by_an_index jobs.0007_name_the_filters_of_the_audit",
    "teams of nobody": "accounts.0002_add_teams products.0004_add_tags_acknowledgement_and_undo analysis.0001_initial"
    " notifications.0002_say_unknown_and_use_the_databases_clock jobs.0012_count_what_is_kept",
    "one app ahead": "accounts.0004_give_tokens_to_members products.0013_note_when_apify_called"
    " analysis.0004_note_when_a_report_asked_for_fresh_data notifications.0006_hold_channels_once_per_team"
    " jobs.0018_tell_why_nothing_fired",
    "nearly there": "accounts.0005_let_teams_end products.0021_sort_long_lists_by_index"
    " analysis.0004_note_when_a_report_asked_for_fresh_data"
    " notifications.0007_let_the_database_say_when_one_was_written jobs.0022_give_scripts_tokens",
    "all of them": "",
}


@pytest.fixture(scope="module")
def replacing() -> dict[str, tuple[str, list[str]]]:
    """Of each app the migration that replaces others, and these."""
    found = MigrationLoader(None).replacements.items()
    return {app: (name, [old for _app, old in migration.replaces]) for (app, name), migration in found if app in OURS}


@pytest.mark.parametrize("app", OURS)
def test_each_migration_up_to_the_last_replaced_one_is_replaced(app, replacing):
    name, replaced = replacing[app]
    last = re.fullmatch(r"0001_squashed_(\d{4})_\w+", name)[1]
    files = sorted(file.stem for file in (Path(apps.get_app_config(app).path) / "migrations").glob("[0-9]*.py"))
    assert replaced == [stem for stem in files if stem != name and stem[:4] <= last]


@pytest.mark.django_db
def test_the_migrations_make_what_the_models_say():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.later
@pytest.mark.django_db
def test_from_every_state_each_step_is_taken_once(replacing):
    """Whatever an installation has, and wherever a migrate was cut off: the plan holds all that is not there yet."""
    recorder, walk = MigrationRecorder(connection), random.Random(11)
    old = OldPath(connection).loader
    whole = [migration for migration, _ in OldPath(connection).migration_plan(old.graph.leaf_nodes(), clean_start=True)]
    ours = [(one.app_label, one.name) for one in whole if one.app_label in OURS]
    states = [ours[:count] for count in range(len(ours) + 1)] + [some_of(ours, old.graph, walk) for _ in range(30)]
    for state in states:
        recorder.migration_qs.filter(app__in=OURS).delete()
        complete = [app for app in OURS if {(app, name) for name in replacing[app][1]} <= set(state)]
        known = [(app, replacing[app][0]) for app in complete if walk.random() < 0.5]  # noted at the end of a migrate
        for app, name in state + known:
            recorder.record_applied(app, name)
        executor = MigrationExecutor(connection)
        executor.loader.check_consistent_history(connection)
        taken = list(state)
        for migration, _backwards in executor.migration_plan(executor.loader.graph.leaf_nodes()):
            if migration.app_label in OURS:
                taken += migration.replaces or [(migration.app_label, migration.name)]
        assert sorted(taken) == sorted(ours)


def some_of(ours, graph, walk):
    """Answer a random state that migrations of single apps may lead to: what a step depends on is there, too."""
    steps = {step for step in walk.sample(ours, 3) for step in graph.forwards_plan(step)}
    return [step for step in ours if step in steps]


@pytest.fixture(scope="module")
def made(django_db_setup, django_db_blocker, tmp_path_factory):
    """Make empty databases, which are gone afterwards."""
    names, creation = [], cast(Any, connection.creation)

    def make(name: str) -> Database:
        if connection.vendor == "sqlite":
            return Database(str(tmp_path_factory.mktemp(name) / "db.sqlite3"))
        names.append(f"{connection.settings_dict['NAME']}_{name}")
        with django_db_blocker.unblock(), creation._nodb_cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{names[-1]}"')
        return Database(names[-1])

    yield make
    for name in names:
        with django_db_blocker.unblock(), creation._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}"')


@pytest.fixture(scope="module")
def fresh(made):
    """A database as a new installation has it."""
    database = made("fresh")
    database.migrate()
    return database


GROUPS = """SELECT g.name, p.codename, c.app_label, c.model FROM auth_group g
    JOIN auth_group_permissions gp ON gp.group_id = g.id JOIN auth_permission p ON p.id = gp.permission_id
    JOIN django_content_type c ON c.id = p.content_type_id ORDER BY 1, 2, 3, 4"""
PERMISSIONS = """SELECT p.codename, c.app_label, c.model FROM auth_permission p
    JOIN django_content_type c ON c.id = p.content_type_id WHERE c.model <> 'tallytotal' ORDER BY 1, 2, 3"""


@pytest.mark.long
@pytest.mark.parametrize("state", STATES)
def test_every_installation_ends_where_a_fresh_one_begins(state, made, fresh):
    database = made(state.replace(" ", "_"))
    database.migrate_by_the_old_path(*STATES[state].split())
    before = database.counts()
    database.migrate()

    assert database.schema() == fresh.schema()
    for rows in (GROUPS, PERMISSIONS):
        assert database.ask(rows) == fresh.ask(rows)
    after = database.counts()
    for table, number in before.items():
        if table.split("_")[0] in OURS and table != "jobs_tallytotal":
            assert after[table] >= number, table
    assert database.ask("SELECT id, username FROM auth_user ORDER BY 1") == [(2, "ann"), (3, "ben")]


@pytest.mark.long
def test_a_fresh_database_holds_no_rows_but_those_of_people_s_rights(fresh):
    assert fresh.counts().keys() == {
        *("auth_group", "auth_group_permissions", "auth_permission", "django_content_type"),
    }
    assert len(fresh.schema().get("triggers", [])) == (2 if connection.vendor == "postgresql" else 0)


@pytest.mark.long
def test_the_way_back_leaves_nothing_and_can_be_gone_again(made, fresh):
    database = made("back")
    database.migrate()
    with pytest.raises(AssertionError, match="FieldDoesNotExist"):
        database.migrate("products", "0021")  # into what is replaced no way leads back, and nothing changes
    assert database.schema() == fresh.schema()
    for app in ("accounts", "jobs"):  # what needs the teams goes with them
        database.migrate(app, "zero")
    assert not [table for table in database.tables() if table.split("_")[0] in OURS]
    assert [database.schema().get(kind, []) for kind in ("functions", "triggers")] == [[], []]
    assert database.ask("SELECT count(*) FROM auth_group") == [(0,)]
    database.migrate()
    assert database.schema() == fresh.schema()
