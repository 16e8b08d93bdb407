"""The schedule run through 1,000 days in six zones, compared with a walk through every minute; `make simulate`.

Workload: the six entries of the settings and 20 random cron lines in each zone, two schedulers on one Redis and one
SQLite file per process, up to 3 % of the ticks killed at a random step. The zones are split between two processes.
Prints `fires: N`, `missing: 0`, `double: 0`, and ends with 1 when a fire is missing or double.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def part(zones: tuple[str, ...], start: str, days: int, seed: int) -> list[int]:
    """Simulate some zones in a world of this process's own; answer fires, missing, double and kills."""
    folder = tempfile.mkdtemp(prefix="pilot-simulate-")
    os.environ |= {"VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "amazon_pilot.settings", "LOG_LEVEL": "ERROR"}
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from redis import Redis

    from amazon_pilot import embedded

    server = embedded.start()
    try:
        call_command("migrate", verbosity=0)
        from tests.jobs.simulation import simulate

        found = simulate(Redis(unix_socket_path=str(settings.REDIS_SOCKET)), zones, start, days, seed)
        return [found.fires, found.missing, found.double, found.kills]
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--start", default="2025-01-01")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # Lord Howe and St John's fire off the whole hours of the others, so their ticks are as many as those of four.
    parts_of = (
        ("America/New_York", "Europe/London", "Asia/Shanghai", "UTC"),
        ("Australia/Lord_Howe", "America/St_Johns"),
    )
    started = time.monotonic()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(part, half, options.start, options.days, options.seed + n) for n, half in enumerate(parts_of)
        ]
        fires, missing, double, kills = map(sum, zip(*(each.result() for each in parts), strict=True))
    print(f"days: {options.days}, zones: 6, entries: 156, schedulers killed: {kills}")
    print(f"seconds: {time.monotonic() - started:.0f}")
    print(f"fires: {fires}")
    print(f"missing: {missing}")
    print(f"double: {double}")
    return int(bool(missing or double))


if __name__ == "__main__":
    sys.exit(main())
