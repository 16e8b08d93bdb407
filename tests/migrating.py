"""Databases beside the tests' own, migrated in processes of their own, and what is in them in words to compare.

`python -m tests.migrating [app.name …]` takes the path of before, without the migrations that replace others, and
leaves a row in each table.
"""

import os
import re
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
import psycopg
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import StateApps

OURS = ("accounts", "products", "analysis", "notifications", "jobs")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parent.parent
# Django names what nobody named by a hash of the table and the column, which may have had another name at the time.
BY_HASH = re.compile(r"\b\w+_[0-9a-f]{8}(_uniq|_like|_idx|_fk(_\w+)?)?\b")


class OldPath(MigrationExecutor):
    """An executor that knows the replaced migrations alone."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.loader.replace_migrations = False  # type: ignore[attr-defined]
        self.loader.build_graph()
        for key, migration in self.loader.replacements.items():
            self.loader.graph.remove_replacement_node(key, migration.replaces)


class Database:
    """An empty database beside the tests' own."""

    def __init__(self, place: str) -> None:
        self.place, self.is_file = place, connection.vendor == "sqlite"
        server = connection.settings_dict
        host = f"{server['USER']}@{server['HOST']}:{server['PORT']}"
        self.url = f"sqlite:///{place}" if self.is_file else f"postgres://{host}/{place}"

    def migrate(self, *words: str) -> None:
        """Migrate as people do."""
        self._run("manage.py", "migrate", "--verbosity", "0", *words)

    def migrate_by_the_old_path(self, *targets: str) -> None:
        """Migrate to these, such as products.0013_note_when_apify_called, or to the end, and leave rows."""
        self._run("-m", "tests.migrating", *targets)

    def _run(self, *words: str) -> None:
        env = os.environ | {"DATABASE_URL": self.url, "DJANGO_SETTINGS_MODULE": "amazon_pilot.settings"}
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr[-3000:]

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """A connection that commits by itself."""
        is_file, place = self.is_file, self.place
        opened = sqlite3.connect(place, isolation_level=None) if is_file else psycopg.connect(self.url, autocommit=True)
        try:
            yield opened
        finally:
            opened.close()

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with self.opened() as opened:
            return list(opened.execute(question).fetchall())

    def tables(self) -> list[str]:
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if not self.is_file:
            names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return sorted(name for (name,) in self.ask(names))

    def counts(self) -> dict[str, int]:
        """How many rows are in each table that has some."""
        each = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in self.tables())
        return {name: number for name, number in self.ask(each) if number and name != "django_migrations"}

    def schema(self) -> dict[str, list[str]]:
        """All that the database was told to hold, by its table or kind."""
        return schema_of_file(self) if self.is_file else schema_of_server(self)


def schema_of_file(database: Database) -> dict[str, list[str]]:
    """Each table's columns and constraints in the order of their names: later columns stand behind the older ones."""
    found: dict[str, list[str]] = defaultdict(list)
    for kind, name, table, sql in database.ask("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql > ''"):
        if kind == "table":
            found[name] += sorted(parts(sql[sql.index("(") + 1 : sql.rindex(")")]))
        else:
            found[f"{kind} of {table}"].append(BY_HASH.sub("…", sql))
    return {name: sorted(words) for name, words in found.items()}


def parts(text: str) -> Iterator[str]:
    """Divide at the commas that stand in no parentheses."""
    depth = start = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


CATALOGUE = {
    "columns": """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        pg_get_expr(d.adbin, d.adrelid), a.attcollation::regcollation
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d
        ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) WHERE c.relnamespace = 'public'::regnamespace
        AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped""",
    "relations": "SELECT relname, relkind, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    "indexes": """SELECT pg_get_indexdef(indexrelid), indisvalid, indisready FROM pg_index
        JOIN pg_class ON oid = indexrelid WHERE relnamespace = 'public'::regnamespace""",
    "constraints": """SELECT conrelid::regclass, conname, pg_get_constraintdef(oid), condeferrable, condeferred,
        convalidated FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "functions": """SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = p.oid AND deptype = 'e')""",
    "extensions": "SELECT extname FROM pg_extension",
}


def schema_of_server(database: Database) -> dict[str, list[str]]:
    """What PostgreSQL's catalogue says in words."""
    return {
        kind: sorted(BY_HASH.sub("…", " | ".join(map(str, row))) for row in database.ask(question))
        for kind, question in CATALOGUE.items()
    }


def fill(apps: StateApps) -> None:
    """Have one row in each table of ours, and a second user; the first one is gone, so that keys are not all 1."""
    user: Any = apps.get_model("auth", "User")
    users = [user.objects.create(username=name) for name in ("gone", "ann", "ben")]
    users[0].delete()
    rows: dict[Any, Any] = {type(users[1]): users[1]}
    waiting: list[Any] = [one for one in apps.get_models(include_auto_created=True) if one._meta.app_label in OURS]
    while waiting:
        model = next(one for one in waiting if needs(one) <= rows.keys())
        waiting.remove(model)
        rows[model] = model.objects.first() or model.objects.create(
            **{field.name: value_for(field, rows) for field in model._meta.concrete_fields if asks_for(field)}
        )


def needs(model: Any) -> set[Any]:
    return {field.related_model for field in model._meta.concrete_fields if field.is_relation} - {model}


def asks_for(field: Any) -> bool:
    if field.is_relation:
        return bool(field.related_model is not field.model)
    return not (field.has_default() or field.has_db_default() or field.primary_key or field.null)


def value_for(field: Any, rows: dict[Any, Any]) -> Any:
    if field.is_relation:
        return rows[field.related_model]
    kind = field.get_internal_type()
    if kind in ("CharField", "TextField", "EmailField"):
        return field.choices[0][0] if field.choices else "" if field.blank else "x"
    moments = {"DateTimeField": NOON, "DateField": NOON.date(), "DurationField": timedelta(1), "BinaryField": b"x"}
    return moments.get(kind, {"x": 1} if kind in ("JSONField", "PackedJSONField") else 1)


if __name__ == "__main__":
    django.setup()
    executor = OldPath(connection)
    targets: Any = [tuple(word.split(".")) for word in sys.argv[1:]] or executor.loader.graph.leaf_nodes()
    executor.migrate(targets)
    fill(executor.loader.project_state(targets).apps)
