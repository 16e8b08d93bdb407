"""Many rows at once: one statement on PostgreSQL, which takes them as one JSON text; Django's own way elsewhere.

Django's bulk_create prepares each value by itself, which takes more than PostgreSQL needs to store the row; a JSON text
is written by one call in C.
"""

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import RawSQL


class PackedJSONField(models.BinaryField):
    """A JSON value of which nobody asks a part, compressed: half the room, and nothing for a database to look into."""

    def get_prep_value(self, value: Any) -> bytes | None:
        """Return the value as it is stored; None stays None."""
        if value is None or isinstance(value, bytes):
            return value
        return zlib.compress(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), 1)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Return the stored bytes as the database's driver takes them."""
        return super().get_db_prep_value(self.get_prep_value(value), connection, prepared)

    def from_db_value(self, value: Any, *_more: object) -> Any:
        """Return the value that was stored."""
        return None if value is None else json.loads(zlib.decompress(value))


def among(ids: Sequence[int]) -> RawSQL:
    """Return ids for `pk__in` as one parameter: a thousand of them take longer to prepare than to look up."""
    if connection.vendor == "postgresql":
        # Written here: the driver looks at each of them by itself.
        return RawSQL("SELECT unnest(%s::bigint[])", [f"{{{','.join(map(str, ids))}}}"])
    return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(list(ids))])


def insert(rows: Sequence[Any]) -> None:
    """Store new rows of one model, all of whose times are set; each has its key afterwards."""
    if not rows:
        return
    model: type[models.Model] = type(rows[0])
    if connection.vendor != "postgresql":
        model._default_manager.bulk_create(rows)
        return
    names = tuple(place.name for place in model._meta.concrete_fields if not place.primary_key)
    columns, source = _source(model, names)
    sql = f"INSERT INTO {model._meta.db_table} ({columns}) SELECT {columns} FROM {source} RETURNING id"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [_text(rows, names)])
        keys = sorted(key for (key,) in cursor.fetchall())  # drawn one by one, in the order of the rows
    for row, key in zip(rows, keys, strict=True):
        row.pk, row._state.adding, row._state.db = key, False, connection.alias


def update(rows: Sequence[Any], names: Sequence[str]) -> None:
    """Store these fields of rows of one model that exist already."""
    if not rows:
        return
    model: type[models.Model] = type(rows[0])
    if connection.vendor != "postgresql":
        model._default_manager.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=names)
        return
    columns, source = _source(model, ("id", *names))
    changes = ", ".join(f"{column} = new.{column}" for column in columns.split(", ")[1:])
    sql = f"UPDATE {model._meta.db_table} AS old SET {changes} FROM {source} WHERE old.id = new.id"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [_text(rows, ("id", *names))])


@cache
def _source(model: type[models.Model], names: tuple[str, ...]) -> tuple[str, str]:
    """Return the columns of these fields, and what turns a JSON text into rows of them."""
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    columns = [f'"{field.column}"' for field in fields]
    types = ", ".join(f"{name} {field.db_type(connection)}" for name, field in zip(columns, fields, strict=True))
    return ", ".join(columns), f"json_to_recordset(%s::json) AS new ({types})"


def _text(rows: Sequence[Any], names: Sequence[str]) -> str:
    fields = [type(rows[0])._meta.get_field(name) for name in names]
    packed = [field for field in fields if isinstance(field, PackedJSONField)]
    values = [{field.column: getattr(row, field.attname) for field in fields} for row in rows]
    for row in values:
        row |= {field.column: field.get_prep_value(row[field.column]) for field in packed}
    return json.dumps(values, ensure_ascii=False, default=_plain, separators=(",", ":"))


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return value.isoformat() if isinstance(value, datetime) else str(value)
