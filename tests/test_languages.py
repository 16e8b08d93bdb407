"""The catalogue of Simplified Chinese is whole, fits the code, and is what a reader in Chinese sees."""

import ast
import gettext
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.timezone import now

from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.operate import operations
from amazon_pilot.jobs.operate.table import OPERATIONS
from amazon_pilot.jobs.templatetags.monitor import STATE_SIGNS

CATALOGUE = settings.BASE_DIR / "locale" / "zh_Hans" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[\d.]*[sdf]")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
UNCHANGED = {"Redis", "webhook"}  # names, which Chinese text writes as they are


def entries(path: Path) -> list[dict[str, str]]:
    """Read a .po file: each entry as its fields (msgid, msgid_plural, msgstr, flags); the header comes first."""
    found = []
    for block in path.read_text("utf-8").strip().split("\n\n"):
        entry, field = {"flags": ""}, ""
        for line in block.splitlines():
            if line.startswith("#"):
                entry["flags"] += line if line.startswith("#,") else ""
                continue
            word, quote, rest = line.partition('"')
            field = {"msgstr[0]": "msgstr"}.get(word.strip(), word.strip()) or field
            entry[field] = entry.get(field, "") + ast.literal_eval(quote + rest)
        if "msgid" in entry:
            found.append(entry)
    return found


def placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text.replace("%%", "")))


@pytest.fixture(scope="module")
def catalogue() -> list[dict[str, str]]:
    return entries(CATALOGUE / "django.po")[1:]


def test_every_text_has_a_chinese_translation(catalogue):
    assert len(catalogue) > 900
    worded = [entry for entry in catalogue if re.search(r"\w", PLACEHOLDER.sub("", entry["msgid"]))]
    assert {entry["msgid"] for entry in worded if not CHINESE.search(entry["msgstr"])} == UNCHANGED
    assert not [entry["msgid"] for entry in catalogue if not entry["msgstr"]]
    assert not [entry["msgid"] for entry in catalogue if "fuzzy" in entry["flags"]]


def test_placeholders_are_kept(catalogue):
    for entry in catalogue:
        model = entry.get("msgid_plural", entry["msgid"])
        assert placeholders(entry["msgstr"]) == placeholders(model), entry["msgid"]


def test_the_compiled_catalogue_is_that_of_the_source(catalogue):
    with (CATALOGUE / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    for entry in catalogue:
        plural = entry.get("msgid_plural")
        text = compiled.ngettext(entry["msgid"], plural, 1) if plural else compiled.gettext(entry["msgid"])
        assert text == entry["msgstr"]
    assert len([key for key in compiled._catalog if key]) == len(catalogue)  # and nothing that was since removed


@pytest.mark.later
def test_no_marked_text_is_missing_in_the_catalogue(tmp_path, catalogue):
    if not shutil.which("xgettext"):
        pytest.skip("xgettext is not installed, so the marked texts cannot be collected")
    for part in ("amazon_pilot", "products", "analysis", "notifications", "accounts", "templates"):
        shutil.copytree(settings.BASE_DIR / part, tmp_path / part)
    (tmp_path / "locale").mkdir()

    command = [sys.executable, "-m", "django", "makemessages", "--locale", "zh_Hans", "--no-location", "--no-wrap"]
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, timeout=120)

    marked = {entry["msgid"] for entry in entries(tmp_path / "locale/zh_Hans/LC_MESSAGES/django.po")[1:]}
    assert marked == {entry["msgid"] for entry in catalogue}


def test_every_state_has_a_chinese_word():
    with translation.override("zh-hans"):
        english = {word for word in STATE_SIGNS if not CHINESE.search(translation.gettext(word))}

    assert english <= {"running", "waiting", "done", "aborted", "audit"}  # shown with a label of their own


def test_every_act_on_jobs_has_a_chinese_word():
    with translation.override("zh-hans"):
        assert all(CHINESE.search(translation.gettext(verb)) for verb in (*operations.ROLES, *OPERATIONS))


def read_in_chinese(client, address: str) -> str:
    answer = client.get(address, headers={"accept-language": "zh-hans"})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert '<html lang="zh-hans"' in text
    return text


@pytest.mark.django_db
def test_a_stranger_signs_in_in_chinese(client):
    text = read_in_chinese(client, reverse("login"))

    assert "登录" in text
    assert "Sign in" not in text


def test_a_seller_reads_her_products_in_chinese(client, alice, tracking):
    client.force_login(alice)

    text = read_in_chinese(client, reverse("products:list"))
    assert "添加商品" in text
    assert "自有商品" in text
    for english in ("Add products", "As of", "Availability", "own product", "Sign out"):
        assert english not in text


@pytest.mark.parametrize(
    ("page", "chinese"),
    [
        ("admin:index", ["正在运行", "最近失败", "下次触发"]),
        ("monitor:jobs", ["可以查询什么", "失败", "尝试"]),
        ("monitor:failures", ["按原因查看失败", "新出现"]),
        ("monitor:bulk_preview", ["请选择操作"]),
        ("monitor:queues", ["权重、份额", "清空还需"]),
        ("monitor:tasks", ["最近 24 小时的运行"]),
        ("monitor:workers", ["一小时内没有发现任何工作进程"]),
        ("monitor:stuck", ["每个运行中的作业都按时续租"]),
        ("monitor:redis", ["淘汰策略"]),
        ("admin:jobs_scheduleentry_changelist", ["计划条目"]),
        ("admin:jobs_auditentry_changelist", ["审计记录"]),
    ],
)
def test_an_operator_reads_the_monitor_in_chinese(admin_client, page, chinese):
    JobRun.objects.create(
        job_id="j1",
        execution_id="e1",
        task="t",
        queue="low",
        outcome="failed",
        started_at=now(),
        ended_at=now(),
        fingerprint="f",
    )

    text = read_in_chinese(admin_client, reverse(page))
    for word in chinese:
        assert word in text
    for english in (
        "Overview",
        "Running now",
        "Waiting",
        "Failed lately",
        "Failures",
        "Workers",
        "Schedule<",
        "Reason",
    ):
        assert english not in text


def test_english_stays_the_language_of_those_who_ask_for_no_other(admin_client):
    assert "Running now" in admin_client.get(reverse("admin:index")).content.decode()
