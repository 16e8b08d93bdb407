"""An OpenAPI document as a page shows it, so that the page says what is true and needs no script."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..core.values import Answer
from . import pages

Document: TypeAlias = dict[str, Any]  # an OpenAPI document, or a part of it
METHODS = ("get", "post", "patch", "delete")


def page_of(schema_of: Callable[[], Document]) -> pages.View:
    """Return the page that explains the monitor's JSON; `schema_of` makes the document."""

    @pages.page()
    def docs(request: HttpRequest) -> HttpResponse:
        return pages.show(request, "api", _("API"), operations=operations_of(schema_of()))

    return docs


def operations_of(schema: Document) -> list[Answer]:
    """Return every operation of a document with what it takes and answers."""
    shapes = schema.get("components", {}).get("schemas", {})
    return [
        _operation(path, method, words, shapes)
        for path, methods in schema["paths"].items()
        for method, words in methods.items()
        if method in METHODS
    ]


def _operation(path: str, method: str, words: Document, shapes: Document) -> Answer:
    answers = {str(status): answer for status, answer in words.get("responses", {}).items()}
    good = next((status for status in sorted(answers) if status.startswith("2")), "")
    body = name_of(words.get("requestBody", {}))
    return {
        "id": words["operationId"],
        "method": method.upper(),
        "parts": path.split("/"),  # a long address breaks at its slashes
        "summary": with_code(words.get("description") or words["summary"]),
        "tag": ", ".join(words.get("tags", [])),
        "role": words.get("x-role", ""),
        "parameters": [_parameter(one) for one in words.get("parameters", [])] + _fields(shapes.get(body, {})),
        "body": body,
        "status": good,
        "answer": name_of(answers.get(good, {})),
    }


def with_code(text: str) -> SafeString:
    """Return a text as HTML in which what stands between two backquotes is code."""
    *pairs, last = re.split("`([^`]+)`", text)
    marked = (format_html("{}<code>{}</code>", *pairs[at : at + 2]) for at in range(0, len(pairs), 2))
    return format_html("{}{}", format_html_join("", "{}", ((one,) for one in marked)), last)


def _fields(shape: Document) -> list[Answer]:
    """Return the fields of a body as its parameters."""
    named = shape.get("properties", {}).items()
    return [_parameter({"name": name, "in": "body", "schema": words}) for name, words in named]


def _parameter(words: Document) -> Answer:
    schema = words.get("schema", {})
    choices = [choice for choice in schema.get("enum", []) if choice]
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    return {
        "name": words["name"],
        "place": words["in"],
        "kind": " | ".join(choices) or schema.get("format") or _kind(schema),
        "limits": " ".join(limits),
        "default": schema.get("default"),
    }


def _kind(schema: Document) -> str:
    """Return the type of a value, or the types that it may have."""
    kinds = [str(each.get("type", "")) for each in schema.get("anyOf", [])]
    return str(schema.get("type") or " | ".join(kind for kind in kinds if kind not in ("", "null")) or "–")


def name_of(part: Document) -> str:
    """Return the name of the shape that a body has; '' for one without a name."""
    for content in part.get("content", {}).values():
        schema = content.get("schema", {})
        (named,) = schema.get("allOf", [schema])  # beside a body that may be left out stands what it is then
        return str(named.get("$ref", "")).rpartition("/")[2]
    return ""
