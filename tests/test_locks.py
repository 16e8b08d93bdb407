"""A page waits for nobody who writes, and a connection to PostgreSQL waits for nobody who has gone."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar

import psycopg
import pytest
from django.conf import settings as configured
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.db import connection
from django.urls import reverse

from amazon_pilot.postgresql.base import Connection
from tests.both import cluster, programs

PAGES = (
    "products:home", "products:list", "products:changes", "notifications:list", "monitor:overview", "monitor:jobs",
    "monitor:queues", "admin:index",
)  # fmt: skip


@pytest.mark.skipif("postgresql" in configured.DATABASES["default"]["ENGINE"], reason="SQLite has one write lock")
@pytest.mark.django_db(transaction=True)
def test_every_page_answers_while_another_process_holds_the_write_lock(client):
    boss = User.objects.create_superuser("boss")
    client.force_login(boss)
    for name in PAGES:
        client.get(reverse(name))  # what is made once per process
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for name in PAGES:
            begun = time.monotonic()
            answer = client.get(reverse(name))
            assert answer.status_code == 200
            assert "This part could not be loaded" not in answer.content.decode()
            assert time.monotonic() - begun < 10, name  # a lock would be waited for 20 s
        other.execute("ROLLBACK")


class WatchingHasher(MD5PasswordHasher):
    """Tries to write to the database while it hashes, as another process would, and notes what that met."""

    algorithm = "watching"
    met: ClassVar[list[str]] = []

    def encode(self, password: str, salt: str) -> str:
        """Return the hash."""
        name = connection.settings_dict["NAME"]
        with closing(sqlite3.connect(name, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
                self.met.append("free")
            except sqlite3.OperationalError as error:
                self.met.append(str(error))
        return str(super().encode(password, salt))


@pytest.mark.skipif("postgresql" in configured.DATABASES["default"]["ENGINE"], reason="SQLite has one write lock")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("password", ["right", "wrong"])
@pytest.mark.parametrize("path", ["/login/", "/account/login/", "/admin/login/", "/account/reauthenticate/"])
def test_nobody_who_writes_waits_for_a_password_to_be_hashed(client, settings, path, password):
    settings.PASSWORD_HASHERS = ["tests.test_locks.WatchingHasher"]
    boss = User.objects.create_superuser("boss", password="right")
    if "reauthenticate" in path:
        client.force_login(boss)
    WatchingHasher.met.clear()
    answer = client.post(path, {"username": "boss", "password": password})
    assert answer.status_code == (302 if password == "right" else 200)
    assert set(WatchingHasher.met) == {"free"}


@contextmanager
def proxy(host: str, port: int) -> Iterator[tuple[int, threading.Event]]:
    """A port that hands everything on until it is told to be silent; TCP is acknowledged all the same."""
    silent, door = threading.Event(), socket.create_server(("127.0.0.1", 0))

    def hand_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                while silent.is_set():
                    time.sleep(0.05)
                target.sendall(piece)

    def serve() -> None:
        while True:
            near = door.accept()[0]
            far = socket.create_connection((host, port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=hand_on, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield door.getsockname()[1], silent


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, Any]]:
    folder = programs()
    if folder is None:
        pytest.skip("Debian: apt-get install postgresql")
    with cluster(folder) as address:
        yield psycopg.conninfo.conninfo_to_dict(address)


def opened(postgres: dict[str, Any], port: int) -> Connection:
    words: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": postgres["user"], "dbname": postgres["dbname"]}
    link = Connection.connect(**words, connect_timeout=5, autocommit=True)
    link.asked_with = words
    return link


@pytest.mark.later
def test_a_connection_that_went_silent_is_given_up_and_the_next_one_works(postgres, settings):
    settings.DATABASE_SILENCE_SECONDS = 2
    with proxy("127.0.0.1", int(postgres["port"])) as (port, silent):
        link = opened(postgres, port)
        assert link.execute("SELECT 1").fetchone() == (1,)
        silent.set()
        begun = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="has not answered for too long"):
            link.execute("SELECT 1")
        assert time.monotonic() - begun < 25
        assert link.closed
        silent.clear()
        assert opened(postgres, port).execute("SELECT 2").fetchone() == (2,)


@pytest.mark.later
def test_a_statement_that_takes_long_is_waited_for(postgres, settings):
    settings.DATABASE_SILENCE_SECONDS = 1
    link = opened(postgres, int(postgres["port"]))

    assert link.execute("SELECT 1 FROM pg_sleep(4)").fetchone() == (1,)
