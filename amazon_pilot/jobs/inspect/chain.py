"""Chains: the jobs that a job waits for, and those that wait for it, each as a small tree with states."""

from collections.abc import Callable
from dataclasses import dataclass, field

from redis import Redis
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text

from ..core.payload import loaded
from ..models import JobRun

LEVELS, SHOWN = 3, 10  # how deep a tree is looked at, and how many jobs of one level, and of one job


@dataclass
class Link:
    """One job of a chain; `linked` are those one step further, of which `more` are not shown."""

    job_id: str
    task: str = ""
    state: str = ""
    linked: list["Link"] = field(default_factory=list)
    more: int = 0


Step = Callable[[Redis, list[str]], list[tuple[list[str], int]]]


def chain(connection: Redis, job_id: str) -> dict[str, Link]:
    """Return what has to end `before` a job, and what comes `after` it; raises RedisError."""
    ends = {"before": Link(job_id), "after": Link(job_id)}
    describe(connection, grow(connection, ends["before"], needed) + grow(connection, ends["after"], waiting))
    return ends


def grow(connection: Redis, root: Link, step: Step) -> list[Link]:
    """Fill in the tree of a job, one command for each job that is looked at; return all links but the first."""
    level, met, found = [root], {root.job_id}, []
    for _ in range(LEVELS):
        for link, (ids, number) in zip(level, step(connection, [each.job_id for each in level]), strict=True):
            link.linked = [Link(each) for each in sorted(ids)[:SHOWN]]
            link.more = number - len(link.linked)
        found += [each for link in level for each in link.linked]
        fresh = {each.job_id: each for link in level for each in link.linked if each.job_id not in met}
        met |= fresh.keys()
        level = list(fresh.values())[:SHOWN]
        if not level:
            break
    return found


def needed(connection: Redis, ids: list[str]) -> list[tuple[list[str], int]]:
    """Return the jobs that each of some jobs waits for, and how many those are."""
    with connection.pipeline(transaction=False) as pipe:
        for each in ids:
            pipe.hget(f"{RQ_KEY_PREFIX}:job:{each}", "dependency_ids")
        told = [loaded(as_text(words or b""), []) for words in pipe.execute()]
    return [([str(id) for id in names], len(names)) if isinstance(names, list) else ([], 0) for names in told]


def waiting(connection: Redis, ids: list[str]) -> list[tuple[list[str], int]]:
    """Return some of the jobs that wait for each of some jobs, and how many those are."""
    with connection.pipeline(transaction=False) as pipe:
        for each in ids:
            key = f"{RQ_KEY_PREFIX}:job:{each}:dependents"
            pipe.sscan(key, 0, count=SHOWN)
            pipe.scard(key)
        told = pipe.execute()
    return [([as_text(id) for id in part[1]], number) for part, number in zip(told[::2], told[1::2], strict=True)]


def describe(connection: Redis, links: list[Link]) -> None:
    """Fill in the task and state of jobs: as Redis has them, else as their last attempt ended."""
    if not links:
        return
    with connection.pipeline(transaction=False) as pipe:
        for each in links:
            pipe.hmget(f"{RQ_KEY_PREFIX}:job:{each.job_id}", "task", "status", "held")
        told = pipe.execute()
    for link, (task, status, held) in zip(links, told, strict=True):
        link.task, link.state = as_text(task or b""), as_text(status or b"")
        link.state = "held" if link.state == "deferred" and held else link.state
    gone = [link.job_id for link in links if not link.state]
    runs = JobRun.objects.filter(job_id__in=gone).order_by("started_at").values_list("job_id", "task", "outcome")
    known = {job_id: (task, outcome) for job_id, task, outcome in (runs if gone else [])}
    for link in links:
        if link.job_id in known:
            link.task, link.state = known[link.job_id]
