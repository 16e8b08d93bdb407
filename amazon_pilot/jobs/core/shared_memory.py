"""A slot's shared: a piece of memory shared with its worker, where a running job leaves its progress and its log.

The worker reads it without asking, also when the slot has been killed; the task makes no call to Redis for it.
"""

import faulthandler
import mmap
import os
import signal
import struct
import sys
import time
import zlib

from . import secrets

LOG_LIMIT = 64 * 1024
TEXT_LIMIT = 200
HEADER = struct.Struct("=iiii")  # percent (-1 = none), bytes of text, bytes of log, 1 where the log lost its beginning
CLOSING = struct.Struct("=di")  # the deadline of rq's code that ends the job (0 = none), 1 from its commit on
CLOSING_AT = HEADER.size + TEXT_LIMIT
WORDS = struct.Struct("=II")  # length and checksum of a slot's last words
FORK = struct.Struct("=i")  # the process in which an isolated task runs (0 = the slot itself)
FORK_AT = CLOSING_AT + CLOSING.size
ERROR = struct.Struct("=i")  # 1 while the slot describes what a task has raised, which is the task's own code
ERROR_AT = FORK_AT + FORK.size
LOG_AT = ERROR_AT + ERROR.size
STACK_LIMIT = 32 * 1024


class SharedMemory:
    """Made before the fork, so that worker and slot see the same memory."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, LOG_AT + LOG_LIMIT)
        self.stack_file = os.fdopen(os.memfd_create("stack"), "w+b", buffering=0)
        self.clear()

    def clear(self) -> None:
        """Forget the job before."""
        HEADER.pack_into(self.memory, 0, -1, 0, 0, 0)
        CLOSING.pack_into(self.memory, CLOSING_AT, 0, 0)
        self.note_fork(0)
        self.note_error(False)

    def note_error(self, is_being_told: bool) -> None:
        """Note whether the task has raised and its error is being described."""
        ERROR.pack_into(self.memory, ERROR_AT, is_being_told)

    @property
    def has_failed(self) -> bool:
        """Tell whether the slot has died over describing what the task raised."""
        return bool(ERROR.unpack_from(self.memory, ERROR_AT)[0])

    def note_fork(self, pid: int) -> None:
        """Note in which process an isolated task runs; 0 once it is over."""
        FORK.pack_into(self.memory, FORK_AT, pid)

    def show_stack_on_signal(self) -> None:
        """Have this process write its stack into memory at SIGUSR2: by C code that takes no lock and runs no Python."""
        faulthandler.register(signal.SIGUSR2, file=self.stack_file, all_threads=True)

    def ask_stack(self, pid: int) -> None:
        """Ask the process that runs the task for its stack; `pid` is the slot's.

        A task may have taken our handler away: then nothing is asked, for the signal would end it.
        """
        self.stack_file.truncate(0)
        self.stack_file.seek(0)  # the slot writes at this place: both hold the same open file
        running = FORK.unpack_from(self.memory, FORK_AT)[0] or pid
        if catches(running, signal.SIGUSR2):
            os.kill(running, signal.SIGUSR2)

    @property
    def stack(self) -> bytes:
        """What the process has told of its stack since it was asked, not decoded; b'' while it has told nothing."""
        return os.pread(self.stack_file.fileno(), STACK_LIMIT, 0)

    def close_within(self, seconds: float) -> None:
        """Note that the task is over and rq's code ends the job, which may take so long from now."""
        CLOSING.pack_into(self.memory, CLOSING_AT, time.monotonic() + seconds, 0)

    def leave(self, words: bytes) -> None:
        """Leave what the slot had to say, in the place of the log, for it cannot say it otherwise; not if too large."""
        if WORDS.size + len(words) <= LOG_LIMIT:
            WORDS.pack_into(self.memory, LOG_AT, len(words), zlib.crc32(words))
            self.memory[LOG_AT + WORDS.size : LOG_AT + WORDS.size + len(words)] = words

    @property
    def last_words(self) -> bytes:
        """What a slot that has ended has left to say, b'' if it is not whole."""
        length, checksum = WORDS.unpack_from(self.memory, LOG_AT)
        words = self.memory[LOG_AT + WORDS.size : LOG_AT + WORDS.size + length]
        return words if zlib.crc32(words) == checksum else b""

    def commit(self) -> None:
        """Note that rq's code commits the end: from now on the job's lease is gone by its own doing."""
        CLOSING.pack_into(self.memory, CLOSING_AT, self.closes_by, 1)

    @property
    def closes_by(self) -> float:
        """When rq's code must have ended the job, on the clock of `time.monotonic`; 0 while a task runs."""
        return float(CLOSING.unpack_from(self.memory, CLOSING_AT)[0])

    @property
    def has_committed(self) -> bool:
        """Tell whether what is left for this job is only what follows its end, as webhooks and dependents."""
        return bool(CLOSING.unpack_from(self.memory, CLOSING_AT)[1])

    def set_progress(self, percent: int, text: str) -> None:
        """Note how far the running job is."""
        words = secrets.scrub(text).encode(errors="replace")[:TEXT_LIMIT]
        _, _, log, cut = HEADER.unpack_from(self.memory)
        self.memory[HEADER.size : HEADER.size + len(words)] = words
        HEADER.pack_into(self.memory, 0, max(0, min(100, percent)), len(words), log, cut)

    def write(self, words: str) -> None:
        """Add to the log, without secrets; past its limit the older half goes, and `is_cut` says so."""
        data = secrets.scrub(words).encode(errors="replace")
        percent, text, used, cut = HEADER.unpack_from(self.memory)
        if used + len(data) > LOG_LIMIT:
            kept = (self.memory[LOG_AT : LOG_AT + used] + data)[-LOG_LIMIT // 2 :]
            used, data, cut = 0, kept, 1
        self.memory[LOG_AT + used : LOG_AT + used + len(data)] = data
        HEADER.pack_into(self.memory, 0, percent, text, used + len(data), cut)

    @property
    def is_empty(self) -> bool:
        """Tell whether the job has left neither progress nor log: the usual case, told from four numbers."""
        percent, _, used, _ = HEADER.unpack_from(self.memory)
        return percent == -1 and used == 0

    @property
    def progress(self) -> tuple[int | None, str]:
        """How far the running job is, in percent, and in its own words."""
        percent, length, _, _ = HEADER.unpack_from(self.memory)
        text = self.memory[HEADER.size : HEADER.size + length].decode(errors="replace")
        return (None if percent == -1 else percent), text

    @property
    def log(self) -> str:
        """What the running job has logged and printed."""
        used = HEADER.unpack_from(self.memory)[2]
        return self.memory[LOG_AT : LOG_AT + used].decode(errors="replace")

    def tail(self, most: int) -> bytes:
        """Return the last bytes of the log, not decoded: the worker looks each second and must not linger."""
        used = HEADER.unpack_from(self.memory)[2]
        return self.memory[LOG_AT + max(0, used - most) : LOG_AT + used]

    @property
    def is_cut(self) -> bool:
        """Tell whether the log has lost its beginning."""
        return bool(HEADER.unpack_from(self.memory)[3])


def catches(pid: int, sign: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal; only Linux says so, elsewhere it is taken to have one."""
    try:
        with open(f"/proc/{pid}/status") as file:
            caught = next((line for line in file if line.startswith("SigCgt:")), "")
    except OSError:
        return sys.platform != "linux"
    return bool(int(caught.partition(":")[2].strip() or "0", 16) >> (sign - 1) & 1)


_current: SharedMemory | None = None


def use(shared: SharedMemory | None) -> None:
    """Make `shared` the one that `progress` writes to; a slot does so at birth."""
    global _current
    _current = shared


def watch_again() -> None:
    """Have this process show its stack again: a job has put a handler of its own in the place of ours."""
    if _current is not None:
        faulthandler.unregister(signal.SIGUSR2)
        _current.show_stack_on_signal()


def progress(percent: float, text: str = "") -> None:
    """Tell how far the running task is, in percent, and what it does; outside of a worker nothing happens."""
    if _current is not None:
        # In this order what is no number becomes 0, and what has no end an end.
        _current.set_progress(int(max(0, min(percent, 100))), text)
