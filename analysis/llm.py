"""The door to OpenAI and to servers like it: rules and facts in, a checked answer and what it cost out.

Facts about openai 3.54 that shaped it, each held by a test in tests/analysis/test_llm.py: a client retry may be billed
twice, so the queue retries; a truncated or invalid answer raises inside the package and takes the usage with it, so the
usage is read from the raw answer first; servers that only resemble OpenAI leave parts of the answer out.
"""

import functools
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import httpx2
import pydantic
from django.conf import settings
from django.utils.translation import gettext as _

from amazon_pilot import deadlines
from analysis.reports import CompetitorReport, OptimizationReport, Recommendation, Suggestion

from . import answers, refusals
from .texts import clean_text, storable

if TYPE_CHECKING:  # the client costs a second and 12 MB: it is imported where a model is asked, not by every process
    import openai

__all__ = [
    "Answer",
    "CompetitorReport",
    "LLMBusy",
    "LLMError",
    "LLMQuota",
    "LLMRefused",
    "OptimizationReport",
    "Payer",
    "Recommendation",
    "Suggestion",
    "Usage",
    "ask",
    "clean_text",
]

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=pydantic.BaseModel)

ANSWER_SECONDS = 60
MOST_BYTES = 4_000_000
MILLION = Decimal(1_000_000)
# No model takes or writes more in one call: a greater count is a server's fault, and the cost is unknown.
MOST_TOKENS = 10_000_000
MOST_USD = Decimal(10_000)  # what a row of ModelCall holds
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@dataclass(frozen=True)
class Usage:
    """What one call used, in tokens; `cached_tokens` are part of the input, `reasoning_tokens` of the output.

    `cost_usd` is None when the server did not say what was used, or said what cannot be: unknown, not free. The tokens
    are 0 then. Every field fits a row.
    """

    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal | None
    request_id: str


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A checked answer, the usage of every call that it took, and how many unreadable items were left out of it."""

    parsed: T
    usages: tuple[Usage, ...]
    left_out: int = 0


class Payer(Protocol):
    """Who pays: asked before each call, and told what it used before anything is made of the answer."""

    def reserve(self, most_usd: Decimal) -> None:
        """Set the most that a call can cost aside, or raise to forbid it."""

    def settle(self, usage: Usage | None) -> None:
        """Book the call that was reserved last; None means that nothing was used."""


class LLMError(Exception):
    """No usable answer this time; asking later may help. `usages` holds what was paid all the same."""

    def __init__(self, message: str, usages: Iterable[Usage] = ()) -> None:
        super().__init__(message)
        self.usages = tuple(usages)


class LLMBusy(LLMError):
    """Too many requests or tokens per minute. `retry_after` is the wait in seconds, None when it was not said."""

    def __init__(self, message: str, usages: Iterable[Usage] = (), retry_after: float | None = None) -> None:
        super().__init__(message, usages)
        self.retry_after = retry_after


class LLMRefused(LLMError):
    """The same question will not be answered: the key, the request, or the model's own refusal.

    `can_be_mended` means that the text names the setting with which an operator can.
    """

    def __init__(self, message: str, usages: Iterable[Usage] = (), *, can_be_mended: bool = False) -> None:
        super().__init__(message, usages)
        self.can_be_mended = can_be_mended


class LLMQuota(LLMRefused):
    """The account's money is at its end: no question will be answered until somebody pays."""


def ask(rules: str, facts: dict[str, Any], schema: type[T], payer: Payer | None = None) -> Answer[T]:
    """Have the model answer `schema` about `facts` under `rules`; at most two calls of a minute each.

    Rules go into the system message and facts, as one JSON object, into the user message: texts of a listing are
    written by strangers, and must not stand where instructions do. An answer that does not fit the schema is sent back
    once with what is wrong; one that was cut off at the limit is not, since the next would be cut off as well.
    Raises LLMRefused, LLMQuota, LLMBusy or LLMError, each with the usages paid until then, and whatever `payer` raises.
    """
    messages = [
        {"role": "system", "content": _rules_for(schema, rules)},
        {"role": "user", "content": storable(json.dumps(facts, ensure_ascii=False, default=str))},
    ]
    usages: list[Usage] = []
    written, is_cut = _complete(messages, schema, usages, payer)
    try:
        return Answer(*_in_order(answers.read(written, schema), usages))
    except answers.UnreadableError as error:
        if is_cut:
            raise LLMRefused(_cut_off(usages[-1]), usages, can_be_mended=True) from None
        complaint = str(error)
    logger.info("The model's answer did not fit %s and is sent back once: %s", schema.__name__, complaint)
    again = f"The answer does not fit the schema ({complaint}). Answer again with the whole json object."
    messages += [{"role": "assistant", "content": written}, {"role": "user", "content": again}]
    written, is_cut = _complete(messages, schema, usages, payer)
    try:
        return Answer(*_in_order(answers.read(written, schema), usages))
    except answers.UnreadableError as error:
        if is_cut:
            raise LLMRefused(_cut_off(usages[-1]), usages, can_be_mended=True) from None
        raise LLMError(_("The model's answer did not fit, twice: %s") % error, usages) from None


def _in_order(found: tuple[T, int], usages: list[Usage]) -> tuple[T, tuple[Usage, ...], int]:
    return found[0], tuple(usages), found[1]


def _cut_off(usage: Usage) -> str:
    return _(
        "The model's answer was cut off at %(limit)s tokens, %(thinking)s of them for thinking: "
        "raise OPENAI_MAX_OUTPUT_TOKENS, or set OPENAI_MODEL to one that thinks less."
    ) % {"limit": settings.OPENAI_MAX_OUTPUT_TOKENS, "thinking": usage.reasoning_tokens}


def _rules_for(schema: type[pydantic.BaseModel], rules: str) -> str:
    if settings.OPENAI_SCHEMA_MODE == "json_schema":
        return rules
    # A server without schemas needs the word json and the shape in the prompt.
    return (
        f"{rules}\n\nAnswer with one json object and nothing else. Its JSON schema, {schema.__name__}: {_shape(schema)}"
    )


def _shape(schema: type[pydantic.BaseModel]) -> str:
    return json.dumps(schema.model_json_schema(), ensure_ascii=False)


def _complete(
    messages: list[dict[str, str]], schema: type[pydantic.BaseModel], usages: list[Usage], payer: Payer | None
) -> tuple[str, bool]:
    """Return what the model wrote and whether it was cut off; what it used is booked before anything else can fail."""
    if payer:
        payer.reserve(_most_usd(messages, schema))
    try:
        body, request_id = _post(messages, schema)
    except LLMError as error:
        for usage in error.usages or (None,):
            _book(usage, usages, payer)
        error.usages = tuple(usages)
        raise
    _book(_usage(body or {}, request_id), usages, payer)
    if body is None:
        raise LLMError(_("The model's server answered something that is not JSON"), usages)
    return _written(body, usages)


def _book(usage: Usage | None, usages: list[Usage], payer: Payer | None) -> None:
    if usage:
        usages.append(usage)
    if payer:
        payer.settle(usage)


def _written(body: dict[str, Any], usages: list[Usage]) -> tuple[str, bool]:
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        raise LLMError(_("The model's server answered without a message"), usages)
    if message.get("refusal"):
        raise LLMRefused(_("The model refused: %s") % _scrub(message["refusal"]), usages)
    if choice.get("finish_reason") == "content_filter":
        raise LLMRefused(_("The content filter of the model's server stopped the answer"), usages)
    content = message.get("content")
    return storable(content) if isinstance(content, str) else "", choice.get("finish_reason") == "length"


def _most_usd(messages: list[dict[str, str]], schema: type[pydantic.BaseModel]) -> Decimal:
    """Return the most that a call can cost: no token is shorter than a byte, and the answer has its limit."""
    size = len(_shape(schema)) + sum(len(message["content"].encode()) + 20 for message in messages)
    dearest = max(settings.OPENAI_USD_PER_MILLION_INPUT, settings.OPENAI_USD_PER_MILLION_CACHED)
    most = size * dearest + settings.OPENAI_MAX_OUTPUT_TOKENS * settings.OPENAI_USD_PER_MILLION_OUTPUT
    return min(most / MILLION, MOST_USD - 1)


def _post(messages: list[dict[str, str]], schema: type[pydantic.BaseModel]) -> tuple[dict[str, Any] | None, str]:
    """Return the answer's body, None when it is not JSON, and the request's id.

    A server that does not know the limit's name has done nothing and is asked again with its other name, unless the
    settings say which it is.
    """
    server = (settings.OPENAI_BASE_URL, settings.OPENAI_MODEL)
    name = settings.OPENAI_LIMIT_PARAMETER
    if name != "auto":
        return _send(messages, schema, name)
    name = _limit_names.get(server, "max_completion_tokens")
    try:
        return _send(messages, schema, name)
    except _UnknownLimitError as error:
        other = "max_tokens" if name == "max_completion_tokens" else "max_completion_tokens"
        logger.info("%s does not know %s and is asked with %s: %s", settings.OPENAI_MODEL, name, other, error)
    found = _send(messages, schema, other)
    _limit_names[server] = other
    return found


# Learnt by asking, for the length of this process.
_limit_names: dict[tuple[str, str], str] = {}


class _UnknownLimitError(LLMRefused):
    """The server does not know the parameter that bounds the answer."""


def _send(
    messages: list[dict[str, str]], schema: type[pydantic.BaseModel], limit: str
) -> tuple[dict[str, Any] | None, str]:
    import openai

    completions = _client().chat.completions.with_raw_response
    options: Any = {"model": settings.OPENAI_MODEL, "messages": messages, limit: settings.OPENAI_MAX_OUTPUT_TOKENS}
    with deadlines.within(ANSWER_SECONDS, MOST_BYTES) as deadline:
        try:
            if settings.OPENAI_SCHEMA_MODE == "json_schema":
                raw = completions.parse(response_format=schema, **options)  # sends the schema; we parse ourselves
            else:
                raw = completions.create(response_format={"type": "json_object"}, **options)
        except openai.APIStatusError as error:
            raise _refusal(error, deadline.retry_after, limit) from None
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, deadlines.DeadlineError, OSError) as error:
            raise _not_reached(error) from None
    request_id = raw.headers.get("x-request-id") or ""
    try:
        body = json.loads(raw.http_response.content)
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else None, request_id


def _not_reached(error: Exception) -> LLMError:
    cause = error.__cause__ or error
    message = _("The model was not reached: %s") % f"{type(cause).__name__}: {_scrub(cause)}"
    # Once the question was sent somebody may have been paid, and nobody says how much.
    return LLMError(message, () if isinstance(cause, NOT_SENT) else [_usage({}, "")])


def _refusal(error: "openai.APIStatusError", retry_after: float | None, limit: str) -> LLMError:
    status, code = error.status_code, refusals.code_of(error.body)
    reason = _scrub(refusals.reason_of(error.body))
    message = _("The model's server answered %s") % f"{status}: {reason}".removesuffix(": ")
    if refusals.wants_another_limit(status, reason, limit) and settings.OPENAI_LIMIT_PARAMETER == "auto":
        return _UnknownLimitError(message)
    advice = refusals.mend(status, code, reason)
    advised = f"{message.rstrip('.')}. {advice}".rstrip()
    if refusals.is_about_money(status, code, reason):
        return LLMQuota(advised, can_be_mended=True)  # comes as 429 too, and waiting does not help
    if status == 429 or (status in (503, 529) and retry_after is not None):
        return LLMBusy(message, retry_after=retry_after)
    if status in (408, 409) or status >= 500:
        return LLMError(message)
    return LLMRefused(advised, can_be_mended=bool(advice))


def _usage(body: dict[str, Any], request_id: str) -> Usage:
    """Return what a call used, each field cleaned and bounded so that it can be stored whatever the server said."""
    told = body.get("usage")
    counts = told if isinstance(told, dict) else {}
    given, written = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    cached = min(_count(counts.get("prompt_tokens_details"), "cached_tokens") or 0, given or 0)
    reasoning = min(_count(counts.get("completion_tokens_details"), "reasoning_tokens") or 0, written or 0)
    cost = None if given is None or written is None else _cost_usd(given, cached, written)
    model = body.get("model")
    model = (storable(model) if isinstance(model, str) else "") or settings.OPENAI_MODEL
    return Usage(model[:100], given or 0, cached, written or 0, reasoning, cost, storable(request_id)[:100])


def _count(counts: Any, name: str) -> int | None:
    number = counts.get(name) if isinstance(counts, dict) else None
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    return number if 0 <= number <= MOST_TOKENS else None


def _cost_usd(given: int, cached: int, written: int) -> Decimal | None:
    cost = (
        max(0, given - cached) * settings.OPENAI_USD_PER_MILLION_INPUT
        + cached * settings.OPENAI_USD_PER_MILLION_CACHED
        + written * settings.OPENAI_USD_PER_MILLION_OUTPUT
    ) / MILLION
    return round(cost, 8) if cost < MOST_USD - 1 else None


def _client() -> "openai.OpenAI":
    return _kept_client(os.getpid(), settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY)


@functools.lru_cache(maxsize=4)
def _kept_client(_pid: int, url: str, key: str) -> "openai.OpenAI":
    import openai

    # One per process: a client that crossed a fork would share its parent's connection.
    http = deadlines.hold(openai.DefaultHttpx2Client(timeout=ANSWER_SECONDS))
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    # Azure's addresses with an api-version know the key under a header of their own.
    headers = {"api-key": key} if "api-version" in query else {}
    return openai.OpenAI(
        api_key=key,
        base_url=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
        default_query=query,
        default_headers=headers,
        timeout=ANSWER_SECONDS,
        max_retries=0,
        http_client=http,
    )


def _scrub(text: object) -> str:
    """Return a text of the other side without our key, at a length that fits a row."""
    return storable(str(text)).replace(settings.OPENAI_API_KEY, "[key]")[:300]
