"""`manage.py start`, which make run calls: the whole product as real processes, from the schedule to the alert."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User

from analysis.models import Comparison, Report
from notifications.models import Notification
from products.models import Change, Product, Snapshot

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(300)]


class Running:
    """The product as somebody started it in a terminal, with what it has printed."""

    def __init__(self, env: dict[str, str], folder: Path, *words: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.log = folder / "start.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "start", "--port", str(self.port), *words],
                env=env | {"VAR_DIR": str(folder / "var"), "ADMIN_PASSWORD": "a-password-for-tests"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def pid_of(self, name: str) -> int:
        """The process id that the log names."""
        return int(re.search(rf"{name} started \(pid=(\d+)\)", self.text)[1])  # type: ignore[index]

    def processes(self) -> list[str]:
        """The command lines of all living processes that were started with our folder in their environment."""
        mark, found = str(self.folder).encode(), []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it ended while we looked, or is another user's
        return [line for line in found if line]


@pytest.fixture
def running(request: pytest.FixtureRequest, process_env: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    product = Running(process_env, tmp_path, *getattr(request, "param", ()))
    yield product
    if product.process.poll() is None:
        product.process.kill()
        product.process.wait()


def until(happened: Callable[[], object], seconds: float, what: str, product: Running) -> None:
    """Wait until something has happened; fail with what it was and the end of the log."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline or product.process.poll() is not None:
            raise AssertionError(f"not within {seconds} s: {what}\n{product.text[-3000:]}")
        time.sleep(0.25)


def serves(product: Running) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{product.port}/login/", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_whole_path_from_the_schedule_to_the_alert(running):
    until(lambda: serves(running), 90, "the login page", running)
    served_at = time.monotonic()
    seeded = Snapshot.objects.count()

    def fresh() -> bool:
        return Product.objects.filter(checked_at__gte=User.objects.get().date_joined).count() >= 12

    until(fresh, 120, "a fresh snapshot of twelve products", running)
    until(lambda: Report.objects.filter(kind="competitors", state="completed").exists(), 120, "a report", running)
    until(lambda: Report.objects.filter(kind="optimization", state="completed").exists(), 120, "suggestions", running)
    until(lambda: Notification.objects.filter(channel__kind="email", state="sent").exists(), 120, "a mail", running)
    print(f"all of it {time.monotonic() - served_at:.0f} s after serving")

    assert seeded >= 21 * 28
    assert Change.objects.exists()
    assert list((running.folder / "var" / "mail").iterdir())
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}", follow_redirects=True, timeout=30) as browser:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get("/login/").text)[1]
        form = {"username": "admin", "password": "a-password-for-tests", "csrfmiddlewaretoken": token}
        assert "Since yesterday" in browser.post("/login/", data=form).text
        assert "What to do" in browser.get(f"/comparisons/{Comparison.objects.get().pk}/").text
        assert "Evidence" in browser.get("/products/amazon.com/B0LAMP0001/suggestions/").text
        assert "Acknowledge" in browser.get("/notifications/").text
        assert len(browser.get("/products/amazon.com/B0LAMP0001/history.json").json()["price"]) > 28
        assert browser.get("/admin/").status_code == 200
        assert "pilot_products" in browser.get("/metrics").text

    stopped_at = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(20)
    assert time.monotonic() - stopped_at < 10
    assert running.process.returncode == 143
    assert running.processes() == []


@pytest.mark.parametrize("running", [["--no-demo"]], indirect=True)
def test_when_one_process_dies_the_others_are_stopped_and_the_exit_code_says_so(running):
    until(lambda: "scheduler started" in running.text and serves(running), 90, "all processes", running)

    os.kill(running.pid_of("scheduler"), signal.SIGKILL)

    assert running.process.wait(30) not in (0, None)
    assert "scheduler stopped" in running.text
    assert running.processes() == []


@pytest.mark.parametrize("running", [["--no-demo"]], indirect=True)
def test_killed_with_9_it_leaves_no_process_behind(running):
    until(lambda: "scheduler started" in running.text and serves(running), 90, "all processes", running)

    running.process.kill()
    running.process.wait()

    deadline = time.monotonic() + 90
    while running.processes() and time.monotonic() < deadline:
        time.sleep(0.25)
    assert running.processes() == []


def test_a_taken_port_gets_a_message_that_names_the_way_out(process_env, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = subprocess.run(
            [sys.executable, "manage.py", "start", "--port", str(port)],
            env=process_env | {"VAR_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    assert answer.returncode == 1
    assert f"Port {port} cannot be used" in answer.stderr
    assert f"make run PORT={port + 1}" in answer.stderr
