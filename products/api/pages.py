"""The page that explains the API: written from its OpenAPI document, so that it says what is true; without a script."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from .site import api

METHODS = ("get", "post", "patch", "delete")


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show every address with what it takes and answers, and how to ask."""
    schema = api.get_openapi_schema(path_prefix="/api/v1/")
    operations = [
        _operation(path, method, words)
        for path, methods in schema["paths"].items()
        for method, words in methods.items()
        if method in METHODS
    ]
    context = {"operations": operations, "site": settings.SITE_URL, "limit": settings.API_REQUESTS_PER_MINUTE}
    return render(request, "products/api.html", context)


def _operation(path: str, method: str, words: dict[str, Any]) -> dict[str, Any]:
    answers = {str(status): answer for status, answer in words.get("responses", {}).items()}
    good = next((status for status in sorted(answers) if status.startswith("2")), "")
    return {
        "id": words["operationId"],
        "method": method.upper(),
        "parts": path.split("/"),  # a long address breaks at its slashes
        "summary": words.get("description", words["summary"]),
        "parameters": [_parameter(one) for one in words.get("parameters", [])],
        "body": _name_of(words.get("requestBody", {})),
        "status": good,
        "answer": _name_of(answers.get(good, {})),
    }


def _parameter(words: dict[str, Any]) -> dict[str, Any]:
    schema = words.get("schema", {})
    choices = [choice for choice in schema.get("enum", []) if choice]
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    return {
        "name": words["name"],
        "place": words["in"],
        "kind": " | ".join(choices) or schema.get("type") or "date-time",
        "limits": " ".join(limits),
        "default": schema.get("default"),
    }


def _name_of(part: dict[str, Any]) -> str:
    for content in part.get("content", {}).values():
        return str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]
    return ""
