"""Opens a body: bytes as received to the bytes of one JSON text, whatever Content-Encoding they came in.

The rule: labels are not trusted and memory is bounded; what cannot be opened is a value that says why.
"""

import zlib
from dataclasses import dataclass

GZIP_MAGIC = b"\x1f\x8b"

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_ZLIB_WINDOW = zlib.MAX_WBITS
_RAW_DEFLATE_WINDOW = -zlib.MAX_WBITS
_MEMBERS_MAX = 64
"""Members of one gzip body; more is no sender's way of writing, and each costs a decompressor."""


@dataclass(frozen=True, slots=True)
class Unopened:
    """A body that could not be opened, and why."""

    detail: str


def open_body(raw: bytes, content_encoding: str | None, *, bytes_max: int) -> bytes | Unopened:
    """Decompress a body where it is compressed, to `bytes_max` at most. A byte order mark is left for the JSON reader.

    gzip is told by its magic number, with or without the header: no JSON text begins with it. A body that claims an
    encoding it does not have is taken as it is (a proxy may have decompressed it and left the header).
    """
    if raw.startswith(GZIP_MAGIC):
        return _gunzipped(raw, bytes_max)
    if content_encoding is not None and content_encoding.strip().casefold() == "deflate":
        return _inflated(raw, bytes_max)
    return raw


def _gunzipped(raw: bytes, bytes_max: int) -> bytes | Unopened:
    opened = bytearray()
    rest = raw
    for _ in range(_MEMBERS_MAX):
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            opened += member.decompress(rest, bytes_max + 1 - len(opened))
        except zlib.error as exc:
            return Unopened(f"not gzip: {exc}")
        if len(opened) > bytes_max:
            return _too_large(bytes_max)
        if not member.eof:
            return Unopened("not gzip: it ends too early")
        rest = member.unused_data.lstrip(b"\x00")  # writers may pad
        if not rest:
            return bytes(opened)
    return Unopened(f"not gzip: more than {_MEMBERS_MAX} members")


def _inflated(raw: bytes, bytes_max: int) -> bytes | Unopened:
    """HTTP's deflate is zlib; some senders mean the bare stream. Neither: the label is wrong, not the body."""
    for window in (_ZLIB_WINDOW, _RAW_DEFLATE_WINDOW):
        stream = zlib.decompressobj(window)
        try:
            opened = stream.decompress(raw, bytes_max + 1)
        except zlib.error:
            continue
        if len(opened) > bytes_max:
            return _too_large(bytes_max)
        if stream.eof and not stream.unused_data:
            return opened
    return raw


def _too_large(bytes_max: int) -> Unopened:
    return Unopened(f"decompresses to more than {bytes_max} bytes")
