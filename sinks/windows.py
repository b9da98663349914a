"""Records of the topic `reconcile` -> rows of `reconcile_windows`: one row an hour of one application.

The rule: the reading that was asked for last counts, however often and in whatever order the records are read.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from schemas.columns import RECONCILE_WINDOWS
from schemas.reconcile import HourRecord, decode_hour
from sinks.rows import ARROW_TYPES, INT64_MAX, STAMPED

WINDOW_COLUMNS: Final = tuple(column for column in RECONCILE_WINDOWS.columns if column.name != STAMPED)
"""Every column that a record fills; the sink stamps the other when it commits."""

WINDOWS_GONE: Final = """
DELETE FROM reconcile_windows AS w USING batch_reconcile_windows AS b
WHERE w.sdk_app_id = b.sdk_app_id AND w.window_start = b.window_start AND w.asked_at <= b.asked_at
"""
_WINDOWS_NEW: Final = """
INSERT INTO reconcile_windows ({columns}, loaded_at)
SELECT {values}, {stamp} FROM batch_reconcile_windows AS b
WHERE NOT EXISTS (
    SELECT 1 FROM reconcile_windows AS w WHERE w.sdk_app_id = b.sdk_app_id AND w.window_start = b.window_start
)
"""


class NotAWindowError(ValueError):
    """A value of the topic `reconcile` that is no hour. The message says what is wrong with it."""


def read_window(key: bytes | None, value: bytes) -> HourRecord:
    """Read a Kafka record of the topic `reconcile`."""
    hour = decode_hour(value)
    if hour is None:
        raise NotAWindowError("the value is no record of an hour of TCCC's API")
    if hour.key != key or hour.window_start.timestamp() % 3600:
        raise NotAWindowError("the record's key is not that of its hour")
    if not all(0 <= count <= INT64_MAX for count in (hour.total_count, hour.row_count, hour.unusable_count)):
        raise NotAWindowError("a count is negative, or over 64 bits")
    return hour


def latest(windows: Iterable[HourRecord]) -> list[HourRecord]:
    """Of each hour the reading that was asked for last, sorted by key."""
    kept: dict[tuple[int, int], HourRecord] = {}
    for window in windows:
        place = window.sdk_app_id, window.epoch
        if place not in kept or window.asked_at >= kept[place].asked_at:
            kept[place] = window
    return [kept[place] for place in sorted(kept)]


def window_table(windows: Sequence[HourRecord]) -> pa.Table:
    """The rows as Arrow, without the stamp."""
    return pa.table(
        {
            column.name: pa.array([getattr(window, column.name) for window in windows], ARROW_TYPES[column.type])
            for column in WINDOW_COLUMNS
        }
    )


def windows_new(stamp: str) -> str:
    """INSERT of the batch's hours, to be run after `WINDOWS_GONE`; `stamp` stands for the time of the commit."""
    names = [f'"{column.name}"' for column in WINDOW_COLUMNS]
    return _WINDOWS_NEW.format(columns=", ".join(names), values=", ".join(f"b.{name}" for name in names), stamp=stamp)
