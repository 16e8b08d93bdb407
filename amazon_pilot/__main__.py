"""The command line: `manage.py` in a checkout, `amazon-pilot` where the package is installed."""

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run one command of Django or of ours, as named by the first argument."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amazon_pilot.settings")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
