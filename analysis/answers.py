"""What a model wrote, read with patience: JSON in a fence, behind its reasoning, before a sentence."""

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import pydantic

from .texts import storable

T = TypeVar("T", bound=pydantic.BaseModel)

# Reasoning ends with one of these where a server leaves it in the answer (DeepSeek and Qwen, Kimi, Mistral).
REASONING_ENDS = re.compile(r"</think(?:ing)?>|</reasoning>|◁/think▷|\[/THINK\]", re.IGNORECASE)
# So many opening brackets are tried: an answer is bounded by its limit of tokens, a hostile one only by this.
MOST_STARTS = 200


class UnreadableError(Exception):
    """No part of the answer fits the schema; the text says what is wrong, field by field."""


def read(text: str, schema: type[T]) -> tuple[T, int]:
    """Return the answer in `text`, and how many items of its lists could not be read and were left out.

    Of several JSON objects the last that fits is taken: drafts come first. Raises UnreadableError.
    """
    complaints = []
    for found in objects(text):
        try:
            content = storable(found)
            parsed = schema.model_validate(content)
        except RecursionError:
            complaints.append((1, "the answer is nested too deep"))
        except pydantic.ValidationError as error:
            complaints.append((error.error_count(), _complaint(error)))
        else:
            return parsed, _left_out(content, parsed)
    raise UnreadableError(min(complaints, default=(1, "the answer holds no JSON object"))[1])


def objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a text, the last first, those behind its reasoning before those within.

    An object that only wraps others is followed by these.
    """
    *reasoning, written = REASONING_ENDS.split(text)
    for part in (written, *reversed(reasoning)):
        for found in reversed(_decoded(part)):
            yield found
            yield from (value for value in found.values() if isinstance(value, dict))


def _decoded(text: str) -> list[dict[str, Any]]:
    # Not strict: models write line breaks into strings.
    decoder = json.JSONDecoder(strict=False)
    found: list[dict[str, Any]] = []
    at = text.find("{")
    for _start in range(MOST_STARTS):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
            found.append(value)
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return found


def _left_out(content: dict[str, Any], parsed: pydantic.BaseModel) -> int:
    lists = [(content[name], value) for name, value in parsed if isinstance(value, list) and value]
    return sum(len(given) - len(kept) for given, kept in lists if isinstance(kept[0], pydantic.BaseModel))


def _complaint(error: pydantic.ValidationError) -> str:
    wrong = [
        f"{'.'.join(map(str, detail['loc'])) or 'the answer'}: {detail['msg']}"
        for detail in error.errors(include_url=False, include_input=False, include_context=False)[:10]
    ]
    return "; ".join(wrong)
