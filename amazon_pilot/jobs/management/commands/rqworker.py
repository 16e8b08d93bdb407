"""rqworker: one worker with its slots, on all queues or on those that are named."""

import logging
import sys
from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ...apps import TAG
from ...history import releases
from ...worker import supervisor


class Command(BaseCommand):
    help = "Take jobs from the queues by weight and run them, ten at a time."
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queues", nargs="*", help="The queues to serve; all of them where none is named.")
        parser.add_argument("--name", default="", help="What this worker is called; unique among those that run.")
        parser.add_argument("--slots", type=int, default=None, help="How many jobs run at a time (WORKER_CONCURRENCY).")
        parser.add_argument("--burst", action="store_true", help="Leave when no job waits any more.")

    def handle(
        self, *args: object, queues: list[str], name: str, slots: int | None, burst: bool, **options: object
    ) -> None:
        names = queues or list(settings.QUEUE_WEIGHTS)
        if unknown := [queue for queue in names if queue not in settings.RQ_QUEUES]:
            raise CommandError(f"No such queue: {', '.join(unknown)}. There are {', '.join(settings.RQ_QUEUES)}.")
        if options["verbosity"] == 0:
            logging.getLogger("amazon_pilot.jobs").setLevel(logging.WARNING)
        releases.notice()
        sys.exit(supervisor.work(names, name=name, size=slots, burst=burst))
