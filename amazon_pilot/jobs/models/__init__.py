"""Who did what (AuditEntry), what ran (JobRun, counted in Tally), lay in queues (Reading), waits (Pause), is planned
(ScheduleEntry), was due (Fire), was asked of many jobs (BulkAction), was deleted (KeptJob), is looked for often
(SavedSearch), failed why (Cause), belongs together (Batch), was about what (JobSubject), was deployed (Release), went
unseen by the schedulers (Silence), acts for whom (ApiToken), and how
often things happened (Total)."""

from .alert import Alert, RuleChange
from .api_token import ApiToken
from .audit_entry import AuditEntry, Source, acting_from
from .batch import Batch
from .bulk_action import BulkAction
from .cause import Cause
from .job_run import JobRun
from .job_subject import JobSubject
from .kept_job import KeptJob
from .pause import Pause
from .reading import Reading
from .release import Release
from .saved_search import SavedSearch
from .schedule_entry import Fire, ScheduleEntry
from .silence import Silence
from .tally import Tally
from .total import Total

__all__ = [
    "Alert",
    "ApiToken",
    "AuditEntry",
    "Batch",
    "BulkAction",
    "Cause",
    "Fire",
    "JobRun",
    "JobSubject",
    "KeptJob",
    "Pause",
    "Reading",
    "Release",
    "RuleChange",
    "SavedSearch",
    "ScheduleEntry",
    "Silence",
    "Source",
    "Tally",
    "Total",
    "acting_from",
]
