"""release: mark that a release was started, where no process reads its name from RELEASE."""

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...apps import TAG
from ...models import AuditEntry, Release, Source, acting_from

SHOWN = 10


class Command(BaseCommand):
    help = "Mark a release: charts show it, and failures say since which one they are new. Without a name, list them."
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", default="", help="What it is called, such as 2026-06-01 or a commit.")

    def handle(self, *args: object, name: str, **options: object) -> None:
        if not name.strip():
            for release in Release.objects.all()[:SHOWN]:
                self.stdout.write(f"{release.at.isoformat(timespec='seconds')}  {release.name}")
            return
        if not name.isprintable():
            raise CommandError("Write the name of a release in letters, digits and signs that can be printed.")
        if not Release.objects.note(name):
            self.stdout.write(f"{name} is the current release already, so no mark was made.")
            return
        with acting_from(Source.COMMAND):
            AuditEntry.objects.record(None, "mark release", f"release {name.strip()}")
        self.stdout.write(f"{name} is marked from now on.")
