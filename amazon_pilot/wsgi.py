"""The door for a web server, and when a request is a transaction."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import DatabaseError, connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amazon_pilot.settings")
os.environ.setdefault("REDIS_PATIENCE_SECONDS", "2")  # a person waits for the answer

View = Callable[..., HttpResponseBase]
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")


class AtomicWrites:
    """Makes a transaction of each request that changes something; one that only looks is none.

    A transaction of SQLite takes the write lock when it begins (immediate), so that a page would wait for whoever
    writes, and others for the page.
    """

    def make_view_atomic(self, view: View) -> View:
        """Return the view in a transaction, as ATOMIC_REQUESTS says, but for requests that look."""
        atomic: View = super().make_view_atomic(view)  # type: ignore[misc]

        def handle(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return (view if request.method in SAFE_METHODS else atomic)(request, *args, **kwargs)

        return handle

    def _get_response(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request; what only looks takes no lock, its template included, which is rendered after its view."""
        answer: Callable[[HttpRequest], HttpResponseBase] = super()._get_response  # type: ignore[misc]
        if request.method not in SAFE_METHODS:
            return answer(request)
        with looking():
            return answer(request)


@contextmanager
def looking() -> Iterator[None]:
    """Have a transaction that a part of a page opens on SQLite take no lock until it writes."""
    if connection.vendor != "sqlite":
        yield
        return
    try:
        connection.ensure_connection()
    except DatabaseError:  # the view meets it, too, and is answered for
        yield
        return
    wrapper: Any = connection
    wrapper.transaction_mode, kept = None, wrapper.transaction_mode
    try:
        yield
    finally:
        wrapper.transaction_mode = kept


class Handler(AtomicWrites, WSGIHandler):
    """Django's handler with our transactions. With its first request a server begins to watch over the alerts."""

    watch: Any = None

    def __call__(self, *args: Any) -> Any:
        """Answer one request."""
        if Handler.watch is None:
            Handler.watch = watch.begin() or False
        return super().__call__(*args)


django.setup(set_prefix=False)
application = Handler()

from amazon_pilot.jobs.history import releases  # noqa: E402 - their models are there only now
from amazon_pilot.jobs.schedule import watch  # noqa: E402

releases.notice()
# What is loaded stays. To look through all of it for garbage would hold up each fourth page by a fifth of a second.
import_module(settings.ROOT_URLCONF)
gc.collect()
gc.freeze()
