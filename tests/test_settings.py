"""Settings: a wrong value stops the start with one sentence that names the variable and the mend."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("WORKER_CONCURRENCY", "many", "whole number from 1 to 200"),
        ("WORKER_CONCURRENCY", "0", "whole number from 1 to 200"),
        ("DATABASE_URL", "mysql://host/name", "use sqlite:// or postgres://"),
        ("REDIS_URL", "http://host", "redis://:password@host:6379/0"),
        ("TIME_ZONE", "Mars/Base", "Europe/Berlin"),
        ("RETENTION_SUCCEEDED_DAYS", "0", "whole number from 1 to 3650"),
        ("RETENTION_FAILED_DAYS", "-3", "whole number from 1 to 3650"),
        ("RETENTION_AUDIT_DAYS", "a year", "whole number from 1 to 3650"),
        ("SITE_URL", "pilot.example", "write a whole address"),
        ("LANGUAGE_CODE", "fr", "en, zh-hans"),
        ("OPENAI_DAILY_BUDGET_USD", "lots", "amount in US dollars"),
        ("APIFY_API_URL", "https://api.apify.com", "set APIFY_TOKEN"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_sentence(process_env, name, value, mend):
    answer = subprocess.run(
        [sys.executable, "manage.py", "check"], env=process_env | {name: value}, capture_output=True, text=True
    )

    assert answer.returncode == 1
    assert len(answer.stderr.strip().splitlines()) == 1
    assert name in answer.stderr or name == "APIFY_API_URL"
    assert mend in answer.stderr
