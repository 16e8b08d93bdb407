"""Why a model's server said no, in one sentence that names the setting to mend.

Each server has its own shape: OpenAI and Azure {"error": {"message", "code"}}, vLLM {"object": "error", "message"},
Ollama {"error": "…"}, Mistral and other FastAPI servers {"detail": …}, Google [{"error": …}]; proxies answer HTML.
"""

import re
from typing import Any

from django.utils.translation import gettext as _

WHERE_A_REASON_STANDS = ("error", "message", "detail", "msg", "error_description", "title")
TAGS = re.compile(r"(?s)<(script|style|head)\b.*?</\1>|<[^>]*>")
SCHEMA_WORDS = ("response_format", "json_schema", "json schema", "structured output", "guided")
LIMIT_WORDS = ("max_tokens", "max_completion_tokens")
UNKNOWN_WORDS = ("unrecognized", "unsupported", "not supported", "not permitted", "unknown", "unexpected", "extra")
LENGTH_WORDS = ("context_length", "context length", "context window", "maximum context", "too many tokens")
MONEY_WORDS = ("insufficient_quota", "insufficient balance", "insufficient credit", "credit balance")


def reason_of(body: Any, depth: int = 4) -> str:
    """Return the sentence in an error's body, whatever its shape; empty when it holds none."""
    if isinstance(body, str):
        return " ".join(TAGS.sub(" ", body).split())[:400]
    if isinstance(body, list) and depth:
        return "; ".join(filter(None, (reason_of(item, depth - 1) for item in body[:3])))[:400]
    if not isinstance(body, dict) or not depth:
        return ""
    said = (reason_of(body[key], depth - 1) for key in WHERE_A_REASON_STANDS if body.get(key))
    reason = next(filter(None, said), "")
    where = body.get("loc")
    return f"{'.'.join(map(str, where))}: {reason}" if isinstance(where, list) and where else reason


def code_of(body: Any) -> str:
    """Return the code or type that a program would look at, in small letters."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    return str((inner.get("code") or inner.get("type") or "") if isinstance(inner, dict) else "").lower()


def is_about_money(status: int, code: str, reason: str) -> bool:
    """Tell whether the account's money is at its end: waiting does not help then."""
    return status == 402 or code == "insufficient_quota" or _names(reason, *MONEY_WORDS)


def wants_another_limit(status: int, reason: str, name: str) -> bool:
    """Tell whether the server does not know the parameter `name` that bounds the answer."""
    return status in (400, 422) and _names(reason, name) and _names(reason, *UNKNOWN_WORDS)


def mend(status: int, code: str, reason: str) -> str:
    """Return what a person can do about it, with the setting's name; empty when nothing is known to help."""
    if is_about_money(status, code, reason):
        return _("Pay at the model's provider, or set OPENAI_BASE_URL to another one.")
    if status in (401, 403):
        return _("Set OPENAI_API_KEY to a key that this server knows.")
    if _names(reason, *LENGTH_WORDS) or code == "context_length_exceeded":
        return _("Set OPENAI_MODEL to one with room for more, or lower OPENAI_MAX_OUTPUT_TOKENS.")
    if _names(reason, *SCHEMA_WORDS):
        return _("Set OPENAI_SCHEMA_MODE to json_object.")
    if _names(reason, *LIMIT_WORDS):
        unknown = _names(reason, *UNKNOWN_WORDS)
        return _("Set OPENAI_LIMIT_PARAMETER to the other name.") if unknown else _("Lower OPENAI_MAX_OUTPUT_TOKENS.")
    if _names(f"{code} {reason}", "model", "deployment") and status in (400, 404, 422):
        return _("Set OPENAI_MODEL to one that this server has.")
    if status in (404, 405) or 300 <= status < 400:
        return _("Set OPENAI_BASE_URL to the address before /chat/completions.")
    return ""


def _names(text: str, *words: str) -> bool:
    return any(word in text.lower() for word in words)
