from .audit_entry import AuditEntry
from .job_run import JobRun
from .pause import Pause

__all__ = ["AuditEntry", "JobRun", "Pause"]
