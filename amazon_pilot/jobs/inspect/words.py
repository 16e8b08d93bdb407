"""Words for people: the states and their signs, why a run ended, spans of time, names that may break."""

import json
import re
from datetime import UTC, datetime

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext


def whole_number(text: str, most: int) -> int | None:
    """Return a number written in the digits 0 to 9 alone, at most `most`; None for anything else."""
    is_number = re.fullmatch(r"[0-9]{1,18}", text)
    return int(text) if is_number and int(text) <= most else None


FAR = datetime(9999, 12, 30, tzinfo=UTC).timestamp()  # every zone can still write it


def sound(seconds: str | bytes | float) -> float:
    """Return a Unix time that can be written: what lies before 1970 or beyond any calendar is drawn to the edge."""
    number = float(seconds)
    return min(max(number, 0.0), FAR) if number == number else FAR


def moment_at(when: datetime | str | bytes | float) -> datetime:
    """Return a datetime as it is, or the moment of a Unix time."""
    return when if isinstance(when, datetime) else datetime.fromtimestamp(sound(when), UTC)


# Signs that turn the direction of the text behind them: a name with one of them shows as another name.
OVERRIDES = re.compile("[\u202a-\u202e\u2066-\u2069]")


def json_text(value: object, indent: int | None = None) -> str:
    """Write a value as JSON for people, which reads back as it was: letters as they are, overrides by their codes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return OVERRIDES.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


STATE_SIGNS = {
    "queued": "•", "started": "▶", "scheduled": "◷", "deferred": "‖", "failed": "✕", "finished": "✓",
    "succeeded": "✓", "retrying": "↻", "stopped": "■", "canceled": "■", "lost": "?", "held": "‖", "running": "▶",
    "idle": "○", "busy": "▶", "quiet": "‖", "dead": "✕", "done": "✓", "waiting": "•", "aborted": "■",
    "audit": "✎",
}  # fmt: skip

# The states are translated where they are shown, as variables; this tells the catalogue of each of them.
STATE_WORDS = (
    gettext_noop("queued"), gettext_noop("started"), gettext_noop("scheduled"), gettext_noop("retry"),
    gettext_noop("deferred"), gettext_noop("held"), gettext_noop("failed"), gettext_noop("canceled"),
    gettext_noop("finished"), gettext_noop("succeeded"), gettext_noop("retrying"), gettext_noop("stopped"),
    gettext_noop("lost"), gettext_noop("idle"), gettext_noop("busy"), gettext_noop("quiet"), gettext_noop("dead"),
)  # fmt: skip

# Why the engine ended a run, as workers and scripts write it on the row: in English, whoever will read it.
CAUSES = (
    gettext_noop("timeout"), gettext_noop("memory"), gettext_noop("killed on request"), gettext_noop("garbage"),
    gettext_noop("cancelled"),
    gettext_noop("cancelled: asked"), gettext_noop("lease lost"), gettext_noop("leaving"), gettext_noop("interrupted"),
    gettext_noop("unbegun"),
    gettext_noop("the worker leaves"), gettext_noop("does not read"), gettext_noop("recycled"), gettext_noop("unheard"),
    gettext_noop("worker_lost"),
)  # fmt: skip
# The same with a number in it, by how it is written.
CAUSE_PATTERNS = (
    (re.compile(r"slot_killed: signal (?P<signal>.+)"), gettext_noop("slot_killed: signal %(signal)s")),
    (
        re.compile(r"slot_killed: it left with code (?P<code>-?\d+)"),
        gettext_noop("slot_killed: it left with code %(code)s"),
    ),
)


def cause_words(cause: str) -> str:
    """Write why a run was stopped or lost in the reader's language; what is not the engine's own stays as it is."""
    if cause in CAUSES:
        return _(cause)
    for pattern, words in CAUSE_PATTERNS:
        if found := pattern.fullmatch(cause):
            return _(words) % found.groupdict()
    return cause


def span(seconds: str | float | None) -> str:
    """Write seconds as people say them: 12 ms, 3.4 s, 5 min 20 s, 3 h 10 min, 4 d 2 h; – for nothing."""
    if seconds is None or seconds == "":
        return "–"
    value = float(seconds)
    if value < 1:
        return _("%d ms") % round(value * 1000)
    if value < 10:
        return _("%.1f s") % value
    if value < 60:
        return _("%d s") % value
    if value < 3600:
        return _("%(m)d min %(s)d s") % {"m": value // 60, "s": value % 60}
    if value < 86_400:
        return _("%(h)d h %(m)d min") % {"h": value // 3600, "m": value % 3600 // 60}
    return _("%(d)d d %(h)d h") % {"d": value // 86_400, "h": value % 86_400 // 3600}


def breakable(name: str) -> SafeString:
    """Let a dotted name break after its dots and underscores, where a narrow column would break it inside a word."""
    parts = re.split(r"(?<=[._])(?=[^._])", name)
    return format_html_join(mark_safe("<wbr>"), "{}", ((part,) for part in parts))


def ago(when: datetime | str | bytes | float | None) -> SafeString:
    """Write a time relative to now, with the absolute one on hover: `3 min ago`, `in 2 h`."""
    if not when:
        return format_html("{}", "–")
    moment = moment_at(when)
    seconds = (timezone.now() - moment).total_seconds()
    amount = _rough(abs(seconds))
    words = _("now") if abs(seconds) < 1 else (_("%s ago") if seconds > 0 else _("in %s")) % amount
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), f"{local:%Y-%m-%d %H:%M:%S %Z}", words
    )


def _rough(seconds: float) -> str:
    if seconds < 60:
        return _("%d s") % seconds
    if seconds < 3600:
        return _("%d min") % (seconds // 60)
    if seconds < 86_400:
        return _("%d h") % (seconds // 3600)
    return ngettext("%d day", "%d days", int(seconds // 86_400)) % (seconds // 86_400)
