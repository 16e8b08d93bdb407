"""Where Django looks for the admin: the pages themselves are in the room of the web."""

from .web import admin, admin_schedule

__all__ = ["admin", "admin_schedule"]
