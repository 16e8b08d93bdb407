"""The product's settings with the benchmarks' tasks installed."""

from amazon_pilot.settings import *  # noqa: F403
from amazon_pilot.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = [*PRODUCT_APPS, "benchmarks.app"]
