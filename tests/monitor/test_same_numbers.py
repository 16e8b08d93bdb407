"""One number, three doors: what a page shows, the JSON answers and the command line writes is the same."""

import json
import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse

from amazon_pilot.jobs import verbs
from tests.jobs import tasks

from .test_bulk import bury, failures

pytestmark = pytest.mark.django_db(transaction=True)
STATES = {
    "waiting": "queued",
    "running": "started",
    "scheduled": "scheduled",
    "deferred": "deferred",
    "failed": "failed",
}


@pytest.fixture
def shop():
    """Jobs in every state and on every queue, no number of which is like another."""
    for n, queue in enumerate(("critical", "default", "low")):
        ids = [verbs.run_again("tests.jobs.tasks.add", [n, m], queue=queue) for m in range(30 + n)]
        for job_id in ids[: 3 + n]:
            verbs.hold(job_id)
        bury(ids[10 : 17 + n], queue)
        failures(ids[10:14], "a", queue)
    for n in range(11):
        tasks.do_nothing.enqueue_in(timedelta(hours=1), n)


def told(capsys, *words):
    capsys.readouterr()
    call_command("jobs", *words, "--json")
    return json.loads(capsys.readouterr().out)


def shown(client, queue):
    """Answer the numbers that the page of all queues shows of one, by the links that they are."""
    text = client.get(reverse("monitor:queues")).content.decode()
    found = {}
    for name, state in STATES.items():
        link = rf'<a href="[^"]*q=state%3A{state}\+queue%3A{queue}">([\d,]+)</a>'
        found[name] = int(re.search(link, text)[1].replace(",", ""))
    return found


def test_the_queues(person, capsys, shop):
    client = person("view")

    by_api = client.get(reverse("monitor:api-queues")).json()["queues"]
    by_command = told(capsys, "queues")["queues"]
    lines = (call_command("jobs", "queues"), capsys.readouterr().out)[1].splitlines()

    for one, other, line in zip(by_api, by_command, lines, strict=True):
        name, numbers = one["name"], {state: one[state] for state in STATES}
        assert numbers == {state: other[state] for state in STATES}
        assert numbers == shown(client, name)
        assert line.split()[:11] == [name, *(word for pair in numbers.items() for word in map(str, pair))]
    assert [queue["waiting"] for queue in by_api] == [20, 19, 18]
    assert [queue["failed"] for queue in by_api] == [7, 8, 9]
    assert by_api[1]["scheduled"] == 11


@pytest.mark.parametrize(
    ("question", "number"),
    [("state:failed", 24), ("state:queued queue:low", 18), ("state:scheduled", 11), ("cause:a", 12), ("queue:low", 4)],
)
def test_a_count_of_the_list(person, capsys, shop, question, number):
    client = person("operate")

    page = client.get(reverse("monitor:jobs"), {"q": question}).content.decode()

    assert f"{number} {'jobs' if 'state:' in question else 'runs'} match." in page
    assert client.get(reverse("monitor:api-jobs"), {"q": question}).json()["total"] == number
    assert told(capsys, "list", question)["total"] == number
    if question in ("state:failed", "cause:a"):
        words = {"action": "retry", "q": question}
        seen = client.get(reverse("monitor:bulk_preview"), words).content.decode()
        assert f"{number} jobs match." in seen or f"{number} are looked at." in seen
        assert client.get(reverse("monitor:api-bulk-preview"), words).json()["number"] == number
        assert told(capsys, "bulk", "retry", question, "--dry-run")["number"] == number
