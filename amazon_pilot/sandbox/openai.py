"""OpenAI as the product meets it: chat completions and responses, with usage, limits and failures on demand."""

import json
import random
import secrets
import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_POST

from amazon_pilot.sandbox import store, writer
from amazon_pilot.sandbox.wire import answer, bearer, body_of, service, spoil

CHARACTERS_PER_TOKEN = 4
CACHED_FROM = 1024
WRITERS = {"CompetitorReport": writer.competitor_report, "OptimizationReport": writer.optimization_report}


def error(status: int, kind: str, message: str, retry_after: float | None = None) -> HttpResponse:
    """Answer an error in OpenAI's shape."""
    code = kind if status in (401, 404, 429) else None
    response = answer({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)
    if retry_after is not None:
        response["Retry-After"] = f"{retry_after:g}"
    return response


@service
@require_POST
def chat_completions(request: HttpRequest) -> HttpResponseBase:
    """Answer POST /chat/completions."""
    asked = body_of(request) or {}
    texts = _contents(asked.get("messages"))
    return complete(request, asked, texts, _schema_name(asked.get("response_format"), texts), as_chat)


@service
@require_POST
def responses(request: HttpRequest) -> HttpResponseBase:
    """Answer POST /responses."""
    asked = body_of(request) or {}
    given = asked.get("input")
    turns = given if isinstance(given, list) else [{"content": given}]
    texts = [str(asked.get("instructions") or ""), *_contents(turns)]
    wanted = (asked.get("text") or {}).get("format")
    return complete(request, asked, texts, _schema_name({"json_schema": wanted}, texts), as_response)


def _contents(messages: Any) -> list[str]:
    turns = messages if isinstance(messages, list) else []
    return [str(turn.get("content")) for turn in turns if isinstance(turn, dict)]


def _schema_name(wanted: Any, texts: list[str]) -> str:
    """Answer which report is wanted: by the schema's name, else by the word in the rules (json_object)."""
    schema = wanted.get("json_schema") if isinstance(wanted, dict) else None
    name = schema.get("name", "") if isinstance(schema, dict) else ""
    return next((known for known in WRITERS if known == name or (texts and known in texts[0])), "")


def complete(
    request: HttpRequest, asked: dict[str, Any], texts: list[str], schema: str, shape: Any
) -> HttpResponseBase:
    """Answer one completion in the `shape` of the endpoint, after the time that a model takes."""
    fault = store.take_fault("openai", "completion")
    if bearer(request) not in (settings.OPENAI_API_KEY, settings.SANDBOX_TOKEN):
        return error(401, "invalid_api_key", "Incorrect API key provided.")
    if fault and fault.status:
        kind = fault.kind or ("rate_limit_exceeded" if fault.status == 429 else "server_error")
        return _signed(error(fault.status, kind, fault.message, fault.retry_after))
    if len(texts) < 2 or not schema:
        return _signed(error(400, "invalid_request_error", "The sandbox writes the product's two reports only."))
    options = store.options()
    time.sleep(random.uniform(options.least_answer_seconds, options.most_answer_seconds))
    written = json.dumps(WRITERS[schema](writer.read_facts(_parsed(texts[1]))), ensure_ascii=False)
    output = fault.output if fault else ""
    content = spoilt(written, output)
    usage = None if output == "unmetered" else count_usage(texts, content, output)
    return spoil(_signed(answer(shape(asked.get("model"), content, output, usage))), fault)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def spoilt(written: str, output: str) -> str:
    """Answer what the model writes when it is asked to go wrong."""
    if output == "truncated":
        return written[: len(written) // 2]
    if output == "invalid":
        return json.dumps({"summary": 7})
    if output == "prose":
        return f"Here is your report:\n```json\n{written}\n```"
    if output == "thinking":
        return f'<think>A draft {{"summary": "no"}} is {{not}} it.</think>\n{written}'
    if output == "bom":
        return f"\ufeff{written}"
    if output == "tail":
        return f"{written}\nTell me {{if}} you need more."
    if output == "unstorable":
        return written.replace('{"summary": "', '{"summary": "\\u0000\\ud83d', 1)
    return "" if output in ("refused", "filtered") else written


def count_usage(texts: list[str], content: str, output: str = "") -> dict[str, int]:
    """Answer a plausible count of tokens: long prompts are partly cached, and thinking is part of the output."""
    if output == "countless":
        return dict.fromkeys(("input", "cached", "output", "reasoning"), 10**12)
    given = sum(map(len, texts)) // CHARACTERS_PER_TOKEN + 8 * len(texts)
    written = len(content) // CHARACTERS_PER_TOKEN + 1
    cached = len(texts[0]) // CHARACTERS_PER_TOKEN // 128 * 128 if given >= CACHED_FROM else 0
    return {"input": given, "cached": cached, "output": written + written // 4, "reasoning": written // 4}


def as_chat(model: Any, content: str, output: str, usage: dict[str, int] | None) -> dict[str, Any]:
    """Answer the body of a chat completion."""
    reason = {"truncated": "length", "filtered": "content_filter"}.get(output, "stop")
    refusal = "I cannot help with that." if output == "refused" else None
    message = {"role": "assistant", "content": None if refusal else content, "refusal": refusal}
    choice = {"index": 0, "finish_reason": reason, "logprobs": None, "message": message}
    return {
        "id": f"chatcmpl-{secrets.token_hex(8)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [] if output == "empty" else [choice],
        "usage": usage
        and {
            "prompt_tokens": usage["input"],
            "completion_tokens": usage["output"],
            "total_tokens": usage["input"] + usage["output"],
            "prompt_tokens_details": {"cached_tokens": usage["cached"]},
            "completion_tokens_details": {"reasoning_tokens": usage["reasoning"]},
        },
    }


def as_response(model: Any, content: str, output: str, usage: dict[str, int] | None) -> dict[str, Any]:
    """Answer the body of a response of the Responses API."""
    text = {"type": "output_text", "text": content, "annotations": [], "logprobs": []}
    refusal = {"type": "refusal", "refusal": "I cannot help with that."}
    part = refusal if output == "refused" else text
    reason = {"truncated": "max_output_tokens", "filtered": "content_filter"}.get(output)
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "id": f"resp_{secrets.token_hex(8)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if reason else "completed",
        "model": model,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "output": [] if output == "empty" else [message],
        "usage": usage
        and {
            "input_tokens": usage["input"],
            "input_tokens_details": {"cached_tokens": usage["cached"], "cache_write_tokens": 0},
            "output_tokens": usage["output"],
            "output_tokens_details": {"reasoning_tokens": usage["reasoning"]},
            "total_tokens": usage["input"] + usage["output"],
        },
    }


def _signed(response: HttpResponse) -> HttpResponse:
    """Answer with the request's id and what is left of the limits."""
    response["x-request-id"] = f"req_{secrets.token_hex(8)}"
    for name, most, left, reset in (("requests", "500", "499", "120ms"), ("tokens", "200000", "198000", "6m0s")):
        response[f"x-ratelimit-limit-{name}"] = most
        response[f"x-ratelimit-remaining-{name}"] = left
        response[f"x-ratelimit-reset-{name}"] = reset
    return response
