"""The bundled Redis: what a power loss does to its file, and who may read it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from amazon_pilot import embedded

CODE = """
import django, subprocess; django.setup()
from amazon_pilot import embedded
from django.conf import settings
from redis import Redis
try:
    server = embedded.start(subprocess.PIPE)
except RuntimeError as error:
    raise SystemExit(str(error))
client = Redis(unix_socket_path=str(settings.REDIS_SOCKET))
print("kept", client.get("a"), client.dbsize())
client.set("a", 1); client.set("b", 2)
server.terminate(); server.wait(10)
"""


def once(folder: Path) -> subprocess.CompletedProcess[str]:
    """Start the server on a folder, read, write two keys, stop it."""
    env = os.environ | {"VAR_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "amazon_pilot.settings"}
    return subprocess.run(
        [sys.executable, "-c", CODE], env=env, capture_output=True, text=True, errors="replace", timeout=60
    )


def file_of(folder: Path) -> Path:
    return next((folder / "redis").rglob("*.aof"))


@pytest.mark.slow
@pytest.mark.parametrize("zeros", [9, 200_000])
def test_zeros_at_the_end_of_the_file_are_cut_off_and_nothing_else(tmp_path, zeros):
    once(tmp_path)
    whole = file_of(tmp_path).read_bytes()
    file_of(tmp_path).write_bytes(whole + b"\0" * zeros)

    answer = once(tmp_path)

    assert f"ended in {zeros} zeros" in answer.stdout
    assert "kept b'1' 2" in answer.stdout
    assert next((tmp_path / "redis").rglob("*.broken")).read_bytes() == whole + b"\0" * zeros


@pytest.mark.slow
@pytest.mark.parametrize("lost", [1, 12])
def test_a_file_that_lost_its_tail_loses_its_last_command_only(tmp_path, lost):
    once(tmp_path)
    path = file_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-lost])

    assert "kept b'1' 1" in once(tmp_path).stdout


@pytest.mark.slow
@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"hello\r\n", b"\0" * 100 + b"x"])
def test_garbage_ends_the_start_with_a_sentence_and_the_mend(tmp_path, garbage):
    once(tmp_path)
    path = file_of(tmp_path)
    path.write_bytes(path.read_bytes() + garbage)

    answer = once(tmp_path)

    if answer.returncode:  # an unknown command is for Redis to judge: 6.2 goes on, 7 does not
        assert answer.stderr.startswith("The bundled Redis ended at its start: ")
        assert f"--fix {path}'" in answer.stderr
        mend = answer.stderr.strip().split("then run: ")[1]
        subprocess.run(mend, shell=True, input="y\n", text=True, errors="replace", capture_output=True, check=True)
        answer = once(tmp_path)
    assert "kept b'1'" in answer.stdout


def test_a_checksum_that_ends_in_zeros_is_left_alone(tmp_path):
    path = tmp_path / "base.aof"
    path.write_bytes(b"REDIS0009\xff" + b"\0" * 8)

    embedded.cut_zeros(path)

    assert path.stat().st_size == 18


@pytest.mark.slow
def test_nobody_else_can_read_what_is_in_var_not_even_what_was_readable_before(tmp_path):
    var = tmp_path / "var"
    (var / "mail").mkdir(parents=True, mode=0o755)
    for path in (var / "pilot.sqlite3", var / "mail" / "old.log"):
        path.touch()
        path.chmod(0o664)
    var.chmod(0o777)
    link = var / "link"
    link.symlink_to("/etc/hosts")
    before = os.stat("/etc/hosts").st_mode
    env = os.environ | {"VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "amazon_pilot.settings"}
    env.pop("DATABASE_URL", None)

    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=env, check=True)
    assert once(var).returncode == 0

    wide = [path for path in (var, *var.rglob("*")) if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    assert wide == []
    assert len(list(var.rglob("*"))) >= 6
    assert all(path.stat().st_mode & stat.S_IXUSR for path in (var, var / "mail"))
    assert os.stat("/etc/hosts").st_mode == before
