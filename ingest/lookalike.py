"""Notices a refused request that is probably TCCC's: a password changed in the console loses every push.

The rule: of a refused body at most a bounded beginning is read, by at most a few requests at a time, for a moment; and
what is told of it is that it happened.
"""

import asyncio
import time
import zlib
from collections.abc import Callable

import structlog
from aiohttp import hdrs, web

from ingest.body import GZIP_MAGIC
from ingest.headers import PUSH_UUID
from ingest.metrics import ReceiverMetrics

_HEAD_BYTES_MAX = 16 * 1024
_SECONDS_MAX = 1.0
_AT_A_TIME_MAX = 16
_ALARM_PAUSE_SECONDS = 60.0
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_NAMES = (b'"SdkAppId"', b'"SessionId"')  # every push of TCCC's names both

_log = structlog.stdlib.get_logger(__name__)


class LookalikeAlarm:
    """Counts them, and says so in the log once a minute at most."""

    def __init__(self, metrics: ReceiverMetrics, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self._looking = 0
        self._since_alarm = 0
        self._alarmed_at: float | None = None

    async def look(self, request: web.BaseRequest) -> bool:
        """Look at a request that is refused for its credentials; whether it seems to be TCCC's."""
        if self._looking >= _AT_A_TIME_MAX or hdrs.EXPECT in request.headers:
            return False  # nobody invited the body of one that waits for it
        self._looking += 1
        try:
            is_alike = looks_like_tccc(await _head(request))
        finally:
            self._looking -= 1
        if is_alike:
            self._tell(has_push_uuid=PUSH_UUID in request.headers)
        return is_alike

    def _tell(self, *, has_push_uuid: bool) -> None:
        self._metrics.count_lookalike()
        self._since_alarm += 1
        now = self._monotonic()
        if self._alarmed_at is not None and now - self._alarmed_at < _ALARM_PAUSE_SECONDS:
            return
        _log.error(
            "push_like_tccc_refused",
            refused_since_last_alarm=self._since_alarm,
            has_push_uuid=has_push_uuid,
            advice="compare the credentials in TCCC's console (Data Push) with CALLWEAVE_RECEIVER__…:"
            " pushes that are refused four times are lost until reconcile finds them",
        )
        self._alarmed_at = now
        self._since_alarm = 0


def looks_like_tccc(head: bytes) -> bool:
    """Whether the beginning of a body, compressed or not, names what every push names."""
    if head.startswith(GZIP_MAGIC):
        try:
            head = zlib.decompressobj(_GZIP_WINDOW).decompress(head, _HEAD_BYTES_MAX)
        except zlib.error:
            return False
    return all(name in head for name in _NAMES)


async def _head(request: web.BaseRequest) -> bytes:
    head = bytearray()
    try:
        async with asyncio.timeout(_SECONDS_MAX):
            while len(head) < _HEAD_BYTES_MAX and (chunk := await request.content.readany()):
                head += chunk
    except (TimeoutError, OSError, web.RequestPayloadError):
        pass  # what has come is looked at
    return bytes(head[:_HEAD_BYTES_MAX])
