"""Failures on demand: the words in which a test, or a person with SANDBOX_CONTROL_TOKEN, asks for the next one."""

import hmac
from dataclasses import asdict, fields
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_POST

from amazon_pilot.sandbox import store
from amazon_pilot.sandbox.store import Fault, Options, Run
from amazon_pilot.sandbox.wire import answer, bearer, body_of, service

MOST_TIMES, MOST = 1000, 1_000_000  # of one wish, and of any number in it
USUAL_OPERATION = {"apify": "start", "openai": "completion"}


class Control:
    """What can be asked of one played service."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fail_next(self, status: int = 0, *, times: int = 1, **fault: Any) -> None:
        """Have the next calls fail with an HTTP status, or as the fields of store.Fault say.

        Without `on` it is the call that costs money: a start, a completion. Raises TypeError for an unknown field.
        """
        facts: dict[str, Any] = {"service": self.name, "on": USUAL_OPERATION[self.name], "status": status}
        chosen = Fault(**(facts | fault))
        for _ in range(times):
            store.add_fault(chosen)

    def lose_next_answer(self) -> None:
        """Have the next paid call do its work and lose the connection before the answer arrives."""
        self.fail_next(breaks="reset", commits=True)


class ApifyControl(Control):
    """What can be asked of the played Apify."""

    def __init__(self) -> None:
        super().__init__("apify")

    @property
    def runs(self) -> list[Run]:
        """Answer the runs that were started, and so paid for, oldest first."""
        return store.runs()

    def end_next(self, status: str, *, items: int | None = None) -> None:
        """Have the next run end as FAILED, ABORTED, TIMED-OUT or SUCCEEDED with so many items."""
        self.fail_next(ends=status, items=items, commits=True)


class OpenAIControl(Control):
    """What can be asked of the played OpenAI."""

    def __init__(self) -> None:
        super().__init__("openai")

    def spoil_next(self, output: str, *, times: int = 1) -> None:
        """Have the model write something; store.Fault lists what."""
        self.fail_next(output=output, times=times)


@service
@require_POST
def control(request: HttpRequest) -> HttpResponseBase:
    """Take one wish as JSON: {"service": "apify", "fail_next": {…}}, {"options": {…}} or {"clear": true}.

    Answers the options in force. Who may ask sends SANDBOX_CONTROL_TOKEN; without that setting there is no control.
    """
    if not settings.SANDBOX_CONTROL_TOKEN:
        raise Http404
    if not hmac.compare_digest(bearer(request).encode(), settings.SANDBOX_CONTROL_TOKEN.encode()):
        return answer({"error": "Send SANDBOX_CONTROL_TOKEN as a bearer token."}, 401)
    wish = body_of(request)
    try:
        grant(wish or {})
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        return answer({"error": f"The wish cannot be read: {error}"}, 400)
    return answer({"options": asdict(store.options())})


def grant(wish: dict[str, Any]) -> None:
    """Do what a wish says; raises TypeError, KeyError, AttributeError or ValueError when it cannot be read."""
    if wish.get("clear"):
        store.clear()
    if "options" in wish:
        check(Options, wish["options"])
        store.set_options(**wish["options"])
    if "fail_next" in wish:
        times, fault = wish["fail_next"].pop("times", 1), wish["fail_next"]
        check(Fault, fault)
        if not isinstance(times, int) or not 1 <= times <= MOST_TIMES:
            raise ValueError(f"times has to be a whole number from 1 to {MOST_TIMES}")
        if fault.get("status") and not 100 <= fault["status"] <= 599:
            raise ValueError("status has to be one of HTTP")
        Control(wish["service"]).fail_next(times=times, **fault)


def check(kind: type[Fault | Options], words: dict[str, Any]) -> None:
    """Raise ValueError where a value is not what the field of this name wants: the next calls would fail of it."""
    for each in (each for each in fields(kind) if each.name in words):
        value = words[each.name]
        wanted: Any = each.type | int if each.type in (float, float | None) else each.type
        if not isinstance(value, wanted):
            raise ValueError(f"{each.name} has another type")
        if isinstance(value, int | float) and not 0 <= value <= MOST:
            raise ValueError(f"{each.name} has to be from 0 to {MOST}")
