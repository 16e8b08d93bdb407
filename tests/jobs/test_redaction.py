"""Secrets among arguments reach their task, and are found nowhere else."""

import json

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import models
from django.urls import reverse

from amazon_pilot.jobs.core import queues, redaction
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.operate import changes, operations
from amazon_pilot.jobs.operate import jobs as operate_jobs
from tests.busy_day import failed_run

from . import tasks
from .conftest import ended

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "planted-hunter2"
CALL = (["mia", SECRET], {"options": {"headers": [{"Authorization": SECRET, "retries": 3}], "refreshToken": SECRET}})


@pytest.mark.parametrize(
    "name",
    ["password", "user_password", "apiKey", "X-Api-Key", "API_KEY", "refreshToken", "Set-Cookie", "clientSecret",
     "Authorization", "access_key", "token"],
)  # fmt: skip
def test_a_name_of_a_secret_is_known_by_its_words(name):
    assert redaction.is_secret(name)


@pytest.mark.parametrize("name", ["max_tokens", "keyboard", "monkey", "secretary", "author", "key", "tokenize", "asin"])
def test_other_names_are_left_alone(name):
    assert not redaction.is_secret(name)


def test_values_are_marked_at_any_depth_and_by_the_parameter():
    args, kwargs = redaction.call(tasks.sign_in.name, *CALL)

    assert args == ["mia", "…"]
    assert kwargs == {"options": {"headers": [{"Authorization": "…", "retries": 3}], "refreshToken": "…"}}
    assert redaction.call("gone.task", [{"password": {"old": "a"}}, ["b"]], {"token": None, "cookie": True}) == (
        [{"password": "…"}, ["b"]], {"token": None, "cookie": True},
    )  # fmt: skip


def everything_shown(client, capsys, job_id):
    """Answer all that is told of a job: pages, JSON, the command line and rq's tools."""
    addresses = [
        reverse("monitor:job", args=[job_id]), reverse("monitor:job-arguments", args=[job_id]),
        reverse("monitor:jobs"), reverse("monitor:jobs") + "?q=state%3Aqueued", reverse("admin:index"),
        reverse("monitor:jobs") + "?q=state%3Afailed", reverse("monitor:failures"), "/metrics",
        reverse("monitor:bulk_preview") + "?action=delete&q=state%3Afailed",
        reverse("monitor:bulk_preview") + "?action=delete&q=state%3Aqueued",
        reverse("monitor:api-job", args=[job_id]), reverse("monitor:api-jobs"),
        reverse("monitor:api-jobs") + "?q=state%3Aqueued", reverse("admin:jobs_jobrun_changelist"),
        *(reverse("admin:jobs_jobrun_change", args=[run.pk]) for run in JobRun.objects.all()),
        *(f"{reverse('admin:django_rq_dashboard_changelist')}queues/{n}/" for n in range(3)),
        f"{reverse('admin:django_rq_dashboard_changelist')}queues/1/{job_id}/",
    ]  # fmt: skip
    answers = [client.get(address, follow=True) for address in addresses]
    assert {answer.status_code for answer in answers} == {200}
    capsys.readouterr()
    call_command("jobs", "show", job_id)
    call_command("jobs", "list", "--json")
    call_command("jobs", "list", "state:queued", "--json")
    return "".join(answer.content.decode() for answer in answers) + capsys.readouterr().out


def everything_kept():
    """Answer all rows of the engine as text."""
    found = []
    for model in apps.get_app_config("jobs").get_models():
        fields = [field.attname for field in model._meta.concrete_fields if not isinstance(field, models.ForeignKey)]
        found += [str(row) for row in model._default_manager.values(*fields)] if model._meta.managed else []
    return " ".join(found)


@pytest.mark.slow
def test_a_planted_secret_is_found_nowhere_while_the_job_waits(admin_client, capsys):
    args, kwargs = CALL
    job_id = tasks.sign_in.enqueue(*args, **kwargs)

    assert SECRET not in everything_shown(admin_client, capsys, job_id)
    job = JSONJob.fetch(job_id, connection=queues.connection())
    assert (job.args, job.kwargs) == (args, kwargs)
    assert SECRET not in job.description


def test_a_planted_secret_reaches_its_task_and_no_row(start, admin_client, capsys):
    args, kwargs = CALL
    start()
    job_id = tasks.sign_in.enqueue(*args, **kwargs)

    run = ended(job_id)

    assert (run.outcome, run.result) == ("succeeded", "mia is in")
    assert (run.args, run.kwargs["options"]["refreshToken"]) == (["mia", "…"], "…")
    assert SECRET not in everything_kept()
    assert SECRET not in everything_shown(admin_client, capsys, job_id)


def test_a_row_of_an_older_version_is_shown_without_its_secret(person):
    failed_run("old", task=tasks.sign_in.name, args=CALL[0], kwargs=CALL[1])
    client = person("view")

    for name, args in (
        ("jobs", []),
        ("job", ["old"]),
        ("job-arguments", ["old"]),
        ("api-jobs", []),
        ("api-job", ["old"]),
    ):
        assert SECRET not in client.get(reverse(f"monitor:{name}", args=args)).content.decode()


def test_a_job_that_redis_still_has_runs_again_with_its_secret(redis):
    job_id = tasks.sign_in.enqueue(*CALL[0], **CALL[1])
    failed_run(job_id, task=tasks.sign_in.name, args=["mia", "…"], kwargs={})

    call = operate_jobs.last_call(job_id)

    assert call[1:3] == CALL


def test_a_call_whose_secret_is_gone_is_not_run(redis):
    failed_run("gone", task=tasks.sign_in.name, args=["mia", "…"], kwargs={})

    with pytest.raises(ValidationError, match="A secret of this call is not kept"):
        operations.on_job(None, "retry", "gone")
    with pytest.raises(ValidationError, match="A secret of this call is not kept"):
        operations.on_job(None, "edit", "gone", args=json.dumps(["noah", "…"]))
    assert queues.size("default") == 0

    done = operations.on_job(None, "edit", "gone", args=json.dumps(["noah", SECRET]))
    assert changes.find(done.job_id).args == ["noah", SECRET]
