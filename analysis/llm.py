"""The door to OpenAI and to servers like it: rules and facts in, a checked answer and what it cost out.

Facts about openai 3.54 that shaped it, each held by a test in tests/analysis/test_llm.py: a client retry may be billed
twice, so the queue retries; a truncated or invalid answer raises inside the package and takes the usage with it, so the
usage is read from the raw answer first; servers that only resemble OpenAI leave parts of the answer out.
"""

import functools
import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

import openai
import pydantic
from django.conf import settings
from django.utils.translation import gettext as _

from amazon_pilot import deadlines
from analysis.reports import CompetitorReport, OptimizationReport, Recommendation, Suggestion

__all__ = [
    "Answer",
    "CompetitorReport",
    "LLMBusy",
    "LLMError",
    "LLMQuota",
    "LLMRefused",
    "OptimizationReport",
    "Recommendation",
    "Suggestion",
    "Usage",
    "ask",
    "clean_text",
]

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=pydantic.BaseModel)

ANSWER_SECONDS = 60
MOST_OUTPUT_TOKENS = 4000
MILLION = Decimal(1_000_000)
# Control signs but for tab and line feed, zero-width signs, marks of direction, and the invisible tags that can carry
# whole sentences to a model and none to a reader.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


@dataclass(frozen=True)
class Usage:
    """What one call used, in tokens; `cached_tokens` are part of the input, `reasoning_tokens` of the output.

    `cost_usd` is None when the server did not say what was used: unknown, not free. The tokens are 0 then.
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
    """A checked answer, and the usage of every call that it took."""

    parsed: T
    usages: tuple[Usage, ...]


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
    """The same question will not be answered: the key, the request, or the model's own refusal."""


class LLMQuota(LLMRefused):
    """The account's money is at its end: no question will be answered until somebody pays."""


def ask(rules: str, facts: dict[str, Any], schema: type[T]) -> Answer[T]:
    """Have the model answer `schema` about `facts` under `rules`; at most two calls of a minute each.

    Rules go into the system message and facts, as one JSON object, into the user message: texts of a listing are
    written by strangers, and must not stand where instructions do. An answer that does not fit the schema is sent back
    once with what is wrong. Raises LLMRefused, LLMQuota, LLMBusy or LLMError, each with the usages paid until then.
    """
    messages = [
        {"role": "system", "content": _rules_for(schema, rules)},
        {"role": "user", "content": json.dumps(facts, ensure_ascii=False, default=str)},
    ]
    usages: list[Usage] = []
    written = _complete(messages, schema, usages)
    try:
        return Answer(schema.model_validate_json(written), tuple(usages))
    except pydantic.ValidationError as error:
        complaint = _complaint(error)
        logger.info("The model's answer did not fit %s and is sent back once: %s", schema.__name__, complaint)
    messages += [{"role": "assistant", "content": written}, {"role": "user", "content": complaint}]
    written = _complete(messages, schema, usages)
    try:
        return Answer(schema.model_validate_json(written), tuple(usages))
    except pydantic.ValidationError as error:
        raise LLMError(_("The model's answer did not fit, twice: %s") % _complaint(error), usages) from None


def clean_text(text: str, limit: int) -> str:
    """Answer a stranger's text for a prompt: no control, zero-width or direction signs, at most `limit` characters."""
    return INVISIBLE.sub("", text).strip()[:limit]


def _rules_for(schema: type[pydantic.BaseModel], rules: str) -> str:
    if settings.OPENAI_SCHEMA_MODE == "json_schema":
        return rules
    # A server without schemas needs the word json and the shape in the prompt.
    shape = json.dumps(schema.model_json_schema(), ensure_ascii=False)
    return f"{rules}\n\nAnswer with one json object and nothing else. Its JSON schema, {schema.__name__}: {shape}"


def _complaint(error: pydantic.ValidationError) -> str:
    wrong = [
        f"{'.'.join(map(str, detail['loc'])) or 'the answer'}: {detail['msg']}"
        for detail in error.errors(include_url=False, include_input=False, include_context=False)[:10]
    ]
    return f"The answer does not fit the schema ({'; '.join(wrong)}). Answer again with the whole json object."


def _complete(messages: list[dict[str, str]], schema: type[pydantic.BaseModel], usages: list[Usage]) -> str:
    """Answer what the model wrote, and add what it used to `usages` before anything can go wrong with it."""
    body, request_id = _post(messages, schema, usages)
    usages.append(_usage(body, request_id))
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        raise LLMError(_("The model's server answered without a message"), usages)
    if message.get("refusal"):
        raise LLMRefused(_("The model refused: %s") % _scrub(message["refusal"]), usages)
    if choice.get("finish_reason") == "content_filter":
        raise LLMRefused(_("The content filter of the model's server stopped the answer"), usages)
    if choice.get("finish_reason") == "length":
        raise LLMError(_("The model's answer was cut off at %s tokens") % MOST_OUTPUT_TOKENS, usages)
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _post(
    messages: list[dict[str, str]], schema: type[pydantic.BaseModel], usages: list[Usage]
) -> tuple[dict[str, Any], str]:
    completions = _client().chat.completions.with_raw_response
    options: Any = {"model": settings.OPENAI_MODEL, "messages": messages, "max_completion_tokens": MOST_OUTPUT_TOKENS}
    with deadlines.within(ANSWER_SECONDS) as deadline:
        try:
            if settings.OPENAI_SCHEMA_MODE == "json_schema":
                raw = completions.parse(response_format=schema, **options)  # sends the schema; we parse ourselves
            else:
                raw = completions.create(response_format={"type": "json_object"}, **options)
        except openai.APIStatusError as error:
            raise _refusal(error, deadline.retry_after, usages) from None
        except (openai.OpenAIError, deadlines.DeadlineError) as error:
            cause = error.__cause__ or error
            raise LLMError(
                _("The model was not reached: %s") % f"{type(cause).__name__}: {_scrub(cause)}", usages
            ) from None
    request_id = raw.headers.get("x-request-id") or ""
    try:
        body = json.loads(raw.http_response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        # Somebody may have been paid for this answer, and nobody says how much.
        unknown = _usage({}, request_id)
        raise LLMError(_("The model's server answered something that is not JSON"), [*usages, unknown])
    return body, request_id


def _refusal(error: openai.APIStatusError, retry_after: float | None, usages: list[Usage]) -> LLMError:
    message = _("The model's server answered %s") % f"{error.status_code}: {_scrub(error.message)}"
    if error.code == "insufficient_quota":
        return LLMQuota(message, usages)  # comes as 429 too, and waiting does not help
    if error.status_code == 429:
        return LLMBusy(message, usages, retry_after)
    if error.status_code in (408, 409) or error.status_code >= 500:
        return LLMError(message, usages)
    return LLMRefused(message, usages)


def _usage(body: dict[str, Any], request_id: str) -> Usage:
    model = body.get("model")
    told = body.get("usage")
    counts = told if isinstance(told, dict) else {}
    spent = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    cached = _count(counts.get("prompt_tokens_details"), "cached_tokens") or 0
    reasoning = _count(counts.get("completion_tokens_details"), "reasoning_tokens") or 0
    cost = None if spent[0] is None or spent[1] is None else _cost_usd(spent[0], cached, spent[1])
    model = model if isinstance(model, str) else settings.OPENAI_MODEL
    return Usage(model, spent[0] or 0, cached, spent[1] or 0, reasoning, cost, request_id)


def _count(counts: Any, name: str) -> int | None:
    number = counts.get(name) if isinstance(counts, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None


def _cost_usd(given: int, cached: int, written: int) -> Decimal:
    return (
        max(0, given - cached) * settings.OPENAI_USD_PER_MILLION_INPUT
        + cached * settings.OPENAI_USD_PER_MILLION_CACHED
        + written * settings.OPENAI_USD_PER_MILLION_OUTPUT
    ) / MILLION


def _client() -> openai.OpenAI:
    return _kept_client(os.getpid(), settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY)


@functools.lru_cache(maxsize=4)
def _kept_client(_pid: int, url: str, key: str) -> openai.OpenAI:
    # One per process: a client that crossed a fork would share its parent's connection.
    http = deadlines.hold(openai.DefaultHttpx2Client(timeout=ANSWER_SECONDS))
    return openai.OpenAI(api_key=key, base_url=url, timeout=ANSWER_SECONDS, max_retries=0, http_client=http)


def _scrub(text: object) -> str:
    """Answer a text of the other side without our key, at a length that fits a row."""
    return str(text).replace(settings.OPENAI_API_KEY, "[key]")[:500]
