"""What a job leaves in its slot's process: looked for after each job within microseconds, undone, or a reason to go.

Slots live long, and rq's own fork for each job would let nothing through. docs/worker.md lists what is found here, what
becomes of it, and what cannot be found so.
"""

import _signal  # type: ignore[import-not-found]
import _thread
import contextlib
import decimal
import faulthandler
import fcntl
import gc
import locale
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, TextIO, TypeAlias

from ...embedded import asked_death_signal, end_with_parent, prctl
from ..core import shared_memory

PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 1.0  # after which the traits that are dear to read are read even if jobs are short
LONG_SECONDS = 0.01  # a job beside which they cost little
LOOK_JOBS = 64  # or after so many
INSTANT = 0.0001  # seconds in which no process is started and no crowd of files opened
MANY = 64  # open files more than at birth: connections that are kept are fewer
KILL_ROUNDS = 50  # in which processes that processes leave behind are found, a hundredth of a second each
SIGNALS = [int(each) for each in sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGALRM})]
LIMITS = sorted({number for name, number in vars(resource).items() if name.startswith("RLIMIT_")})
FELT_LIMITS = [resource.RLIMIT_NOFILE, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU]
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)  # a slot ends when its worker says so

handler_of = _signal.getsignal  # without the enum of `signal`, which takes a hundred times as long
STANDARD_FILES = select.poll()
for number in (0, 1, 2):
    STANDARD_FILES.register(number, 0)
OWN_SIGNALS = [int(each) for each in (*QUIET, signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD)]


Streams: TypeAlias = tuple[TextIO | None, TextIO | None, TextIO | None]
RootLogger: TypeAlias = tuple[int, int, bool, list[logging.Handler], list[Any]]
LoggersSet: TypeAlias = tuple[list[tuple[int, bool, bool]], list[tuple[int, list[Any]]]]
Collector: TypeAlias = tuple[bool, tuple[int, int, int], int]
Tracers: TypeAlias = tuple[Any, Any, Any, Any]  # typeshed's names for these are private


@dataclass
class Trait:
    """Something that a job can change for the next one: how it is read, and how it is put back, if that is safe."""

    what: str
    read: Callable[[], object]
    put_back: Callable[[Any], object] | None = None
    is_dear: bool = False  # microseconds of its own: not read after each short job
    is_slow: bool = False  # changing it takes longer than an instant: not read after a job of an instant


class Leftovers:
    """The traits of this process as they were at its birth. A slot makes one before its first job."""

    def __init__(self) -> None:
        self.first_free, self.open_files = first_free(), open_files()
        self.loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
        self.next_look, self.jobs_left = 0.0, 0
        traits = [
            *TRAITS,
            Trait("many open files", self.has_many_files, is_slow=True),
            Trait("many open files", self.has_many_files_anywhere, is_dear=True),
            Trait("how the loggers are set", self.loggers_now, self.set_loggers, is_dear=True),
        ]
        self.at_birth = [(trait, copy(read(trait))) for trait in traits]  # some are read as they stand, uncopied
        cheap = [(trait, was) for trait, was in self.at_birth if not trait.is_dear]
        self.after_short = [trait.read for trait, _ in cheap], [was for _, was in cheap]
        quick = [(trait, was) for trait, was in cheap if not trait.is_slow]
        self.after_instant = [trait.read for trait, _ in quick], [was for _, was in quick]

    def has_many_files(self) -> bool:
        return first_free() > self.first_free + MANY

    def has_many_files_anywhere(self) -> bool:
        """Tell the same where some numbers below are free again."""
        return open_files() > self.open_files + MANY

    def loggers_now(self) -> LoggersSet:
        """Return how the loggers that were there at birth are set, and the handlers of the root."""
        handlers = [(each.level, [*each.filters]) for each in logging.root.handlers]
        return [(each.level, each.disabled, each.propagate) for each in self.loggers], handlers

    def set_loggers(self, was: LoggersSet) -> None:
        for logger, (level, disabled, propagate) in zip(self.loggers, was[0], strict=True):
            logger.disabled, logger.propagate = disabled, propagate
            if logger.level != level:
                logger.setLevel(level)
        for handler, (level, filters) in zip(logging.root.handlers, was[1], strict=True):
            handler.setLevel(level)
            handler.filters[:] = filters

    def clear(self, seconds: float = LONG_SECONDS) -> tuple[list[str], bool]:
        """Put back what a job that took so many seconds has changed.

        Returns that in words, and whether this process must be replaced. After short jobs the dear traits are read once
        a second, and each so many jobs.
        """
        now = time.monotonic()
        self.jobs_left -= 1
        if seconds < LONG_SECONDS and now < self.next_look and self.jobs_left > 0 and self.is_as_cheaply(seconds):
            return [], False
        self.next_look, self.jobs_left = now + LOOK_SECONDS, LOOK_JOBS
        found: list[str] = []
        must_go = False
        for trait, was in self.at_birth:
            if not is_as(trait, was):
                found += [trait.what] if trait.what not in found else []
                must_go |= not put_back(trait, was)
        return found, must_go

    def is_as_cheaply(self, seconds: float) -> bool:
        """Tell whether what is cheap to read is what it was: every job pays for this look."""
        reads, were = self.after_instant if seconds < INSTANT else self.after_short
        try:
            return [read_now() for read_now in reads] == were
        except Exception:
            return False


def read(trait: Trait) -> object:
    """Return a trait as it is, None if it cannot be told."""
    try:
        return trait.read()
    except Exception:
        return None


def is_as(trait: Trait, was: object) -> bool:
    """Tell whether a trait is what it was; what cannot even be read, such as a folder that is gone, has changed."""
    try:
        return bool(trait.read() == was)
    except Exception:
        return False


def put_back(trait: Trait, was: object) -> bool:
    """Put one trait back; returns whether that could be done."""
    if trait.put_back is None:
        return False
    try:
        trait.put_back(was)
    except Exception:
        return False
    return is_as(trait, was)


def first_free() -> int:
    """Return the lowest number that is free for a file: it rises when files stay open."""
    number = os.dup(0)
    os.close(number)
    return number


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def umask() -> int:
    now = os.umask(0o77)
    os.umask(now)
    return now


def environment() -> dict[bytes, bytes]:
    return os.environ._data  # type: ignore[attr-defined]


def set_environment(was: dict[bytes, bytes]) -> None:
    for name in os.environb.keys() - was.keys():
        del os.environb[name]
    for name, value in was.items():
        if os.environb.get(name) != value:
            os.environb[name] = value
    time.tzset()


def streams() -> Streams:
    return sys.stdin, sys.stdout, sys.stderr


def set_streams(was: Streams) -> None:
    sys.stdin, sys.stdout, sys.stderr = was


def closed_files() -> list[int]:
    """Return which of the numbers of standard input, output and error are closed, by one system call."""
    return [number for number, event in STANDARD_FILES.poll(0) if event & select.POLLNVAL]


def descriptors() -> list[tuple[int, int]]:
    """Return which files stand at the numbers of standard input, output and error."""
    found = [os.fstat(number) for number in (0, 1, 2)]
    return [(each.st_dev, each.st_ino) for each in found]


def modes() -> list[int]:
    """Return in what way the files 0 to 2 are open, such as whether a write waits: other processes share that."""
    return [fcntl.fcntl(number, fcntl.F_GETFL) for number in (0, 1, 2)]


def set_modes(was: list[int]) -> None:
    for number, flags in enumerate(was):
        fcntl.fcntl(number, fcntl.F_SETFL, flags)


def writing() -> list[tuple[str, str | None]]:
    return [(each.encoding, each.errors) for each in (sys.stdout, sys.stderr)]


def set_writing(was: list[tuple[str, str | None]]) -> None:
    for stream, (encoding, errors) in zip((sys.stdout, sys.stderr), was, strict=True):
        if (stream.encoding, stream.errors) != (encoding, errors):
            stream.reconfigure(encoding=encoding, errors=errors)  # type: ignore[union-attr]


def root_logger() -> RootLogger:
    root = logging.root
    return root.manager.disable, root.level, root.disabled, [*root.handlers], [*root.filters]


def set_root_logger(was: RootLogger) -> None:
    root = logging.root
    root.disabled, root.handlers[:], root.filters[:] = was[2], was[3], was[4]
    logging.disable(was[0])
    root.setLevel(was[1])


def handlers() -> list[object]:
    return list(map(handler_of, SIGNALS))


def own_handlers() -> list[object]:
    return list(map(handler_of, OWN_SIGNALS))


def set_handlers(was: list[Any], numbers: list[int]) -> None:
    for number, handler in zip(numbers, was, strict=True):
        if handler is not None and handler_of(number) != handler:
            signal.signal(number, handler)
            if number == signal.SIGUSR2:
                shared_memory.watch_again()


def blocked() -> set[int]:
    return _signal.pthread_sigmask(signal.SIG_BLOCK, ())


def wakes_a_file() -> bool:
    """Tell whether signals were written into a file, and have them be written into none."""
    return signal.set_wakeup_fd(-1) != -1


def end_watchdog() -> bool:
    """End a timer that would end this process amid a later job; nothing tells whether there was one."""
    faulthandler.cancel_dump_traceback_later()
    return True


def timers() -> bool:
    return any(signal.getitimer(each)[0] for each in TIMERS)


def stop_timers(was: bool) -> None:
    for each in TIMERS:
        signal.setitimer(each, 0)


def decimals() -> tuple[object, ...]:
    now = decimal.getcontext()
    return now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp


def traps() -> dict[type[decimal.DecimalException], bool]:
    return dict(decimal.getcontext().traps)


def set_decimals(was: object) -> None:
    decimal.setcontext(decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN))


def collector() -> Collector:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug()


def set_collector(was: Collector) -> None:
    (gc.enable if was[0] else gc.disable)()
    gc.set_threshold(*was[1])
    gc.set_debug(was[2])


def tracers() -> Tracers:
    return sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()


def set_tracers(was: Tracers) -> None:
    sys.settrace(was[0])
    sys.setprofile(was[1])
    threading.settrace(was[2])
    threading.setprofile(was[3])


def interpreter() -> tuple[float, int, int]:
    return sys.getswitchinterval(), sys.get_int_max_str_digits(), threading.stack_size()


def set_interpreter(was: tuple[float, int, int]) -> None:
    sys.setswitchinterval(was[0])
    sys.set_int_max_str_digits(was[1])
    threading.stack_size(was[2])


def processors() -> tuple[set[int], int]:
    return os.sched_getaffinity(0), os.sched_getscheduler(0)


def set_processors(was: tuple[set[int], int]) -> None:
    os.sched_setaffinity(0, was[0])
    if os.sched_getscheduler(0) != was[1]:
        os.sched_setscheduler(0, was[1], os.sched_param(0))


def identity() -> tuple[object, ...]:
    return os.getsid(0), os.getpgid(0), os.getresuid(), os.getresgid(), os.getgroups()


def children() -> bool:
    """Tell whether a process lives that a job has started; those that have ended are collected."""
    try:
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)) is not None:
            del ended
    except ChildProcessError:
        return False
    return True


def kill_children() -> None:
    """End what jobs have started and left, in whatever group or session it is by now.

    What such a process has started becomes a child of this one at its end, and is found in the next round.
    """
    for _ in range(KILL_ROUNDS):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children") as file:
            for pid in file.read().split():
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
        if not children():
            return
        time.sleep(0.01)


def adopt_orphans() -> None:
    """Become the parent of what a job's children leave behind, so that it can be found; only Linux has this call."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def let_be(number: int, frame: FrameType | None) -> None:
    """Do nothing: unlike a signal that is ignored, one that is handled has its default again after an exec."""


def give_children_default_signals() -> None:
    """Have each process that a task forks die of what ends a process, also if it is told so as soon as it is born."""
    numbers = {*QUIET, signal.SIGUSR1, signal.SIGALRM}
    before: list[set[int]] = []

    def hold() -> None:
        before.append(_signal.pthread_sigmask(signal.SIG_BLOCK, numbers))

    def let_go() -> None:
        _signal.pthread_sigmask(signal.SIG_SETMASK, before.pop())

    def begin() -> None:
        for number in numbers:
            with contextlib.suppress(ValueError):  # forked by a thread that is not the main one there
                signal.signal(number, signal.SIG_DFL)
        let_go()

    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=begin)


# In the order in which they are put back: a time zone follows from the environment.
TRAITS = [
    Trait("the environment", environment, set_environment),
    Trait("the time zone", lambda: time.tzname, lambda was: time.tzset()),
    Trait("the working folder", os.getcwd, os.chdir),
    Trait("the umask", umask, os.umask),
    Trait("the standard streams", streams, set_streams),
    Trait("closed standard streams", lambda: (sys.stdout.closed, sys.stderr.closed)),
    Trait("one of the files 0 to 2, closed", closed_files),
    Trait("the files 0 to 2", descriptors, is_dear=True),
    Trait("how the files 0 to 2 are open", modes, set_modes, is_dear=True),
    Trait("how the standard streams write", writing, set_writing, is_dear=True),
    Trait("the root logger", root_logger, set_root_logger),
    Trait("handlers of the slot's signals", own_handlers, lambda was: set_handlers(was, OWN_SIGNALS)),
    Trait("signal handlers", handlers, lambda was: set_handlers(was, SIGNALS), is_dear=True),
    Trait("blocked signals", blocked, lambda was: signal.pthread_sigmask(signal.SIG_SETMASK, was)),
    Trait("timers", timers, stop_timers, is_dear=True),
    Trait("a watchdog of faulthandler", end_watchdog),
    Trait("a file that signals are written into", wakes_a_file, lambda was: None, is_dear=True),
    Trait("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Trait("settings of the interpreter", interpreter, set_interpreter, is_dear=True),
    Trait("the context of decimals", decimals, set_decimals),
    Trait("the traps of decimals", traps, set_decimals, is_dear=True),
    Trait("the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    Trait("the garbage collector", collector, set_collector),
    Trait("trace or profile functions", tracers, set_tracers),
    Trait("the import path", lambda: sys.path, lambda was: sys.path.__setitem__(slice(None), was)),
    Trait("the locale", lambda: locale.setlocale(locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL), True),
    Trait("the processors", processors, set_processors, is_dear=True),
    Trait("the niceness", lambda: os.getpriority(os.PRIO_PROCESS, 0)),
    Trait("resource limits", lambda: list(map(resource.getrlimit, FELT_LIMITS))),
    Trait("further resource limits", lambda: list(map(resource.getrlimit, LIMITS)), is_dear=True),
    Trait("the session, group or user", identity, is_dear=True),
    Trait("the end with its worker", asked_death_signal, end_with_parent, is_dear=True),  # gone with a change of user
    Trait("threads", _thread._count),
    Trait("processes", children, is_slow=True),
]
