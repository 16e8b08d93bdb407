"""The monitor as scripts meet it: addresses of JSON, the command line, and the cells of its pages."""

import json
import re
from datetime import timedelta

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.models import Fire, JobRun
from tests.jobs.schedule_world import TASK, at


def get(client, name, /, *args, **words):
    answer = client.get(reverse(f"monitor:api-{name}", args=args), words)
    return answer.status_code, answer.json()


def post(client, name, /, *args, **body):
    address = reverse(f"monitor:api-{name}", args=args)
    answer = client.post(address, json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


def runs(number, **fields):
    began = timezone.now()
    rows = [
        JobRun(
            job_id=f"j{n}", execution_id="e", started_at=began - timedelta(seconds=n),
            **({"task": "tests.jobs.tasks.add", "queue": "low", "outcome": "failed", "args": [n]} | fields),
        )
        for n in range(number)
    ]  # fmt: skip
    JobRun.objects.bulk_create(rows)


def jobs(capsys, *words):
    """Run the command and answer what it wrote, as JSON where that was asked for."""
    capsys.readouterr()
    call_command("jobs", *words)
    text = capsys.readouterr().out
    return json.loads(text) if "--json" in words else text


def staff(name, *permissions):
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def fired(entry="stock", number=1, outcome="enqueued", **fields):
    """Write down fires of an entry, a minute apart, the newest planned for 09:00."""
    rows = []
    for n in range(number):
        planned = at("2026-01-05 09:00") - timedelta(minutes=n)
        rows.append(
            Fire(
                entry_id=entry, planned_at=planned, decided_at=planned, outcome=outcome, job_id=f"{entry}-{n}",
                enqueued_at=planned + timedelta(milliseconds=250), **fields,
            )
        )  # fmt: skip
    return Fire.objects.bulk_create(rows)


def ran(job_id, attempt, outcome):
    began = timezone.now() + timedelta(seconds=attempt)
    words = {"task": TASK, "queue": "default", "execution_id": f"e{attempt}", "started_at": began, "ended_at": began}
    JobRun.objects.create(job_id=job_id, attempt=attempt, outcome=outcome, **words)


def cells(text, queue):
    """Answer the values of a queue's row by the names that a phone shows before them."""
    row = next(row for row in text.split("<tr>") if f'/monitor/queue/{queue}"' in row)
    found = re.findall(r'data-label="([^"]*)">(.*?)</t[dh]>', row, re.DOTALL)
    return {label: " ".join(re.sub(r"<[^>]+>", " ", value).split()).replace(" ,", ",") for label, value in found}
