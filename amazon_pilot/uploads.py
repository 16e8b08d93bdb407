"""Uploads are bounded while they arrive: what is too large is neither kept in memory nor written to a disk."""

from typing import Any

from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpRequest

MOST_BYTES = 10_000_000


class BoundedUpload(MemoryFileUploadHandler):
    """Keeps files in memory up to 10 MB in all; what comes beyond is read from the wire and dropped.

    A form then sees no file; `is_too_large` tells why.
    """

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        """Begin with a request."""
        self.activated, self.arrived = True, 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        """Keep a part of a file, or note that there is too much of it."""
        self.arrived += len(raw_data)
        if self.arrived <= MOST_BYTES:
            return super().receive_data_chunk(raw_data, start)
        if self.request is not None:
            self.request.META["pilot.upload_too_large"] = True
        self.file.truncate(0)
        return None

    def file_complete(self, file_size: int) -> Any:
        """Return the file, None for one that was too large."""
        return None if self.arrived > MOST_BYTES else super().file_complete(file_size)


def is_too_large(request: HttpRequest) -> bool:
    """Tell whether a request brought more than is kept."""
    return bool(request.META.get("pilot.upload_too_large"))
