"""Trouble beneath us: each gets a plain message, and nothing is lost."""

import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.urls import reverse
from django.utils.timezone import now
from redis.backoff import NoBackoff
from redis.retry import Retry

from amazon_pilot import embedded
from amazon_pilot.jobs.core import queues
from products.models import Product, Tracking
from products.tasks import resume_unfinished
from tests.world import enqueued

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def redis_away(redis_server):
    """Redis cannot be reached: nobody listens where the process looks for it."""
    kept = settings.REDIS.copy()
    settings.REDIS |= {"unix_socket_path": str(settings.VAR_DIR / "nobody.sock"), "retry": Retry(NoBackoff(), 0)}
    queues._connections.clear()
    yield
    settings.REDIS |= kept
    queues._connections.clear()


def test_with_redis_away_a_refresh_is_kept_and_begins_by_itself_later(page, lamp, redis_away):
    answer = page.post(reverse("products:refresh", args=[lamp.marketplace, lamp.asin]), follow=True)

    assert "The queue is away just now" in answer.content.decode()
    lamp.refresh_from_db()
    assert lamp.asked_at is not None


def test_what_was_asked_for_while_redis_was_away_is_enqueued_afterwards(lamp):
    Product.objects.update(asked_at=now() - timedelta(minutes=2))

    resume_unfinished()

    assert ("products.tasks.batch_update_products", [[lamp.pk]]) in enqueued()


@pytest.mark.skipif("postgresql" in settings.DATABASES["default"]["ENGINE"], reason="SQLite's own error")
def test_a_full_disk_gets_a_plain_message_and_loses_nothing(page, lamp):
    data = {"marketplace": "amazon.com", "role": "own", "frequency": "3_daily"}
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # earlier tests left pages free
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
        try:
            for turn in range(10):  # the pages that the file has already may hold the first hundreds
                before = (Product.objects.count(), Tracking.objects.count())
                products = "\n".join(f"B{turn}{number:08}" for number in range(100))
                answer = page.post(reverse("products:add"), data | {"products": products})
                if answer.status_code == 503:
                    break
        finally:
            cursor.execute("PRAGMA max_page_count = 1073741823")

    assert "The disk is full, so nothing was changed" in answer.content.decode()
    assert (Product.objects.count(), Tracking.objects.count()) == before


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["APIFY", "OPENAI"])
def test_a_missing_token_outside_the_sandbox_stops_the_start(process_env, variable):
    urls = {
        "APIFY": ("APIFY_API_URL", "https://api.apify.com"),
        "OPENAI": ("OPENAI_BASE_URL", "https://llm.example/v1"),
    }
    name, url = urls[variable]

    answer = subprocess.run(
        [sys.executable, "manage.py", "check"], env=process_env | {name: url}, capture_output=True, text=True
    )

    assert answer.returncode == 1
    assert answer.stderr.startswith(f"{name} cannot be used: ")
    assert "is empty, but" in answer.stderr


@pytest.mark.slow
def test_the_deploy_check_is_clean_with_production_settings(process_env):
    env = process_env | {
        "SITE_URL": "https://pilot.example.com",
        "SECRET_KEY": "k7Qw9zX2vB5nM8rT1yU4iO6pA3sD0fG7hJ9kL2zXcVbN5mQ8wE1rT4y",
        "APIFY_TOKEN": "t",
        "OPENAI_API_KEY": "t",
    }
    words = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]

    answer = subprocess.run(words, env=env, capture_output=True, text=True)

    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_bundled_redis_listens_nowhere_but_on_its_socket(redis):
    assert redis.config_get("port")["port"] == "0"
    assert oct(settings.REDIS_SOCKET.stat().st_mode & 0o777) == "0o600"
    assert redis.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_bundled_redis_ends_with_its_parent_even_when_that_is_killed(process_env, tmp_path):
    code = (
        "import django, os, signal; django.setup(); from amazon_pilot import embedded\n"
        "print(embedded.start().pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = process_env | {"VAR_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()}

    parent = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)

    pid = int(parent.stdout)
    assert parent.returncode == -9
    deadline = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_second_product_on_the_same_folder_is_refused(redis):
    with pytest.raises(RuntimeError, match="already runs"):
        embedded.start()
