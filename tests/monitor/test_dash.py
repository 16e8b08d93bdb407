"""manage.py jobs dash: what it shows on 24 lines of 80 columns, by which keys, in a real pseudo-terminal."""

import os
import pty
import re
import select
import subprocess
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from redis import Redis

from amazon_pilot.jobs.cli import terminal as dash
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import gauges, snapshot, store
from amazon_pilot.jobs.models import Pause
from tests.busy_day import busy_day, failed_run  # noqa: F401 - a fixture
from tests.jobs import tasks
from tests.jobs.conftest import ROOT, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS, HEIGHT = 80, 24
WIDTH = COLUMNS - 1  # the last column stays free


class Terminal:
    """A dash on a screen of 80 x 24, looked at and pressed by a test."""

    def __init__(self):
        self.dash = dash.Dash()

    def screen(self):
        self.dash.load(HEIGHT)
        lines = self.dash.lines(WIDTH, HEIGHT)
        assert len(lines) == HEIGHT
        assert all(dash.breadth(line.text) <= WIDTH for line in lines)
        return "\n".join(line.text for line in lines)

    def press(self, *keys):
        for key in keys:
            assert self.dash.press(key)
            self.dash.load(HEIGHT)
        return self.screen()

    def chosen(self):
        return next((line.text for line in self.dash.lines(WIDTH, HEIGHT) if line.is_chosen), "")


@pytest.fixture
def terminal(redis):
    return Terminal()


@pytest.mark.later
def test_queues_are_told_with_their_states_weights_pauses_and_what_runs(busy_day, redis, terminal):  # noqa: F811
    gauges.take(redis, timezone.now().replace(second=0, microsecond=0) + timedelta(minutes=1))
    redis.delete(snapshot.KEY)
    busy_day.still_alive()

    text = terminal.screen()

    row = next(line for line in text.splitlines() if " default " in line)
    assert row.split()[:6] == ["default", str(queues.size("default")), "2", "1", "1", "1"]
    assert re.search(r"30% +\d+\.\dK", row)
    assert re.search(r"\n  low PAUSED +0 ", text)
    assert "queue:low by boss, until" in text
    assert "Apify is down" in text
    assert "Running now: 1 of 3 slots, 1 workers" in text
    assert re.search(r"default +tests\.jobs\.tell_progress +w1, 1 40%", text)


@pytest.mark.later
def test_a_queue_opens_its_jobs_and_a_job_its_detail(terminal):
    ids = tasks.add.enqueue_many([(n, n + 1) for n in range(50)])
    assert "> critical" in terminal.screen()

    text = terminal.press("down", "enter")
    assert "default: waiting - page 1 of 50 jobs" in text
    assert f"{ids[0][:11]}~" in terminal.chosen()
    assert "tests.jobs.tasks.add(0, 1)".replace(".tasks.", ".") in terminal.chosen()

    text = terminal.press("down", "enter")
    assert f"job_id: {ids[1]}" in text
    assert "args: [1, 2]" in text
    assert f"{ids[1][:11]}~" in (terminal.press("back") and terminal.chosen())
    assert "> default" in terminal.press("back")
    assert "> default" in terminal.press("back")  # from the first view nothing leads back


@pytest.mark.later
def test_pages_follow_each_other(terminal):
    tasks.add.enqueue_many([(n, 0) for n in range(50)])
    terminal.screen()
    terminal.press("down", "enter")
    seen = []
    for page in (1, 2, 3):
        text = terminal.screen()
        assert f"page {page} of 50 jobs" in text
        seen += re.findall(r"add\((\d+), 0\)", text)
        terminal.press("next")
    assert [int(n) for n in seen] == list(range(50))
    assert "page 3" in terminal.screen()  # the last one
    assert "page 2" in terminal.press("previous")


@pytest.mark.slow
def test_left_and_right_lead_through_the_states(busy_day, terminal):  # noqa: F811
    terminal.screen()
    terminal.press("down", "enter")
    titles = [terminal.press("right").splitlines()[0].split(" - ")[0] for _ in dash.TABS]
    assert titles == [f"default: {name}" for name in (
        "running", "scheduled", "held", "failed", "canceled", "succeeded", "waiting",
    )]  # fmt: skip
    assert f"{busy_day.failed[:11]}~" in terminal.press(*["right"] * 4)
    assert f"{busy_day.held[:11]}~" in terminal.press("left")


@pytest.mark.later
def test_the_chosen_job_stays_chosen_when_others_leave(terminal):
    ids = tasks.add.enqueue_many([(n, 0) for n in range(10)])
    terminal.screen()
    terminal.press("down", "enter", "down", "down", "down")
    queues.connection().lpop("rq:queue:default", 2)

    terminal.screen()
    assert f"{ids[3][:11]}~" in terminal.chosen()


@pytest.mark.later
def test_a_long_job_is_scrolled(terminal):
    failed_run("j1", traceback="\n".join(f"line {n}" for n in range(100)), log="The end")
    terminal.dash.views.append(dash.Job("j1"))

    first = terminal.screen()
    assert "job_id: j1" in first
    assert "The end" not in first
    assert "job_id: j1" not in terminal.press("next")
    assert "The end" in terminal.press(*["next"] * 9)
    assert "job_id: j1" in terminal.press(*["previous"] * 9)


def test_a_job_cannot_steer_the_terminal(terminal):
    tasks.do_nothing.enqueue("\x1b[2J\x1b]0;owned\x07", "商品" * 60)
    failed_run("j1", message="\x1b[31mred\x9b", log="a\rb\x08c\x1b[H")
    terminal.screen()

    for text in (terminal.press("down", "enter"), terminal.press("enter")):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    terminal.dash.views.append(dash.Job("j1"))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", terminal.screen())


def test_help_and_quit(terminal):
    terminal.screen()
    assert "Numbers of queues are a sample" in terminal.press("help")
    assert "waiting" in terminal.press("back")
    assert terminal.dash.press("quit") is False


@pytest.mark.later
def test_a_redis_that_is_away_is_told_and_what_was_seen_stays(terminal, monkeypatch):
    terminal.screen()
    monkeypatch.setattr(store, "connect", lambda: Redis(unix_socket_path="/nowhere/redis.sock"))
    text = terminal.screen()
    assert "Redis does not answer" in text
    assert "> critical" in text


@pytest.mark.later
def test_viewers_share_the_sample(redis):
    watchers = [Terminal() for _ in range(20)]
    watchers[0].screen()
    redis.config_resetstat()
    for watcher in watchers:
        watcher.screen()
    calls = {name: row["calls"] for name, row in redis.info("commandstats").items()}
    assert calls.get("cmdstat_evalsha", 0) == 0
    assert calls["cmdstat_get"] <= 20


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.25, "0.2s"), (59.9, "59s"), (320, "5m20s"), (11_400, "3h10m"), (360_000, "4d4h")],
)
def test_spans_are_short(seconds, text):
    assert dash.span(seconds) == text


def test_wide_letters_are_counted_as_two():
    assert dash.cut("商品商品", 5) == "商品~"
    assert dash.wrap("商品商品a", 5) == ["商品", "商品a"]
    assert dash.wrap("", 5) == [""]


def test_a_script_is_told_that_it_needs_a_terminal():
    with pytest.raises(CommandError, match="needs a terminal"):
        call_command("jobs", "dash")
    with pytest.raises(CommandError, match="at least 1"):
        call_command("jobs", "dash", "--refresh", "0.5")


class Screen:
    """As much of a VT100 as curses uses of one: letters, where the cursor goes, and what is wiped out."""

    def __init__(self, master):
        self.master, self.cells, self.y, self.x, self.left = master, [[" "] * COLUMNS for _ in range(HEIGHT)], 0, 0, ""

    def text(self):
        while select.select([self.master], [], [], 0.05)[0]:
            try:
                self.obey(self.left + os.read(self.master, 65536).decode(errors="replace"))
            except OSError:  # the other side has ended
                break
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def obey(self, words):
        pattern = re.compile(r"\x1b\[(?P<by>[\d;?]*)(?P<verb>[A-Za-z])|\x1b[()].|\x1b[=>78DM]|(?P<letter>[^\x1b])")
        place = 0
        while match := pattern.match(words, place):
            place = match.end()
            if match["letter"]:
                self.write(match["letter"])
            elif match["verb"]:
                self.steer(match["verb"], [int(n) for n in match["by"].strip("?").split(";") if n])
        self.left = words[place:]

    def write(self, letter):
        if letter == "\r":
            self.x = 0
        elif letter == "\n":
            self.y = min(HEIGHT - 1, self.y + 1)
        elif letter == "\b":
            self.x = max(0, self.x - 1)
        elif letter >= " ":
            self.cells[self.y][min(self.x, COLUMNS - 1)] = letter
            self.x += 1

    def steer(self, verb, by):
        n = by[0] if by else 1
        if verb == "H":
            self.y, self.x = (by[0] - 1, by[1] - 1) if len(by) > 1 else (0, 0)
        elif verb in "ABCD":
            self.y += {"A": -n, "B": n}.get(verb, 0)
            self.x += {"C": n, "D": -n}.get(verb, 0)
        elif verb == "K":
            span = range(self.x + 1) if by == [1] else range(self.x, COLUMNS)
            for x in span:
                self.cells[self.y][x] = " "
        elif verb == "J":
            for y in range(self.y, HEIGHT):
                for x in range(self.x if y == self.y else 0, COLUMNS):
                    self.cells[y][x] = " "


@pytest.mark.slow
def test_it_works_in_a_terminal_without_colours(process_env):
    tasks.add.enqueue_many([(n, n) for n in range(5)])
    Pause.objects.begin("queue:low", by=None, reason="A test")
    master, slave = pty.openpty()
    env = process_env | {"TERM": "vt100", "LINES": str(HEIGHT), "COLUMNS": str(COLUMNS), "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "jobs", "dash", "--refresh", "1"], cwd=ROOT, env=env, stdin=slave, stdout=slave,
        stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    screen = Screen(master)

    def shows(word):
        return wait_for(lambda: word in (text := screen.text()) and text, f"{word} on {screen.cells}")

    try:
        assert re.search(r"> critical +0", shows("PAUSED queue:low by the machine"))
        os.write(master, b"j")
        assert re.search(r"> default +5", shows("> default"))
        os.write(master, b"\r")
        shows("tests.jobs.add(4, 4)")
        os.write(master, b"\x1bOB\r")  # arrow down, then Enter
        shows("args: [1, 1]")
        tasks.add.enqueue(9, 9)
        os.write(master, b"\x1b")
        shows("tests.jobs.add(9, 9)")
        os.write(master, b"?")
        shows("Numbers of queues are a sample")
        os.write(master, b"q")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
