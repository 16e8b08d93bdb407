"""The index that every list of runs is read by also holds what a search compares, so that no such search reads rows.

Built beside the traffic on PostgreSQL, where a big table would else stand still for minutes. Only then is the narrower
one dropped whose place it takes.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor as Editor
from django.db.migrations.state import ProjectState as State


class AddIndex(AddIndexConcurrently):
    """Add an index beside the traffic on PostgreSQL, plainly elsewhere."""

    def database_forwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        if schema_editor.connection.vendor == "postgresql":
            # What an interrupted build leaves behind has the name and is never used.
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index.name}")
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)


class RemoveIndex(RemoveIndexConcurrently):
    """Remove an index beside the traffic on PostgreSQL, plainly elsewhere."""

    def database_forwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        kind = RemoveIndexConcurrently if schema_editor.connection.vendor == "postgresql" else migrations.RemoveIndex
        kind.database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        kind = RemoveIndexConcurrently if schema_editor.connection.vendor == "postgresql" else migrations.RemoveIndex
        kind.database_backwards(self, app_label, schema_editor, from_state, to_state)


class SetOnPostgreSQL(migrations.RunSQL):
    """Run SQL on PostgreSQL alone."""

    def database_forwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Editor, from_state: State, to_state: State) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)


# An index answers alone only for pages that a vacuum has seen, so it looks more often than after a fifth of the rows.
OFTEN = ("autovacuum_vacuum_scale_factor", "autovacuum_vacuum_insert_scale_factor", "autovacuum_analyze_scale_factor")


class Migration(migrations.Migration):
    atomic = False  # PostgreSQL builds no index beside the traffic within a transaction
    dependencies = [("jobs", "0007_name_the_filters_of_the_audit")]
    operations = [
        AddIndex(
            "jobrun",
            models.Index(
                fields=["-started_at", "-id", "duration", "wait", "attempt", "worker", "outcome", "queue"],
                name="runs_newest_first_searched",
                opclasses=[
                    "timestamptz_ops", "int8_ops", "float8_ops", "float8_ops", "int4_ops", "varchar_pattern_ops",
                    "varchar_ops", "varchar_ops",
                ],
            ),
        ),
        RemoveIndex("jobrun", "runs_newest_first"),
        SetOnPostgreSQL(
            f"ALTER TABLE jobs_jobrun SET ({', '.join(f'{name} = 0.05' for name in OFTEN)})",
            f"ALTER TABLE jobs_jobrun RESET ({', '.join(OFTEN)})",
        ),
    ]
