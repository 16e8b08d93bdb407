"""Deaths at chosen places of a scrape run's way, once each: a file named by an ASIN and a place asks for one.

The whole worker dies with the slot, by kill -9, so that nobody is left to tidy up.
"""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from products import apify, tasks
from products.models import ScrapeRun, ingest


def prepare(folder: Path) -> None:
    """Have this process and those that it forks die where a file in `folder` asks for it."""

    def die(place: str, asins: Sequence[str]) -> None:
        try:
            (folder / f"{asins[0]}-{place}").unlink()
        except FileNotFoundError:
            return
        for pid in (os.getppid(), os.getpid()):
            os.kill(pid, signal.SIGKILL)

    def after(owner: Any, name: str, place: str, asins_of: Callable[..., Sequence[str]]) -> None:
        original = getattr(owner, name)

        def dies(*words: Any, **more: Any) -> Any:
            answer = original(*words, **more)
            die(place, asins_of(*words, **more))
            return answer

        setattr(owner, name, dies)

    after(ScrapeRun, "claim", "intent", lambda run: run.asins)
    after(apify, "start_run", "start", lambda asins, *_more, **_named: asins)
    after(ScrapeRun, "mark_started", "receipt", lambda run, _receipt: run.asins)
    after(ingest, "store", "storing", lambda _run, looks, _at: [look.target.asin for look in looks])
    after(tasks, "tell_left_alone", "stored", lambda run: run.asins)
    # Read once the rows are committed.
    after(
        ScrapeRun, "refresh_from_db", "commit", lambda run, fields=(): run.asins if "changes_held" in fields else [""]
    )
