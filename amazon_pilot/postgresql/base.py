"""Django's PostgreSQL with connections that notice when nobody is at the other end any more.

Keepalives notice a peer whose machine is gone, not one that is frozen or lies behind a proxy or a NAT which has
forgotten us: there TCP is acknowledged and no answer ever comes. So a connection that hears nothing for a while asks
the server over a second one whether it still works for us, and is given up where it does not.
"""

import time
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from psycopg import IsolationLevel, OperationalError
from psycopg.abc import Buffer, PQGen

T = TypeVar("T")

PROBE_SECONDS = 4
# PostgreSQL's own figure, 4, is that of a disk with moving heads: by it reading all rows of a list seems to cost less
# than finding a thousand by an index. Whoever configured another one keeps it.
PREFER_INDEXES = """SELECT set_config('random_page_cost', '1.1', false) FROM pg_settings
  WHERE name = 'random_page_cost' AND source = 'default'"""
IS_BUSY = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state <> 'idle'"


class Connection(psycopg.Connection[Any]):
    """A connection that waits for an answer as long as the server works on it, and not for ever."""

    asked_with: dict[str, Any]

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for what psycopg asked; raises OperationalError where the server has gone silent."""
        return super().wait(self._watched(gen) if settings.DATABASE_SILENCE_SECONDS else gen, interval, timeout)

    def _watched(self, gen: PQGen[T]) -> PQGen[T]:
        heard = time.monotonic()
        try:
            wish = next(gen)
            while True:
                ready = yield wish
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > settings.DATABASE_SILENCE_SECONDS:
                    self._make_sure()
                    heard = time.monotonic()
                wish = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _make_sure(self) -> None:
        """Raise OperationalError, and close, unless the server says that it works on what this connection asked."""
        try:
            with psycopg.connect(**self.asked_with | {"connect_timeout": PROBE_SECONDS, "autocommit": True}) as probe:
                if probe.execute(IS_BUSY, [self.info.backend_pid]).fetchone():
                    return
        except psycopg.Error:
            pass
        self.pgconn.finish()
        raise OperationalError("the database has not answered for too long, so the connection was given up")


class UTCLoader(BaseTzLoader):
    """Reads an instant as Django does, in a sixth of the time: a batch of products has a thousand of them."""

    timezone = UTC

    def load(self, data: Buffer) -> datetime:
        """Return the instant in UTC; raises DataError for one that Python has no date for."""
        try:
            found = datetime.fromisoformat(str(data, "ascii"))
        except ValueError:
            return super().load(data)
        return found if found.tzinfo is UTC else super().load(data)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, with our connections."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """Return a new connection; DATABASE_URL cannot ask for a pool or another isolation level."""
        self.isolation_level = IsolationLevel.READ_COMMITTED
        connection = Connection.connect(**conn_params)
        if self.timezone is UTC:
            connection.adapters.register_loader("timestamptz", UTCLoader)
        connection.asked_with = {name: value for name, value in conn_params.items() if isinstance(value, str | int)}
        return connection

    def init_connection_state(self) -> None:
        """Make a new connection ready, and have it plan for a disk without moving heads."""
        super().init_connection_state()
        self.connection.execute(PREFER_INDEXES)
