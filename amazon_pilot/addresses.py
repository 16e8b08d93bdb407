"""DATABASE_URL and EMAIL_URL: taken as a whole, or refused with a sentence; docs/settings.md has the forms."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl

import environ
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn

from .environment import refuse, split, text

DATABASE_MEND = (
    "use sqlite:// or postgres://, written like sqlite:////path/to/file or postgres://user:password@host:5432/name, "
    "with signs of a password such as / # ? as %2F %23 %3F, or leave it out for SQLite in var/."
)
MAIL_MEND = (
    "write it like smtp+tls://user:password@host:587, with signs of a password such as / # ? as %2F %23 %3F, "
    "or leave it out to keep mail in var/mail."
)
# A connection that broke is noticed within about ten seconds, one that never comes about within five. Where TCP is
# still acknowledged, amazon_pilot/postgresql looks after it.
PATIENCE = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
REACHED = (b"connection to server", b"could not connect")  # what libpq says where it went as far as the socket
PORTS = {"smtp": 25, "smtps": 587, "smtp+tls": 587, "smtp+ssl": 465}


def database(default: str) -> dict[str, Any]:
    """Return Django's settings for DATABASE_URL: a file of SQLite, or PostgreSQL with options of libpq after the ?."""
    url = text("DATABASE_URL", default)
    parts = split("DATABASE_URL", url, ("sqlite", "postgres", "postgresql", "psql", "pgsql"), DATABASE_MEND)
    if parts.scheme == "sqlite":
        return _sqlite(url, parts)
    found: dict[str, Any] = environ.Env.db_url_config(url)
    options = PATIENCE | _libpq(parts)
    if not found["NAME"] or "/" in found["NAME"] or len(found["NAME"].encode()) > 63:
        refuse("DATABASE_URL", "end it with the name of a database of at most 63 characters, such as /pilot.")
    return found | {
        "ENGINE": "amazon_pilot.postgresql",
        "OPTIONS": options,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }


def _sqlite(url: str, parts: SplitResult) -> dict[str, Any]:
    """A write transaction takes its lock at the start (immediate), since an upgrade from a read lock fails at once
    instead of waiting; ten slots then queue up within the timeout."""
    if parts.netloc or parts.query or not parts.path.strip("/"):
        refuse("DATABASE_URL", "name a file of SQLite with three slashes before its path: sqlite:////path/to/file.")
    found: dict[str, Any] = environ.Env.db_url_config(url)
    path = Path(found["NAME"])
    if not _may_be_sqlite(path):
        refuse("DATABASE_URL", "name a file of SQLite in a folder that there is and that this user may write to.")
    return found | {
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    }


def _may_be_sqlite(path: Path) -> bool:
    """Tell whether SQLite can keep its tables at a path: in a file of its own, an empty one or a new one."""
    try:
        if not path.exists():
            return os.access(path.parent, os.W_OK)
        with path.open("rb") as file:
            return path.is_file() and os.access(path, os.W_OK) and file.read(16) in (b"", b"SQLite format 3\0")
    except OSError:  # a name of 300 letters, a folder
        return False


def _libpq(parts: SplitResult) -> dict[str, Any]:
    """Return the options after the ?, all of which libpq itself knows and accepts; the socket is one of nobody's."""
    try:
        pairs = parse_qsl(parts.query, strict_parsing=bool(parts.query))
        options: dict[str, Any] = {name: _whole(value) if name in PATIENCE else value for name, value in pairs}
        wrong = [name for name in FILES if name in options and options[name] != "system"]
        line = make_conninfo(**options | {"host": "/nowhere", "dbname": "postgres"})
        said = PGconn.connect_start(line.encode()).error_message
        # Nobody serves there, which is all that libpq has to say of options that it can use.
        if any(not os.access(options[name], os.R_OK) for name in wrong) or not said.startswith(REACHED):
            raise ValueError
        if {"host", "hostaddr", "port", "dbname", "user", "password"} & set(options) or len(options) < len(pairs):
            raise ValueError
    except (ValueError, psycopg.Error):
        refuse("DATABASE_URL", "after ? write options of libpq, once each, such as sslmode=require.")
    return options


def _whole(value: str) -> int:
    """Return a number of seconds, milliseconds or times; libpq takes one below zero for no limit at all."""
    if not re.fullmatch(r"[0-9]{1,7}", value):
        raise ValueError
    return int(value)


def mail(default: str) -> dict[str, Any]:
    """Return Django's settings for EMAIL_URL by their names."""
    url = text("EMAIL_URL", default)
    schemes = (*PORTS, "consolemail", "filemail", "memorymail", "dummymail")
    parts = split("EMAIL_URL", url, schemes, MAIL_MEND)
    if parts.scheme in PORTS and (not parts.hostname or "," in parts.netloc or parts.path.strip("/") or parts.query):
        refuse("EMAIL_URL", MAIL_MEND)
    found: dict[str, Any] = environ.Env.email_url_config(url)
    return {
        "EMAIL_BACKEND": found["EMAIL_BACKEND"],
        "EMAIL_HOST": found["EMAIL_HOST"] or "",
        "EMAIL_PORT": parts.port or PORTS.get(parts.scheme, 25),
        "EMAIL_HOST_USER": found["EMAIL_HOST_USER"] or "",
        "EMAIL_HOST_PASSWORD": found["EMAIL_HOST_PASSWORD"] or "",
        "EMAIL_USE_TLS": found.get("EMAIL_USE_TLS", False),
        "EMAIL_USE_SSL": found.get("EMAIL_USE_SSL", False),
    }
