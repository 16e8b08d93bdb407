"""What a job is about, such as product:17 or scrape_run:5: given when it is enqueued, so that it is found by it.

The job's hash carries its subjects as one text, joined by commas, as it carries its tags.
"""

import re
from collections.abc import Iterable

from .registry import PayloadError

SUBJECT = re.compile(r"[a-z][a-z0-9_]*:[^\s,\x00-\x1f\ud800-\udfff]{1,100}")
MOST = 110  # of one job: a hundred things, and what it belongs to
LONGEST = 120


def joined(subjects: Iterable[str]) -> str:
    """Return subjects as a job carries them; raises PayloadError for what is none, and for too many."""
    found = list(dict.fromkeys(str(each) for each in subjects))
    wrong = next((each for each in found if not is_subject(each)), None)
    if wrong is not None:
        raise PayloadError(f"{wrong!r} is no subject: write a kind and a key without blanks, such as product:17.")
    if len(found) > MOST:
        raise PayloadError(f"A job is about {MOST} things at most, and this one about {len(found)}.")
    return ",".join(found)


def split(text: str) -> list[str]:
    """Return the subjects that a job carries; what a stranger wrote there that is none is left out."""
    return [each for each in text.split(",")[:MOST] if is_subject(each)] if text else []


def is_subject(text: str) -> bool:
    """Tell whether a text is a kind, a colon and a key."""
    return len(text) <= LONGEST and SUBJECT.fullmatch(text) is not None
