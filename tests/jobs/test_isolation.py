"""What a job leaves behind ends with it: one job leaks, and the next one looks."""

import json
import subprocess
import sys

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from amazon_pilot.jobs.worker import leftovers, sessions

from . import leaks, tasks
from .conftest import ended

pytestmark = pytest.mark.django_db(transaction=True)

REPLACED = {
    "closed stdout", "descriptor 1", "replaced descriptor 2", "open files", "file limit", "file size limit",
    "stack limit", "nice", "thread", "child", "orphan", "group", "grandchild of another session", "files above a hole",
    "detached stdout", "saved user", "groups", "root folder", "zone past os.environ", "environment replaced",
    "loop past asyncio", "thread with a transaction",
}  # fmt: skip

UNSEEN = ("alarm", "watchdog")  # which each job's end puts back, whether there is one or not


def alike(picture):
    """Return a picture without what belongs to the process and not to its state."""
    return {name: value for name, value in picture.items() if name != "pid"}


@pytest.fixture
def worker(start):
    return start(WORKER_CONCURRENCY="1")


@pytest.mark.slow
def test_whatever_a_job_leaves_in_its_process_the_next_job_finds_it_as_it_was(worker):
    first = leaks.look.enqueue()
    pairs = {what: (leaks.leak.enqueue(what), leaks.look.enqueue()) for what in leaks.LEAKS}
    before = ended(first).result

    for what, (leak, look) in pairs.items():
        run, after = ended(leak), ended(look)

        assert run.outcome == "succeeded", what
        assert ("This job left behind: " in run.log) == (what not in UNSEEN), what
        assert after.outcome == "succeeded", (what, after.traceback)
        assert alike(after.result) == alike(before), what
        assert "seen" in after.log, what
        is_replaced = after.result["pid"] != run.result
        assert is_replaced == (what in REPLACED), (what, run.log)
        assert ("the slot is replaced" in run.log) == is_replaced, what
    assert "left behind" not in ended(leaks.look.enqueue()).log


@pytest.mark.slow
def test_an_isolated_job_leaves_nothing_in_its_slot(worker):
    before = ended(leaks.look.enqueue()).result
    for what in ("environment", "file limit", "nice", "thread", "closed stdout", "descriptor 1", "umask"):
        run = ended(leaks.leak_alone.enqueue(what))
        assert run.outcome == "succeeded", (what, run.traceback)
        child, slot = run.result
        after = ended(leaks.look.enqueue()).result
        assert after == before, what
        assert slot == after["pid"] != child


@pytest.mark.slow
def test_isolated_jobs_are_cancelled_timed_out_killed_and_logged_as_others_are(worker):
    run = ended(tasks.log_alone.enqueue())
    assert (run.progress, "told alone" in run.log) == (50, True)
    run = ended(tasks.sleep_alone_beyond_its_timeout.enqueue())
    assert (run.outcome, run.exception) == ("failed", "rq.timeouts.JobTimeoutException")
    run = ended(tasks.die_alone.enqueue())
    assert (run.outcome, run.cause) == ("lost", "slot_killed: signal 9 (SIGKILL)")
    assert ended(tasks.add.enqueue(2, 3)).result == 5


@pytest.mark.slow
def test_whatever_a_job_leaves_in_its_connection_ends_with_it(worker):
    here = leaks.POSTGRESQL if connection.vendor == "postgresql" else leaks.SQLITE
    pairs = {
        what: (leaks.leave_session.enqueue(what), leaks.write_user.enqueue(what)) for what in leaks.SESSIONS | here
    }
    for what, (leave, write) in pairs.items():
        run = ended(leave)
        assert run.outcome == "succeeded", (what, run.traceback)
        assert "in the database connection default" in run.log, what

        run = ended(write)
        assert run.outcome == "succeeded", (what, run.traceback)
        assert "left behind" not in run.log, what
        assert get_user_model().objects.filter(username=what, pk=run.result).exists(), what


@pytest.mark.slow
def test_the_connections_of_an_async_task_end_with_it(worker):
    first, second = ended(leaks.use_the_orm.enqueue("a")), ended(leaks.use_the_orm.enqueue("b"))

    assert first.result == second.result
    assert not get_user_model().objects.exists()


CHILDREN = ("popen", "shell", "session", "thread", "spawn", "pool", "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1")


@pytest.mark.slow
def test_children_of_a_task_end_when_they_are_told_to(worker):
    told = {how: tasks.terminate_a_child.enqueue(how) for how in CHILDREN}
    for how, job_id in told.items():
        run = ended(job_id)
        assert run.outcome == "succeeded", (how, run.traceback)
        assert run.result < 4, how


HARMLESS = [
    "SELECT 1", "  select 'a'", 'UPDATE "a" SET "b" = 1', "INSERT INTO t VALUES (1)", "SAVEPOINT s", "SELECT 1;",
    "WITH a AS (SELECT 1) SELECT 1", "(SELECT 1) UNION (SELECT 2)", "DELETE FROM t", "ROLLBACK TO SAVEPOINT s",
    "INSERT INTO temperatures VALUES (1)", "SELECT 1 /* a */ FROM t", "COPY t FROM STDIN",
]  # fmt: skip
LASTING = [
    "SET x = 1", "/* c */ SET x = 1", "-- c\nSET x = 1", "SELECT 1; SET x = 1", "SELECT set_config('a', 'b', false)",
    "select PG_TRY_ADVISORY_LOCK(1)", "SELECT 1 INTO TEMPORARY t", "LISTEN a", "DO $$ $$", "LOAD 'a'", "CALL p()",
    "UPDATE pg_settings SET setting = 1", "SELECT 1 INTO pg_temp.t", "SELECT 1 INTO\n--\nTEMP t",
    "SELECT 1 INTO /*\n*/ TEMP t",
    "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", 'SELECT 1 INTO LOCAL TEMPORARY t', 'SELECT "set_config"(1)',
]  # fmt: skip


@pytest.mark.parametrize(("sql", "lasts"), [*((each, False) for each in HARMLESS), *((each, True) for each in LASTING)])
def test_a_statement_that_may_last_is_noted(sql, lasts):
    sessions.touched.clear()
    sessions.note(sql, None, "default")
    assert bool(sessions.touched) == lasts
    sessions.touched.clear()


@pytest.mark.slow
def test_a_clean_process_is_told_so_within_30_microseconds():
    """On a slow machine, or one whose processors are shared, at most what it takes to run a job that does nothing."""
    words, costs = [sys.executable, "-m", "benchmarks.isolation"], []
    while len(costs) < 4 and not any(looks < max(30, whole) for looks, whole in costs):
        cost = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        costs.append((cost["process"] + cost["sessions"], cost["without"]))
    assert any(looks < max(30, whole) for looks, whole in costs), costs


def test_every_trait_can_be_read_here():
    for trait in leftovers.TRAITS:
        assert leftovers.read(trait) is not None or trait.what == "the default timeout of sockets"
