"""The process that tries mutants: pytest with its tests collected, Redis and the database ready, forked for each.

In a child the mutated functions are given to whoever holds them, then the tests that call them run until one fails.
What runs while modules are loaded (constants, defaults, decorators) is written into this process's own copy of the tree
instead, and tried by a pytest of its own.
"""

import cProfile
import gc
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

ROOT = Path.cwd()
FAST = "not slow and not browser and not long"
KILLED, SURVIVED, UNTESTED = "killed", "survived", "untested"
Function = tuple[str, int]  # path, first line


def place_of(code: CodeType) -> Function:
    return code.co_filename.removeprefix(f"{ROOT}/"), code.co_firstlineno


class Called:
    """Which functions of the project were called, in this thread and in those begun meanwhile."""

    def __init__(self) -> None:
        self.threads: set[Function] = set()
        self.profile = cProfile.Profile()
        threading.setprofile(self.note)
        self.profile.enable()

    def note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(f"{ROOT}/"):
            self.threads.add(place_of(frame.f_code))

    def stop(self) -> set[Function]:
        self.profile.disable()
        threading.setprofile(None)  # type: ignore[arg-type]
        codes = [entry.code for entry in self.profile.getstats() if isinstance(entry.code, CodeType)]
        return self.threads | {place_of(code) for code in codes if code.co_filename.startswith(f"{ROOT}/")}


def codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def living_functions() -> dict[str, list[FunctionType]]:
    """Return all functions of the project that there are, whoever holds them, by their file."""
    found: dict[str, list[FunctionType]] = {}
    gc.unfreeze()  # else what a web server froze at its start is not told
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(f"{ROOT}/"):
            found.setdefault(each.__code__.co_filename, []).append(each)
    return found


def swap(functions: Iterable[FunctionType], file: str, source: str) -> None:
    """Give the functions of a file the code that they have in this source."""
    new = {(code.co_qualname, code.co_firstlineno): code for code in codes_in(compile(source, file, "exec"))}
    for function in functions:
        if code := new.get((function.__code__.co_qualname, function.__code__.co_firstlineno)):
            function.__code__ = code


def in_child(work: Callable[[Callable[[str], None]], None], seconds: float) -> str | None:
    """Run something in a fork and return the words that it said; None if it took longer than that and was killed."""
    ours, theirs = os.pipe()
    if not (pid := os.fork()):
        os.setsid()
        try:
            work(lambda words: write_all(theirs, words))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(theirs)
    os.set_inheritable(ours, False)
    end, parts = time.monotonic() + seconds, []
    while select.select([ours], [], [], max(0.0, end - time.monotonic()))[0] and (part := os.read(ours, 1 << 16)):
        parts.append(part)
    os.close(ours)
    is_late = time.monotonic() > end
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None if is_late else b"".join(parts).decode()


def write_all(file: int, words: str) -> None:
    with open(file, "w", closefd=False) as out:
        out.write(f"{words}\n")


class Trier:
    """A plugin of pytest that does what is ordered instead of running the collected tests once."""

    def __init__(self, line: Connection, areas: dict[str, Sequence[str]]) -> None:
        self.line, self.areas = line, areas
        self.at_import = Called()
        self.failed: list[str] = []
        self.tests: dict[Function, list[str]] = {}
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.warm = next(item for item in session.items if is_in_a_transaction(item))
        self.early = self.at_import.stop()
        self.run([self.warm.nodeid], following=session.items[-1])
        self.keep_database()
        self.functions = living_functions()
        gc.freeze()  # what is there already need not be looked through in each child
        self.line.send(list(self.items))
        while order := self.line.recv():
            verb, *words = order
            self.line.send(getattr(self, verb)(*words))
        return True

    def run(self, names: Sequence[str], following: pytest.Item | None = None) -> None:
        """Run tests until one fails, with what the session holds left standing."""
        items = [self.items[name] for name in names]
        items[0].session._setupstate.teardown_exact(items[0])  # the folders of the test before
        for item, after in pairwise([*items, following or self.warm]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self.failed:
                return

    def keep_database(self) -> None:
        """Close the connections, which must not be shared with a fork, and keep the database as it is now."""
        from django.db import connection, connections

        self.database = Path(str(connection.settings_dict["NAME"]))
        connections.close_all()
        shutil.copy(self.database, f"{self.database}.kept")

    def restore_database(self) -> None:
        for rest in ("-wal", "-shm", "-journal"):
            Path(f"{self.database}{rest}").unlink(missing_ok=True)
        shutil.copy(f"{self.database}.kept", self.database)

    # What can be ordered

    def map(self, names: Sequence[str]) -> list[tuple[str, float, bool, list[Function]]]:
        """Run some tests as they are, and return of each: seconds, whether it passed, what it called."""

        def work(say: Callable[[str], None]) -> None:
            for name in names:
                self.failed.clear()
                start = time.monotonic()
                called = Called()
                self.run([name])
                functions = sorted(called.stop())
                say(json.dumps([name, time.monotonic() - start, not self.failed, functions]))

        words = in_child(work, 1800) or ""
        self.restore_database()
        return [json.loads(line) for line in words.splitlines()]

    def learn(self, found: list[tuple[str, float, bool, list[Function]]]) -> None:
        """Take in what both processes have seen: who calls what, the fastest first, and of those what rolls back."""
        good = [row for row in sorted(found, key=self.order) if row[2]]
        self.seconds = {name: seconds for name, seconds, _, _ in good}
        for name, _, _, functions in good:
            for function in functions:
                self.tests.setdefault(tuple(function), []).append(name)  # type: ignore[arg-type]

    def order(self, row: tuple[str, float, bool, list[Function]]) -> tuple[bool, float]:
        return not is_in_a_transaction(self.items[row[0]]), row[1]

    def attempt(self, mutant: dict[str, Any]) -> tuple[str, str]:
        """Return whether a mutant was killed, and by which test."""
        around = [(mutant["path"], line) for line in mutant["functions"]]
        if not around or self.early.intersection(around):
            return self.plain(mutant)
        area = self.area(mutant["path"])
        names = [name for name in self.tests.get(around[-1], ()) if name.startswith(area)]
        if not names:
            return UNTESTED, ""

        def work(say: Callable[[str], None]) -> None:
            self.failed.clear()
            try:
                file = str(ROOT / mutant["path"])
                swap(self.functions[file], file, mutant["code"])
            except ValueError:  # other variables from around it
                say("plain")
                return
            self.run(names)
            say(self.failed[0] if self.failed else SURVIVED)

        words = in_child(work, 20 + 10 * sum(self.seconds[name] for name in names))
        self.restore_database()
        if words in ("plain\n", ""):  # ended without a word: that may be the mutant's doing, or ours
            return self.plain(mutant)
        if words == f"{SURVIVED}\n":
            return SURVIVED, f"{len(names)} tests"
        return KILLED, (words or "time limit").strip()

    def plain(self, mutant: dict[str, Any]) -> tuple[str, str]:
        """Write the mutant into this copy of the tree and start a pytest there, with all tests that know the module."""
        file = ROOT / mutant["path"]
        times, before = file.stat(), file.read_text()
        try:
            file.write_text(mutant["code"])
            return self.started(mutant)
        finally:
            file.write_text(before)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    def started(self, mutant: dict[str, Any]) -> tuple[str, str]:
        if "models" in mutant["path"] and self.program(60, "manage.py", "makemigrations", "--check", "--dry-run"):
            return KILLED, "makemigrations --check"
        know = {name for (path, _), names in self.tests.items() if path == mutant["path"] for name in names}
        names = [name for name in self.seconds if name in know and name.startswith(self.area(mutant["path"]))]
        if not names:
            return UNTESTED, ""
        Path("chosen.json").write_text(json.dumps(names))
        words = ["-m", "pytest", "-x", "-q", "-n0", "-p", "benchmarks.mutants.trying", "-m", FAST]
        limit = 120 + 10 * sum(self.seconds[name] for name in names)
        code = self.program(limit, *words, *sorted({name.partition("::")[0] for name in names}))
        return (KILLED, "pytest") if code else (SURVIVED, f"{len(names)} tests")

    def program(self, seconds: float, *words: str) -> int:
        """Run a Python program in this copy of the tree and return its exit code; not 0 if it takes too long."""
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        started = subprocess.Popen(
            [sys.executable, *words], env=env, stdout=sys.stdout, stderr=sys.stderr, start_new_session=True
        )
        try:
            return started.wait(seconds)
        except subprocess.TimeoutExpired:
            return -1
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()

    def area(self, path: str) -> tuple[str, ...]:
        return next(tuple(tests) for start, tests in self.areas.items() if path.startswith(start))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what was chosen, in its order: in a pytest that was started for one mutant, whose plugin this module is."""
    found = {item.nodeid: item for item in items}
    items[:] = [found[name] for name in json.loads(Path("chosen.json").read_text()) if name in found]


def is_in_a_transaction(item: pytest.Item) -> bool:
    """Return whether a test's rows are rolled back; others leave tables empty, and run last."""
    mark = item.get_closest_marker("django_db")
    names = set(getattr(item, "fixturenames", ()))
    is_real = "transactional_db" in names or bool(mark and mark.kwargs.get("transaction"))
    return not is_real and ("db" in names or mark is not None)


def main(number: str) -> None:
    """Collect the tests of all areas and serve the line with this number."""
    line = Connection(int(number))
    areas: dict[str, Sequence[str]] = line.recv()
    trier = Trier(line, areas)
    paths = sorted({path for tests in areas.values() for path in tests})
    pytest.main(["-q", "-s", "-n0", "-p", "no:cacheprovider", "-m", FAST, *paths], [trier])


if __name__ == "__main__":
    main(sys.argv[1])
