"""The count after a trial: the session topic, and what restarts would restore, against the ledger.

Restoring is the worker's own code, fed with the records that are really in the topic: into an empty store (a cold
start), and onto each partition's store that a worker left behind, however it ended (a warm start).
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP

from callweave.kafka import admin_client, end_offsets, group_offsets, partitions_of, plain_consumer
from callweave.settings import Settings
from callweave.topics import worker_group
from schemas import jsontext
from schemas.topics import EVENT_TOPICS, MESSAGE_BYTES_MAX, SESSIONS
from streams.engine.positions import decode_positions, is_session_key, store_key
from streams.worker import WorkerOptions, build_worker
from tests.faults.trial import PARTITIONS, Ledger, Trial

COMPACTED_SECONDS_MAX = 30.0


@dataclass
class Audit:
    """What was found."""

    lost: dict[str, list[str]] = field(default_factory=dict)
    """Reports that are in no record that is left, by session."""
    stale: list[str] = field(default_factory=list)
    """Sessions whose last record says less than all records together."""
    restored_wrong: dict[str, list[str]] = field(default_factory=dict)
    """Sessions that a restart would restore otherwise than they were published, by kind of restart."""
    duplicates: int = 0
    """Sessions that would be restored in more than one partition."""
    compacted: int = 0
    """Records that the cleaner has removed."""
    reread: int = 0
    """Events that a cold start would read once more."""

    @property
    def is_clean(self) -> bool:
        """Whether everything is there, once."""
        return not (self.lost or self.stale or self.restored_wrong or self.duplicates)

    def compare(self, kind: str, restored: Mapping[tuple[int, bytes], set[str]], expected: Ledger) -> None:
        """Note the sessions that a restart of this kind would restore otherwise than they were published."""
        sessions = {key: reports for (_, key), reports in restored.items()}
        wrong = [key.decode() for key in expected.keys() | sessions.keys() if sessions.get(key) != expected.get(key)]
        if wrong:
            self.restored_wrong[kind] = sorted(wrong)


async def audit(trial: Trial) -> Audit:
    """Compare everything with the ledger."""
    records, ends = await read_sessions(trial.settings)
    found = Audit(compacted=sum(ends.values()) - len(records))
    union: dict[bytes, set[str]] = {}
    last: dict[bytes, set[str]] = {}
    for record in records:
        last[record.key] = reports = set(jsontext.decode(record.value)["state"]["reports"])
        union.setdefault(record.key, set()).update(reports)
    for key, reports in trial.ledger.items():
        if missing := reports - union.get(key, set()):
            found.lost[key.decode()] = sorted(missing)
    found.stale = [key.decode() for key, reports in last.items() if reports != union[key]]
    if trial.worker == "stock":
        return found
    with tempfile.TemporaryDirectory() as empty:
        cold = restored(table_of(Path(empty), trial), range(PARTITIONS), records)
    found.duplicates = len(cold.sessions) - len({key for _, key in cold.sessions})
    found.reread = await _unread(trial.settings, cold.positions)
    found.compare("cold", cold.sessions, trial.ledger)
    lies_in = {record.key: record.partition for record in records}
    for state in sorted(trial.folder.glob("worker*/state")) if trial.store == "rocksdb" else []:
        table = table_of(state, trial)
        held = [partition for partition in range(PARTITIONS) if table.data.partition_path(partition).exists()]
        expected = {key: reports for key, reports in trial.ledger.items() if lies_in.get(key) in held}
        found.compare(state.parent.name, restored(table, held, records).sessions, expected)
    return found


async def until_compacted(trial: Trial) -> None:
    """Wait until the cleaner has removed something, or for as long as it may reasonably take."""
    deadline = time.monotonic() + COMPACTED_SECONDS_MAX
    while time.monotonic() < deadline:
        records, ends = await read_sessions(trial.settings)
        if len(records) < sum(ends.values()):
            return
        await asyncio.sleep(0.2)


@dataclass
class Restored:
    """What a restart would know."""

    sessions: dict[tuple[int, bytes], set[str]]
    positions: dict[TP, int]


def table_of(state_dir: Path, trial: Trial) -> Any:
    """The worker's own table on a state directory."""
    options = WorkerOptions(
        faust_broker="kafka://nobody",
        topic_prefix=trial.prefix,
        partitions=PARTITIONS,
        state_dir=state_dir,
        instance_id="audit",
        now=lambda: datetime.now(UTC),
        store=trial.store,
    )
    return build_worker(options).table


def restored(table: Any, partitions: Iterable[int], records: list[ConsumerRecord]) -> Restored:
    """Run the worker's restoring on partitions of a table: what a start would read after what the store knows."""
    known = {
        partition: table.data.persisted_offset(TP(table.changelog_topic_name, partition)) for partition in partitions
    }
    tail = [
        record
        for record in records
        if record.partition in known and ((at := known[record.partition]) is None or record.offset > at)
    ]
    table.apply_changelog_batch([SimpleNamespace(message=record) for record in tail])
    state = Restored({}, {})
    for partition in known:
        for key, value in _items(table.data, partition):
            if is_session_key(key):
                state.sessions[partition, key] = set(jsontext.decode(value)["reports"])
            elif key == store_key(partition):
                state.positions |= {TP(topic, partition): offset for topic, offset in decode_positions(value).items()}
    return state


async def read_sessions(settings: Settings) -> tuple[list[ConsumerRecord], dict[tuple[str, int], int]]:
    """Every record that is left of the session topic, and where its partitions end."""
    topic = SESSIONS.name(settings.kafka.topic_prefix)
    records: list[ConsumerRecord] = []
    async with (
        admin_client(settings) as admin,
        plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer,
    ):
        partitions = await partitions_of(admin, [topic])
        ends = await end_offsets(admin, consumer, [topic])
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(tp) < ends[tp.topic, tp.partition] for tp in partitions]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records += batch
    return records, ends


async def keep_evidence(trial: Trial, found: Audit) -> None:
    """Write what explains a loss beside the logs and the stores."""
    records, _ = await read_sessions(trial.settings)
    with (trial.folder / "sessions.jsonl").open("w") as out:
        for record in records:
            reports = sorted(jsontext.decode(record.value)["state"]["reports"])
            headers = {name: value.decode(errors="replace") for name, value in record.headers}
            line = [record.partition, record.offset, record.timestamp, record.key.decode(), reports, headers]
            out.write(json.dumps(line) + "\n")
    async with admin_client(trial.settings) as admin:
        commits = await group_offsets(admin, worker_group(trial.settings))
    (trial.folder / "findings.json").write_text(
        json.dumps(
            {
                "lost": found.lost,
                "stale": found.stale,
                "restored_wrong": found.restored_wrong,
                "commits": {f"{topic}[{partition}]": offset for (topic, partition), offset in commits.items()},
            },
            indent=1,
        )
    )


def _items(store: Any, partition: int) -> list[tuple[bytes, bytes]]:
    if hasattr(store, "_db_for_partition"):
        return list(store._db_for_partition(partition).items())
    return [(key, value) for key, value in store.data.items() if store._key_partition[key] == partition]


async def _unread(settings: Settings, positions: dict[TP, int]) -> int:
    topics = [topic.name(settings.kafka.topic_prefix) for topic in EVENT_TOPICS]
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        ends = await end_offsets(admin, consumer, topics)
    return sum(end - positions.get(TP(*source), 0) for source, end in ends.items())
