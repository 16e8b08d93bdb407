"""Two real schedulers, one killed with -9 at random 100 times while 500 fires are due; `make kill-schedulers`.

Workload: in each round five entries fall due at one time, and 5 ms before to 40 ms after it a scheduler dies, two
times out of three the leading one. SQLite and the bundled Redis in a temporary folder, no worker.
Prints `fires: N`, `missing: 0`, `double: 0`, and ends with 1 when a job is missing or double.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--fires", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="pilot-kill-")
    os.environ |= {
        "VAR_DIR": folder,
        "DJANGO_SETTINGS_MODULE": "amazon_pilot.settings",
        "DATABASE_URL": f"sqlite:///{folder}/kill.sqlite3",
        "LOG_LEVEL": "ERROR",
    }
    os.environ.pop("REDIS_URL", None)
    try:
        return run(options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(options: argparse.Namespace) -> int:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from redis import Redis

    from amazon_pilot import embedded

    server = embedded.start()
    started = time.monotonic()
    try:
        call_command("migrate", verbosity=0)
        from tests.jobs.killing import kill_while_firing

        redis = Redis(unix_socket_path=str(settings.REDIS_SOCKET))
        found = kill_while_firing(dict(os.environ), redis, options.fires, options.kills, options.seed)
    finally:
        server.terminate()
        server.wait(10)
    print(f"kills: {found.kills}, sent again and suppressed: {found.resent}, still pending: {found.pending}")
    print(f"seconds: {time.monotonic() - started:.0f}")
    print(f"fires: {found.fires}")
    print(f"missing: {found.missing}")
    print(f"double: {found.double}")
    return int(bool(found.missing or found.double or found.pending))


if __name__ == "__main__":
    sys.exit(main())
