"""The monitor in a terminal: `manage.py jobs dash` shows queues, the jobs of a state and one job, and changes nothing.

A view loads what it shows and answers it as plain lines; curses only paints them and reads keys. Queues come from the
sample that all viewers share, and a list looks at no more than one page of the job list does.
"""

import curses
import locale
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from redis.exceptions import RedisError

from ..core.picture import Running
from ..core.values import Args, Kwargs
from ..inspect import as_json, lists, snapshot, store
from ..inspect.job_detail import collect
from ..inspect.query import parse
from ..inspect.snapshot import QueueSample, Sample
from ..inspect.words import json_text
from ..models import Pause
from .options import Told

KEYS = {
    curses.KEY_UP: "up", ord("k"): "up", curses.KEY_DOWN: "down", ord("j"): "down", curses.KEY_LEFT: "left",
    ord("h"): "left", curses.KEY_RIGHT: "right", ord("l"): "right", curses.KEY_ENTER: "enter", 10: "enter", 13: "enter",
    27: "back", 127: "back", 8: "back", curses.KEY_BACKSPACE: "back", ord("n"): "next", curses.KEY_NPAGE: "next",
    ord("p"): "previous", curses.KEY_PPAGE: "previous", ord("?"): "help", ord("q"): "quit",
}  # fmt: skip
# What the list of a queue leads through with left and right: its name, and the question to the box.
TABS = (
    ("waiting", "state:queued"), ("running", "state:started"), ("scheduled", "state:scheduled"),
    ("held", "state:deferred"), ("failed", "state:failed"), ("canceled", "state:canceled"),
    ("succeeded", "outcome:succeeded"),
)  # fmt: skip
HELP = """Keys

  j k, up down      move, or scroll a job
  Enter, l, right   open a queue or a job
  h l, left right   in a list: the state before, the next state
  n p, page keys    next page, previous page
  Esc, Backspace    back
  ?                 this help
  q                 quit

Numbers of queues are a sample that all viewers share; its age stands at the top.
Nothing is changed from here: see manage.py jobs --help for the verbs."""
SHORTEST = 0.2  # seconds between two looks, though somebody may lean on a key
FRAME = 3  # lines that the frame takes: one above the view, two below it


@dataclass(frozen=True)
class Line:
    """One line of the screen; the chosen one begins with > as well, for terminals that show no emphasis."""

    text: str
    is_chosen: bool = False
    is_heading: bool = False


class View(ABC):
    """One screen: `load` looks, `lines` tells, `press` answers the view to open, None to stay."""

    title = ""
    hint = ""
    note = ""

    @abstractmethod
    def load(self, room: int) -> None:
        """Look anew, at as much as `room` lines can show."""

    @abstractmethod
    def lines(self, width: int, room: int) -> list[Line]:
        """Return at most `room` lines."""

    @abstractmethod
    def press(self, key: str) -> "View | None":
        """Do what a key means here; returns another view where one is opened."""


class Queues(View):
    """All queues with their sizes by state, weights and pauses; below them what runs now."""

    title = "queues"
    hint = "Enter opens, j k move, ? help, q quit"

    def __init__(self) -> None:
        self.chosen = 0
        self.seen: Sample | None = None
        self.pauses: list[Pause] = []

    def load(self, room: int) -> None:
        self.seen = snapshot.current()
        self.pauses = list(Pause.objects.active().select_related("by"))

    def lines(self, width: int, room: int) -> list[Line]:
        seen = self.seen
        if seen is None:
            return []
        self.note = f"sampled {span(seen.age)} ago" + (" - STALE" if seen.is_stale else "")
        heading = f"  {'queue':16}{'waiting':>9}{'running':>8}{'sched.':>7}{'held':>7}{'failed':>8}{'oldest':>8}"
        found = [Line(heading + f"{'weight':>7}{'memory':>7}", is_heading=True)]
        for place, queue in enumerate(seen.queues):
            is_chosen = place == self.chosen
            found.append(Line(("> " if is_chosen else "  ") + self.row(queue), is_chosen))
        found += [Line(""), *[Line(f"PAUSED {paused(pause)}") for pause in self.pauses]]
        slots = sum(len(worker["slots"]) for worker in seen.alive)
        running = f"Running now: {len(seen.running)} of {slots} slots, {len(seen.alive)} workers"
        found.append(Line(running + ("" if seen.alive else " - NOTHING STARTS"), is_heading=True))
        found += [Line("  " + running_row(slot, seen.taken_at)) for slot in seen.running]
        if len(found) > room:
            found = [*found[: room - 1], Line(f"  and {len(found) - room + 1} lines more")]
        return found

    def row(self, queue: QueueSample) -> str:
        name = f"{cut(queue.name, 8)} PAUSED" if queue.paused else cut(queue.name, 15)
        numbers = f"{queue.waiting:>9}{queue.running:>8}{queue.scheduled:>7}{queue.deferred:>7}{queue.failed:>8}"
        oldest = span(queue.oldest) if queue.waiting else "-"
        return f"{name:16}{numbers}{oldest:>8}{queue.weight_ratio * 100:>6.0f}%{size(queue.memory):>7}"

    def press(self, key: str) -> View | None:
        queues = self.seen.queues if self.seen else []
        if key in ("up", "down"):
            self.chosen = max(0, min(len(queues) - 1, self.chosen + (1 if key == "down" else -1)))
        elif key in ("enter", "right") and queues:
            return Jobs(queues[self.chosen].name)
        return None


class Jobs(View):
    """The jobs of one queue in one state, a page at a time."""

    hint = "Enter opens, h l other state, n p pages, Esc back, ? help, q quit"

    def __init__(self, queue: str) -> None:
        self.queue, self.tab, self.chosen = queue, 0, 0
        self.cursors = [""]  # of the pages that lead to this one
        self.listing = lists.Listing()

    @property
    def title(self) -> str:  # type: ignore[override]
        return f"{self.queue}: {TABS[self.tab][0]}"

    def load(self, room: int) -> None:
        chosen = self.listing.rows[self.chosen].job_id if self.listing.rows else ""
        question = parse(f'{TABS[self.tab][1]} queue:"{self.queue}"')
        self.listing = lists.find(question, self.cursors[-1], max(1, room - 2))
        ids = [row.job_id for row in self.listing.rows]
        # A job that is still there stays the chosen one, wherever it stands now.
        self.chosen = ids.index(chosen) if chosen in ids else max(0, min(len(ids) - 1, self.chosen))

    def lines(self, width: int, room: int) -> list[Line]:
        tabs = "  ".join(f"[{name}]" if place == self.tab else name for place, (name, _ask) in enumerate(TABS))
        total = "" if self.listing.total is None else f"{self.listing.total}{'+' if self.listing.is_more_than else ''}"
        self.note = f"page {len(self.cursors)}" + (f" of {total} jobs" if total else "")
        found = [Line(tabs, is_heading=True)]
        found += [Line(f"  {'when':20}{'state':10}{'try':>3}  {'job':14}task and arguments", is_heading=True)]
        for place, row in enumerate(self.listing.rows[: room - 2]):
            is_chosen = place == self.chosen
            arguments = call(row.args, row.kwargs)
            text = f"{clock(row.when):20}{row.state:10}{row.attempt:>3}  {cut(row.job_id, 12):14}"
            found.append(Line(("> " if is_chosen else "  ") + f"{text}{short(row.task)}({arguments})", is_chosen))
        if not self.listing.rows:
            found.append(Line("  None." if not self.listing.note else f"  {self.listing.note}"))
        return found

    def press(self, key: str) -> View | None:
        rows = self.listing.rows
        if key in ("up", "down"):
            self.chosen = max(0, min(len(rows) - 1, self.chosen + (1 if key == "down" else -1)))
        elif key == "enter" and rows:
            return Job(rows[self.chosen].job_id)
        elif key in ("left", "right"):
            self.tab = (self.tab + (1 if key == "right" else -1)) % len(TABS)
            self.begin([""])
        elif key == "next" and self.listing.following:
            self.begin([*self.cursors, self.listing.following])
        elif key == "previous" and len(self.cursors) > 1:
            self.begin(self.cursors[:-1])
        return None

    def begin(self, cursors: list[str]) -> None:
        """Turn to another page; what is loaded next belongs to it."""
        self.cursors, self.chosen, self.listing = cursors, 0, lists.Listing()


class Job(View):
    """All that is known of one job, to scroll through."""

    hint = "j k scroll, n p pages, Esc back, ? help, q quit"

    def __init__(self, job_id: str) -> None:
        self.job_id, self.top, self.room, self.length = job_id, 0, 1, 0
        self.texts: list[str] = []
        self.wrapped: tuple[int, list[str]] = (0, [])  # for which width, and the parts
        self.title = f"job {job_id}"

    def load(self, room: int) -> None:
        known = collect(store.connect(), self.job_id)
        self.texts = (
            told(as_json.job_of(known)) if known.is_known else ["Neither Redis nor the history knows this job."]
        )
        self.wrapped = (0, [])

    def lines(self, width: int, room: int) -> list[Line]:
        if self.wrapped[0] != width:
            self.wrapped = (width, [part for text in self.texts for part in wrap(text, width)])
        wrapped = self.wrapped[1]
        self.room, self.length = room, len(wrapped)
        self.top = max(0, min(self.top, self.length - room))
        self.note = f"lines {self.top + 1} to {min(self.length, self.top + room)} of {self.length}"
        return [Line(text) for text in wrapped[self.top : self.top + room]]

    def press(self, key: str) -> View | None:
        step = {"up": -1, "down": 1, "next": self.room, "previous": -self.room}.get(key, 0)
        self.top = max(0, min(self.top + step, self.length - self.room))
        return None


class Help(View):
    """What the keys mean."""

    title, hint = "help", "Esc back, q quit"

    def load(self, room: int) -> None:
        """There is nothing to look at: the keys stay what they are."""

    def lines(self, width: int, room: int) -> list[Line]:
        return [Line(text) for line in HELP.splitlines() for text in wrap(line, width)][:room]

    def press(self, key: str) -> View | None:
        return None


class Dash:
    """The views that lie on each other, the newest on top, and the frame around it."""

    def __init__(self) -> None:
        self.views: list[View] = [Queues()]
        self.problem = ""

    def load(self, height: int) -> None:
        """Have the view on top look anew; where Redis or the database is away it keeps what it had, and says so."""
        try:
            close_old_connections()
            self.views[-1].load(height - FRAME)
            self.problem = ""
        except RedisError as error:
            self.problem = f"Redis does not answer: {error}"
        except DatabaseError as error:
            self.problem = f"The database does not answer: {error}"

    def press(self, key: str) -> bool:
        """Do what a key means; False where it means to quit."""
        if key == "quit":
            return False
        if key == "help" and not isinstance(self.views[-1], Help):
            self.views.append(Help())
        elif key == "back":
            self.views = self.views[:-1] or self.views
        elif (opened := self.views[-1].press(key)) is not None:
            self.views.append(opened)
        return True

    def lines(self, width: int, height: int) -> list[Line]:
        """Return the whole screen, each line no wider than it is."""
        view, room = self.views[-1], max(1, height - FRAME)
        body = view.lines(width, room)[:room]
        head = f"{view.title} - {view.note}" if view.note else view.title
        now = f"{timezone.localtime():%H:%M:%S}"
        top = Line(cut(head, width - 10) + " " * (width - 8 - breadth(cut(head, width - 10))) + now, is_heading=True)
        filled = [*body, *[Line("")] * (room - len(body))]
        every = [top, *filled, Line(self.problem), Line(view.hint)]
        return [Line(cut(line.text, width), line.is_chosen, line.is_heading) for line in every][:height]


def run(refresh: float) -> None:
    """Show the dash until somebody quits, looking anew every `refresh` seconds and after a key that opens something."""
    locale.setlocale(locale.LC_ALL, "")  # else curses writes no letters but ASCII
    curses.wrapper(lambda window: watch(window, Dash(), refresh))


def watch(window: "curses.window", dash: Dash, refresh: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Paint, wait for a key or the next look, and again."""
    curses.set_escdelay(25)  # else Esc waits a second for the rest of an arrow key
    try:
        curses.curs_set(0)
    except curses.error:  # a terminal that cannot hide it
        window.leaveok(True)
    due = looked = clock()
    while True:
        height, width = window.getmaxyx()
        if clock() >= due:
            dash.load(height)
            looked = clock()
            due = looked + refresh
        paint(window, dash.lines(width - 1, height))  # the last column stays free: writing there scrolls some terminals
        window.timeout(max(0, round((due - clock()) * 1000)))
        try:
            key = KEYS.get(window.getch(), "")
        except KeyboardInterrupt:
            return
        if not dash.press(key):
            return
        if key not in ("", "up", "down"):
            due = max(clock(), looked + SHORTEST)


def paint(window: "curses.window", lines: list[Line]) -> None:
    window.erase()
    for place, line in enumerate(lines):
        emphasis = curses.A_REVERSE if line.is_chosen else curses.A_BOLD if line.is_heading else curses.A_NORMAL
        text = line.text.encode(locale.getpreferredencoding(False), "replace")
        try:
            window.addstr(place, 0, text, emphasis)  # type: ignore[call-overload]  # bytes go as well
        except curses.error:  # a window that was made smaller meanwhile
            break
    window.refresh()


# Words


def told(job: Told) -> list[str]:
    """Return what `jobs show` says of a job, a text for each line."""
    lines = [f"{name}: {job[name]}" for name in ("job_id", "state", "task", "queue", "args", "kwargs", "waits")]
    for run in job["attempts"]:
        spans = f"waited {span(run['wait'])}, ran {span(run['duration'])}, {run['worker']}"
        lines += ["", f"attempt {run['attempt']}: {run['outcome']}, started {clock(run['started_at'])}, {spans}"]
        lines += [f"{run['exception']}: {run['message']}"] if run["exception"] else []
        lines += [f"result: {json_text(run['result'])}"] if run["result"] is not None else []
        lines += [line for text in (run["traceback"], run["log"]) if text for line in text.rstrip().splitlines()]
    return lines


def paused(pause: Pause) -> str:
    """Return who paused what, why and until when."""
    until = f"until {clock(pause.until)}" if pause.until else "until resumed"
    return f"{pause.name} by {pause.by or 'the machine'}, {until}: {pause.reason}"


def running_row(slot: Running, now: float) -> str:
    percent = "" if slot.get("percent") is None else f" {slot['percent']}%"
    since = span(now - slot["since"])
    return f"{since:>9}  {slot['queue']:10}{cut(short(slot['task']), 40):42}{slot['worker']}, {slot['slot']}{percent}"


def call(args: Args, kwargs: Kwargs) -> str:
    words = [json_text(value) for value in args]
    return ", ".join([*words, *(f"{name}={json_text(value)}" for name, value in kwargs.items())])


def short(task: str) -> str:
    return task.replace(".tasks.", ".").removeprefix("amazon_pilot.")


def clock(when: datetime | None) -> str:
    return f"{timezone.localtime(when):%Y-%m-%d %H:%M:%S}" if when else "-"


def span(seconds: float | None) -> str:
    """Write seconds in at most six letters: 0.4s, 12s, 5m20s, 3h10m, 4d2h."""
    if seconds is None:
        return "-"
    for unit, name, lower, lesser in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{name}{int(seconds % unit // lower)}{lesser}"
    return f"{seconds:.1f}s" if seconds < 10 else f"{int(seconds)}s"


def size(number: int | None) -> str:
    """Write bytes in at most six letters; - for what is not known."""
    if number is None:
        return "-"
    for unit, name in ((2**30, "G"), (2**20, "M"), (2**10, "K")):
        if number >= unit:
            return f"{number / unit:.1f}{name}"
    return f"{number}B"


def plain(text: str) -> str:
    """Return a text without what a terminal would obey: a job's arguments may hold escape sequences."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def breadth(text: str) -> int:
    """Return how many columns a text takes: Chinese and Japanese letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, width: int) -> str:
    """Return a text that a terminal obeys in nothing, no wider than `width` columns; ~ stands for what was left out."""
    text = plain(text)
    if breadth(text) <= width:
        return text
    while breadth(text) > max(0, width - 1):
        text = text[: max(0, min(len(text) - 1, width))]
    return text + "~" if width > 0 else ""


def wrap(text: str, width: int) -> list[str]:
    """Return a text in parts that are no wider than `width` columns; an empty one is one empty part."""
    parts, part, taken = [], "", 0
    for letter in plain(text):
        columns = breadth(letter)
        if taken + columns > width:
            parts.append(part)
            part, taken = "", 0
        part, taken = part + letter, taken + columns
    return [*parts, part]
