"""All rows of a span: page by page, halved where it holds many, from the start where its count changes meanwhile.

Rows may appear, vanish or move while a client pages (protocol.md e.1), so a reading counts as whole only when the count
stood still and as many sessions came as were counted. What came is kept in any case.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ingest.reconcile.client import Caller
from ingest.reconcile.failure import ApiError

ACTION = "DescribeTelCdr"
PAGE_SIZE = 100
SPLIT_ABOVE = 2_000
"""A span with more rows is halved: a row that appears then costs the reading of a part."""

SPAN_MIN = timedelta(seconds=60)
READINGS_MAX = 5


@dataclass(frozen=True, slots=True)
class Span:
    """What one reading asks for; both ends included, as far as the API includes them."""

    sdk_app_id: int
    start: datetime
    end: datetime
    session_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Reading:
    """What came: each row with the moment before it was asked for; the later row of a session counts."""

    rows: dict[str, tuple[datetime, Any]] = field(default_factory=dict)
    nameless: list[tuple[datetime, Any]] = field(default_factory=list)
    total_count: int = 0
    is_whole: bool = True

    def take(self, asked_at: datetime, rows: list[Any]) -> None:
        """Add one page."""
        for row in rows:
            session_id = row.get("SessionId") if isinstance(row, Mapping) else None
            if session_id:
                self.rows[str(session_id)] = (asked_at, row)
            else:
                self.nameless.append((asked_at, row))


async def read_span(
    caller: Caller, span: Span, *, now: Callable[[], datetime], on_restart: Callable[[], None]
) -> Reading:
    """Read all of a span. ApiError where the API gives nothing."""
    reading = Reading()
    await _read(caller, span, reading, now=now, on_restart=on_restart)
    return reading


async def read_page(caller: Caller, span: Span, number: int, *, page_size: int = PAGE_SIZE) -> tuple[list[Any], int]:
    """One page, and how many rows there are in all."""
    parameters: dict[str, Any] = {
        "SdkAppId": span.sdk_app_id,
        "StartTimeStamp": int(span.start.timestamp()),
        "EndTimeStamp": int(span.end.timestamp()),
        "PageSize": page_size,
        "PageNumber": number,
    }
    if span.session_ids:
        parameters["SessionIds"] = list(span.session_ids)
    response = await caller.call(ACTION, parameters)
    total = response.get("TotalCount")
    rows = response.get("TelCdrList") or response.get("TelCdrs") or []
    if not isinstance(total, int) or not isinstance(rows, list):
        raise ApiError("UnreadableAnswer", "the answer has no TotalCount")
    return rows, total


async def _read(
    caller: Caller, span: Span, reading: Reading, *, now: Callable[[], datetime], on_restart: Callable[[], None]
) -> None:
    before: set[str] | None = None
    nameless_before = len(reading.nameless)
    for attempt in range(READINGS_MAX):
        asked_at = now()
        rows, total = await read_page(caller, span, 0)
        middle = span.start + (span.end - span.start) / 2
        if total > SPLIT_ABOVE and span.end - span.start >= 2 * SPAN_MIN:
            for part in _halves(span, middle.replace(microsecond=0)):
                await _read(caller, part, reading, now=now, on_restart=on_restart)
            return
        came, rows_count, counted, number = Reading(), len(rows), total, 0
        came.take(asked_at, rows)
        while len(rows) == PAGE_SIZE and (number + 1) * PAGE_SIZE < total and counted == total:
            number += 1
            asked_at = now()
            rows, counted = await read_page(caller, span, number)
            rows_count += len(rows)
            came.take(asked_at, rows)
        reading.rows |= came.rows
        reading.nameless = [*reading.nameless[:nameless_before], *came.nameless]
        # A session that comes twice may have moved from page to page and pushed another out of sight; or the API has
        # two rows of it, and then the next reading finds the same.
        is_told_once = len(came.rows) + len(came.nameless) == total
        if counted == total == rows_count and (is_told_once or before == set(came.rows)):
            reading.total_count += total
            return
        before = set(came.rows)
        if attempt + 1 < READINGS_MAX:
            on_restart()
    reading.total_count += total
    reading.is_whole = False


def _halves(span: Span, middle: datetime) -> tuple[Span, Span]:
    """Both hold the second in the middle: whether the API includes the ends of a span is not documented."""
    return (
        Span(span.sdk_app_id, span.start, middle, span.session_ids),
        Span(span.sdk_app_id, middle, span.end, span.session_ids),
    )
