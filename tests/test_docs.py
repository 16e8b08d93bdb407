"""What README, CONTRIBUTING and docs name is there: links, files, words for make, commands, settings."""

import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

ROOT = Path(settings.BASE_DIR)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
# Names of rq's and gettext's own.
OF_OTHERS = {"LC_MESSAGES", "RQ_EXCEPTION_HANDLERS", "RQ_KEY_PREFIX"}
SETTING = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
FILE = re.compile(r"[\w.-]+(/[\w.-]+)+\.(py|lua|html|yaml|md|json)")
SOURCES = "\n".join(
    path.read_text() for path in [*ROOT.glob("amazon_pilot/*.py"), ROOT / "compose.yaml", ROOT / "Makefile"]
)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_word_for_make_is_in_the_makefile(page):
    words = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text(), re.M))
    assert named - words == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_exists(page):
    named = set(re.findall(r"manage\.py ([a-z_]+)", page.read_text()))
    assert named - set(get_commands()) == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_setting_is_read_somewhere(page):
    named = {word for code in CODE.findall(page.read_text()) for word in SETTING.findall(code)}
    assert {name for name in named if not hasattr(settings, name) and name not in SOURCES} - OF_OTHERS == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_file_named_in_code_exists(page):
    named = {code for code in CODE.findall(page.read_text()) if FILE.fullmatch(code)}
    places = (ROOT, ROOT / "amazon_pilot", ROOT / "amazon_pilot/jobs", page.parent)
    assert {name for name in named if not any((place / name).exists() for place in places)} == set()


def test_the_number_of_jobs_of_a_slot_is_told_right():
    row = next(line for line in (ROOT / "docs/settings.md").read_text().splitlines() if "WORKER_SLOT_JOBS" in line)
    assert f"{settings.WORKER_SLOT_JOBS}" in row


def test_help_lists_the_words():
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"run", "quick", "test", "check"} <= {line.split()[0] for line in told.splitlines()}
