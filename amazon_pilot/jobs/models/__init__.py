from .audit_entry import AuditEntry
from .schedule_entry import Fire, ScheduleEntry

__all__ = ["AuditEntry", "Fire", "ScheduleEntry"]
