"""jobs: what `manage.py jobs` can do is in the room of the command line."""

from ...cli.jobs import Command

__all__ = ["Command"]
