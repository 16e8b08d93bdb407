"""PostgreSQL looks up a tag in an index (the job list's `tag:`); SQLite has none of the kind and reads row by row."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX IF NOT EXISTS runs_by_their_tags ON jobs_jobrun"
            " USING gin (string_to_array(tags, ',')) WHERE tags <> ''"
        )


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS runs_by_their_tags")


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_index_the_search")]
    operations = [migrations.RunPython(add, remove)]
