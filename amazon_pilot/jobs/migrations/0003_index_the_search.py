"""PostgreSQL looks up the words of a search in an index; SQLite has none of the kind and reads row by row."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX IF NOT EXISTS runs_by_their_words ON jobs_jobrun USING gin (to_tsvector('simple', search))"
        )


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS runs_by_their_words")


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_add_roles")]
    operations = [migrations.RunPython(add, remove)]
