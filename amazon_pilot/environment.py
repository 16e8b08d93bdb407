"""How an environment variable is read: one that cannot be used stops the process with one sentence and the mend.

The value itself is never repeated, since a password may stand in any variable by mistake. An empty variable counts as
one that is not set, so that compose.yaml can hand all of them on.
"""

import io
import ipaddress
import os
import re
from decimal import Decimal
from email.policy import default as mail_headers
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

import environ

ASSIGNMENT = re.compile(r"(?:export )?[A-Za-z_0-9]+=")
# Labels of 63 characters at most, none of them empty: Python looks up no other name.
HOST = re.compile(r"(?=[A-Za-z0-9].{0,252}$)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{0,62}[A-Za-z0-9]\.?")
IPV6 = re.compile(r"\[[0-9a-f:.]+\]")
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def refuse(name: str, mend: str) -> NoReturn:
    """Stop the process with the sentence that says which variable cannot be used, and what to do."""
    raise SystemExit(f"{name} cannot be used: {mend}")


def load(path: Path) -> None:
    """Take over the lines of a .env file for the variables that the environment does not set; none is needed."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        refuse(".env", "make it a file of UTF-8 text that this user may read.")
    kept = {number: line for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"}
    for number, line in kept.items():
        if not ASSIGNMENT.match(line):
            refuse(".env", f"write line {number} as NAME=value, or as a comment that begins with #.")
        if "\0" in line:
            refuse(".env", f"line {number} holds a character that cannot be printed; write it anew.")
    environ.Env.read_env(io.StringIO("\n".join(kept.values())))


def text(name: str, default: str = "") -> str:
    """Return a variable without the blanks around it, or `default` where it is empty or not set."""
    value = os.environ.get(name, "").strip()
    if not value.isprintable():
        refuse(name, "it holds a character that cannot be printed; write it anew.")
    return value or default


def whole(name: str, default: int, least: int, most: int) -> int:
    """Return a whole number between two bounds, both included."""
    value = text(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,12}", value) or not least <= int(value) <= most:
        refuse(name, f"set it to a whole number from {least} to {most}, or leave it out for {default}.")
    return int(value)


def flag(name: str, default: bool) -> bool:
    """Return whether a variable is true."""
    value = text(name, str(default)).lower()
    if value not in TRUE + FALSE:
        refuse(name, "set it to true or false.")
    return value in TRUE


def dollars(name: str, default: str) -> Decimal:
    """Return an amount in US dollars, zero or more, and less than a million."""
    value = text(name, default)
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", value):
        refuse(name, f"set it to an amount in US dollars such as {default}, or leave it out.")
    return Decimal(value)


def choice(name: str, default: str, words: tuple[str, ...]) -> str:
    """Return one of `words`."""
    value = text(name, default)
    if value not in words:
        refuse(name, f"set it to one of {', '.join(words)}.")
    return value


def token(name: str) -> str:
    """Return a secret that travels in a header of HTTP, so it is ASCII without blanks; empty where there is none."""
    value = text(name)
    if not value.isascii() or " " in value:
        refuse(name, "a token holds letters, digits and signs, without blanks; copy it anew.")
    return value


def pattern(name: str, default: str, wanted: str, mend: str) -> str:
    """Return a variable that matches the regular expression `wanted` as a whole."""
    value = text(name, default)
    if not re.fullmatch(wanted, value):
        refuse(name, mend)
    return value


def sender(name: str, default: str) -> str:
    """Return the address that mail comes from, with or without a name before it."""
    value = text(name, default)
    mend = f"write it like {default}."
    try:
        header = mail_headers.header_factory("from", value)
    except (IndexError, AttributeError, ValueError):  # as Python reads "name@" and the like
        refuse(name, mend)
    found = [each.addr_spec for each in header.addresses]
    if header.defects or len(found) != 1 or not re.fullmatch(r"[^@\s<>,]+@[^@\s<>,]+", found[0]):
        refuse(name, mend)
    return value


def hosts(name: str) -> list[str]:
    """Return a list of host names, separated by commas; one that begins with a dot stands for all below it."""
    found = [host.strip() for host in text(name).split(",") if host.strip()]
    if not all(host == "*" or is_host(host.removeprefix(".")) or IPV6.fullmatch(host) for host in found):
        refuse(name, "write host names without http:// and without a port, separated by commas.")
    return found


def networks(name: str) -> list[str]:
    """Return a list of IP networks, empty if none is named."""
    try:
        return [str(ipaddress.ip_network(each.strip())) for each in text(name).split(",") if each.strip()]
    except ValueError:
        refuse(name, "write networks such as 10.20.0.0/16, separated by commas, or leave it out.")


def is_host(host: str) -> bool:
    """Tell whether something is a host name of ASCII letters or an IP address."""
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return bool(HOST.fullmatch(host))


def split(name: str, value: str, schemes: tuple[str, ...], mend: str) -> SplitResult:
    """Take an address apart; its scheme, its hosts and their ports are right afterwards.

    A # in a password would begin a fragment and cut the address short, so there must be none: it is written as %23.
    What is written as %00 or %FF is no text that a server could be sent.
    """
    try:
        parts = urlsplit(value)
        doors(parts)
        is_text = unquote(value, errors="strict").isprintable()
    except ValueError:
        refuse(name, mend)
    if parts.scheme not in schemes or "#" in value or " " in value or not is_text:
        refuse(name, mend)
    return parts


def doors(parts: SplitResult) -> list[tuple[str, int | None]]:
    """Return each host of an address with its port, None where it names none; raises ValueError where one is wrong."""
    found = [urlsplit(f"//{part}") for part in parts.netloc.rpartition("@")[2].split(",")]
    if any(door.port == 0 or (door.netloc and not _is_door(door)) for door in found):
        raise ValueError
    return [(door.hostname or "", door.port) for door in found]


def _is_door(door: SplitResult) -> bool:
    """Tell whether a host stands alone before its port; brackets hold an IPv6 address, and nothing follows them."""
    is_bracketed = re.fullmatch(r"\[[^\]]*:[^\]]*\](:[0-9]*)?", door.netloc)
    return is_host(door.hostname or "") and ("[" not in door.netloc or bool(is_bracketed))


def address(name: str, default: str) -> str:
    """Return an http or https address without a trailing slash."""
    mend = f"write a whole address such as {default}."
    value = text(name, default).rstrip("/")
    parts = split(name, value, ("http", "https"), mend)
    if not parts.hostname or parts.query or "@" in parts.netloc or "," in parts.netloc:
        refuse(name, mend)
    return value
