"""The fields of a job's hash that scripts answer, in their order: Lua and Python read the same list."""

# What a take hands to a worker; see TakenJob.
TAKEN = (
    "status", "data", "timeout", "result_ttl", "failure_ttl", "meta", "enqueued_at", "created_at", "retries_left",
    "retry_intervals", "attempt", "losses", "tags", "description", "task", "enqueue_at_front_on_retry",
    "about",
)  # fmt: skip
# A job that has one of these is ended by rq's own code.
RARE = (
    "success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks", "repeats_left",
    "rate_limit_key", "dependency_ids", "number_of_retries",
)  # fmt: skip
# What a page reads of a job that holds a unique key or a permit, or waits for one.
HOLDER = (
    "status", "origin", "task", "enqueued_at", "started_at", "timeout", "worker_name", "joined", "held",
)  # fmt: skip
# What a page reads of a job that waits, runs, is planned or has failed; see RedisJob.
SHOWN = (
    "status", "origin", "data", "enqueued_at", "created_at", "attempt", "losses", "held", "tags", "task", "worker_name",
    "started_at", "ended_at", "description", "about",
)  # fmt: skip
