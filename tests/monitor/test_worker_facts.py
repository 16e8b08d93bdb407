"""What a worker tells of itself: processor time, uptime, versions; and the newest failure that its slots had."""

import platform
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from amazon_pilot import __version__
from amazon_pilot.jobs.inspect import store, workers
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.worker import processor_time
from amazon_pilot.jobs.worker.processor_time import ProcessorTime, used_by
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.staff import serve

from .test_workers import look, shown

pytestmark = pytest.mark.django_db(transaction=True)


# Processor time


def burn(seconds):
    """Use so many seconds of processor time, however busy the machine is."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_share_is_what_was_used_by_what_went_by():
    used = ProcessorTime()
    assert used.share([]) is None  # there is nothing to compare with yet
    began = time.monotonic()
    burn(0.6)

    assert used.share([]) == pytest.approx(0.6 / (time.monotonic() - began), rel=0.25)


def test_a_slot_counts_while_it_lives_and_after_it_has_ended():
    used = ProcessorTime()
    program = "import time\nwhile time.process_time() < 0.6: pass\nprint(1, flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    used.share([child.pid])
    began = time.monotonic()
    child.stdout.readline()
    assert used_by(child.pid) >= 0.5
    alive = used.share([child.pid]) * (time.monotonic() - began)
    child.communicate(b"\n")

    assert used.share([]) * (time.monotonic() - began) == pytest.approx(alive, abs=0.3)


def test_lately_is_ten_seconds(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(processor_time.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(processor_time.os, "times", lambda: (min(clock[0], 20.0), 0.0, 0.0, 0.0, 0.0))
    used, shares = ProcessorTime(), []
    for second in range(41):
        clock[0] = float(second)
        shares.append(used.share([]))

    assert shares[1:21] == [1.0] * 20
    assert shares[25] == 0.5
    assert shares[30:] == [0.0] * 11


@pytest.mark.parametrize("pid", [0, 2**22 + 1, -1])
def test_a_process_that_is_none_has_used_nothing(pid):
    assert used_by(pid) == 0.0


def test_a_name_full_of_brackets_and_spaces_is_no_trouble(tmp_path):
    odd = tmp_path / "a) 1 (b"
    odd.symlink_to(sys.executable)
    child = subprocess.Popen([odd, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert 0.0 <= used_by(child.pid) < 10
    finally:
        child.communicate(b"\n")


def test_a_real_worker_tells_processor_uptime_and_versions(person, start):  # noqa: F811
    start("--slots", "1", RELEASE="spring")
    tasks.burn.enqueue(20)
    worker = wait_for(lambda: (one := shown())["busy"] and (one["cpu"] or 0) > 0.3 and one, "a share")

    assert worker["cpu"] < 3
    assert 0 < worker["uptime"] < 60
    assert worker["runs"] == {
        "release": "spring", "version": __version__, "python": platform.python_version(), "rq": worker["runs"]["rq"],
    }  # fmt: skip
    text = " ".join(look(person("view"), "workers").split())
    assert f"{__version__} (spring), Python {platform.python_version()}, rq {worker['runs']['rq']}" in text


def test_a_worker_of_an_older_version_is_shown_without_them(person, capsys):
    serve()
    client = person("view")

    assert "Processor" in look(client, "workers")
    assert client.get(reverse("monitor:api-workers")).json()["workers"][0]["last_error"] is None
    capsys.readouterr()
    call_command("jobs", "workers")
    assert "up 0.0 h" in capsys.readouterr().out


# The last error


def failed(worker, minutes, **fields):
    began = timezone.now() - timedelta(minutes=minutes)
    number = JobRun.objects.count()
    given = {"outcome": "failed", "exception": "shop.TooBig", "fingerprint": "f", "task": "shop.tasks.look"} | fields
    return JobRun(job_id=f"j{number}", execution_id=f"e{number}", queue="low", worker=worker, started_at=began, **given)


def test_the_newest_failure_of_each_worker_is_found_in_one_query(django_assert_num_queries):
    for worker, minutes, fields in [
        ("w1", 30, {}), ("w1", 3, {"outcome": "retrying", "exception": "shop.TryAgain"}), ("w1", 40, {}),
        ("w1", 1, {"outcome": "succeeded", "exception": "", "fingerprint": ""}),
        ("w2", 5, {"outcome": "lost", "exception": "", "cause": "lease lost"}), ("w2", 500, {}),
        ("elsewhere", 1, {}), ("w3", 8 * 24 * 60, {}),
    ]:  # fmt: skip
        failed(worker, minutes, **fields).save()

    with django_assert_num_queries(1):
        found = workers.last_errors(["w1", "w2", "w3", "w4"])

    assert {name: (error["job_id"], error["exception"], error["cause"]) for name, error in found.items()} == {
        "w1": ("j1", "shop.TryAgain", ""), "w2": ("j4", "", "lease lost"),
    }  # fmt: skip
    with django_assert_num_queries(0):
        assert workers.last_errors([]) == {}


def test_of_two_failures_that_began_at_once_one_is_told():
    first, second = failed("w1", 5), failed("w1", 5)
    second.job_id, second.started_at = "second", first.started_at
    JobRun.objects.bulk_create([first, second])

    assert workers.last_errors(["w1"])["w1"]["job_id"] == "second"


def test_a_thousand_failures_are_looked_at_and_no_more(monkeypatch):
    monkeypatch.setattr(workers, "LOOKED_AT", 3)
    failed("rare", 60).save()
    for minute in range(2):
        failed("often", minute).save()
    assert set(workers.last_errors(["rare", "often"])) == {"rare", "often"}

    failed("often", 2).save()
    assert set(workers.last_errors(["rare", "often"])) == {"often"}


@pytest.mark.both
def test_page_json_and_command_line_tell_the_last_error(person, capsys):
    serve()
    failed("w1", 5).save()
    client = person("view")

    text = look(client, "workers")
    assert reverse("monitor:job", args=["j0"]) in text
    assert "TooBig" in text
    [told] = client.get(reverse("monitor:api-workers")).json()["workers"]
    assert (told["last_error"]["job_id"], told["last_error"]["exception"]) == ("j0", "shop.TooBig")
    capsys.readouterr()
    call_command("jobs", "workers")
    assert "shop.TooBig j0" in capsys.readouterr().out


def test_a_dead_worker_keeps_its_last_error(person):
    serve()
    store.connect().zadd("pilot:workers", {"w1": time.time() - 100})
    failed("w1", 5).save()

    text = look(person("view"), "workers")
    assert "fell silent" in text
    assert "TooBig" in text
