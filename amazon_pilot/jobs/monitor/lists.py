"""Where the overview's numbers and names lead: the history in the admin, filtered by the words of the link."""

import re

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from .pages import page

# A state of the queue, and the outcome that the history keeps of it.
OUTCOMES = {"started": "started", "failed": "failed", "scheduled": "retrying"}


@page()
def jobs(request: HttpRequest) -> HttpResponse:
    """Lead to the history, filtered by the queue and the state that the link names."""
    words = dict(re.findall(r"(queue|state|outcome):(\S+)", request.GET.get("q", "")))
    outcome = words.get("outcome") or OUTCOMES.get(words.get("state", ""), "")
    filters = {"queue": words.get("queue", ""), "outcome__exact": outcome}
    return _history({name: value for name, value in filters.items() if value})


@page()
def job(request: HttpRequest, job_id: str) -> HttpResponse:
    """Lead to all runs of one job."""
    return _history({"q": job_id})


def _history(filters: dict[str, str]) -> HttpResponse:
    return redirect(f"{reverse('admin:jobs_jobrun_changelist')}?{urlencode(filters)}")
