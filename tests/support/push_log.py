"""A push log in memory that keeps a journal, and a publisher that fails when told to."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from ingest.kafka_publisher import Record
from ingest.push_log import LogEntry, LogUnavailable, Stored
from schemas.dead_letter import DeadLetter, decode_letter
from schemas.events import NormalizedEvent, decode_event


async def append_each(
    append: Callable[[LogEntry], Awaitable[None]], entries: Sequence[LogEntry], stored: Stored
) -> None:
    """What a BatchPushLog's `append_each` is, told by its `append`."""

    async def one(place: int, entry: LogEntry) -> None:
        await append(entry)
        stored(place)

    outcomes = await asyncio.gather(*(one(*item) for item in enumerate(entries)), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


@dataclass
class MemoryPushLog:
    """A PushLog that is a list, as Kafka would hold it: encoded. `gate` holds acknowledgements back; `away` refuses."""

    journal: list[str] = field(default_factory=list)
    event_values: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    letter_values: list[bytes] = field(default_factory=list)
    entries: list[LogEntry] = field(default_factory=list)
    away: str | None = None
    gate: asyncio.Event | None = None

    async def start(self) -> None:
        self.journal.append("started")

    async def append(self, entry: LogEntry) -> None:
        self.journal.append("append")
        self.entries.append(entry)
        if self.gate is not None:
            await self.gate.wait()
        if self.away is not None:
            self.journal.append("refused")
            raise LogUnavailable(self.away)
        if entry.event is not None:
            self.event_values.append((entry.event.key, entry.event.encoded(), entry.raw))
        self.letter_values += [letter.encoded() for letter in entry.letters]
        self.journal.append("acknowledged")

    async def append_all(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            await self.append(entry)

    async def append_each(self, entries: Sequence[LogEntry], stored: Stored) -> None:
        await append_each(self.append, entries, stored)

    def unready(self) -> str | None:
        return self.away

    async def close(self) -> None:
        self.journal.append("closed")

    @property
    def events(self) -> list[NormalizedEvent]:
        return [decode_event(key, value) for key, value, _ in self.event_values]

    @property
    def letters(self) -> list[DeadLetter]:
        return [decode_letter(value) for value in self.letter_values]


class PartlyFailed(Exception):  # noqa: N818  (a step of a script)
    """The parts in these places fail; the others are published."""

    def __init__(self, places: set[int], failure: Exception) -> None:
        super().__init__(places)
        self.places, self.failure = places, failure


class ScriptedPublisher:
    """A Publisher that does as its script says: each publish takes the next step, an exception or "hang" or "ok"."""

    def __init__(self, name: str, journal: list[str], script: Sequence[object] = (), start: object = "ok") -> None:
        self._name = name
        self._journal = journal
        self._script = list(script)
        self._start = start
        self.published: list[Record] = []

    async def start(self, topics: Collection[str]) -> None:
        self._journal.append(f"{self._name}: start")
        self.topics = set(topics)
        await self._act(self._start)

    async def publish(self, records: Sequence[Record]) -> None:
        await self.publish_each([records], lambda _: None)

    async def publish_each(self, parts: Sequence[Sequence[Record]], acknowledged: Callable[[int], None]) -> None:
        self._journal.append(f"{self._name}: publish")
        step = self._script.pop(0) if self._script else "ok"
        failing = step.places if isinstance(step, PartlyFailed) else set()
        await self._act("ok" if failing else step)
        for place, records in enumerate(parts):
            if place not in failing:
                self.published += records
                acknowledged(place)
        if isinstance(step, PartlyFailed):
            raise step.failure

    async def stop(self, grace_seconds: float) -> None:
        assert grace_seconds > 0
        self._journal.append(f"{self._name}: stop")

    async def _act(self, step: object) -> None:
        if isinstance(step, BaseException):
            raise step
        if step == "hang":
            await asyncio.Event().wait()
