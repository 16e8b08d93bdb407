"""The names of our own keys in Redis, each written here alone; `scripts` puts them before the Lua. rq's are rq's."""

RUNS = "pilot:runs"  # stream: what the writer of the history has not written as rows yet
FAILURES = "pilot:failures"  # stream: the same, of runs that did not succeed; it is read first
RUNS_GROUP = "history"  # the readers of these streams
CONTROL = "pilot:control"  # channel: a pause began or ended, so workers look again
PAUSED = "pilot:paused"  # hash: what is paused, and until when
PARKED = "pilot:parked:"  # list of each pause: the jobs that it kept back, in their order
TAKES = "pilot:takes:"  # hash of each minute: how many jobs were taken from each queue
UNIQUE = "pilot:unique:"  # of a task and its arguments: the one job that waits or runs
UNIQUES = "pilot:uniques"  # sorted set: the names of these keys, by when they were taken
LOST = "pilot:lost:"  # of an execution: it was lost, and the history has its line
LOOKED = "pilot:looked"  # when somebody last looked for lost jobs
RENEW_FIRST = "pilot:renew_first"  # while it stands nothing is brought back: Redis was away
NOTHING = "pilot:nothing"  # never there
GONE = "pilot:gone"  # stands in a queue for a job that is taken out in the same step
WORKERS = "pilot:workers"  # sorted set: the workers, by when they were last seen
WORKER = "pilot:worker:"  # of a worker: what it does now
ABOUT = "pilot:about:"  # of a subject: sorted set of the newest jobs that are about it, by when they were enqueued
LOG = "pilot:log:"  # of an execution: the end of its log
STACK = "pilot:stack:"  # of an execution: where it was when somebody asked
READING = "pilot:reading"  # what the queues held at the last whole minute
WATCHED = "pilot:watched"  # somebody has looked at the alerts' rules a moment ago
GOING = "pilot:going"  # hash: of which queues how many failed jobs will be deleted, and from when on
SCHEDULER = "pilot:scheduler"  # hash: what the leading scheduler tells of itself
SCHEDULERS = "pilot:schedulers"  # sorted set: the schedulers, by when they were last seen


def worker(name: str) -> str:
    """Return the key of what a worker does now."""
    return WORKER + name


def log(execution_id: str) -> str:
    """Return the key of the end of a running job's log: beside the worker's, which many viewers read each second."""
    return LOG + execution_id


def stack(execution_id: str) -> str:
    """Return the key of what a running job last told of its stack."""
    return STACK + execution_id
