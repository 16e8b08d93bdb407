"""What a picture is, by its own first bytes: its kind and its size. What anybody calls it counts for nothing."""

from collections.abc import Callable

MOST_SIDE = 2000  # a few bytes can ask a browser for a plane of gigabytes
LEAST_SIDE = 8  # Amazon answers a picture that it does not have with one dot


class NoPictureError(ValueError):
    """These bytes are not a picture that is shown; the text says why."""


def kind_of(content: bytes) -> str:
    """Return jpeg, png, gif or webp; raises NoPictureError for all else, for a dot and for a plane."""
    for kind, (is_one, size) in KINDS.items():
        if is_one(content):
            try:
                width, height = size(content)
            except (IndexError, ValueError):
                raise NoPictureError(f"a {kind} that breaks off in its head") from None
            if not ENDS[kind](content):
                raise NoPictureError(f"a {kind} that breaks off")
            if not all(LEAST_SIDE <= side <= MOST_SIDE for side in (width, height)):
                raise NoPictureError(f"a {kind} of {width} by {height}")
            return kind
    raise NoPictureError("no picture by its first bytes")


def _png(content: bytes) -> tuple[int, int]:
    return _whole(content[16:20], 4, "big"), _whole(content[20:24], 4, "big")


def _gif(content: bytes) -> tuple[int, int]:
    return _whole(content[6:8], 2, "little"), _whole(content[8:10], 2, "little")


def _jpeg(content: bytes) -> tuple[int, int]:
    """Walk from part to part to the head of the frame (ITU T.81, B.1.1): C0 to CF but for C4, C8 and CC."""
    at = 2
    while content[at] == 0xFF:
        mark = content[at + 1]
        if mark == 0xFF:  # filling
            at += 1
        elif 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            return _whole(content[at + 7 : at + 9], 2, "big"), _whole(content[at + 5 : at + 7], 2, "big")
        elif mark in (0xD9, 0xDA):
            break
        else:
            at += 2 + _whole(content[at + 2 : at + 4], 2, "big")
    raise ValueError


def _webp(content: bytes) -> tuple[int, int]:
    """Read the three heads that a WebP may have (RFC 9649, 2.5 to 2.7)."""
    match content[12:16]:
        case b"VP8 ":
            return _whole(content[26:28], 2, "little") & 0x3FFF, _whole(content[28:30], 2, "little") & 0x3FFF
        case b"VP8L":
            bits = _whole(content[21:25], 4, "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return _whole(content[24:27], 3, "little") + 1, _whole(content[27:30], 3, "little") + 1
    raise ValueError


def _whole(part: bytes, length: int, order: str) -> int:
    if len(part) != length:
        raise ValueError
    return int.from_bytes(part, "big" if order == "big" else "little")


KINDS: dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]]] = {
    "jpeg": (lambda content: content[:3] == b"\xff\xd8\xff", _jpeg),
    "png": (lambda content: content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR", _png),
    "gif": (lambda content: content[:6] in (b"GIF87a", b"GIF89a"), _gif),
    "webp": (lambda content: content[:4] == b"RIFF" and content[8:12] == b"WEBP", _webp),
}
# Some writers add bytes behind the end.
ENDS: dict[str, Callable[[bytes], bool]] = {
    "jpeg": lambda content: b"\xff\xd9" in content[-1024:],
    "png": lambda content: b"IEND" in content[-1024:],
    "gif": lambda content: b"\x3b" in content[-64:],
    "webp": lambda content: int.from_bytes(content[4:8], "little") + 8 <= len(content),
}
