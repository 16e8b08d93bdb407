"""The Lua scripts pass a linter as Redis gets them: with the constants and helpers that stand before each of them."""

import os
import shutil
import subprocess

import pytest

from amazon_pilot.jobs.core import scripts

LINTER = shutil.which("luacheck")
OPTIONS = ["--std", "lua51", "--globals", "redis", "ARGV", "KEYS", "cjson", "cmsgpack", "--no-max-line-length"]
UNUSED = ["--ignore", "211"]  # each script uses some of the helpers alone


@pytest.mark.slow
@pytest.mark.skipif(
    not LINTER and os.environ.get("CI") != "true", reason="luacheck is not installed (Debian: lua-check)"
)
@pytest.mark.parametrize("name", scripts.names())
def test_a_script_has_nothing_that_a_linter_finds(name):
    words = [str(LINTER), "-", "--codes", "--no-color", *OPTIONS, *UNUSED]
    found = subprocess.run(words, input=scripts.script(name).source, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout
