"""compose.yaml and deploy/: what can be known of them without a container engine."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

ROOT = Path(settings.BASE_DIR)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("migrate", "web", "worker", "scheduler")
PROMTOOL = shutil.which("promtool")


def test_compose_has_each_part_of_the_product_and_its_watchers():
    assert set(SERVICES) == {*OURS, "postgres", "redis", "prometheus", "grafana"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_commands_that_exist(name):
    words = SERVICES[name]["command"]

    assert words[0] in ("python", "gunicorn")
    assert words[0] == "gunicorn" or words[2] in get_commands()


def test_every_variable_that_compose_sets_is_read_by_the_settings():
    source = (ROOT / "amazon_pilot" / "settings.py").read_text()

    unread = [name for name in COMPOSE["x-app"]["environment"] if f'"{name}"' not in source]

    assert unread == []


def test_every_variable_that_the_settings_read_is_explained():
    source = (ROOT / "amazon_pilot" / "settings.py").read_text()
    read = set(re.findall(r'(?:env\.\w+|read|whole|dollars|address|choice)\(\s*"([A-Z_]+)"', source))
    explained = (ROOT / "docs" / "settings.md").read_text()

    assert len(read) > 25
    assert [name for name in sorted(read) if f"`{name}`" not in explained and f"…{name[-7:]}`" not in explained] == []


def test_every_mounted_file_exists_and_no_service_waits_for_an_unknown_one():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists()
            assert source.startswith("./") or source in COMPOSE["volumes"]
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_only_the_loopback_is_published():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.skipif(PROMTOOL is None and os.environ.get("CI") != "true", reason="Debian: apt-get install prometheus")
def test_promtool_accepts_the_alerts():
    answer = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(ROOT / "deploy/prometheus/alerts.yml")], capture_output=True, text=True
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr


def names_in(expression: str) -> set[str]:
    """The metrics that a query names."""
    return {name.removesuffix("_bucket") for name in re.findall(r"\b(?:pilot|django)_[a-z_]+", expression)}


def exposed(text: str) -> set[str]:
    """The metrics that a scrape shows, those without a sample yet included."""
    return set(re.findall(r"^# TYPE (\S+)", text, re.M)) | set(re.findall(r"^([a-z_]+)[{ ]", text, re.M))


@pytest.mark.django_db
def test_every_query_of_a_dashboard_and_an_alert_names_a_metric_that_is_served(admin_client):
    served = exposed(admin_client.get("/metrics").content.decode())
    boards = [json.loads(path.read_text()) for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")]
    queries = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    queries += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]

    wanted = set().union(*(names_in(query) for query in queries))

    assert {board["uid"] for board in boards} == {"system", "api", "business"}
    assert sorted(wanted - served) == []


def test_metrics_want_a_token_or_a_login(client, settings, db):
    settings.METRICS_TOKEN = "a-token"

    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert b"pilot_products" in client.get("/metrics", headers={"Authorization": "Bearer a-token"}).content
