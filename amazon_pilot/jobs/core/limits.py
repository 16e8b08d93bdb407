"""Limits that Redis's scripts and Python share: each is written here alone, and `scripts` puts them before the Lua.

Times are seconds by Redis's own clock.
"""

LEASE = 20  # a running job counts as lost when its lease was not renewed for so long
GRACE = 60  # a lease's score lies so much behind its end, so that rq's own clean-up comes after ours
SILENCE = 6  # where nobody has looked for lost jobs for so long, Redis was away; workers look each second
RENEW_FIRST = 6  # and then the living renew their leases for so long before any is brought back
LOSSES, LOSS_WINDOW = 3, 72 * 3600  # so many losses within that time make a job poison
HISTORY_LENGTH = 1_000_000  # entries of the stream of the history; beyond it the oldest are dropped
HISTORY_FULL = 900_000  # from so many unwritten entries on, workers take no more jobs
LONGEST = 10**10  # seconds: what a ttl, a timeout or a wait may be at most, whatever a job asks for
ATTEMPTS = 1_000_000  # beyond which none is counted
UNOPENED = 10  # so often a job goes back without a loss that lay behind another when its worker died
ABOUT_SECONDS = 3 * 24 * 3600  # for which a job that has not begun is found by its subject; then by its row
ABOUT_JOBS = 20  # the newest of a subject that are found so
UNIQUE_SECONDS = 30 * 24 * 3600  # for which the key of a unique task is held at most
RUN_SECONDS = 24 * 3600  # for which Redis remembers that a run had begun whose worker is gone
LOST_SECONDS = 24 * 3600  # for which Redis remembers that a run was lost
FAILURE_SECONDS = 365 * 24 * 3600  # for which a failed job is kept that does not say for how long
