"""Takes a body off the wire as it comes, undecoded: all of it, or of one over the limit its beginning and its length.

The rule: memory and time are bounded, and a body that did not arrive whole is never taken for one.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum

from aiohttp import StreamReader, web

from ingest.normalize import TOO_LARGE_KEPT_BYTES

COUNTED_BYTES_MAX = 64 * 1024 * 1024
"""How far a body of undeclared length is counted; a letter about a longer one says this."""


@dataclass(frozen=True, slots=True)
class OverLimit:
    """A body over the limit: its first bytes, and the length that was declared, else counted."""

    head: bytes
    bytes_count: int


class Interrupted(Enum):
    """Why there is no body."""

    CLIENT_GONE = "client_gone"
    TOO_SLOW = "too_slow"
    MALFORMED = "malformed"


async def receive_body(
    request: web.BaseRequest, *, bytes_max: int, seconds_max: float
) -> bytes | OverLimit | Interrupted:
    """Read the body of a request, at most `bytes_max` of it, for at most `seconds_max`."""
    content = request.content
    try:
        if content.is_eof():  # it came with its headers, as nearly every push does
            body = content.read_nowait()
            return body if len(body) <= bytes_max else OverLimit(body[:TOO_LARGE_KEPT_BYTES], len(body))
        async with asyncio.timeout(seconds_max):
            declared = request.content_length
            if declared is not None and declared > bytes_max:
                return OverLimit(await _head(content, bytearray()), declared)
            return await _collected(content, bytes_max)
    except TimeoutError:
        return Interrupted.TOO_SLOW
    except OSError:
        return Interrupted.CLIENT_GONE
    except web.RequestPayloadError:
        return Interrupted.MALFORMED


async def _collected(content: StreamReader, bytes_max: int) -> bytes | OverLimit:
    body = bytearray()
    while chunk := await content.readany():
        body += chunk
        if len(body) > bytes_max:
            head = await _head(content, body)
            return OverLimit(head, await _counted(content, max(len(body), len(head))))
    return bytes(body)


async def _head(content: StreamReader, begun: bytearray) -> bytes:
    while len(begun) < TOO_LARGE_KEPT_BYTES and (chunk := await content.readany()):
        begun += chunk
    return bytes(begun[:TOO_LARGE_KEPT_BYTES])


async def _counted(content: StreamReader, count: int) -> int:
    while count < COUNTED_BYTES_MAX and (chunk := await content.readany()):
        count += len(chunk)
    return min(count, COUNTED_BYTES_MAX)
