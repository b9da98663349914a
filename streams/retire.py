"""Retirement: sessions that have been silent for the retention are forgotten, in bounded slices between batches.

The order is that of every write: a tombstone to the session's own partition, its acknowledgement, then the local state.
So a worker that dies in between restores the tombstone, and one that lost its state finds it behind the older records.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from schemas.models import instant_ms
from streams import metrics
from streams.core.fold import last_receipt_ms
from streams.core.retirement import Retention
from streams.engine.halt import exit_for_restart
from streams.engine.store import parse_seen, partition_store, seen_entry
from streams.engine.table import Entry, SessionTable

log = structlog.get_logger(__name__)

SLICE_SESSIONS_MAX = 200
"""Sessions looked at in one turn: batches wait for some milliseconds, however many are due."""
LOOK_SECONDS = 2.0


class Retirement:
    """Looks at the index of each partition that is ours and caught up."""

    def __init__(
        self,
        app: Any,
        table: SessionTable,
        retention: Retention,
        now: Callable[[], datetime],
        turn: asyncio.Lock,
    ) -> None:
        self._app = app
        self._table = table
        self._retention = retention
        self._now = now
        self._turn = turn

    async def keep(self) -> None:
        """Look now and then, for as long as the worker runs; go on at once while more is due."""
        while True:
            try:
                async with self._turn:
                    looked_at = await self.slice()
            except Exception as exc:
                log.exception("retirement_failed")
                exit_for_restart("retiring sessions failed", problem=type(exc).__name__)
            await asyncio.sleep(0 if looked_at >= SLICE_SESSIONS_MAX else LOOK_SECONDS)

    async def slice(self) -> int:
        """One bounded slice; how many entries of the index were looked at. The caller holds the turn."""
        looked_at = 0
        for partition in self._partitions():
            looked_at += await self._slice_of(partition, SLICE_SESSIONS_MAX - looked_at)
        return looked_at

    async def _slice_of(self, partition: int, count_max: int) -> int:
        store = partition_store(self._table.data, partition)
        before_ms = self._retention.forgotten_before_ms(instant_ms(self._now()))
        due = store.seen_before(before_ms, count_max)
        retired: list[Entry] = []
        moved: dict[bytes, bytes | None] = {}
        for entry in due:
            _, key = parse_seen(entry)
            stored = store.get(key)
            if stored is None:  # it is gone already
                moved[entry] = None
            elif (last_ms := last_receipt_ms(stored)) < before_ms:
                retired.append(Entry(partition, key, None, None, {entry: None}))
            else:  # it has grown since
                moved |= {entry: None, seen_entry(last_ms, key): b""}
        await self._table.retire(partition, retired, moved)
        if retired:
            metrics.SESSIONS_RETIRED.inc(len(retired))
            log.info("sessions_retired", partition=partition, count=len(retired))
        return len(due)

    def _partitions(self) -> list[int]:
        """Ours, restored, and without waiting input: what lies in the log already must find its session."""
        app = self._app
        if app.in_recovery or not app.tables.actives_ready:
            return []
        behind: dict[int, bool] = {}
        for tp, position in app.guard.positions().items():
            end = app.consumer.highwater(tp)
            behind[tp.partition] = behind.get(tp.partition, False) or end is None or position < end
        ours = {tp.partition for tp in app.tables.recovery.active_tps}
        return sorted(partition for partition, is_behind in behind.items() if not is_behind and partition in ours)
