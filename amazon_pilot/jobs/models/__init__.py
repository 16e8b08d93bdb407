"""Who did what (AuditEntry), what ran (JobRun), what is planned (ScheduleEntry) and what became of each plan (Fire)."""

from .audit_entry import AuditEntry
from .job_run import JobRun
from .schedule_entry import Fire, ScheduleEntry

__all__ = ["AuditEntry", "Fire", "JobRun", "ScheduleEntry"]
