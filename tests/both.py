"""Run the suite in two halves: on SQLite and the bundled Redis (6.2), and on PostgreSQL and the system's Redis (7).

PostgreSQL gets a private cluster in a temporary folder, gone afterwards. Without its programs the second run is skipped
with a line; under CI=true that is a failure. Where the system has no redis-server the bundled one serves both.
"""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs, which Debian keeps off the PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def cluster(folder: Path, is_durable: bool = False) -> Iterator[str]:
    """Start a server on a free port of the loopback and yield its address.

    PostgreSQL refuses to run as root, so root hands it to the account that Debian made for it.
    """
    home = Path(tempfile.mkdtemp(prefix="pilot-pg-"))
    account: dict[str, int] = {}
    if os.geteuid() == 0:
        postgres = pwd.getpwnam("postgres")
        os.chown(home, postgres.pw_uid, postgres.pw_gid)
        account = {"user": postgres.pw_uid, "group": postgres.pw_gid}

    def run(*words: str) -> None:
        subprocess.run(
            [str(folder / words[0]), *words[1:]],
            check=True,
            cwd=home,
            stdout=subprocess.DEVNULL,
            user=account.get("user"),
            group=account.get("group"),
        )

    # Durability is of no use to a database that is thrown away, and costs a third of the time.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fast = "" if is_durable else "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    options = f"-k {home} -p {port} -c listen_addresses=127.0.0.1 {fast}"
    try:
        run("initdb", "-D", str(home / "data"), "-U", "pilot", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8")
        run("pg_ctl", "-D", str(home / "data"), "-w", "-l", str(home / "log"), "-o", options, "start")
        yield f"postgres://pilot@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", str(home / "data"), "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)


def suite(name: str, words: list[str], **more: str) -> int:
    """Run pytest and return its exit code; `more` goes into its environment.

    What failed beside the others is tried once more by itself, and named with what it said both times: a test of real
    processes may have wanted for a processor. What fails alone, too, has failed.
    """
    print(f"== {name}", flush=True)
    env = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "TEST_REDIS_SERVER")} | more
    command = [sys.executable, "-m", "pytest", *words]
    code = subprocess.call([*command, "--cache-clear"], env=env)
    if code != pytest.ExitCode.TESTS_FAILED:
        return code
    print(f"== {name}: what failed, by itself", flush=True)
    alone = ["-n", "0", "--last-failed", "--last-failed-no-failures=none", "--maxfail=5", "-rA", "--show-capture=no"]
    return subprocess.call([*command, *alone], env=env)


def main(words: list[str]) -> int:
    """Run both halves, each on three processes; return the worse exit code. `words` go to pytest, for both halves.

    What asks no database runs in the first half alone, and so do pages, whose queries have tests of their own, and the
    browser; real workers and schedulers, which take most of the time, run in the second half alone, on what an
    installation runs on. Pages that search, sort and filter run in both. With --all everything runs twice.

    Tests wait more than they compute; one process takes over what another has not begun.
    """
    is_all = "--all" in words
    words = ["-q", "-n", "3", "--dist", "worksteal", "--durations=10", *(word for word in words if word != "--all")]
    first = [] if is_all else ["-m", "not slow and not long"]
    second = [] if is_all else ["-m", "not once and not browser and not long and (slow or both or not page)"]
    code = suite("Everything but real workers, on SQLite and the bundled Redis", words + first)
    folder = programs()
    if folder is None:
        print("== PostgreSQL's programs are not installed (Debian: apt-get install postgresql): that half was skipped.")
        return code or int(os.environ.get("CI") == "true")
    with cluster(folder) as address:
        redis = shutil.which("redis-server")
        name = f"What asks a database, and real workers, on PostgreSQL and {redis or 'the bundled Redis'}"
        more = {"TEST_REDIS_SERVER": redis} if redis else {}
        return suite(name, words + second, DATABASE_URL=address, **more) or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
