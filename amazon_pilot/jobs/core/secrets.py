"""Values that are secrets, replaced in whatever people read: logs, errors, results, however they are written there.

They are those among a job's own arguments whose name says so (redaction.py) or that its task names, and those of the
environment and the settings. Nothing is looked for before there is a text, so that a job without one pays nothing.
"""

import base64
import binascii
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

from django.conf import settings

from . import redaction
from .payload import called
from .redaction import MARK
from .taken_job import TakenJob
from .values import Args, Json, Kwargs

LEAST = 8  # signs of a secret of the environment; shorter ones are words that mean something else, too
LEAST_OF_A_JOB = 4
LINE = 20  # signs of one line of a key of several, which is printed by itself as well
NAMES = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|SECRET_KEY(?:_FALLBACKS)?|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)$",
    re.IGNORECASE,
)
SCHEME = re.compile(r"(?i)^(bearer|basic|token|apikey|key)\s+(\S+)$")
# Without any of these no key in a payload names a secret: most jobs are told from others by this one search.
SUSPECT = re.compile(rb"pass|pwd|secret|token|auth|cookie|credential|key|bearer|session|\\\\u", re.IGNORECASE)
PERCENT = re.compile("%[0-9A-F]{2}")

Forms = tuple[str, ...]

_job: TakenJob | None = None
_forms: Forms | None = None


def of_job(taken_job: TakenJob | None) -> None:
    """Have the secrets of this job be replaced from now on, beside those of the environment."""
    global _job, _forms
    _job, _forms = taken_job, None


def scrub(text: str) -> str:
    """Return a text with the mark in place of each secret that this process knows of."""
    return without(text, _known())


def scrub_json(text: str) -> str:
    """Return JSON with the mark in place of each secret, in strings, numbers and keys; it stays JSON."""
    forms = _known()
    if not any(form in text for form in forms) and not any("\\" in form for form in forms):
        return text  # no form is written with a backslash, so none can hide in a text within the text
    value = json.loads(text)
    found = scrubbed(value, forms)
    return text if found == value else json.dumps(found)


def scrubbed(value: Json, forms: Forms) -> Json:
    """Return JSON without what is written in one of these forms."""
    if isinstance(value, str):
        return without(value, forms)
    if isinstance(value, dict):
        return {without(key, forms): scrubbed(each, forms) for key, each in value.items()}
    if isinstance(value, list):
        return [scrubbed(each, forms) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and str(value) in forms:
        return MARK
    return value


def without(text: str, forms: Forms) -> str:
    """Return a text with the mark in place of each of these forms."""
    for form in forms:
        if form in text:
            text = text.replace(form, MARK)
    return text


def forms_of_call(task: str, args: Args, kwargs: Kwargs) -> Forms:
    """Return how the secrets of a call may be written; none for most calls."""
    values = redaction.secrets_of(task, args, kwargs)
    return written(each for value in values for each in told_of(value) if len(each) >= LEAST_OF_A_JOB)


def _known() -> Forms:
    """Return the forms of all secrets of the job at hand and of the environment, found when they are first needed."""
    global _forms
    if _forms is None:
        _forms = of_environment() + (_of(_job) if _job is not None else ())
    return _forms


def _of(job: TakenJob) -> Forms:
    if not SUSPECT.search(job.payload) and not redaction.has_secrets(called(job.payload)):
        return ()
    try:
        name, _instance, args, kwargs = json.loads(job.payload)
        return forms_of_call(str(name), args, kwargs)
    except Exception:  # whatever a stranger put there: it is no call, so it runs nothing
        return ()


@lru_cache(maxsize=1)
def of_environment() -> Forms:
    """Return how the secrets of the environment and of the settings may be written; read once."""
    named = {name: getattr(settings, name, None) for name in dir(settings) if name.isupper()}
    values = {*in_settings(os.environ), *in_settings(named)}
    return written(value for value in values if len(value) >= LEAST)


def in_settings(named: Mapping[str, object]) -> Iterator[str]:
    """Yield the values whose names end as those of secrets do, at any depth, and the passwords within addresses."""
    for name, value in named.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, dict):
                yield from in_settings({str(key): inner for key, inner in each.items()})
            elif isinstance(each, str):
                yield from [each] if NAMES.search(name) else passwords(each)


def passwords(text: str) -> Iterator[str]:
    """Yield the password within an address, as it stands and as it is meant."""
    if "://" not in text or "@" not in text:
        return
    try:
        password = urlsplit(text).password
    except ValueError:
        return
    if password:
        yield from {password, unquote(password)}


def told_of(value: Json) -> set[str]:
    """Return what of a secret must not be told: itself, the word after a scheme, a password within an address."""
    if isinstance(value, int | float):
        return {str(value)}
    text = str(value)
    found = {text, *passwords(text), *(line for line in text.splitlines() if len(line) >= LINE)}
    if match := SCHEME.match(text):
        found |= {match[2], *user_and_password(match[2])}
    return found


def user_and_password(word: str) -> list[str]:
    """Return the password that an Authorization of the scheme Basic carries; none of another word."""
    try:
        _user, colon, password = base64.b64decode(word, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return []
    return [password] if colon else []


def written(values: Iterable[str]) -> Forms:
    """Return all forms of some values, the longest first: a short one must not cut a long one in two."""
    return tuple(sorted({form for value in values for form in forms(value)}, key=len, reverse=True))


def forms(value: str) -> set[str]:
    """Return a value as it may be written: plain, in repr, JSON, an address, HTML or base64, and once more in these."""
    raw = value.encode(errors="surrogatepass")
    once = {value, in_json(value), in_json(value, False), in_repr(value), repr(raw)[2:-1]}
    twice = {form for each in once for form in (in_json(each), in_repr(each))}
    addresses = {quote(raw), quote(raw, safe=""), quote_plus(raw), quote_plus(raw, safe="/")}
    addresses |= {PERCENT.sub(lambda found: found[0].lower(), each) for each in addresses}
    pages = {html.escape(value), html.escape(value, quote=False)}
    found = once | twice | addresses | pages
    found |= {form.replace("'", "\\'") for form in found}  # in repr, beside a double quote
    if len(value) >= LEAST:
        found |= {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    return found


def in_json(text: str, is_ascii: bool = True) -> str:
    return json.dumps(text, ensure_ascii=is_ascii)[1:-1]


def in_repr(text: str) -> str:
    return repr(text)[1:-1]
