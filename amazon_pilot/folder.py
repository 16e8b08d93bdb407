"""The folder in which the product keeps what it writes; nobody but its owner can look into it.

Sessions, tokens and the arguments of jobs stand in the database and in Redis's file: whoever reads them is signed in.
"""

import contextlib
import os
from pathlib import Path

from .environment import refuse

OTHERS = 0o077
# What the product writes: any of the first shows that a folder is its own, and the others may stand there without it.
MARKS = {"secret_key", "pilot.sqlite3"}
OURS = {*MARKS, "static", "mail", "redis", "redis.sock", "sandbox", "lost+found"}


def own(name: str, path: Path) -> Path:
    """Return the folder of the variable `name`, made where there is none, and take the rights of others from all in it.

    From now on nothing that this process or a child of it writes, wherever that is, can be read by others.
    """
    os.umask(OTHERS)
    try:
        path = path.resolve()
        path.mkdir(parents=True, exist_ok=True)
        is_shared = path.stat().st_mode & 0o1000 or any(path in home.parents or path == home for home in shared())
        if is_shared or is_foreign(path):
            refuse(name, "name a folder of the product's own, not one that holds other things.")
        if not os.access(path, os.W_OK | os.X_OK):
            refuse(name, "name a folder that this user may write to.")
        close(path)
    except (OSError, RuntimeError):  # the latter for links in a circle
        refuse(name, "name a folder that there is or that can be made, and that this user may write to.")
    return path


def shared() -> list[Path]:
    """Return folders whose rights are not ours to change: those of the code, of the user and of the system."""
    return [Path(__file__).resolve().parent, Path.home(), Path("/usr"), Path("/etc"), Path("/var"), Path("/dev")]


def is_foreign(folder: Path) -> bool:
    """Tell whether a folder holds what others may read and nothing shows that it is the product's: /srv, /var/lib.

    Those who look there have rights that must not be taken, since nobody knows afterwards which they were. Nobody looks
    into a folder that is closed to others.
    """
    names = {path.name for path in folder.iterdir()}
    if not folder.stat().st_mode & OTHERS or names & MARKS or names <= OURS:
        return False
    return any((folder / name).lstat().st_mode & OTHERS for name in names - OURS if not (folder / name).is_symlink())


def close(folder: Path) -> None:
    """Take the rights of others from a folder and from all files in it; links are left alone."""
    folder.chmod(folder.stat().st_mode & ~OTHERS & 0o7777)
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            with contextlib.suppress(FileNotFoundError, PermissionError):  # gone meanwhile, or another user's
                mode = path.lstat().st_mode
                if mode & OTHERS and not path.is_symlink():
                    path.chmod(mode & ~OTHERS & 0o7777)
