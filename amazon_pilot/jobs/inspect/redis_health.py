"""Redis as an operator has to see it: a warning for each setting that may lose jobs, slow commands, sizes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis.exceptions import ResponseError
from rq.defaults import RQ_KEY_PREFIX

from ..core import keys, queues
from ..core.values import Answer
from . import snapshot, store
from .snapshot import Info

SLOW_SHOWN = 20


WORDS_SHOWN, WORD_LENGTH = 4, 40  # of a slow command: enough to know it, too little to carry what it held


NEARLY_FULL = 0.8


@dataclass
class Risk:
    """One setting or state that may lose jobs, why, and what to do; `is_grave` where it can happen any moment."""

    text: str
    remedy: str
    is_grave: bool = True


class Server(TypedDict):
    """What Redis says of itself, and the warnings that follow from it."""

    info: Info
    warnings: list[Risk]


def server() -> Server:
    """Return INFO, how often the append-only file is synced where Redis tells, and the warnings."""
    connection = store.connect()
    info: Info = connection.info()
    try:
        synced = connection.config_get("appendfsync").get("appendfsync", "")
    except ResponseError:  # hosted servers hide CONFIG
        synced = ""
    info |= {"appendfsync": synced, "keys": connection.dbsize()}
    return {"info": info, "warnings": warnings(info)}


def warnings(info: Info) -> list[Risk]:
    """Return what may lose jobs, the gravest first."""
    found = []
    policy, limit, used = info.get("maxmemory_policy"), info.get("maxmemory", 0), info.get("used_memory", 0)
    if policy != "noeviction":
        text = _("The eviction policy is %s: when its memory is full, Redis deletes jobs without a word.") % policy
        found.append(Risk(text, "CONFIG SET maxmemory-policy noeviction"))
    if info.get("evicted_keys"):
        text = (
            ngettext(
                "%d key was evicted since the start: it may have been a job.",
                "%d keys were evicted since the start: jobs may be among them.",
                info["evicted_keys"],
            )
            % info["evicted_keys"]
        )
        found.append(Risk(text, _("Raise maxmemory, and set the policy noeviction.")))
    if info.get("role") != "master":
        text = _("This server is a replica: what is written to it is refused or lost.")
        found.append(Risk(text, _("Point REDIS_URL to the primary server.")))
    if not info.get("aof_enabled"):
        text = _("There is no append-only file: after a crash every job since the last snapshot is gone.")
        found.append(Risk(text, "CONFIG SET appendonly yes"))
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        text = _("The append-only file could not be written.")
        found.append(Risk(text, _("Look at the disk of the Redis server.")))
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        text = _("The last snapshot failed; Redis may refuse every write because of it.")
        found.append(Risk(text, _("Look at the disk of the Redis server.")))
    if info.get("appendfsync") == "no":
        text = _("The append-only file is never synced by Redis: a power failure loses up to half a minute.")
        found.append(Risk(text, "CONFIG SET appendfsync everysec", is_grave=False))
    if limit and used > NEARLY_FULL * limit:
        text = _("%d %% of the memory that Redis may use is used; when it is full, no job can be enqueued.")
        found.append(Risk(text % (used * 100 // limit), _("Raise maxmemory, or have workers catch up.")))
    if info.get("rejected_connections"):
        text = (
            ngettext(
                "%d connection was refused: there are more clients than maxclients.",
                "%d connections were refused: there are more clients than maxclients.",
                info["rejected_connections"],
            )
            % info["rejected_connections"]
        )
        found.append(Risk(text, "CONFIG SET maxclients", is_grave=False))
    return sorted(found, key=lambda warning: not warning.is_grave)


def slow_commands() -> list[Answer]:
    """Return the slowest commands that Redis remembers, their arguments cut so that no payload is shown."""
    entries: list[Info] = store.connect().slowlog_get(SLOW_SHOWN)
    return [
        {
            "at": datetime.fromtimestamp(entry["start_time"], UTC),
            "seconds": entry["duration"] / 1e6,
            "command": shortened(entry["command"]),
        }
        for entry in entries
    ]


def shortened(command: str | bytes) -> str:
    """Return a command's name and the first of its words, each cut; after AUTH, HELLO and CONFIG nothing."""
    text = command.decode(errors="replace") if isinstance(command, bytes) else str(command)  # a payload is no text
    words = text.split(" ")
    if words[0].upper() in ("AUTH", "HELLO", "CONFIG", "ACL", "MIGRATE"):
        return words[0]
    shown = " ".join(word[:WORD_LENGTH] for word in words[:WORDS_SHOWN])
    return f"{shown} …" if len(words) > WORDS_SHOWN or any(len(word) > WORD_LENGTH for word in words) else shown


def sizes() -> list[tuple[str, int, int]]:
    """Return what our own long keys hold: name, members, bytes. Redis tells the bytes from five of the members.

    Both streams of the history count: what succeeded, and what did not.
    """
    lists = [queues.key(name) for name in queues.names()]
    pipeline = store.connect().pipeline(transaction=False)
    streams = [keys.RUNS, keys.FAILURES]
    for key in [*lists, *streams]:
        pipeline.memory_usage(key, samples=5)
    for key in streams:
        pipeline.xlen(key)
    *memory, runs, failures = pipeline.execute()
    seen = snapshot.current()
    members = [*(queue.waiting for queue in seen.queues), runs, failures]
    return [
        (name.removeprefix(f"{RQ_KEY_PREFIX}:"), members[n], memory[n] or 0)
        for n, name in enumerate([*lists, *streams])
    ]
