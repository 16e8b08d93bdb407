"""The product's settings, in a folder of this test run's own: its Redis, its SQLite file, its mail."""

import os
import tempfile

# Set anew in every process, so that parallel test processes share nothing.
os.environ["VAR_DIR"] = tempfile.mkdtemp(prefix="pilot-")
os.environ["SECRET_KEY"] = "not-secret-tests-only-" + "x" * 40
for name in ("REDIS_URL", "APIFY_TOKEN", "OPENAI_API_KEY", "SITE_URL", "EMAIL_URL", "METRICS_TOKEN", "RELEASE"):
    os.environ[name] = ""
    del os.environ[name]
for name in ("APIFY_MONTHLY_BUDGET_USD", "APIFY_TEAM_DAILY_BUDGET_USD", "APIFY_TEAM_MONTHLY_BUDGET_USD"):
    os.environ[name] = "9999"  # a test that sets the day's budget means that one alone
os.environ["REPORT_MAX_AGE_HOURS"] = "0"  # the products of most tests were seen in June

from amazon_pilot.settings import *  # noqa: E402, F403
from amazon_pilot.settings import DATABASES, VAR_DIR  # noqa: E402

if "sqlite" in DATABASES["default"]["ENGINE"]:
    # A file, since worker processes started by a test read the same database.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
