"""Tasks named for what they do, good and bad; tests/jobs/settings.py makes them known to real workers."""

import contextlib
import ctypes
import html
import json
import logging
import mmap
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rq import get_current_job
from rq.job import Retry
from rq.timeouts import JobTimeoutException

from amazon_pilot.jobs import Backoff, job, progress
from amazon_pilot.jobs.core.registry import JSONJob

from . import hard_to_tell as hard_to_tell  # which a worker finds with these
from . import leaks as leaks


@job("default")
def do_nothing(*args: Any) -> None:
    """Return at once."""


@job("default")
def add(a: int, b: int) -> int:
    return a + b


@job("default", timeout=60)
def write_line(path: str, text: str, seconds: float = 0) -> None:
    """Append a line to a file in one write, after a while."""
    time.sleep(seconds)
    with open(path, "a") as file:
        file.write(text + "\n")


@job("default", timeout=60)
def write_begin_and_end(path: str, seconds: float) -> None:
    """Append a line when the function itself begins, and one when it is about to return."""
    write_line(path, "begun")
    write_line(path, "ended", seconds)


class TemporaryError(Exception):
    """Goes away by itself."""


class PermanentError(Exception):
    """Stays."""


class AskedToWaitError(Exception):
    retry_after = 77


@job("default", retry=Backoff(attempts=3, first=10, cap=15, permanent=(PermanentError,)))
def fail(kind: str = "temporary") -> None:
    """Raise what is asked for."""
    raise {"temporary": TemporaryError, "permanent": PermanentError, "wait": AskedToWaitError}[kind](kind)


@job("default", retry=Backoff(attempts=3, first=600))
def shout_and_fail() -> None:
    """Say in which attempt it is, and fail."""
    job = get_current_job()
    assert job is not None
    print(f"shouted in attempt {3 - (job.retries_left or 0)}")
    raise TemporaryError("again")


@job("default")
def give_back(value: Any) -> Any:
    return value


@job("default")
def raise_words(words: str) -> None:
    raise ValueError(words)


@job("default")
def fail_once_for_all() -> None:
    raise TemporaryError("no policy")


@job("default")
def return_retry() -> Retry:
    return Retry(max=2, interval=30)


@job("default")
def return_an_object() -> object:
    return object()


@job("default", timeout=1)
def sleep_beyond_its_timeout() -> None:
    time.sleep(30)


@job("default", timeout=1)
def swallow_every_exception() -> None:
    """Never end of itself, and never listen."""
    never_listen()


@job("default", timeout=60)
def block_in_c() -> None:
    """Wait in C for a lock that nobody lets go: no signal handler of Python's ever runs again."""
    libc = ctypes.PyDLL(None)
    lock = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)


@job("default", timeout=60)
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@job("default")
def burn(seconds: float) -> None:
    """Keep a processor busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@job("default", timeout=300)
def stay_until(path: str) -> None:
    """Run until somebody makes this file."""
    while not Path(path).exists():
        time.sleep(0.05)


@job("default", unique=True)
def once_at_a_time(key: str) -> None:
    """Only one of these waits or runs per key."""


@job("default", tags=("apify",))
def tagged() -> None:
    """Can be paused by its tag."""


@job("default")
def die(how: str = "kill") -> None:
    """End the process that runs it."""
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "abort":
        os.abort()
    if how == "exec":
        os.execv("/bin/true", ["true"])
    os._exit(3)


@job("default")
def die_unless(path: str) -> str:
    """Die the first time; the file is the memory of it."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), 9)
    return "lived"


@job("default", timeout=30)
def fork_and_return() -> int:
    """Fork, and let both processes come back."""
    os.fork()
    return os.getpid()


@job("default", timeout=30)
def start_a_child(path: str) -> None:
    """Start a process and wait for it, far too long."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    Path(path).write_text(str(child.pid))
    child.wait()


@job("default", timeout=60)
def eat_memory() -> int:
    """Ask for far more memory than a slot may have."""
    return len(bytearray(4 * 1024**3))


@job("default", timeout=60)
def give_yourself_up(how: str, seconds: float) -> None:
    """Have rq cancel or delete this very job, then go on for a while; with -1 die."""
    current = get_current_job()
    assert current is not None
    getattr(JSONJob.fetch(current.id, connection=current.connection), how)()
    if seconds < 0:
        os.kill(os.getpid(), 9)
    time.sleep(seconds)


@job("default", timeout=60)
def tell_progress(seconds: float = 0) -> None:
    progress(40, "four of ten")
    print("printed")
    time.sleep(seconds)


@job("default")
def log_much() -> None:
    import logging

    for n in range(3000):
        logging.getLogger("tests").warning("line %s of a long story", n)


@job("default")
def look_at_yourself() -> dict[str, Any]:
    """Answer what rq shows a task about itself."""
    job = get_current_job()
    assert job is not None
    job.meta["seen"] = True
    job.save_meta()
    return {"id": job.id, "func": job.func_name, "args": list(job.args), "worker": job.worker_name}


@job("default")
def dirty_the_process() -> None:
    """Leave a language, a time zone and an open database connection behind."""
    from django.contrib.auth import get_user_model
    from django.utils import timezone, translation

    translation.activate("zh-hans")
    timezone.activate("Asia/Shanghai")
    get_user_model().objects.exists()


@job("default")
def what_is_active() -> list[str]:
    from django.utils import timezone, translation

    return [translation.get_language(), timezone.get_current_timezone_name()]


def not_a_task(path: str) -> None:
    """Is never to be run by a worker."""
    Path(path).touch()


def note_success(job: Any, connection: Any, result: Any) -> None:
    connection.set("note", f"success {result}")


def count_success(job: Any, connection: Any, result: Any) -> None:
    connection.incr("successes")


def note_failure(job: Any, connection: Any, kind: Any, value: Any, trace: Any) -> None:
    connection.set("note", f"failure {kind.__name__}")


def note_stopped(job: Any, connection: Any) -> None:
    connection.set("note", "stopped")


def never_stop_stopping(job: Any, connection: Any) -> None:
    """Count the call, and let no limit end it."""
    connection.incr("stopping")
    never_listen()


def handle_exception(job: Any, kind: Any, value: Any, trace: Any) -> None:
    """One of RQ_EXCEPTION_HANDLERS in these tests."""
    job.connection.rpush("handled", f"{kind.__name__}: {value}")
    if wait := job.meta.get("handler"):  # rq lets a handler decide on the retry
        job.meta["handled"] = kind.__name__
        job.retry_intervals = [wait]
        if wait < 0:
            job.retries_left = 0


@job("default", timeout=1, retry=Backoff(attempts=3, first=100, cap=1000))
def swallow_and_retry() -> None:
    """Do not listen to the timeout, under a policy."""
    never_listen()


@job("default", timeout=1, retry=Backoff(attempts=3, permanent=(JobTimeoutException,)))
def swallow_for_good() -> None:
    """Do not listen to the timeout, which the policy calls permanent."""
    never_listen()


def never_listen() -> None:
    while True:
        try:
            time.sleep(10)
        except BaseException:
            print("swallowed")


@job("default", timeout=60)
def eat_shared_memory() -> None:
    """Fill memory that a limit on the heap does not count."""
    memory = mmap.mmap(-1, 400 * 1024**2)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1
    time.sleep(60)


@job("default")
def process_id(number: int) -> int:
    return os.getpid()


@job("default")
def return_letters(count: int) -> str:
    return "x" * count


@job("default", timeout=120)
def begin_and_sleep(path: str, seconds: float) -> None:
    """Append a line at the start, then take long."""
    with open(path, "a") as file:
        file.write("begun\n")
    time.sleep(seconds)


@job("default", timeout=120)
def note_start_and_end(path: str, seconds: float) -> None:
    """Append one line when the run begins and one when it ends, each in a single write."""
    current = get_current_job()
    assert current is not None
    mark = f"{current.id} {os.urandom(6).hex()} {current.worker_name} {os.getpid()}"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, f"start {mark} {time.time():.4f}\n".encode())
        time.sleep(seconds)
        os.write(file, f"end {mark} {time.time():.4f}\n".encode())
    finally:
        os.close(file)


@job("default", timeout=60)
def write_and_fail(path: str, text: str = "x") -> None:
    """Append a line, and fail."""
    with open(path, "a") as file:
        file.write(text + "\n")
    raise TemporaryError("written")


@job("default", timeout=60)
def sleep_and_fail(seconds: float) -> None:
    time.sleep(seconds)
    raise TemporaryError("after a while")


@job("default", retry=Backoff(attempts=2, first=600))
def sign_in(user: str, password: str, options: dict[str, Any] | None = None) -> str:
    """Take a secret by place and further ones by name; fail where the secret did not arrive."""
    if not password.startswith("planted"):
        raise ValueError("no secret")
    return f"{user} is in"


@job("default")
def die_of(number: int) -> None:
    """Die of a signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@job("default")
def write_to_every_descriptor() -> None:
    """Write to whatever stands open, the slot's line included."""
    for number in range(3, 200):
        with contextlib.suppress(OSError):
            os.write(number, b"written by a task, thrice" * 3)
    time.sleep(30)


@job("default")
def close_every_descriptor() -> str:
    """Close whatever stands open, as a program does that becomes a daemon."""
    os.closerange(3, 300)
    return "closed"


@job("default", isolated=True)
def log_alone() -> None:
    progress(50)
    print("told alone")


@job("default", timeout=1, isolated=True)
def sleep_alone_beyond_its_timeout() -> None:
    time.sleep(30)


@job("default", isolated=True)
def die_alone() -> None:
    os.kill(os.getpid(), 9)


@job("default", timeout=60)
def terminate_a_child(how: str) -> float:
    """Start a child that sleeps for long, tell it to end, and answer how long that took."""
    began = time.monotonic()
    if how == "thread":
        with ThreadPoolExecutor(1) as pool:
            pool.submit(end_a_fork, signal.SIGTERM).result()
    elif how == "spawn":
        pid = os.posix_spawn("/bin/sleep", ["sleep", "20"], {})
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    elif how == "pool":
        with multiprocessing.get_context("fork").Pool(1) as processes:
            processes.map(abs, [-1])
    elif how in ("popen", "shell", "session"):
        words = "sleep 20; true" if how == "shell" else ["sleep", "20"]
        popen = subprocess.Popen(words, shell=how == "shell", start_new_session=how == "session")
        popen.terminate()
        popen.wait()
    else:
        end_a_fork(getattr(signal, how))
    return time.monotonic() - began


def end_a_fork(sign: int) -> None:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,))
    child.start()
    assert child.pid
    os.kill(child.pid, sign)
    child.join()


@job("default", isolated=True, timeout=60)
def sleep_alone(seconds: float) -> str:
    """Sleep in a process of its own."""
    time.sleep(seconds)
    return "awake"


@job("default", timeout=60)
def take_the_stack_signal() -> None:
    """Put a handler of its own in the place of the one that shows where a job is."""
    signal.signal(signal.SIGUSR2, lambda number, frame: None)


@job("default", timeout=60)
def drop_the_stack_signal(seconds: float) -> None:
    """Give the signal that shows where a job is its default, which ends a process."""
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    time.sleep(seconds)


@job("default", timeout=60)
def fan_out(number: int) -> None:
    """Enqueue some jobs of which each third fails, as one batch."""
    from amazon_pilot.jobs.models import Batch

    Batch.objects.fan_out(fail_each_third, [(n,) for n in range(number)])


@job("default", timeout=60)
def fail_each_third(number: int) -> None:
    if number % 3 == 0:
        raise PermanentError(f"{number} is one of them")


@job("default", timeout=120)
def ask_outside(url: str) -> int:
    """Ask a service and wait for its answer, however long."""
    with urllib.request.urlopen(url, timeout=100) as answer:
        return int(answer.status)


class TelltaleError(Exception):
    """Says what it should not."""


def in_all_writings(secret: str) -> list[str]:
    """Answer a secret as people write it into logs."""
    return [
        f"signing in with {secret}", repr({"p": secret}), json.dumps({"p": secret}), repr(secret.encode()),
        f"https://api.example/v1?{urllib.parse.urlencode({'key': secret, 'n': 1})}", json.dumps(json.dumps([secret])),
        f"https://api.example/{urllib.parse.quote(secret, safe='')}", html.escape(f"<p>{secret}</p>"),
        f"headers={[('Authorization', 'Bearer ' + secret)]!r}",
    ]  # fmt: skip


def tell(secret: str, ends: str) -> Any:
    """Log, print, show and keep a secret in every writing, and end as is asked for with it."""
    for text in in_all_writings(secret):
        logging.getLogger(__name__).warning("%s", text)
        print(text)
    progress(40, f"with {secret}")
    job = get_current_job()
    assert job is not None
    job.meta |= {"note": f"used {secret}", "password": secret}
    if ends == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if ends == "raise":
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise TelltaleError(" ".join(in_all_writings(secret))) from error
    return {"said": in_all_writings(secret), secret: 1, "access_token": "another-one", "asin": "B0LAMP0001"}


@job("default", timeout=60)
def telltale(password: str, ends: str) -> Any:
    return tell(password, ends)


@job("default", timeout=60, secrets=("pin",))
def telltale_by_its_own_word(pin: str, ends: str) -> Any:
    return tell(pin, ends)


@job("default", timeout=60, isolated=True)
def telltale_in_a_fork(ends: str, options: dict[str, Any]) -> Any:
    return tell(options["headers"]["Authorization"].removeprefix("Bearer "), ends)


@job("default", timeout=60)
def telltale_of_the_environment(ends: str) -> Any:
    return tell(os.environ["SHOP_API_KEY"], ends)
