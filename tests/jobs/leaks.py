"""Tasks that leave something behind, each named for it, and tasks that look whether it is there."""

import asyncio
import decimal
import faulthandler
import gc
import locale
import logging
import logging.config
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection, transaction

from amazon_pilot.embedded import asked_death_signal
from amazon_pilot.jobs import job

LEAKS: dict[str, Any] = {
    "umask": lambda: os.umask(0o777),
    "working folder": lambda: os.chdir("/"),
    "deleted folder": lambda: in_a_folder_that_is_gone(),
    "environment": lambda: os.environ.update(LEAKED="yes"),
    "removed environment": lambda: os.environ.clear(),
    "time zone": lambda: (os.environ.update(TZ="Asia/Shanghai"), time.tzset()),
    "closed stdout": lambda: sys.stdout.close(),
    "replaced stdout": lambda: setattr(sys, "stdout", None),
    "descriptor 1": lambda: os.close(1),
    "replaced descriptor 2": lambda: os.dup2(os.open("/dev/zero", os.O_RDWR), 2),
    "open files": lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(200)],
    "file limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)),
    "file size limit": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)),
    "stack limit": lambda: resource.setrlimit(resource.RLIMIT_STACK, (2**20, 2**20)),
    "disabled logging": lambda: logging.disable(logging.CRITICAL),
    "root handlers": lambda: logging.root.handlers.clear(),
    "root level": lambda: logging.root.setLevel(99),
    "ignored SIGUSR1": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "handled SIGTERM": lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    "handled SIGWINCH": lambda: signal.signal(signal.SIGWINCH, signal.SIG_IGN),
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR1}),
    "timer": lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 60),
    "alarm": lambda: signal.alarm(60),
    "recursion limit": lambda: sys.setrecursionlimit(10_000),
    "decimal precision": lambda: setattr(decimal.getcontext(), "prec", 2),
    "decimal traps": lambda: decimal.getcontext().traps.__setitem__(decimal.Inexact, True),
    "socket timeout": lambda: socket.setdefaulttimeout(0.001),
    "collector": gc.disable,
    "trace": lambda: sys.settrace(lambda *args: None),
    "profile": lambda: sys.setprofile(lambda *args: None),
    "thread trace": lambda: threading.settrace(print),
    "nice": lambda: os.nice(3),
    "import path": lambda: sys.path.insert(0, "/nowhere"),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C"),
    "thread": lambda: threading.Thread(target=time.sleep, args=(600,), daemon=True).start(),
    "child": lambda: subprocess.Popen(["sleep", "600"]),
    "orphan": lambda: subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &"], check=True),
    "group": lambda: os.setpgid(0, os.getpgid(os.getppid())),
    "grandchild of another session": lambda: subprocess.Popen(["setsid", "sh", "-c", "sleep 600 & sleep 600"]),
    "files above a hole": lambda: [os.close(number) for number in [os.dup(0) for _ in range(200)][:20]],
    "stdout that does not wait": lambda: os.set_blocking(1, False),
    "stdout in another writing": lambda: sys.stdout.reconfigure(encoding="ascii", errors="strict"),
    "detached stdout": lambda: sys.stdout.detach(),
    "silenced handler": lambda: [each.setLevel(99) for each in logging.root.handlers],
    "silenced loggers": lambda: logging.config.dictConfig({"version": 1}),
    "watchdog": lambda: faulthandler.dump_traceback_later(0.5, exit=True),
    "wake-up file": lambda: signal.set_wakeup_fd(os.pipe2(os.O_NONBLOCK)[1]),
    "idle class": lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)),
    "stack of threads": lambda: threading.stack_size(2**30),
    "switch interval": lambda: sys.setswitchinterval(100),
    "digits of numbers": lambda: sys.set_int_max_str_digits(700),
    "zone past os.environ": lambda: (os.putenv("TZ", "Asia/Shanghai"), time.tzset()),
    "environment replaced": lambda: setattr(os, "environ", {}),
    "loop past asyncio": lambda: asyncio.run(count_users()),
    "thread with a transaction": lambda: in_a_thread_that_stays(lambda: transaction.atomic().__enter__()),
}


if os.geteuid() == 0:
    LEAKS |= {
        "saved user": lambda: os.setresuid(-1, -1, 1),
        "user and back": lambda: (os.seteuid(1), os.seteuid(0)),
        "groups": lambda: os.setgroups([1, 2, 3]),
        "root folder": lambda: os.chroot("/usr"),
    }
if len(os.sched_getaffinity(0)) > 1:
    LEAKS["processors"] = lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def in_a_thread_that_ends(work: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def in_a_thread_that_stays(work: Any) -> None:
    pool = ThreadPoolExecutor(1)
    pool.submit(work).result()
    _kept.append(pool)


def in_a_folder_that_is_gone() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)


def picture() -> dict[str, Any]:
    """Return what a job sees of its process; none of it may depend on the job before."""
    mask = os.umask(0)
    os.umask(mask)
    handlers = [str(signal.getsignal(number)).partition(" at ")[0] for number in range(1, 32)]
    handlers[signal.SIGALRM - 1] = ""
    return {
        "umask": mask, "cwd": os.getcwd(), "environment": dict(os.environ), "zone": time.tzname,
        "streams": [type(each).__name__ for each in (sys.stdin, sys.stdout, sys.stderr)],
        "closed": sys.stdout.closed, "descriptors": [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)],
        "files": len(os.listdir("/proc/self/fd")) // 100,
        "limits": [resource.getrlimit(number) for number in range(resource.RLIMIT_NOFILE + 9)],
        "logging": [logging.root.manager.disable, logging.root.level, len(logging.root.handlers)],
        "handlers": handlers, "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timers": [signal.getitimer(each)[1] for each in (1, 2)],
        "virtual": signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0,
        "recursion": sys.getrecursionlimit(), "decimals": repr(decimal.Context(prec=decimal.getcontext().prec)),
        "traps": sorted(str(each) for each, on in decimal.getcontext().traps.items() if on),
        "sockets": socket.getdefaulttimeout(), "gc": gc.isenabled(),
        "tracers": [sys.gettrace() is None, sys.getprofile() is None, threading.gettrace() is None],
        "nice": os.nice(0), "path": sys.path, "locale": locale.setlocale(locale.LC_ALL),
        "threads": threading.active_count(), "leads": os.getpgid(0) == os.getpid() or os.getppid() == os.getpgid(0),
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
        "waits": [os.get_blocking(number) for number in (0, 1, 2)], "writes": [sys.stdout.encoding, sys.stdout.errors],
        "loggers": logging.getLogger("django").disabled, "log levels": [each.level for each in logging.root.handlers],
        "processors": sorted(os.sched_getaffinity(0)), "class": os.sched_getscheduler(0),
        "users": [os.getresuid(), os.getresgid(), os.getgroups()], "root": os.stat("/").st_ino,
        "interpreter": [threading.stack_size(), sys.getswitchinterval(), sys.get_int_max_str_digits()],
        "wake-up": signal.set_wakeup_fd(-1), "ends with its worker": asked_death_signal(),
        "open files": len(os.listdir("/proc/self/fd")) // 100,
    }  # fmt: skip


@job("default")
def leak(what: str) -> int:
    """Leave something behind, after long enough for everything to be looked at; answer in which process."""
    time.sleep(0.02)
    LEAKS[what]()
    return os.getpid()


@job("default", isolated=True)
def leak_alone(what: str) -> list[int]:
    LEAKS[what]()
    return [os.getpid(), os.getppid()]


@job("default")
def look() -> dict[str, Any]:
    print("seen")
    return picture() | {"pid": os.getpid()}


# What is left in a database connection

SESSIONS: dict[str, Any] = {
    "atomic block": lambda: transaction.atomic().__enter__(),
    "nested atomic blocks": lambda: [transaction.atomic().__enter__() for _ in range(3)],
    "autocommit off": lambda: (connection.set_autocommit(False), touch()),
    "raw BEGIN": lambda: run("BEGIN"),
    "raw BEGIN past Django": lambda: raw("BEGIN"),
    "aborted block": lambda: (transaction.atomic().__enter__(), fail_a_query()),
    "temporary table": lambda: run("CREATE TEMP TABLE auth_user (id int)"),
    "temporary table past Django": lambda: raw("CREATE TEMPORARY TABLE auth_user (id int)"),
    "rollback asked for": lambda: (transaction.atomic().__enter__(), transaction.set_rollback(True)),
    "closed in a block": lambda: (transaction.atomic().__enter__(), connection.close()),
    "block in a thread": lambda: in_a_thread_that_ends(
        lambda: (transaction.atomic().__enter__(), get_user_model().objects.create(username="block in a thread"))
    ),
    "wrapper of queries": lambda: entered(connection.execute_wrapper(refuse_queries)),
}
POSTGRESQL: dict[str, Any] = {
    "aborted transaction": lambda: (run("BEGIN"), fail_a_query()),
    "statement timeout": lambda: run("SET statement_timeout = 1"),
    "statement timeout past Django": lambda: raw("/* a comment */ set statement_timeout = 1"),
    "statement behind another": lambda: run("SELECT 1; SET statement_timeout = 1"),
    "search path": lambda: run("SELECT set_config('search_path', 'pg_catalog', false)"),
    "read only": lambda: run("SET default_transaction_read_only = on"),
    "lock timeout in a block": lambda: run("DO $$ BEGIN PERFORM set_config('lock_timeout', '1', false); END $$"),
    "advisory lock": lambda: run("SELECT pg_advisory_lock(1)"),
    "table selected into": lambda: run("SELECT 1 AS id INTO TEMP auth_user"),
    "cursor with hold": lambda: run("DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
    "server-side cursor": lambda: keep(connection.connection.cursor("held", withhold=True).execute("SELECT 1")),
    "listen": lambda: run("LISTEN leaked"),
    "role": lambda: run("SET ROLE pg_monitor"),
    "prepared transaction state": lambda: run("PREPARE p AS SELECT 1"),
    "driver's autocommit off": lambda: setattr(driver(), "autocommit", False),
    "driver's read only": lambda: setattr(driver(), "read_only", True),
    "driver's isolation level": lambda: setattr(driver(), "isolation_level", 4),
    "driver's rows": lambda: setattr(driver(), "row_factory", lambda cursor: lambda values: None),
    "driver's cursors": lambda: setattr(driver(), "cursor_factory", dict),
    "pipeline": lambda: entered(driver().pipeline()),
    "copy under way": lambda: entered(driver().cursor().copy("COPY (SELECT 1) TO STDOUT")),
    "streamed": lambda: list(
        driver().cursor().stream("SELECT set_config('default_transaction_read_only', 'on', false)")
    ),
    "copied": lambda: copied("COPY (SELECT set_config('default_transaction_read_only', 'on', false)) TO STDOUT"),
    "fetched from the server": lambda: fetched("SELECT set_config('default_transaction_read_only', 'on', false)"),
    "table of settings": lambda: run("UPDATE pg_settings SET setting = '1' WHERE name = 'statement_timeout'"),
    "table selected into its schema": lambda: run("SELECT 1 AS id INTO pg_temp.auth_user"),
    "explained": lambda: run("EXPLAIN ANALYZE CREATE TEMP TABLE auth_user AS SELECT 1 AS id"),
    "comment amid": lambda: run("SELECT 1 AS id INTO /* a comment */ TEMP auth_user"),
    "chained": lambda: (run("BEGIN"), run("COMMIT AND CHAIN")),
}
SQLITE: dict[str, Any] = {
    "foreign keys off": lambda: run("PRAGMA foreign_keys = OFF"),
    "attached": lambda: run("ATTACH ':memory:' AS other"),
    "comment before": lambda: run("/* a comment */ PRAGMA query_only = ON"),
    "comment before, on a line": lambda: run("-- a comment\nPRAGMA query_only = ON"),
    "table of the schema temp": lambda: run("CREATE TABLE temp.auth_user (id int)"),
    "view of the schema temp": lambda: run("CREATE VIEW temp.auth_user AS SELECT 1 AS id"),
    "SQLite's isolation level": lambda: setattr(driver(), "isolation_level", "DEFERRED"),
    "SQLite's rows": lambda: setattr(driver(), "row_factory", lambda cursor, row: None),
    "driver's texts": lambda: setattr(driver(), "text_factory", bytes),
}
_kept: list[Any] = []


def entered(manager: Any) -> None:
    """Enter a context, and keep it: one that is forgotten leaves."""
    keep(manager)
    manager.__enter__()


def keep(value: Any) -> None:
    _kept.append(value)


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def raw(sql: str) -> None:
    touch()
    connection.connection.execute(sql)


def driver() -> Any:
    touch()
    return connection.connection


def refuse_queries(*args: Any) -> None:
    raise PermissionError("No queries.")


def copied(sql: str) -> None:
    with driver().cursor().copy(sql) as copy:
        list(copy)


def fetched(sql: str) -> None:
    with transaction.atomic(), driver().cursor("named") as cursor:
        cursor.execute(sql)
        cursor.fetchall()


def touch() -> None:
    get_user_model().objects.exists()


def fail_a_query() -> None:
    try:
        run("SELECT * FROM there_is_no_such_table")
    except Exception:
        _kept.clear()


@job("default")
def leave_session(what: str) -> None:
    touch()
    (SESSIONS | POSTGRESQL | SQLITE)[what]()


@job("default")
def write_user(name: str) -> int:
    """Write a row, as the next job does that knows nothing of the one before."""
    return get_user_model().objects.create(username=name).pk


async def count_users() -> int:
    return await get_user_model().objects.acount()


@job("default")
async def use_the_orm(name: str) -> list[int]:
    """Query from an async task, then leave a transaction open in the thread that queries run in."""
    await asyncio.sleep(0)
    count = await count_users()
    await sync_to_async(lambda: transaction.atomic().__enter__())()
    await get_user_model().objects.acreate(username=name + " uncommitted")
    return [count, os.getpid()]
