"""What a job leaves in its database connections: transactions, and what it has set for the session.

A transaction is seen in the connection itself. What is set for a session is not, so each statement is looked at as
it is sent, also one that passes Django by. A connection with anything left in it is closed, which ends it all at once.
"""

import re
import threading
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

# A statement that begins so, and holds none of the words after it, leaves nothing behind but rows.
HARMLESS = re.compile(
    r"[\s(]*(SELECT|INSERT|UPDATE|DELETE|WITH|SAVEPOINT|RELEASE|ROLLBACK|COMMIT|BEGIN|START|TRUNCATE|COPY)\b", re.I
)
LASTING = re.compile(
    r";\s*\S|advisory|set_config|pg_settings|\bINTO\s*(\w+\s*)?(\bTEMP(ORARY)?\b|--|/\*)|pg_temp|setseed|dblink", re.I
)
# On SQLite statements are seen with their values, so only the beginning counts, behind comments.
LASTING_ON_SQLITE = re.compile(r"(\s+|--[^\n]*(\n|$)|/\*.*?(\*/|$))*(PRAGMA|ATTACH|DETACH|CREATE)\b", re.I | re.S)
# What a program sets on the driver's own object, past any statement.
POSTGRESQL = attrgetter(
    "autocommit", "isolation_level", "read_only", "deferrable", "row_factory", "cursor_factory",
    "server_cursor_factory", "prepare_threshold", "pgconn.pipeline_status",
)  # fmt: skip
SQLITE = attrgetter("isolation_level", "row_factory", "text_factory")

touched: set[str] = set()  # aliases of connections whose session a statement may have changed
open_cursors: set[int] = set()  # on the server
at_birth: WeakKeyDictionary[BaseDatabaseWrapper, tuple[object, ...]] = WeakKeyDictionary()  # how the driver's was set
of_threads: WeakSet[BaseDatabaseWrapper] = WeakSet()  # which other threads than the main one have opened
opened: set[str] = set()  # aliases of connections that any job has opened: before there is one, nothing is looked at


def watch() -> None:
    """Look at what is sent on every connection that is opened from now on."""
    connections.close_all()
    opened.clear()
    connection_created.connect(watch_connection, dispatch_uid="pilot-sessions")


def watch_connection(sender: Any, connection: BaseDatabaseWrapper, **more: Any) -> None:
    raw: Any = connection.connection
    opened.add(connection.alias)
    if threading.current_thread() is not threading.main_thread():
        of_threads.add(connection)
    if connection.vendor == "postgresql":
        raw.cursor_factory = watching(raw.cursor_factory, connection.alias)
        raw.server_cursor_factory = watching_server(raw.server_cursor_factory, connection.alias)
        at_birth[connection] = POSTGRESQL(raw)
    elif connection.vendor == "sqlite":
        raw.set_trace_callback(lambda text: note_sqlite(text, connection.alias))
        at_birth[connection] = SQLITE(raw)


def note(query: Any, cursor: Any, alias: str) -> None:
    """Note a statement that may have changed its session."""
    text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else query.as_string(cursor)
    if HARMLESS.match(text) is None or LASTING.search(text) is not None:
        touched.add(alias)


def note_sqlite(text: str, alias: str) -> None:
    if LASTING_ON_SQLITE.match(text) is not None:
        touched.add(alias)


def watching(factory: Any, alias: str) -> Any:
    """Return a class of psycopg's cursors that notes what is sent."""

    class Watching(factory):
        def execute(self, query: object, *args: object, **kwargs: object) -> object:
            note(query, self, alias)
            return super().execute(query, *args, **kwargs)

        def executemany(self, query: object, *args: object, **kwargs: object) -> object:
            note(query, self, alias)
            return super().executemany(query, *args, **kwargs)

        def stream(self, query: object, *args: object, **kwargs: object) -> object:
            note(query, self, alias)
            return super().stream(query, *args, **kwargs)

        def copy(self, statement: object, *args: object, **kwargs: object) -> object:
            note(statement, self, alias)
            return super().copy(statement, *args, **kwargs)

    return Watching


def watching_server(factory: Any, alias: str) -> Any:
    """Return a class of psycopg's server-side cursors that notes whether one stays open, and what is sent."""

    class Watching(factory):
        def execute(self, query: object, *args: object, **kwargs: object) -> object:
            note(query, self, alias)
            open_cursors.add(id(self))
            return super().execute(query, *args, **kwargs)

        def close(self) -> None:
            super().close()
            open_cursors.discard(id(self))

    return Watching


def clear() -> list[str]:
    """Close each connection in which a job has left something; returns in words what.

    Those that its threads have opened are closed in any case: a thread that ends leaves them to Python's collector,
    with whatever they lock.
    """
    if not opened:
        return []
    found = []
    while of_threads:
        connection = of_threads.pop()
        if connection.connection is not None:
            if what := left_in(connection, connection.connection):
                found.append(f"{what} in the database connection {connection.alias} of a thread")
            drop(connection)
    for connection in connections.all(initialized_only=True):
        if what := left_in(connection, connection.connection):
            found.append(f"{what} in the database connection {connection.alias}")
            drop(connection)
    return found


def left_in(connection: BaseDatabaseWrapper, raw: Any) -> str:
    """Return in words what a job has left in a connection, '' for the usual nothing; `raw` is the driver's, or None."""
    if connection.execute_wrappers:
        return "a wrapper of queries"
    if raw is None:
        return ""
    if connection.in_atomic_block or connection.autocommit != connection.settings_dict["AUTOCOMMIT"]:
        return "an open transaction"
    if connection.vendor == "postgresql":
        if raw.pgconn.transaction_status != 0:  # IDLE, also of a connection that has broken
            return "an open transaction, or a broken line"
        if open_cursors:
            return "an open cursor"
        if POSTGRESQL(raw) != at_birth.get(connection):
            return "something set in the driver"
    elif connection.vendor == "sqlite":
        if raw.in_transaction:
            return "an open transaction"
        if SQLITE(raw) != at_birth.get(connection):
            return "something set in the driver"
    return "something set for the session" if connection.alias in touched else ""


def drop(connection: BaseDatabaseWrapper) -> None:
    """Roll back and close a connection whatever state Django believes it to be in; the next query opens a new one."""
    touched.discard(connection.alias)
    open_cursors.clear()
    connection.run_on_commit = []
    connection.execute_wrappers.clear()
    try:
        if connection.connection is not None:
            connection.connection.close()  # the server rolls back
    finally:
        connection.connection = None
        connection.in_atomic_block = connection.needs_rollback = connection.closed_in_transaction = False
        connection.savepoint_ids, connection.atomic_blocks = [], []
        connection.errors_occurred = False
