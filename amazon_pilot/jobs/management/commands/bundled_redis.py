"""Keep the bundled Redis server."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from amazon_pilot import embedded


class Command(BaseCommand):
    help = "Run the Redis server that comes with the product; start calls this."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(embedded.run())
