"""Other queues, each in a module of its own: `enqueue` loads one of its two tasks, `WORKER` is its command line.

Each is set up as its documentation says for ten jobs at once, with a place for results where it has one, and with the
product's Django application loaded as a Django project would have it. All share one Redis server and leave the same
record.
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amazon_pilot.settings")
django.setup()

REDIS_URL = os.environ["REDIS_URL"]
