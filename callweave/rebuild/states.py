"""The log's sessions, folded anew on disk: the state of each, from the sessions topic or from the raw topics.

The rule: the worker's own functions (`streams.core.fold`) say what a record does to a state; here is only where the
records come from and where the states lie. A folder of a run that was killed is thrown away by the next.
"""

import fcntl
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import rocksdict
from aiokafka import ConsumerRecord

from callweave.kafka import admin_client, partitions_of, plain_consumer, read_now
from callweave.rebuild.origin import Origin
from callweave.settings import MisconfiguredError, Settings
from schemas.events import NormalizedEvent, NotAnEventError, decode_event
from schemas.suppression import Suppressions
from schemas.topics import EVENT_TOPICS, MESSAGE_BYTES_MAX, SESSIONS
from streams.core.fold import NotASessionRecordError, fold, record_of_stored, restore
from streams.core.retirement import Retention

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how much of it is done, of how much."""

_RECORDS_AT_ONCE = 2_000


@dataclass(slots=True)
class Read:
    """What was read: records, and of these the ones that are of no use (the worker wrote letters about them)."""

    record_count: int = 0
    unusable_count: int = 0
    retired_count: int = 0


class States:
    """Sessions by key, in RocksDB: more of them than fit into memory are no reason to fail."""

    def __init__(self, folder: Path) -> None:
        self._db: Any = rocksdict.Rdict(str(folder), rocksdict.Options(raw_mode=True))

    def get(self, key: bytes) -> bytes | None:
        """The stored state of a session."""
        stored: bytes | None = self._db.get(key)
        return stored

    def put(self, key: bytes, stored: bytes) -> None:
        """Store a session's state."""
        self._db[key] = stored

    def forget(self, key: bytes) -> bool:
        """Take a session away; whether it was there."""
        was_there = key in self._db
        if was_there:
            del self._db[key]
        return was_there

    def count(self) -> int:
        """How many sessions there are."""
        return sum(1 for _ in self._db.keys())  # noqa: SIM118  (no dict: iterating is another thing to it)

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each session as the worker of today would publish it."""
        for key, stored in self._db.items():
            yield key, record_of_stored(key, stored)

    def __contains__(self, key: bytes) -> bool:
        return key in self._db

    def close(self) -> None:
        """Let go of the folder."""
        self._db.close()


Take = Callable[[States, Sequence["ConsumerRecord[bytes, bytes]"], Read], None]
"""Takes some records of a topic into the states."""


@contextmanager
def states_in(data_dir: Path) -> Iterator[States]:
    """A place for the states of one run. Another run on the same data directory is refused."""
    folder = data_dir / "rebuild"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MisconfiguredError(
                f"another `callweave rebuild` runs on the data directory {data_dir}: wait for its end"
            ) from None
        place = folder / "states"
        shutil.rmtree(place, ignore_errors=True)
        states = States(place)
        try:
            yield states
        finally:
            states.close()
            shutil.rmtree(place, ignore_errors=True)


async def fold_log(
    settings: Settings, origin: Origin, states: States, progress: Progress, suppressions: Suppressions
) -> Read:
    """Read what the topics hold now, from their beginning to their present ends; what is erased stays erased."""
    topics = (SESSIONS,) if origin is Origin.SESSIONS else EVENT_TOPICS
    names = [topic.name(settings.kafka.topic_prefix) for topic in topics]
    retention = Retention(settings.worker.retention_days)
    take = _restored(suppressions) if origin is Origin.SESSIONS else _absorbed(retention, suppressions)
    read = Read()
    async with (
        admin_client(settings) as admin,
        plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer,
    ):
        partitions = await partitions_of(admin, names)
        missing = sorted(set(names) - {tp.topic for tp in partitions})
        if missing:
            raise MisconfiguredError(f"the topic {missing[0]} does not exist: check KAFKA__TOPIC_PREFIX")
        told = partial(progress, f"reading the {origin} topic{'s' if origin is Origin.RAW else ''}")
        async for found in read_now(consumer, partitions, records_max=_RECORDS_AT_ONCE, told=told):
            for records in found.values():
                read.record_count += len(records)
                take(states, records, read)
    return read


def _restored(suppressions: Suppressions) -> Take:
    def take(states: States, records: Sequence["ConsumerRecord[bytes, bytes]"], read: Read) -> None:
        for record in records:
            key = record.key
            if key is None:
                read.unusable_count += 1
                continue
            if record.value is None:
                # Retired, or erased: what an older record of it says is no longer to be told.
                read.retired_count += states.forget(key)
                continue
            try:
                states.put(key, restore(states.get(key), record.value, suppressions).stored)
            except NotASessionRecordError:
                read.unusable_count += 1

    return take


def _absorbed(retention: Retention, suppressions: Suppressions) -> Take:
    def take(states: States, records: Sequence["ConsumerRecord[bytes, bytes]"], read: Read) -> None:
        by_session: dict[bytes, list[NormalizedEvent]] = defaultdict(list)
        for record in records:
            try:
                event = suppressions.event(decode_event(record.key, record.value))
            except NotAnEventError:
                read.unusable_count += 1
                continue
            # As the worker judges it, which wrote a letter about each of these.
            if retention.too_late(event.received_at, published_ms=record.timestamp) is not None:
                read.unusable_count += 1
                continue
            by_session[event.key].append(event)
        for key, events in by_session.items():
            folded = fold(key, states.get(key), events, suppressions)
            read.unusable_count += len(folded.refused)
            if folded.stored is not None:
                states.put(key, folded.stored)

    return take
