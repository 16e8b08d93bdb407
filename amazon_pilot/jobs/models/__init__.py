"""Who did what (AuditEntry), what ran (JobRun), waits (Pause), is planned (ScheduleEntry) and was due (Fire)."""

from .audit_entry import AuditEntry
from .job_run import JobRun
from .pause import Pause
from .schedule_entry import Fire, ScheduleEntry

__all__ = ["AuditEntry", "Fire", "JobRun", "Pause", "ScheduleEntry"]
