"""The session table: a Faust table whose changelog topic is `tccc.sessions`, written by ourselves.

One batch = overlay in memory, publish, await the acknowledgement, write the store, then ack the input (architecture.md
law 7): neither the topic nor the store can be ahead of what the other will learn.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import structlog
from faust.tables import Table
from faust.types import TP, EventT
from typing_extensions import override

from schemas.tracing import TRACE_HEADER
from streams.core.fold import NotASessionRecordError, Restored
from streams.engine.fence import SessionFence
from streams.engine.halt import exit_for_restart
from streams.engine.positions import (
    HEADER,
    NotPositionsError,
    Positions,
    decode_positions,
    encode_positions,
    positions_of,
    store_key,
)
from streams.engine.store import PartitionStore, partition_store, seen_entry

log = structlog.get_logger(__name__)

SEND_SECONDS_MAX = 120.0
"""How long an acknowledgement may take before the worker starts anew. Producing is retried meanwhile."""
PUBLISHED_AGAIN_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One session to write: the record for the topic and the bytes for the store; None for both retires it.

    `beside` is written to the store in the same breath: its entry in the index of retirement. `trace` goes on with the
    record, where somebody traces a push of the session.
    """

    partition: int
    key: bytes
    record: bytes | None
    stored: bytes | None
    beside: Mapping[bytes, bytes | None] = field(default_factory=dict)
    trace: bytes | None = None


class SessionTable(Table[bytes, bytes]):
    """Rows 9, 10 and 11 (its last part) of faust.md part 1.

    Row 9: `faust/tables/base.py` sends through `ProducerBuffer`, where a failed send is only logged and the commit's
    `flush()` waits without raising. Here records go out as ready-made batches to their explicit partition and are
    awaited. Row 10: `faust/stores/*.py` `apply_changelog_batch` takes the last record of each key, so a stale record
    may replace better state; here it absorbs, and what the union knows beyond the last record is published again
    before the worker is ready. Row 11: an acknowledged offset other than the one after the last known means that
    somebody else wrote to our partition.
    """

    def __init__(
        self,
        *args: Any,
        restore: Callable[[bytes | None, bytes], Restored],
        record_of_stored: Callable[[bytes, bytes], bytes],
        fence: SessionFence,
        open_store: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._open_store = open_store
        self._fence = fence
        self._restore = restore
        self._record_of_stored = record_of_stored
        self._says_more: dict[bytes, int] = {}
        self._last_offset: dict[int, int] = {}
        self._read: dict[int, Positions] = {}

    @override
    def _new_store_by_url(self, url: Any) -> Any:
        if self._open_store is None:
            return super()._new_store_by_url(url)
        return self._open_store(
            url,
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            value_type=self.value_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            options=self.options,
        )

    def store(self, partition: int) -> PartitionStore:
        """The store of a partition; whoever asks it for more than one session keeps it for that long."""
        return partition_store(self.data, partition)

    def stored(self, partition: int, key: bytes) -> bytes | None:
        """What the store holds of a session."""
        return self.store(partition).get(key)

    async def write(self, entries: Iterable[Entry], read: Mapping[int, Positions] | None = None) -> None:
        """Publish, await every acknowledgement, then write the store; `read` is where the sources stand after it.

        A partition of `read` without an entry brought nothing new: its positions go to the store alone.
        """
        by_partition: dict[int, list[Entry]] = {partition: [] for partition in read or {}}
        for entry in entries:
            by_partition.setdefault(entry.partition, []).append(entry)
        self._read |= read or {}
        self._fence.check()
        await self._publish({partition: theirs for partition, theirs in by_partition.items() if theirs})
        for partition, theirs in by_partition.items():
            written: dict[bytes, bytes | None] = {entry.key: entry.stored for entry in theirs}
            for entry in theirs:
                written.update(entry.beside)
            if partition in self._read:
                written[store_key(partition)] = encode_positions(self._read[partition])
            self.store(partition).write(written, self._tp(partition), self._last_offset[partition])

    def source_positions(self) -> dict[TP, int]:
        """How far the state goes, once it is restored."""
        return {
            TP(topic, partition): offset
            for partition, positions in self._read.items()
            for topic, offset in positions.items()
        }

    async def retire(self, partition: int, entries: list[Entry], moved: Mapping[bytes, bytes | None]) -> None:
        """Forget sessions as every write is done, tombstones first; then move what only the index has to learn."""
        if entries:
            await self.write(entries)
        if moved:
            self.store(partition).write(moved, self._tp(partition), self._last_offset[partition])

    def publish_all_again(self, partition: int) -> int:
        """Have every session of a partition published once more before the worker is ready; their number."""
        keys = list(self.store(partition).session_keys())
        self._says_more.update(dict.fromkeys(keys, partition))
        return len(keys)

    @override
    def apply_changelog_batch(self, batch: Iterable[EventT[Any]]) -> None:
        """Restore: absorb every record that is still in the topic."""
        changed: dict[int, dict[bytes, bytes | None]] = {}
        offsets: dict[int, int] = {}
        stores: dict[int, PartitionStore] = {}
        for event in batch:
            message = event.message
            partition, key = message.partition, message.key or b""
            offsets[partition] = message.offset
            if partition not in stores:
                stores[partition], changed[partition] = self.store(partition), {}
            overlay = changed[partition]
            if (read := positions_of(message.headers)) is not None:
                overlay[store_key(partition)] = read
            self._says_more.pop(key, None)
            if message.value is None:
                overlay[key] = None
                continue
            current = overlay[key] if key in overlay else stores[partition].get(key)
            try:
                restored = self._restore(current, message.value)
            except NotASessionRecordError as exc:
                # Not ours: it says nothing about the session, and what we know of it is said again.
                log.error("changelog_record_unusable", partition=partition, offset=message.offset, problem=str(exc))
                if current is not None:
                    self._says_more[key] = partition
                continue
            overlay[key] = restored.stored
            if restored.born_ms is not None:
                overlay[seen_entry(restored.born_ms, key)] = b""
            if restored.says_more:
                self._says_more[key] = partition
        for partition, overlay in changed.items():
            stores[partition].write(overlay, self._tp(partition), offsets[partition])

    @override
    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Say again what the union knows beyond the last record; then the worker may be ready."""
        await super().on_recovery_completed(active_tps, standby_tps)
        recovery = cast("Any", self.app.tables).recovery
        self._last_offset = {
            tp.partition: max(_or_none(recovery.active_offsets.get(tp)), _or_none(recovery.active_highwaters.get(tp)))
            for tp in active_tps
        }
        self._read = {tp.partition: self._stored_positions(tp.partition) for tp in active_tps}
        again = {key: partition for key, partition in self._says_more.items() if partition in self._last_offset}
        self._says_more = again
        keys = iter(list(again.items()))
        count = 0
        while batch := list(islice(keys, PUBLISHED_AGAIN_AT_ONCE)):
            entries = [
                Entry(partition, key, self._record_of_stored(key, stored), stored)
                for key, partition in batch
                if (stored := self.stored(partition, key)) is not None
            ]
            await self.write(entries)
            count += len(entries)
            for key, _ in batch:  # only now: a rebalance may cut in, and then they are still to be said
                self._says_more.pop(key, None)
        if count:
            log.info("sessions_published_again", count=count)

    async def _publish(self, by_partition: Mapping[int, list[Entry]]) -> None:
        producer = cast("Any", self.app.producer)._producer  # noqa: SLF001  (batches to explicit partitions have no public door)
        async with asyncio.timeout(SEND_SECONDS_MAX):
            # Nothing but a full queue makes a send wait, so the batches of all partitions go out in one request.
            sent = [
                (partition, count, await self._send(producer, batch, partition))
                for partition, entries in by_partition.items()
                for batch, count in self._batches(producer, partition, entries)
            ]
            for partition, count, future in sent:
                metadata = await future
                self._acknowledged(partition, metadata.offset, count)

    def _batches(self, producer: Any, partition: int, entries: list[Entry]) -> Iterator[tuple[Any, int]]:
        """The records of a partition as ready-made batches, each with the number of its records."""
        if partition not in self._last_offset:
            exit_for_restart("a write to a changelog partition that is not assigned", partition=partition)
        batch, count = producer.create_batch(), 0
        for entry in entries:
            # The positions hold once all is written, so the very last record carries them.
            headers = self._header(partition) if entry is entries[-1] else []
            if entry.trace is not None:
                headers = [*headers, (TRACE_HEADER, entry.trace)]
            if batch.append(key=entry.key, value=entry.record, timestamp=None, headers=headers) is None:
                yield batch, count
                batch, count = producer.create_batch(), 0
                batch.append(key=entry.key, value=entry.record, timestamp=None, headers=headers)
            count += 1
        yield batch, count

    def _acknowledged(self, partition: int, offset: int, count: int) -> None:
        """Row 11, its second line: our batch must lie right after the last record that we know of."""
        known = self._last_offset[partition]
        if offset != known + 1:
            exit_for_restart(
                "somebody else wrote to our changelog partition", partition=partition, expected=known + 1, got=offset
            )
        self._last_offset[partition] = offset + count - 1

    def _header(self, partition: int) -> list[tuple[str, bytes]]:
        read = self._read.get(partition)
        return [(HEADER, encode_positions(read))] if read else []

    def _stored_positions(self, partition: int) -> Positions:
        raw = self.stored(partition, store_key(partition))
        if raw is None:
            return {}
        try:
            return decode_positions(raw)
        except NotPositionsError:
            log.error("positions_unusable", partition=partition, action="its sources are read from their beginning")
            return {}

    async def _send(self, producer: Any, batch: Any, partition: int) -> asyncio.Future[Any]:
        self._fence.check()
        batch.close()
        future: asyncio.Future[Any] = await producer.send_batch(batch, self.changelog_topic_name, partition=partition)
        return future

    def _tp(self, partition: int) -> TP:
        return TP(self.changelog_topic_name, partition)


def _or_none(offset: int | None) -> int:
    return -1 if offset is None else offset
