"""How old what was committed is: since its last receipt, and, once for each call, since the call ended.

The rule: what only the API told is no freshness of ours; it was asked for hours after the call.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import pyarrow as pa

from schemas.columns import SESSIONS
from sinks.rows import SessionKey, SessionRows
from sinks.sink import Written

REMEMBERED_MAX: Final = 20_000
_FROM_THE_API: Final = "api"


def since_receipt(rows: SessionRows, written: Written, committed_at: datetime) -> list[float]:
    """Seconds from each applied session's last receipt to the commit."""
    if not written.applied:
        return []
    receipts = _instants(rows, "last_received_at")
    return [
        _seconds(committed_at, received)
        for key, received in zip(rows.keys, receipts, strict=True)
        if key in written.applied and received is not None
    ]


class CallFreshness:
    """Remembers which calls it has told of: the last ones, which are those that are still pushed about."""

    def __init__(self) -> None:
        self._told: OrderedDict[SessionKey, None] = OrderedDict()

    def since_end(self, rows: SessionRows, written: Written, committed_at: datetime) -> list[float]:
        """Seconds from a call's end to the first commit that knows it, of each call that was pushed."""
        return list(self._new(rows, written, committed_at)) if written.applied else []

    def _new(self, rows: SessionRows, written: Written, committed_at: datetime) -> Iterator[float]:
        sources = rows.tables[SESSIONS.name]["source"].to_pylist()
        for key, ended, source in zip(rows.keys, _instants(rows, "ended_at"), sources, strict=True):
            if ended is None or source == _FROM_THE_API or key not in written.applied or key in self._told:
                continue
            self._told[key] = None
            if len(self._told) > REMEMBERED_MAX:
                self._told.popitem(last=False)
            yield _seconds(committed_at, ended)


def _instants(rows: SessionRows, column: str) -> Iterable[int | None]:
    instants: list[int | None] = rows.tables[SESSIONS.name][column].cast(pa.int64()).to_pylist()
    return instants


def _seconds(committed_at: datetime, microseconds: int) -> float:
    return max(0.0, committed_at.timestamp() - microseconds / 1e6)
