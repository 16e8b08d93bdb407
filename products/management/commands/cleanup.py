"""Clean up now, or tell what the next clean-up would delete."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from products.models import Cleanup
from products.models.cleanup import WORK


class Command(BaseCommand):
    help = "Delete and empty what is kept long enough, kind by kind; it can be broken off and goes on where it was."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --dry-run."""
        parser.add_argument("--dry-run", action="store_true", help="count only, change nothing")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        """Print a line for each kind."""
        if not dry_run:
            Cleanup.objects.begin()
        for kind in WORK:
            row = Cleanup.objects.filter(kind=kind).first() or Cleanup(kind=kind)
            if dry_run:
                seen, gone = row.preview()
                self.stdout.write(f"{row}: would look at {seen} rows and delete or empty {gone}")
                continue
            while row.step():
                pass
            row.refresh_from_db()
            self.stdout.write(f"{row}: looked at {row.seen} rows, deleted or emptied {row.gone}")
