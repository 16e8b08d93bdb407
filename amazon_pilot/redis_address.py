"""REDIS_URL: one server by TCP, TLS or a Unix socket, or the primary that sentinels name (docs/settings.md).

django-rq hands all options of a connection on to each place that connects only where it takes the client of a cache, so
the queues name the cache "jobs", which is nothing but a door to `connect`.
"""

import os
import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote

from django.conf import settings
from django.core.cache.backends.dummy import DummyCache
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from .environment import doors, refuse, split

NAME = "REDIS_URL"
MEND = (
    "write it like redis://:password@host:6379/0, rediss://… for TLS, unix:///path/to/redis.sock?db=0 or "
    "redis+sentinel://host:26379,host:26379/service/0, with signs of a password such as / # ? as %2F %23 %3F, "
    "or leave it out."
)
SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")


def _seconds(value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", value) or not 0.05 <= float(value) <= 600:
        raise ValueError
    return float(value)


def _number(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 7):
        raise ValueError
    return int(value)


def _truth(value: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]


def _word(value: str) -> str:
    if not value:
        raise ValueError
    return value


def _checking(value: str) -> str:
    return {"none": "none", "optional": "optional", "required": "required"}[value.lower().removeprefix("cert_")]


OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": _number,
    "socket_timeout": _seconds,
    "socket_connect_timeout": _seconds,
    "health_check_interval": _number,
    "socket_keepalive": _truth,
    "sentinel_username": _word,
    "sentinel_password": _word,
    "ssl_cert_reqs": _checking,
    "ssl_check_hostname": _truth,
    "ssl_ca_certs": _word,
    "ssl_ca_path": _word,
    "ssl_certfile": _word,
    "ssl_keyfile": _word,
    "ssl_password": _word,
}


def parse(url: str, patience: int) -> dict[str, Any]:
    """Return the options for `connect`; a command is tried again for `patience` seconds while Redis is away.

    Stops the process with a sentence where the address cannot be used as a whole: nothing in it is passed over.
    """
    parts = split(NAME, url, SCHEMES, MEND)
    found = _options(parts)
    if parts.scheme.startswith("rediss"):
        _check_certificates(found)
        found["ssl"] = True
    elif any(name.startswith("ssl_") for name in found):
        refuse(NAME, "options that begin with ssl_ belong to rediss://.")
    found |= {name: unquote(word) for name in ("username", "password") if (word := getattr(parts, name))}
    return _defaults(patience) | found | _place(parts, found)


def _options(parts: SplitResult) -> dict[str, Any]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        if len({name for name, value in pairs}) < len(pairs):
            raise ValueError
        return {name: OPTIONS[name](value) for name, value in pairs}
    except (KeyError, ValueError):
        refuse(
            NAME, f"after ? write options once each, out of {', '.join(OPTIONS)}, each with a value that it can have."
        )


def _defaults(patience: int) -> dict[str, Any]:
    return {
        "retry": Retry(ExponentialWithJitterBackoff(base=0.5, cap=3), patience * 2 // 5 + 1),
        "retry_on_error": [RedisConnectionError, RedisTimeoutError],
        "health_check_interval": 15,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "db": 0,
    }


def _check_certificates(found: dict[str, Any]) -> None:
    """Read what redis-py would read at its first connection, where nobody could say a sentence."""
    context = ssl.create_default_context()
    try:
        if "ssl_ca_path" in found:  # which OpenSSL looks into only once somebody connects
            os.listdir(found["ssl_ca_path"])
        if "ssl_ca_certs" in found or "ssl_ca_path" in found:
            context.load_verify_locations(found.get("ssl_ca_certs"), found.get("ssl_ca_path"))
        if "ssl_certfile" in found or "ssl_keyfile" in found:
            context.load_cert_chain(found["ssl_certfile"], found.get("ssl_keyfile"), found.get("ssl_password", ""))
    except (OSError, KeyError, ValueError):  # an SSLError is an OSError
        refuse(NAME, "a file that its ssl_ options name cannot be read or is no certificate or key in PEM.")


def _place(parts: SplitResult, found: dict[str, Any]) -> dict[str, Any]:
    """Return where Redis is, and the number of its database where the path ends in one; ?db= stands in `found`."""
    hosts = doors(parts)
    words = [unquote(word) for word in parts.path.strip("/").split("/") if word]
    if parts.scheme == "unix":
        if not words or any(host for host, port in hosts):
            refuse(NAME, "write three slashes before the path of a socket: unix:///path/to/redis.sock?db=0.")
        return {"unix_socket_path": unquote(parts.path)}
    place: dict[str, Any] = {}
    if parts.scheme.endswith("+sentinel"):
        if not words or not all(host for host, port in hosts):
            refuse(NAME, "name the service that the sentinels watch: redis+sentinel://host:26379/service/0.")
        place = {"sentinels": [(host, port or 26379) for host, port in hosts], "service_name": words.pop(0)}
    elif len(hosts) > 1 or any(name.startswith("sentinel_") for name in found):
        refuse(NAME, "sentinels are named like redis+sentinel://host:26379,host:26379/service/0.")
    else:
        place = {"host": hosts[0][0] or "localhost", "port": hosts[0][1] or 6379}
    return place | _database(words, found)


def _database(words: list[str], found: dict[str, Any]) -> dict[str, int]:
    if not words:
        return {}
    if len(words) > 1 or "db" in found:
        refuse(NAME, "end it with one database number such as /0.")
    try:
        return {"db": _number(words[0])}
    except ValueError:
        refuse(NAME, "end it with one database number such as /0.")


def connect(options: dict[str, Any]) -> Redis:
    """Return a client for what `parse` has found; it connects at its first command.

    A dead sentinel may cost a second and is asked once, since the others are asked next.
    """
    options = dict(options)
    sentinels = options.pop("sentinels", None)
    user, password = options.pop("sentinel_username", None), options.pop("sentinel_password", None)
    if sentinels is None:
        return Redis(**options)
    asking = {name: value for name, value in options.items() if name.startswith("ssl")}
    asking |= {"username": user, "password": password, "retry": Retry(NoBackoff(), 0)}
    asking |= {"socket_timeout": 1, "socket_connect_timeout": 1}
    service = options.pop("service_name")
    client: Redis = Sentinel(sentinels, sentinel_kwargs=asking, **options).master_for(service)
    return client


class Door(DummyCache):
    """The cache "jobs": it keeps nothing and answers a client of the jobs' Redis, which django-rq asks it for."""

    @property
    def _client(self) -> Redis:
        return connect(settings.REDIS)
