"""What it costs a job that the next one finds the process as it was: processor time, in this one process.

`python -m benchmarks.isolation` runs a task that does nothing a few thousand times as a slot does, with and without
looking for what it has left, and prints microseconds per job as JSON.
"""

import json
import os
import time
from collections.abc import Callable
from functools import partial

import django
from django.conf import settings

ROUNDS, JOBS = 30, 200


def nothing(*args: object) -> None:
    """What is run, and what stands in for looking."""


def cost(step: Callable[[], object]) -> float:
    """Return the processor time of one step in microseconds: the least of many rounds, since others run beside us."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(JOBS):
            step()
        rounds.append((time.process_time() - began) / JOBS)
    return round(min(rounds) * 1e6, 2)


def measure() -> dict[str, float]:
    """Return microseconds per job: as a slot runs it, without looking, and each of the looks by itself."""
    from amazon_pilot.jobs.core.fields import TAKEN
    from amazon_pilot.jobs.core.registry import TASKS, Registered
    from amazon_pilot.jobs.core.shared_memory import SharedMemory
    from amazon_pilot.jobs.core.taken_job import TakenJob
    from amazon_pilot.jobs.worker import sessions
    from amazon_pilot.jobs.worker.leftovers import Leftovers
    from amazon_pilot.jobs.worker.messages import MessageSocket, SlotQueue
    from amazon_pilot.jobs.worker.recent_outcomes import RecentOutcomes
    from amazon_pilot.jobs.worker.slot import Slot

    TASKS["benchmarks.nothing"] = Registered(nothing, "benchmarks.nothing", "default")
    slot = Slot(1, "w1", SlotQueue(), MessageSocket.pair()[1], SharedMemory(), RecentOutcomes())
    here = slot.leftovers = Leftovers()
    call = json.dumps(["benchmarks.nothing", None, [], {}]).encode()
    given = {"status": b"queued", "data": call, "task": b"benchmarks.nothing"}
    reply = [b"default", b"id", b"pilot-1-0", 0, [given.get(name) for name in TAKEN]]
    run = partial(slot.run_job, TakenJob.from_reply(reply))
    here.clear()  # the first look is a whole one, and so is that of each second
    with_looking = cost(run)
    looks = {
        "process": cost(partial(here.clear, 0)),
        "process_whole": cost(here.clear),
        "sessions": cost(sessions.clear),
    }
    slot.clear_up = nothing  # type: ignore[method-assign]
    return {"with": with_looking, "without": cost(run), **looks}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amazon_pilot.settings")
    django.setup()
    settings.DEBUG = False
    print(json.dumps(measure()))
