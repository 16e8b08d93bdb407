"""The bundled Redis: what a power loss does to its file, and who may read it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from redis import Redis

from amazon_pilot import embedded
from amazon_pilot.folder import own

SERVE = """
import django; django.setup()
from amazon_pilot import embedded
embedded.start().terminate()
"""


@pytest.fixture
def here(settings, tmp_path) -> Path:
    """The folder in which the next server keeps its file and its socket."""
    settings.VAR_DIR, settings.REDIS_SOCKET = tmp_path, tmp_path / "redis.sock"
    return tmp_path


def once() -> tuple[bytes | None, int]:
    """Start the server, read, write two keys, stop it; return what was kept of the first, and how many keys were."""
    server = embedded.start(subprocess.PIPE)
    try:
        with Redis(unix_socket_path=str(settings.REDIS_SOCKET)) as client:
            kept = client.get("a"), client.dbsize()
            client.set("a", 1)
            client.set("b", 2)
    finally:
        server.terminate()
        server.wait(10)
    return kept


def file_of(folder: Path) -> Path:
    return next((folder / "redis").rglob("*.aof"))


@pytest.mark.parametrize("zeros", [9, 200_000])
def test_zeros_at_the_end_of_the_file_are_cut_off_and_nothing_else(here, capsys, zeros):
    once()
    whole = file_of(here).read_bytes()
    file_of(here).write_bytes(whole + b"\0" * zeros)

    assert once() == (b"1", 2)

    assert f"ended in {zeros} zeros" in capsys.readouterr().out
    assert next((here / "redis").rglob("*.broken")).read_bytes() == whole + b"\0" * zeros


@pytest.mark.parametrize("lost", [1, 12])
def test_a_file_that_lost_its_tail_loses_its_last_command_only(here, lost):
    once()
    path = file_of(here)
    path.write_bytes(path.read_bytes()[:-lost])

    assert once() == (b"1", 1)


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"hello\r\n", b"\0" * 100 + b"x"])
def test_garbage_ends_the_start_with_a_sentence_and_the_mend(here, garbage):
    once()
    path = file_of(here)
    path.write_bytes(path.read_bytes() + garbage)

    said = ""
    try:
        kept = once()
    except RuntimeError as error:
        said = str(error)
    if said:  # an unknown command is for Redis to judge: 6.2 goes on, 7 does not
        assert said.startswith("The bundled Redis ended at its start: ")
        assert f"--fix {path}'" in said
        mend = said.split("then run: ")[1]
        subprocess.run(mend, shell=True, input="y\n", text=True, errors="replace", capture_output=True, check=True)
        kept = once()
    assert kept[0] == b"1"


def test_a_checksum_that_ends_in_zeros_is_left_alone(tmp_path):
    path = tmp_path / "base.aof"
    path.write_bytes(b"REDIS0009\xff" + b"\0" * 8)

    embedded.cut_zeros(path)

    assert path.stat().st_size == 18


def test_a_folder_that_holds_what_others_read_keeps_its_rights_and_is_refused(tmp_path):
    """Nobody would know afterwards which rights a whole /srv or /var/lib had."""
    umask, shared = os.umask(0o022), tmp_path / "srv"
    (shared / "static").mkdir(parents=True)  # a name of ours says nothing by itself
    (shared / "www").mkdir()
    page = shared / "www" / "index.html"
    page.touch()
    rights = {path: path.stat().st_mode for path in (shared, shared / "static", shared / "www", page)}
    try:
        with pytest.raises(SystemExit, match="VAR_DIR cannot be used: name a folder of the product's own"):
            own("VAR_DIR", shared)
        assert {path: path.stat().st_mode for path in rights} == rights

        (shared / "secret_key").touch()  # the product's folder, whatever else somebody keeps there
        assert own("VAR_DIR", shared) == shared
        assert not page.stat().st_mode & 0o077
    finally:
        os.umask(umask)


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

    subprocess.run([sys.executable, "manage.py", "migrate", "sessions", "-v0"], env=env, check=True)
    subprocess.run([sys.executable, "-c", SERVE], env=env, check=True)

    wide = [path for path in (var, *var.rglob("*")) if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    assert wide == []
    assert len(list(var.rglob("*"))) >= 6
    assert all(path.stat().st_mode & stat.S_IXUSR for path in (var, var / "mail"))
    assert os.stat("/etc/hosts").st_mode == before
