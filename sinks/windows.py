"""Records of the topic `reconcile`, each an hour of one application, read for `sinks.keyed`, which lays them down.

The rule: a record that any warehouse would refuse, or that stands under another's key, is none.
"""

from schemas.reconcile import HourRecord, decode_hour
from sinks.rows import INT64_MAX


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
