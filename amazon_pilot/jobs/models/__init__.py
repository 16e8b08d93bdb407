"""Who did what (AuditEntry), what ran (JobRun, counted in Tally), lay in queues (Reading), waits (Pause), is planned
(ScheduleEntry), was due (Fire), was asked of many jobs (BulkAction), was deleted (KeptJob), is looked for often
(SavedSearch), and how often things happened (Total)."""

from .audit_entry import AuditEntry, Source, acting_from
from .bulk_action import BulkAction
from .job_run import JobRun
from .kept_job import KeptJob
from .pause import Pause
from .reading import Reading
from .saved_search import SavedSearch
from .schedule_entry import Fire, ScheduleEntry
from .tally import Tally, TallyTotal
from .total import Total

__all__ = [
    "AuditEntry",
    "BulkAction",
    "Fire",
    "JobRun",
    "KeptJob",
    "Pause",
    "Reading",
    "SavedSearch",
    "ScheduleEntry",
    "Source",
    "Tally",
    "TallyTotal",
    "Total",
    "acting_from",
]
