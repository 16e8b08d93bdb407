"""What both played services share: who may call, how a request is read, and how an answer is spoilt on demand."""

import errno
import functools
import json
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec

from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from amazon_pilot.sandbox.store import Fault

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
JSON = "application/json; charset=utf-8"


def is_served() -> bool:
    """Whether the settings point one of the two services at a sandbox; a site with real services has none."""
    return any("/sandbox/" in url for url in (settings.APIFY_API_URL, settings.OPENAI_BASE_URL))


def bearer(request: HttpRequest) -> str:
    """Answer the token that the request carries; empty when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def service(view: View[P]) -> View[P]:
    """Serve a view as a machine's address: no CSRF check, no transaction, no session, and 404 without a sandbox."""

    @csrf_exempt
    @transaction.non_atomic_requests
    @functools.wraps(view)
    def served(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not is_served():
            raise Http404
        return view(request, *args, **kwargs)

    return served


def body_of(request: HttpRequest) -> dict[str, Any] | None:
    """Answer the JSON object in the body, inflated when it came as gzip; None when it is not one, or too large."""
    try:
        body = request.body
        if request.headers.get("Content-Encoding", "").lower() == "gzip":
            body = inflate(body)
        content = json.loads(body or b"{}")
    except (ValueError, OSError, RecursionError, zlib.error):
        return None
    return content if isinstance(content, dict) else None


def inflate(body: bytes) -> bytes:
    """Answer what is in a body of gzip; raises ValueError where it is cut short or holds more than a body may be."""
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    work = zlib.decompressobj(wbits=31)
    content = work.decompress(body, most)
    if not work.eof:
        raise ValueError("cut short, or too large")
    return content


def answer(content: Any, status: int = 200) -> HttpResponse:
    """Answer JSON as both services send it."""
    return JsonResponse(content, status=status, safe=False, content_type=JSON)


def spoil(response: HttpResponse, fault: Fault | None) -> HttpResponseBase:
    """Answer `response`, or what is left of it after `fault`."""
    if fault is None:
        return response
    if fault.breaks == "reset":
        return _cut(response)
    if fault.breaks == "drip":
        return _drip(response, fault.delay)
    time.sleep(fault.delay)
    if fault.breaks == "json":
        response.content = response.content[: len(response.content) // 2]
    if fault.breaks == "html":
        return HttpResponse("<html><body>Bad gateway of a proxy</body></html>", content_type="text/html")
    return response


def _cut(response: HttpResponse) -> StreamingHttpResponse:
    """Promise a body and end the connection: the work behind the answer is done, and the caller cannot know."""

    def body() -> Iterator[bytes]:
        yield b"{"
        raise ConnectionResetError(errno.ECONNRESET, "asked for by the sandbox's control")

    return _streamed(response, body())


def _drip(response: HttpResponse, seconds: float) -> StreamingHttpResponse:
    """Send the body in pieces, none of which is slow."""
    content = response.content
    pieces = max(2, int(seconds / 0.1))

    def body() -> Iterator[bytes]:
        size = len(content) // pieces + 1
        for start in range(0, len(content), size):
            time.sleep(seconds / pieces)
            yield content[start : start + size]

    return _streamed(response, body())


def _streamed(response: HttpResponse, body: Iterator[bytes]) -> StreamingHttpResponse:
    streamed = StreamingHttpResponse(body, status=response.status_code)
    for name, value in response.items():
        streamed[name] = value
    streamed["Content-Length"] = str(len(response.content))
    return streamed
