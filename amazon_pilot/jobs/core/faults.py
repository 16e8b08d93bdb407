"""Points between two steps at which a test has this process killed, to see that nothing is lost there."""

import os
import signal

# PILOT_FAULT is the name of a point, and after an `@` a file that remembers that somebody has died there already.
ARMED, _, MEMORY = os.environ.get("PILOT_FAULT", "").partition("@")


def point(name: str) -> None:
    """Die here by kill -9 if the environment's PILOT_FAULT names this point; with a memory, only once."""
    if name == ARMED and is_first():
        os.kill(os.getpid(), signal.SIGKILL)


def is_first() -> bool:
    """Tell whether nobody has died at the point yet, and remember it."""
    if not MEMORY:
        return True
    try:
        os.close(os.open(MEMORY, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
