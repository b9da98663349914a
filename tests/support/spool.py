"""A Kafka log that is away, slow or refusing when told to, and a spool around it on a disk of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from ingest.normalize import ReceivedPush, normalize
from ingest.push_log import LogEntry, LogRefused, LogUnavailable, Stored
from ingest.spool import SpoolingPushLog, SpoolOptions
from tests.support.push_log import append_each
from tests.support.pushes import a_cdr, body_of

RECEIVED_AT = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)


def an_entry(session_id: str, *, at: datetime = RECEIVED_AT, **changes: Any) -> LogEntry:
    """One push of its own session."""
    raw = body_of(a_cdr(SessionId=session_id, **changes))
    normalized = normalize(ReceivedPush.of(raw, headers={}, action="cdr", received_at=at))
    return LogEntry(normalized.event, raw, normalized.letters)


@dataclass
class FickleLog:
    """A BatchPushLog in memory. `away`: known to be; `fails`: found out by asking; `hangs`: never answers."""

    stored: list[LogEntry] = field(default_factory=list)
    asked: int = 0
    batches: list[int] = field(default_factory=list)
    away: str | None = None
    fails: str | None = None
    hangs: bool = False
    refuses: set[str] = field(default_factory=set)

    async def start(self) -> None: ...

    async def append(self, entry: LogEntry) -> None:
        await self.append_all([entry])

    async def append_all(self, entries: Sequence[LogEntry]) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        problem = self.away or self.fails
        if problem is not None:
            raise LogUnavailable(problem)
        if self.refuses & {session_of(entry) for entry in entries}:
            raise LogRefused("Kafka refused: too large")
        self.batches.append(len(entries))
        self.stored += entries

    async def append_each(self, entries: Sequence[LogEntry], stored: Stored) -> None:
        await append_each(self.append, entries, stored)

    def unready(self) -> str | None:
        return self.away

    async def close(self) -> None: ...

    @property
    def sessions(self) -> list[str]:
        return [session_of(entry) for entry in self.stored]


def session_of(entry: LogEntry) -> str:
    """Which session an entry is about; empty for a letter."""
    return "" if entry.event is None else entry.event.session_id


@dataclass
class SpoolHouse:
    """A running spool, and what a test asks of it."""

    log: SpoolingPushLog
    kafka: FickleLog
    registry: CollectorRegistry
    directory: Path

    async def append(self, *session_ids: str, **changes: Any) -> None:
        await asyncio.gather(*(self.log.append(an_entry(session_id, **changes)) for session_id in session_ids))

    def value(self, name: str) -> float:
        return self.registry.get_sample_value(f"callweave_{name}") or 0.0


@asynccontextmanager
async def a_spool(directory: Path, kafka: FickleLog | None = None, **options: Any) -> AsyncIterator[SpoolHouse]:
    """Run a spool in a directory."""
    kafka = kafka or FickleLog()
    registry = CollectorRegistry()
    chosen: dict[str, Any] = {"wait_seconds_max": 0.2, "close_seconds_max": 5.0, **options}
    log = SpoolingPushLog(kafka, SpoolOptions(directory=directory, **chosen), lambda: datetime.now(UTC), registry)
    await log.start()
    await eventually(lambda: "being opened" not in (log.degraded() or ""))
    try:
        yield SpoolHouse(log, kafka, registry, directory)
    finally:
        await log.close()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (a spool has no events of its own)
            await asyncio.sleep(0.01)
