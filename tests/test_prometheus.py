"""Every query of every dashboard and every alert is answered by a real Prometheus that scrapes a running instance."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.utils import timezone

from amazon_pilot import outside
from amazon_pilot.jobs.models import Release, Tally
from tests.busy_day import busy_day  # noqa: F401 - a fixture

ROOT = Path(django_settings.BASE_DIR)
PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        PROMETHEUS is None and os.environ.get("CI") != "true", reason="Debian: apt-get install prometheus"
    ),
]
TOKEN = "a-token-for-this-test"
# What no calm quarter of an hour has: nothing fails here but what `busy_day` holds, and that lies further back.
MAY_BE_EMPTY = {
    "Errors, share of all answers", "Exceptions by view", "Jobs that call outside, failed of all",
    "Jobs that call outside, tried again", "Outside: errors per minute", "Redis: memory of its limit",
    "Changes today", "Notifications today", "Buy box and stock today", "Messages today that failed",
    "Scrape runs today", "Reports today", "People who track", "Next fires",
}  # fmt: skip
# Samples as the three exporters of compose.yaml serve them, in the form of their own documentation: they watch the host
# and the two stores, and are none of ours.
EXPORTERS = """
node_cpu_seconds_total{cpu="0",mode="idle"} 100
node_cpu_seconds_total{cpu="0",mode="user"} 10
node_memory_MemAvailable_bytes 1e9
node_memory_MemTotal_bytes 2e9
node_filesystem_avail_bytes{device="/dev/sda1",fstype="ext4",mountpoint="/"} 1e9
node_filesystem_size_bytes{device="/dev/sda1",fstype="ext4",mountpoint="/"} 4e9
node_network_receive_bytes_total{device="eth0"} 1000
node_network_transmit_bytes_total{device="eth0"} 1000
pg_stat_database_numbackends{datname="pilot"} 5
pg_stat_database_xact_commit{datname="pilot"} 1000
pg_stat_database_xact_rollback{datname="pilot"} 1
pg_database_size_bytes{datname="pilot"} 1e8
redis_memory_used_bytes 1e7
redis_memory_max_bytes 0
redis_commands_processed_total 1000
"""


class Exporter(BaseHTTPRequestHandler):
    def do_GET(self):
        body = EXPORTERS.strip().encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def exporter():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def prometheus(live_server, exporter, tmp_path, settings):
    """Start Prometheus with the shipped configuration, but for its addresses and its interval."""
    settings.METRICS_TOKEN = TOKEN
    (tmp_path / "token").write_text(TOKEN)
    given = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    given["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    given["rule_files"] = [str(ROOT / "deploy/prometheus/alerts.yml")]
    for job in given["scrape_configs"]:
        own = job["job_name"] == "pilot"
        job["static_configs"] = [{"targets": [live_server.url.removeprefix("http://") if own else exporter]}]
        if own:
            job["authorization"] = {"credentials_file": str(tmp_path / "token")}
            job |= {"scrape_interval": "2s", "scrape_timeout": "2s"}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(given))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen([str(PROMETHEUS), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}/api/v1"
    process.terminate()
    process.wait(30)


def asked(base, path, **words):
    answer = httpx.get(f"{base}/{path}", params=words, timeout=30).json()
    assert answer["status"] == "success", (words, answer)
    return answer["data"]


def result(base, query):
    return asked(base, "query", query=query)["result"]


def boards():
    return [json.loads(path.read_text()) for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))]


def wait_until_scraped(base, times=5):
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            seen = result(base, f'count_over_time(up{{job="pilot"}}[5m]) > {times} and on () up{{job="pilot"}} == 1')
            if seen:
                return
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(0.5)
    raise AssertionError(asked(base, "targets"))


def filled(url, site, labels):
    """Return where a panel's link leads for one series, None if it names a label that the series has not."""
    wanted = re.findall(r"\$\{__field\.labels\.(\w+)\}", url)
    if not set(wanted) <= set(labels):
        return None
    for name in wanted:
        url = url.replace("${__field.labels." + name + "}", labels[name])
    return url.replace("${site}", site)


def test_every_query_is_answered_and_every_link_leads_to_a_list(
    prometheus,
    live_server,
    client,
    busy_day,  # noqa: F811
    transactional_db,
):
    Release.objects.note("2026-06-01")
    Tally.objects.fold(timezone.now())
    for service in outside.SERVICES:
        outside.note(service, "ok", 0.3)
    client.force_login(User.objects.create_superuser("root"))
    cookie = {django_settings.SESSION_COOKIE_NAME: client.cookies[django_settings.SESSION_COOKIE_NAME].value}
    browser = httpx.Client(cookies=cookie, timeout=60)
    for _ in range(2):
        assert browser.get(f"{live_server.url}/admin/").status_code == 200
    wait_until_scraped(prometheus)

    empty, astray, followed = set(), [], 0
    for board in boards():
        for note in board["annotations"]["list"]:
            result(prometheus, note["expr"])
        for panel in board["panels"]:
            series = [each for target in panel["targets"] for each in result(prometheus, target["expr"])]
            if not series:
                empty.add(panel["title"])
                continue
            for link in panel["fieldConfig"]["defaults"].get("links", []):
                addresses = [filled(link["url"], live_server.url, each["metric"]) for each in series]
                if not any(addresses):
                    astray.append((panel["title"], link["url"]))
                    continue
                answer = browser.get(next(filter(None, addresses)))
                followed += 1
                if answer.status_code != 200 or 'id="q-problem"' in answer.text:
                    astray.append((panel["title"], str(answer.url), answer.status_code))

    assert empty <= MAY_BE_EMPTY
    assert astray == []
    assert followed > 20


def test_every_rule_is_evaluated_and_what_is_broken_fires(prometheus, busy_day, transactional_db):  # noqa: F811
    wait_until_scraped(prometheus)
    end, states = time.monotonic() + 30, {}
    while time.monotonic() < end:
        rules = [rule for group in asked(prometheus, "rules")["groups"] for rule in group["rules"]]
        states = {rule["name"]: rule["state"] for rule in rules}
        if states["MonitorAlertFires"] == "firing" and {rule["health"] for rule in rules} == {"ok"}:
            break
        time.sleep(0.5)

    assert {rule["name"]: rule["lastError"] for rule in rules if rule.get("lastError")} == {}
    assert {rule["health"] for rule in rules} == {"ok"}
    assert states["MonitorAlertFires"] == "firing"  # busy_day holds an alert that fires
    assert states["WebDown"] == "inactive"
