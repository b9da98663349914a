"""Faust's stores, partition by partition: keyed by the source partition, a batch and its offset in one write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import rocksdict
from faust.stores import memory, rocksdb
from faust.types import TP


class PartitionStore(Protocol):
    """One partition of the session table."""

    def get(self, key: bytes) -> bytes | None:
        """What is stored of a session."""

    def write(self, entries: Mapping[bytes, bytes | None], tp: TP, offset: int) -> None:
        """Write a batch (None: forget the key), and that the changelog is known up to `offset`."""


@dataclass(frozen=True, slots=True)
class RocksPartition:
    """A partition in RocksDB; the batch and its offset are one atomic write."""

    db: Any
    offset_key: bytes

    def get(self, key: bytes) -> bytes | None:
        """See PartitionStore."""
        value: bytes | None = self.db.get(key)
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
        self.db.write(batch)


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


def partition_store(store: Any, partition: int) -> PartitionStore:
    """The store of one partition of a Faust table."""
    match store:
        case rocksdb.Store():
            return RocksPartition(store._db_for_partition(partition), store.offset_key)  # noqa: SLF001  (opens it)
        case memory.Store():
            return MemoryPartition(store, partition)
        case _:
            raise TypeError(f"callweave keeps state in rocksdb or memory, not in {type(store).__name__}")
