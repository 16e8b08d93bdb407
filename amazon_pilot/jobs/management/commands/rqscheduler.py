"""manage.py rqscheduler: keep the schedule."""

import django_rq
from django.core.management.base import BaseCommand, CommandParser

from ...apps import TAG
from ...history import releases
from ...schedule import store, watch
from ...schedule.checks import check_schedule


class Command(BaseCommand):
    help = "Fires the entries of the schedule; any number of schedulers may run."
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Do one tick and end.")

    def handle(self, *args: object, **options: object) -> None:
        # Told, and not a reason to stop: the other entries can fire.
        for error in check_schedule():
            self.stderr.write(str(error))
        releases.notice()
        scheduler = django_rq.get_scheduler("default", connection=store.connect())
        if not options["once"]:
            watch.begin()
        scheduler.run(burst=options["once"])
