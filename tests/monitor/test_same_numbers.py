"""One number, three doors: what a page shows, the JSON answers and the command line writes is the same."""

import html
import json
import re
import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.core import keys
from amazon_pilot.jobs.inspect import store
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.operate import changes
from tests.jobs import tasks

from .many_jobs import bury, failures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]
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
        ids = [changes.run_again("tests.jobs.tasks.add", [n, m], queue=queue) for m in range(30 + n)]
        for job_id in ids[: 3 + n]:
            changes.one("hold", job_id)
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


@pytest.fixture
def crowd(redis):
    """Fourteen jobs that run: thirteen in the slots of a living worker, and one whose worker died."""
    now = time.time()
    slots = [
        {"slot": n, "pid": 1, "jobs": 0, "job": f"run{n}", "execution": f"pilot-run{n}", "task": "t", "queue": "low",
         "since": now - 60} for n in range(13)
    ]  # fmt: skip
    picture = {
        "worker": "w1", "state": "working", "pid": 1, "host": "h", "born": now, "seen": now, "queues": {"low": 1},
        "takes": {}, "ended": {"succeeded": 0, "failed": 0, "lost": 0}, "slots": slots,
    }  # fmt: skip
    store.connect().set(keys.worker("w1"), json.dumps(picture))
    store.connect().zadd(keys.WORKERS, {"w1": now})
    for n in range(14):
        redis.hset(f"rq:job:run{n}", mapping={"status": "started", "origin": "low"})
        redis.zadd("rq:wip:low", {f"run{n}:pilot-run{n}": now + 80})


PAGES = [
    ("monitor:overview", ()), ("monitor:queues", ()), ("monitor:queue", ("default",)), ("monitor:failures", ()),
    ("monitor:task", ("t",)), ("monitor:jobs", ()),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "args"), PAGES)
def test_every_number_that_is_a_link_leads_to_so_many_jobs(person, shop, crowd, name, args):
    week = timezone.now() - timedelta(days=3)  # of a cause that also came lately: no page counts it
    failed = {"task": "t", "queue": "low", "outcome": "failed", "fingerprint": "a"}
    JobRun.objects.create(job_id="old", execution_id="e", started_at=week, ended_at=week, **failed)
    client, counted = person("admin"), []
    text = client.get(reverse(name, args=args)).content.decode()

    for address, label, inside in re.findall(r'<a [^>]*?href="([^"]*\?q=[^"]*)"([^>]*)>(.*?)</a>', text, re.DOTALL):
        said = re.search(r"[\d,]+(?= ×|$)", re.sub(r"<title>.*|<[^>]*>", "", inside).strip() or label.strip(' "'))
        first = re.search(r"<strong>([\d,]+)</strong>", inside)
        number = first[1] if first else said[0] if said else ""
        if number and not re.search(r"B0|attempts", address):
            question = parse_qs(urlsplit(html.unescape(address)).query)["q"][0]
            counted.append((question, int(number.replace(",", "")), total(client, question)))

    assert counted or name == "monitor:jobs"  # a list that was asked for nothing counts nothing
    assert [each for each in counted if each[1] != each[2]] == []
    if name == "monitor:overview":
        assert ("state:started", 14, 14) in counted
    if name in ("monitor:overview", "monitor:failures", "monitor:task"):
        assert [number for question, number, _total in counted if "cause:a" in question] == [12]


def total(client, question):
    return client.get(reverse("monitor:api-jobs"), {"q": question}).json()["total"]
