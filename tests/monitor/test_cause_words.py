"""Why a run was stopped or lost is stored in English and read in the reader's language."""

import os
import re
import signal
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.templatetags.monitor import cause_words
from amazon_pilot.jobs.worker import outcomes
from amazon_pilot.jobs.worker.pool import death_cause

JOBS = Path(outcomes.__file__).parents[1]
WRITTEN = re.compile(
    r"""\.kill\("([^"]+)"\) | yield\ handle,\ "([^"]+)" | cause"?\]?\s?=\s?"([^"]+)" | lose\(\w+,\ \w+,\ '(\w+)'""",
    re.X,
)


def written():
    """Answer every cause that stands in the engine's source."""
    sources = [path.read_text() for path in (*JOBS.rglob("*.py"), *JOBS.rglob("*.lua"))]
    return {next(filter(None, found.groups())) for source in sources for found in WRITTEN.finditer(source)}


def test_every_cause_that_the_engine_writes_has_chinese_words():
    died = {death_cause(int(signal.SIGKILL)), death_cause(os.EX_USAGE << 8)}
    causes = written() | set(outcomes.KILLED) | died
    assert {"worker_lost", "timeout", "unheard", "cancelled: asked", "interrupted", "cancelled"} <= causes

    for cause in causes:
        assert cause_words(cause) == cause
        with translation.override("zh-hans"):
            assert re.search(r"[\u4e00-\u9fff]", cause_words(cause)), cause


def test_a_number_in_it_stays_and_a_foreign_word_too():
    with translation.override("zh-hans"):
        assert "11 (SIGSEGV)" in cause_words(death_cause(int(signal.SIGSEGV)))
        assert [cause_words(word) for word in ("", "out of tea", "timeout of mine")] == [
            "",
            "out of tea",
            "timeout of mine",
        ]


@pytest.mark.django_db(transaction=True)
def test_a_job_and_the_front_page_say_it_in_chinese(admin_client):
    now = timezone.now()
    JobRun.objects.create(
        job_id="a", execution_id="e", task="tests.add", queue="default", started_at=now, ended_at=now,
        outcome="lost", cause="worker_lost", is_poison=True,
    )  # fmt: skip

    for address in (reverse("monitor:job", args=["a"]), reverse("admin:index"), reverse("monitor:stuck")):
        text = admin_client.get(address, headers={"accept-language": "zh-hans"}).content.decode()
        assert "worker_lost" not in text
        assert "工作进程丢失" in text
