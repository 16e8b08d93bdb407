"""The atomic steps: every move of a job from one place to another is one Lua script, run by Redis without a pause.

Each script is headed by its arguments and its answer; common.lua, which stands in front of all of them, holds what they
share. Keys are built from ids inside the scripts, so Redis Cluster is not supported. Redis 6.2 is enough.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError
from rq.defaults import RQ_KEY_PREFIX

from .. import fields, keys, limits
from ..values import Command, Word

FOLDER = Path(__file__).parent


def shared() -> str:
    """Return the constants that Python and Lua share, as the Lua that stands before every script."""
    tables = {
        "KEY": {name: f"'{value}'" for name, value in vars(keys).items() if isinstance(value, str) and name.isupper()},
        "LIMIT": {name: str(value) for name, value in vars(limits).items() if name.isupper()},
        "FIELDS": {name: _list(value) for name, value in vars(fields).items() if name.isupper()},
    }
    rows = {table: ", ".join(f"{name} = {value}" for name, value in words.items()) for table, words in tables.items()}
    return "\n".join(f"local {table} = {{{words}}}" for table, words in rows.items()) + "\n"


def _list(names: Sequence[str]) -> str:
    return "{" + ", ".join(f"'{name}'" for name in names) + "}"


class Script:
    """One Lua script by its name: `script.command(...)` for a packet, `script(connection, ...)` to run it now."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = shared() + (FOLDER / "common.lua").read_text() + (FOLDER / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def command(self, *args: Word) -> Command:
        """Return the command that runs this script; rq's key prefix goes first of the arguments."""
        return ("EVALSHA", self.sha, 0, RQ_KEY_PREFIX, *args)

    def __call__(self, connection: "Redis", *args: Word) -> Any:
        """Run the script on `connection`, loading it first where Redis has forgotten it."""
        try:
            return connection.execute_command(*self.command(*args))
        except NoScriptError:
            connection.script_load(self.source)
            return connection.execute_command(*self.command(*args))


@cache
def script(name: str) -> Script:
    """Return the script called `name`, read once per process."""
    return Script(name)


def insisting(*commands: Command) -> Command:
    """Return one command that runs these in one step, also where Redis is at its memory limit."""
    return script("insist").command(*_flat(commands))


def together(connection: "Redis", *commands: Command) -> None:
    """Run commands now, as `insisting` does."""
    script("insist")(connection, *_flat(commands))


def _flat(commands: tuple[Command, ...]) -> list[Word]:
    return [word for command in commands for word in (len(command), *command)]


def names() -> list[str]:
    """Return the names of all scripts."""
    return sorted(path.stem for path in FOLDER.glob("*.lua") if path.stem != "common")
