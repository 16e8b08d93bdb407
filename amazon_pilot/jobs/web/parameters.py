"""What came with a request, looked at before any view: no text that a database or a page could not carry."""

from collections.abc import Callable, Iterator

from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy

ODD_TEXT = gettext_lazy(
    "The request holds a NUL or half of a character, so nothing was done. Take it out, and try again."
)
ODD_VALUE = gettext_lazy("The request holds a value that is too large or of no sense here, so nothing was done.")
# What a view raises when a value of the request goes beyond what Python, a calendar or a database can hold.
ODD_VALUES = (DataError, OverflowError, RecursionError, UnicodeError)

Handler = Callable[[HttpRequest], HttpResponse]


def is_plain_text(text: str) -> bool:
    """Tell whether a text can be stored and written: without NUL, and without halves of characters."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def texts_in(value: object) -> Iterator[str]:
    """Return every text within what was read from JSON, keys as well, however deep."""
    left: list[object] = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            left += [*each, *each.values()]
        elif isinstance(each, list):
            left += each


def texts_of(request: HttpRequest) -> Iterator[str]:
    """Return what a request says: its address, cookies, and the fields of its query and form."""
    yield request.path
    yield from texts_in(dict(request.COOKIES))
    yield from texts_in(dict(request.GET.lists()))
    yield from texts_in(dict(request.POST.lists()))
