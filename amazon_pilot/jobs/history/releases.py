"""The mark of a release, noticed when a process starts: RELEASE names the code that it runs."""

import logging

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections

from ..models import Release

logger = logging.getLogger(__name__)


def notice() -> None:
    """Mark the release that this process runs, if it is new; a process starts whether the database answers or not.

    Its connections are closed again: a worker forks after this.
    """
    if not settings.RELEASE:
        return
    try:
        if Release.objects.note(settings.RELEASE):
            logger.info("Release %s begins.", settings.RELEASE)
    except DatabaseError as error:
        logger.warning("The release could not be marked, the next process to start will try again: %s", error)
    finally:
        connections.close_all()
