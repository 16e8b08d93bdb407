"""The monitor."""

from . import admin_schedule  # noqa: F401 - registers its pages
