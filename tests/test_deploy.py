"""compose.yaml and deploy/: what can be known of them without a container engine."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from tests.test_settings import VARIABLES

ROOT = Path(settings.BASE_DIR)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("migrate", "web", "worker", "scheduler")
PROMTOOL = shutil.which("promtool")


def test_compose_has_each_part_of_the_product_and_its_watchers():
    exporters = {"node-exporter", "postgres-exporter", "redis-exporter"}
    assert set(SERVICES) == {*OURS, "postgres", "redis", "prometheus", "grafana", *exporters}


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_commands_that_exist(name):
    words = SERVICES[name]["command"]

    assert words[0] in ("python", "gunicorn")
    assert words[0] == "gunicorn" or words[2] in get_commands()


def test_every_variable_that_compose_sets_is_read_by_the_settings():
    assert set(COMPOSE["x-app"]["environment"]) <= {*VARIABLES, "REDIS_URL"}


def test_every_variable_that_the_settings_read_is_explained():
    explained = (ROOT / "docs" / "settings.md").read_text()

    assert len(VARIABLES) > 40
    assert [name for name in VARIABLES if f"`{name}`" not in explained and f"…{name[-7:]}`" not in explained] == []


def test_compose_hands_every_variable_on_that_is_not_its_own_affair():
    own = {"VAR_DIR", "PORT", "SANDBOX_URL", "REDIS_PATIENCE_SECONDS"}
    environment = COMPOSE["x-app"]["environment"]

    assert sorted(set(VARIABLES) - own - set(environment)) == []
    for name, value in environment.items():
        assert name in value or name in ("DATABASE_URL", "REDIS_URL", "SANDBOX_URL"), name


def compose_environment(**given: str) -> dict[str, str]:
    """What compose.yaml gives to our containers where .env holds `given`: ${NAME:-default} and ${NAME:?sentence}."""

    def fill(match: re.Match[str]) -> str:
        name, kind, word = match.groups()
        if given.get(name):
            return given[name]
        assert kind == ":-", f"{name} has to be given: {word}"
        return word

    environment = COMPOSE["x-app"]["environment"]
    return {name: re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", fill, value) for name, value in environment.items()}


NEEDED = dict.fromkeys(("SECRET_KEY", "METRICS_TOKEN", "POSTGRES_PASSWORD", "REDIS_PASSWORD"), "x" * 50)
REAL = {"APIFY_TOKEN": "apify_api_real", "OPENAI_API_KEY": "sk-real"}
SHOW = (
    "import json; from amazon_pilot import settings as s; print(json.dumps([s.APIFY_API_URL, s.APIFY_TOKEN, "
    "s.OPENAI_BASE_URL, s.OPENAI_API_KEY, s.SANDBOX_SERVES, s.APIFY_DAILY_BUDGET_USD.to_eng_string()]))"
)


@pytest.mark.slow
@pytest.mark.parametrize("site", ["", "https://pilot.example"])
@pytest.mark.parametrize("tokens", [{}, REAL, {"APIFY_TOKEN": "apify_api_real"}])
def test_under_compose_tokens_alone_decide_and_budgets_arrive(tmp_path, site, tokens):
    given = compose_environment(**NEEDED, **tokens, SITE_URL=site, APIFY_DAILY_BUDGET_USD="7")
    env = {"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path / "var"), **given}

    answer = subprocess.run([sys.executable, "-c", SHOW], env=env, capture_output=True, text=True, cwd=ROOT)

    assert answer.stderr == ""
    apify, token, model, key, serves, budget = json.loads(answer.stdout)
    for known, url, secret in (("APIFY_TOKEN", apify, token), ("OPENAI_API_KEY", model, key)):
        assert url.startswith("http://web:8000/sandbox/") == (known not in tokens)
        assert (secret == tokens.get(known)) == (known in tokens)
    assert len(serves) == 2 - len(tokens)
    assert budget == "7"


@pytest.mark.slow
@pytest.mark.parametrize("site", ["http://localhost:8000", "https://pilot.example"])
def test_the_web_of_compose_answers_its_health_check_prometheus_and_the_sandbox_without_detour(
    process_env, tmp_path, site
):
    given = compose_environment(**NEEDED, SITE_URL=site) | {"VAR_DIR": str(tmp_path / "var")}
    kept = {name: process_env[name] for name in ("DATABASE_URL", "PATH", "DJANGO_SETTINGS_MODULE")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in SERVICES["web"]["command"]]
    env = given | kept | {"REDIS_URL": f"unix://{settings.REDIS_SOCKET}"}
    web = subprocess.Popen([sys.executable, "-m", *words], env=env, cwd=ROOT)
    try:
        base = f"http://127.0.0.1:{port}"
        until_served(f"{base}/health")
        check = SERVICES["web"]["healthcheck"]["test"][3].replace("8000", str(port))
        assert subprocess.run([sys.executable, "-c", check], timeout=30).returncode == 0
        headers = {"Host": "web:8000", "Authorization": f"Bearer {NEEDED['METRICS_TOKEN']}"}
        assert b"pilot_products" in httpx.get(f"{base}/metrics", headers=headers, timeout=30).content
        assert httpx.get(f"{base}/sandbox/apify/v2/actor-runs", headers={"Host": "web:8000"}).status_code == 401
        picture = httpx.get(f"{base}/sandbox/pictures/B0LAMP0001-1.jpg", headers={"Host": "web:8000"})
        assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/jpeg")
        assert httpx.get(f"{base}/login/").status_code == (301 if site.startswith("https") else 200)
    finally:
        web.terminate()
        web.wait(30)


def until_served(url: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            assert httpx.get(url, timeout=10).status_code == 200
            return
        except httpx.HTTPError:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_every_mounted_file_exists_and_no_service_waits_for_an_unknown_one():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists()
            assert source.startswith("./") or source in COMPOSE["volumes"] or volume == "/:/host:ro,rslave"
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
