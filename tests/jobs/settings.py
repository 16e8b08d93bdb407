"""The product's settings with the tests' tasks installed: what worker processes started by tests run under."""

from amazon_pilot.settings import *  # noqa: F403
from amazon_pilot.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = [*PRODUCT_APPS, "tests.jobs"]
RQ_EXCEPTION_HANDLERS = ["tests.jobs.tasks.handle_exception"]
