"""The door for a web server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amazon_pilot.settings")
os.environ.setdefault("REDIS_PATIENCE_SECONDS", "2")  # a person waits for the answer

application = get_wsgi_application()
