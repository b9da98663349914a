"""What only a real broker can show: sequence gaps, missing topics, a broker that is not there."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber

from callweave.broker.local import LocalBroker
from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.normalize import ReceivedPush, normalize
from ingest.push_log import LogEntry, LogUnavailable
from schemas.topics import CDR, DEAD_LETTERS, EVENT_TOPICS
from tests.support.pushes import a_cdr, body_of

NOW = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)
NOISE = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=50_000))


def an_entry(**changes: object) -> LogEntry:
    raw = body_of(a_cdr(**changes))
    normalized = normalize(ReceivedPush.of(raw, headers={}, action="cdr", received_at=NOW))
    return LogEntry(normalized.event, raw, normalized.letters)


def a_log(bootstrap_servers: str, prefix: str, ack_seconds_max: float = 20.0) -> KafkaPushLog:
    return KafkaPushLog(
        KafkaLogOptions(
            connection={"bootstrap_servers": bootstrap_servers}, topic_prefix=prefix, ack_seconds_max=ack_seconds_max
        )
    )


async def create_topics(bootstrap_servers: str, prefix: str, *, message_bytes_max: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        config = {"max.message.bytes": str(message_bytes_max)}
        names = [topic.name(prefix) for topic in (*EVENT_TOPICS, DEAD_LETTERS)]
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config) for name in names])
    finally:
        await admin.close()


async def topics_of(bootstrap_servers: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (a log has no events of its own)
            await asyncio.sleep(0.02)


async def test_an_idempotent_producer_is_of_no_use_after_a_failure(kafka: str, topic_prefix: str) -> None:
    """The premise: aiokafka leaves a gap in the sequence. If this fails one day, replacing producers can go."""
    await create_topics(kafka, topic_prefix, message_bytes_max=20_000)
    topic = CDR.name(topic_prefix)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"first", b"key")
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, NOISE.encode(), b"key")
        for _ in range(2):
            with pytest.raises(OutOfOrderSequenceNumber):
                await producer.send_and_wait(topic, b"second", b"key")
    finally:
        await producer.stop()


async def test_the_log_stores_the_next_push_after_one_that_kafka_refused(kafka: str, topic_prefix: str) -> None:
    await create_topics(kafka, topic_prefix, message_bytes_max=20_000)
    log = a_log(kafka, topic_prefix)
    await log.start()
    try:
        await log.append(an_entry())
        with pytest.raises(LogUnavailable, match="Kafka refused"):
            await log.append(an_entry(UserRemark=NOISE))
        for _ in range(3):
            await log.append(an_entry())
    finally:
        await log.close()


async def test_missing_topics_are_said_never_created_and_found_when_they_come(kafka: str, topic_prefix: str) -> None:
    log = a_log(kafka, topic_prefix)
    await log.start()
    try:
        with pytest.raises(LogUnavailable, match="`callweave topics apply`"):
            await log.append(an_entry())
        assert not {name for name in await topics_of(kafka) if name.startswith(topic_prefix)}
        await create_topics(kafka, topic_prefix, message_bytes_max=20_000)
        await eventually(lambda: log.unready() is None)
        await log.append(an_entry())
    finally:
        await log.close()


async def test_topics_that_vanish_make_the_log_unready_not_the_topics_new(kafka: str, topic_prefix: str) -> None:
    await create_topics(kafka, topic_prefix, message_bytes_max=20_000)
    log = a_log(kafka, topic_prefix, ack_seconds_max=3.0)
    await log.start()
    try:
        await log.append(an_entry())
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        await admin.delete_topics([topic.name(topic_prefix) for topic in (*EVENT_TOPICS, DEAD_LETTERS)])
        await admin.close()
        with pytest.raises(LogUnavailable):
            await asyncio.wait_for(append_for_ever(log), 60)  # the broker says "deleted" before they are
        await eventually(lambda: "callweave topics apply" in (log.unready() or ""))
        assert not {name for name in await topics_of(kafka) if name.startswith(topic_prefix)}
    finally:
        await log.close()


async def append_for_ever(log: KafkaPushLog) -> None:
    while True:
        await log.append(an_entry())


async def test_without_a_broker_the_log_says_so_and_closes_promptly(unused_port: int) -> None:
    log = a_log(f"127.0.0.1:{unused_port}", "x.")
    await log.start()
    with pytest.raises(LogUnavailable, match="Kafka cannot be reached"):
        await log.append(an_entry())
    await log.close()


@pytest.fixture
async def unused_port() -> int:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_broker_that_falls_silent_is_given_up_in_time_and_used_again_when_it_speaks(
    topic_prefix: str, tmp_path: Path
) -> None:
    with LocalBroker(tmp_path, heap_mb=256) as broker:
        await create_topics(broker.bootstrap_servers, topic_prefix, message_bytes_max=20_000)
        log = a_log(broker.bootstrap_servers, topic_prefix, ack_seconds_max=1.0)
        await log.start()
        await log.append(an_entry())
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            outcomes = await asyncio.gather(*(log.append(an_entry()) for _ in range(3)), return_exceptions=True)
            assert [str(outcome) for outcome in outcomes] == ["Kafka did not acknowledge within 1 s"] * 3
            assert log.unready() is not None
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        await eventually(lambda: log.unready() is None)
        await log.append(an_entry())
        await log.close()


async def appended(log: KafkaPushLog) -> None:
    """Append, as often as a broker needs that has just started on a busy machine."""
    async with asyncio.timeout(60):
        while True:
            with suppress(LogUnavailable):
                return await log.append(an_entry())
            await asyncio.sleep(0.1)


async def test_a_broker_that_dies_does_not_hold_up_the_close_and_one_that_returns_is_used(
    topic_prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LocalBroker(tmp_path, heap_mb=256) as broker:
        await create_topics(broker.bootstrap_servers, topic_prefix, message_bytes_max=20_000)
        log = a_log(broker.bootstrap_servers, topic_prefix, ack_seconds_max=1.0)
        await log.start()
        await appended(log)
        broker.stop()
        with pytest.raises(LogUnavailable):
            await log.append(an_entry())
        # Asked for without a pause, as aiokafka does by itself, it would be thousands of times.
        assert sum("update metadata" in record.message for record in caplog.records) < 100
        broker.start()
        await appended(log)
        broker.stop()
        with pytest.raises(LogUnavailable):
            await log.append(an_entry())
        async with asyncio.timeout(30):
            await log.close()
    leftovers = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert leftovers == []
