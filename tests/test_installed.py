"""The package installed beside other libraries, away from a checkout: its command works in the folder it is in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOOK = """
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
answer = Client(headers={"accept-language": "zh-hans", "host": "localhost"}).get("/login/")
print(answer.status_code, "密码" in answer.content.decode(), finders.find("pilot.svg") is not None, settings.VAR_DIR)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Install into a folder of its own what `pip install .` would install."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)], cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run([*pip, "install", "--no-deps", "--no-index", "--target", str(folder / "site"), str(wheel)], cwd=folder)
    return folder / "site"


def run(words, cwd, **more):
    env = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "LANG"))} | more
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_command_serves_pages_with_their_texts_and_styles(site, tmp_path):
    command = [sys.executable, str(site / "bin" / "amazon-pilot")]
    run([*command, "migrate", "--verbosity", "0"], cwd=tmp_path, PYTHONPATH=str(site))
    said = run([*command, "shell", "--no-imports", "-c", LOOK], cwd=tmp_path, PYTHONPATH=str(site))
    assert said.split() == ["200", "True", "True", str(tmp_path / "var")]


@pytest.mark.slow
def test_it_brings_no_folder_that_another_library_could_have(site):
    ours = {"amazon_pilot", "products", "analysis", "notifications", "accounts", "bin"}
    assert {each.name for each in site.iterdir() if not each.name.endswith(".dist-info")} == ours
