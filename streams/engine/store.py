"""Faust's stores, partition by partition: keyed by the source partition, a batch and its offset in one write.

Beside each session stands the date of its last receipt when it was born, in an index ordered by that date: retirement
finds what may be due without reading the rest (ADR 0012). The index is moved when it is read, not when a session grows.
"""

import heapq
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import rocksdict
from faust.stores import memory, rocksdb
from faust.types import TP
from typing_extensions import override

from streams.engine.faults import StoreFault, fault_of, halt_for_full_disk, store_failed
from streams.engine.halt import exit_for_restart, halt
from streams.engine.state_dir import LogIdentity, StateDirectory, set_aside, set_aside_if_condemned

_SEEN = b"\x00seen\x00"
"""Before the dates of the index; no session key begins so (they begin with a digit)."""
_DATE_BYTES = 8


class PartitionStore(Protocol):
    """One partition of the session table."""

    def get(self, key: bytes) -> bytes | None:
        """What is stored of a session."""

    def write(self, entries: Mapping[bytes, bytes | None], tp: TP, offset: int) -> None:
        """Write a batch (None: forget the key), and that the changelog is known up to `offset`."""

    def seen_before(self, moment_ms: int, count_max: int) -> list[bytes]:
        """The oldest entries of the index, up to a moment (see `parse_seen`)."""

    def session_keys(self) -> Iterator[bytes]:
        """Every session."""


def seen_entry(moment_ms: int, key: bytes) -> bytes:
    """The index entry of a session: its place is its date."""
    return _SEEN + max(0, moment_ms).to_bytes(_DATE_BYTES, "big") + key


def parse_seen(entry: bytes) -> tuple[int, bytes]:
    """Date and session key of an index entry."""
    body = entry[len(_SEEN) :]
    return int.from_bytes(body[:_DATE_BYTES], "big"), body[_DATE_BYTES:]


@dataclass(frozen=True, slots=True)
class RocksPartition:
    """A partition in RocksDB; the batch and its offset are one atomic write."""

    db: Any
    offset_key: bytes

    def get(self, key: bytes) -> bytes | None:
        """See PartitionStore."""
        try:
            value: bytes | None = self.db.get(key)
        except Exception as exc:  # noqa: BLE001  (rocksdict raises nothing narrower)
            store_failed(exc, Path(self.db.path()))
        return value

    def write(self, entries: Mapping[bytes, bytes | None], tp: TP, offset: int) -> None:  # noqa: ARG002  (the db is the partition's)
        """See PartitionStore."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in entries.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self.offset_key, str(offset).encode())
        try:
            self.db.write(batch)
        except Exception as exc:  # noqa: BLE001  (rocksdict raises nothing narrower)
            store_failed(exc, Path(self.db.path()))

    def seen_before(self, moment_ms: int, count_max: int) -> list[bytes]:
        """See PartitionStore."""
        found: list[bytes] = []
        for entry in self.db.keys(from_key=_SEEN):
            if len(found) >= count_max or not entry.startswith(_SEEN) or parse_seen(entry)[0] >= moment_ms:
                break
            found.append(entry)
        return found

    def session_keys(self) -> Iterator[bytes]:
        """See PartitionStore."""
        return filter(_is_session, self.db.keys())


@dataclass(frozen=True, slots=True)
class MemoryPartition:
    """A partition in memory: restored whole at every start."""

    store: Any
    partition: int

    def get(self, key: bytes) -> bytes | None:
        """See PartitionStore."""
        value: bytes | None = self.store.data.get(key)
        return value

    def write(self, entries: Mapping[bytes, bytes | None], tp: TP, offset: int) -> None:  # noqa: ARG002  (nothing persists)
        """See PartitionStore."""
        for key, value in entries.items():
            if value is None:
                self.store.data.pop(key, None)
                self.store._key_partition.pop(key, None)  # noqa: SLF001  (Faust's own index)
            else:
                self.store.data[key] = value
                self.store._key_partition[key] = self.partition  # noqa: SLF001  (Faust's own index)

    def seen_before(self, moment_ms: int, count_max: int) -> list[bytes]:
        """See PartitionStore."""
        due = (key for key in self._keys() if key.startswith(_SEEN) and parse_seen(key)[0] < moment_ms)
        return heapq.nsmallest(count_max, due)

    def session_keys(self) -> Iterator[bytes]:
        """See PartitionStore."""
        return filter(_is_session, self._keys())

    def _keys(self) -> list[bytes]:
        partitions = self.store._key_partition  # noqa: SLF001  (Faust's own index)
        return [key for key in self.store.data if partitions.get(key) == self.partition]


class StateStore(rocksdb.Store):
    """`faust/stores/rocksdb.py` opens whatever lies at its path, and lets its errors end in a rebalance that hangs.

    Here every store belongs to one log (`state_dir.py`), corrupt ones are set aside, and a disk that is full or a lock
    that somebody else holds is said in a sentence before the process ends.
    """

    def __init__(
        self,
        *args: Any,
        directory: StateDirectory,
        log_identity: Callable[[], Awaitable[LogIdentity]] | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._directory = directory
        self._log_identity = log_identity
        self._is_claimed = log_identity is None

    @override
    async def assign_partitions(self, table: Any, tps: set[TP], generation_id: int = 0) -> None:
        await self._claim()
        await super().assign_partitions(table, tps, generation_id)

    async def _claim(self) -> None:
        """Once a start, when Kafka is known to answer: is this state ours?"""
        if self._is_claimed or self._log_identity is None:
            return
        try:
            identity = await self._log_identity()
        except Exception as exc:  # noqa: BLE001  (whatever the reason: without an answer, no state is touched)
            exit_for_restart("Kafka does not say which cluster and topic it holds", problem=repr(exc))
        try:
            self._directory.claim(self.path, identity)
        except OSError as exc:
            if fault_of(exc) is StoreFault.FULL:
                halt_for_full_disk(exc, self.path)
            halt("the worker's state directory cannot be used", directory=str(self.path), problem=str(exc))
        self._is_claimed = True

    @override
    async def _try_open_db_for_partition(self, partition: int, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._try_open_db_for_partition(partition, *args, **kwargs)
        except Exception as exc:  # noqa: BLE001  (rocksdict raises nothing narrower)
            halt(
                "the state of a partition cannot be opened",
                store=str(self.partition_path(partition)),
                problem=str(exc),
                action="stop whatever else works on it, or set CALLWEAVE_WORKER__STATE_DIR; nothing is lost",
            )

    @override
    def _open_for_partition(self, partition: int) -> Any:
        path = self.partition_path(partition)
        set_aside_if_condemned(path)
        try:
            return super()._open_for_partition(partition)
        except Exception as exc:
            match fault_of(exc):
                case StoreFault.CORRUPT:
                    set_aside(path, because=str(exc))
                    return super()._open_for_partition(partition)
                case StoreFault.FULL:
                    halt_for_full_disk(exc, path)
                case _:
                    raise  # a lock: Faust tries again for half a minute


def partition_store(store: Any, partition: int) -> PartitionStore:
    """The store of one partition of a Faust table."""
    match store:
        case rocksdb.Store():
            return RocksPartition(store._db_for_partition(partition), store.offset_key)  # noqa: SLF001  (opens it)
        case memory.Store():
            return MemoryPartition(store, partition)
        case _:
            raise TypeError(f"callweave keeps state in rocksdb or memory, not in {type(store).__name__}")


def _is_session(key: bytes) -> bool:
    return key[:1].isdigit()
