"""What every push log promises: in memory, over a real Kafka, and with the spool around either, Kafka away or not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry

from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.normalize import ReceivedPush, normalize
from ingest.push_log import BatchPushLog, LogEntry, PushLog
from ingest.spool import SpoolingPushLog, SpoolOptions
from schemas.dead_letter import DeadLetter, decode_letter
from schemas.events import RAW_HEADER, TOPIC_OF, NormalizedEvent, decode_event
from schemas.topics import DEAD_LETTERS, EVENT_TOPICS, Topic
from tests.support.push_log import MemoryPushLog
from tests.support.pushes import a_cdr, a_record, a_voicemail, body_of

NOW = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)
PARTITIONS = 2


def an_entry(raw: bytes, action: str = "cdr") -> LogEntry:
    normalized = normalize(ReceivedPush.of(raw, headers={}, action=action, received_at=NOW))
    return LogEntry(normalized.event, raw, normalized.letters)


@dataclass
class Stored:
    events: list[tuple[NormalizedEvent, bytes]]
    letters: list[DeadLetter]


class MemoryHouse:
    def __init__(self) -> None:
        self.log: PushLog = MemoryPushLog()

    async def stored(self) -> Stored:
        assert isinstance(self.log, MemoryPushLog)
        return Stored([(decode_event(key, value), raw) for key, value, raw in self.log.event_values], self.log.letters)


class KafkaHouse:
    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._prefix = prefix
        self.log: PushLog = KafkaPushLog(
            KafkaLogOptions(
                connection={"bootstrap_servers": bootstrap_servers}, topic_prefix=prefix, ack_seconds_max=20.0
            )
        )

    async def stored(self) -> Stored:
        events, letters = [], []
        for topic in (*EVENT_TOPICS, DEAD_LETTERS):
            for key, value, headers in await records_of(self._bootstrap_servers, topic.name(self._prefix)):
                if topic is DEAD_LETTERS:
                    letter = decode_letter(value)
                    assert key == letter.dead_letter_id.encode()
                    letters.append(letter)
                else:
                    event = decode_event(key, value)
                    assert topic is TOPIC_OF[event.kind]
                    events.append((event, headers[RAW_HEADER]))
        return Stored(events, letters)


class SpoolHouse:
    """The spool around another log: straight through it, or by way of the disk while that one is away."""

    def __init__(self, inner: MemoryHouse | KafkaHouse, directory: Path, *, is_away: bool) -> None:
        self._inner = inner
        assert isinstance(inner.log, MemoryPushLog | KafkaPushLog)
        self._away = AwayAtFirst(inner.log)
        self._away.is_away = is_away
        options = SpoolOptions(directory=directory / "spool", wait_seconds_max=20.0)
        self.log: PushLog = SpoolingPushLog(self._away, options, lambda: NOW, CollectorRegistry())

    async def stored(self) -> Stored:
        self._away.is_away = False
        assert isinstance(self.log, SpoolingPushLog)
        log = self.log
        await eventually(lambda: log.degraded() is None)
        return await self._inner.stored()


class AwayAtFirst:
    """A log that cannot be had until somebody says so."""

    def __init__(self, inner: BatchPushLog) -> None:
        self._inner = inner
        self.is_away = False
        self.start, self.close = inner.start, inner.close

    async def append(self, entry: LogEntry) -> None:
        assert not self.is_away, "known to be away, and asked all the same"
        await self._inner.append(entry)

    async def append_all(self, entries: Sequence[LogEntry]) -> None:
        await self._inner.append_all(entries)

    async def append_each(self, entries: Sequence[LogEntry], stored: Callable[[int], None]) -> None:
        assert not self.is_away, "known to be away, and asked all the same"
        await self._inner.append_each(entries, stored)

    def unready(self) -> str | None:
        return "away" if self.is_away else self._inner.unready()


House = MemoryHouse | KafkaHouse | SpoolHouse


async def records_of(bootstrap_servers: str, topic: str) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        count = 1 if topic.endswith(DEAD_LETTERS.suffix) else PARTITIONS
        partitions = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        async with asyncio.timeout(60):
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    record = await consumer.getone(partition)
                    found.append((record.key, record.value, dict(record.headers)))
        return found
    finally:
        await consumer.stop()


async def create_topics(bootstrap_servers: str, prefix: str, **changed_config: str) -> None:
    def new(topic: Topic) -> NewTopic:
        partitions = PARTITIONS if topic.partitioned else 1
        return NewTopic(topic.name(prefix), partitions, 1, topic_configs={**topic.config, **changed_config})

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([new(topic) for topic in (*EVENT_TOPICS, DEAD_LETTERS)])
    finally:
        await admin.close()


@pytest.fixture(params=["memory", "kafka", "spool before memory", "spool while away", "spool while kafka is away"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    running: House = MemoryHouse()
    if "kafka" in request.param:
        bootstrap_servers, prefix = request.getfixturevalue("kafka"), request.getfixturevalue("topic_prefix")
        await create_topics(bootstrap_servers, prefix)
        running = KafkaHouse(bootstrap_servers, prefix)
    if "spool" in request.param:
        running = SpoolHouse(running, tmp_path, is_away="away" in request.param)
    await running.log.start()
    await eventually(lambda: running.log.unready() is None)
    yield running
    await running.log.close()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (a log has no events of its own)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("payload", "action"), [(a_cdr(), "cdr"), (a_record(), "record"), (a_voicemail(), "voicemail")]
)
async def test_an_event_is_stored_with_its_body_as_received(
    house: House, payload: dict[str, object], action: str
) -> None:
    entry = an_entry(body_of(payload), action)
    await house.log.append(entry)

    assert await house.stored() == Stored([(entry.event, entry.raw)], [])  # type: ignore[list-item]


async def test_a_letter_is_stored_whole(house: House) -> None:
    entry = an_entry(b"\x00 not json \xff")
    await house.log.append(entry)

    assert await house.stored() == Stored([], list(entry.letters))


async def test_an_event_and_its_letter_are_both_stored(house: House) -> None:
    entry = an_entry(body_of(a_cdr(Direction="up")))
    await house.log.append(entry)

    assert await house.stored() == Stored([(entry.event, entry.raw)], list(entry.letters))  # type: ignore[list-item]


async def test_many_appends_at_once_are_all_stored(house: House) -> None:
    entries = [an_entry(body_of(a_cdr(SessionId=f"s{number}"))) for number in range(200)]
    await asyncio.gather(*(house.log.append(entry) for entry in entries))

    stored = await house.stored()
    assert sorted(event.session_id for event, _ in stored.events) == sorted(f"s{number}" for number in range(200))


async def test_bodies_of_the_largest_size_are_stored(house: House) -> None:
    noise = "".join(chr(0x4E00 + number % 20_000) for number in range(340_000))
    entries = [an_entry(body_of(a_cdr(UserRemark=noise))), an_entry(noise.encode())]
    for entry in entries:
        await house.log.append(entry)

    stored = await house.stored()
    assert [raw for _, raw in stored.events] == [entries[0].raw]
    assert [letter.raw for letter in stored.letters] == [entries[1].raw]


async def test_events_of_one_session_stay_in_their_order(house: House) -> None:
    entries = [an_entry(body_of(a_cdr(Uui=f"{number}"))) for number in range(20)]
    for entry in entries:
        await house.log.append(entry)

    stored = await house.stored()
    assert [event.payload["Uui"] for event, _ in stored.events] == [str(number) for number in range(20)]
