"""Restarts that must not believe Kafka: commits that are ahead, a topic made anew, a foreign record."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, UnknownTopicOrPartitionError, for_code

from callweave.kafka import admin_client, end_offsets, group_offsets, partitions_of, plain_consumer
from callweave.settings import KafkaSettings, Settings
from callweave.topics import apply_topics, worker_group
from schemas import jsontext
from schemas.events import TOPIC_OF, NormalizedEvent
from schemas.topics import CDR, EVENT_TOPICS, RECORD, SESSIONS
from streams.engine.halt import ExitStatus
from streams.engine.positions import HEADER, decode_positions
from tests.faults.audit import read_sessions
from tests.faults.trial import PARTITIONS, session_events
from tests.support.program import Program

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def settings(tmp_path: Path, kafka: str, topic_prefix: str) -> Settings:
    kafka_settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=PARTITIONS)
    return Settings.model_construct(kafka=kafka_settings, data_dir=tmp_path)


async def test_a_restart_believes_the_state_and_neither_commits_nor_a_topic_that_was_made_anew(
    settings: Settings,
) -> None:
    """Rows 5 and 6 of faust.md end with commits that are ahead of the state; believing them would skip 40 sessions.

    The CDRs' topic is deleted and made anew, and is soon longer than what the state has read of the old one.
    """
    await apply_topics(settings)
    await publish(settings, range(20))
    with worker(settings):
        await absorbed(settings, range(20))
        await until_idle(settings)
    await recreate_topic(settings, CDR.name(settings.kafka.topic_prefix))
    await publish(settings, range(20, 80))
    await commit_ahead(settings, RECORD.name(settings.kafka.topic_prefix))
    with worker(settings):
        await absorbed(settings, range(80))
    await check_positions(settings)


async def test_a_worker_that_finds_a_foreign_record_in_its_changelog_starts_anew_and_takes_it_in(
    settings: Settings,
) -> None:
    """Row 11: whoever wrote it may own the partitions by now; after a restart everybody's reports are there."""
    await apply_topics(settings)
    await publish(settings, range(20))
    with worker(settings) as process:
        await absorbed(settings, range(20))
        await until_idle(settings)
        await write_as_a_stranger(settings)
        await publish(settings, range(20, 60))
        assert await asyncio.to_thread(process.wait, 60) == ExitStatus.RESTART
    with worker(settings):
        await absorbed(settings, range(60))
    records, _ = await read_sessions(settings)
    last = {record.key: jsontext.decode(record.value)["state"]["reports"] for record in records}
    assert all(len(reports) == 3 for reports in last.values()), "the stranger's record said less than was known"


@contextmanager
def worker(settings: Settings) -> Iterator["Popen[str]"]:
    """The worker's process."""
    program = Program(settings.data_dir, str(settings.kafka.bootstrap_servers), settings.kafka.topic_prefix)
    with program.role("worker") as process:
        yield process


async def publish(settings: Settings, numbers: range) -> None:
    """The events of some sessions."""
    events = [event for number in numbers for event in session_events(number)]
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, acks="all") as producer:
        await asyncio.gather(*[await _send(producer, settings, event) for event in events])


async def _send(producer: AIOKafkaProducer, settings: Settings, event: NormalizedEvent) -> "asyncio.Future[object]":
    topic = TOPIC_OF[event.kind].name(settings.kafka.topic_prefix)
    sent: asyncio.Future[object] = await producer.send(topic, event.encoded(), key=event.key)
    return sent


async def absorbed(settings: Settings, numbers: range) -> None:
    """Wait until every session of these is in the topic with all its reports."""
    wanted = {event.key: set[str]() for number in numbers for event in session_events(number)}
    for number in numbers:
        for event in session_events(number):
            wanted[event.key].add(event.digest)
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        records, _ = await read_sessions(settings)
        last = {record.key: set(jsontext.decode(record.value)["state"]["reports"]) for record in records}
        missing = [key for key, reports in wanted.items() if not reports <= last.get(key, set())]
        if not missing:
            return
        assert asyncio.get_running_loop().time() < deadline, f"{len(missing)} sessions are incomplete: {missing[:3]}"
        await asyncio.sleep(0.2)


async def until_idle(settings: Settings) -> None:
    """Wait until all is committed."""
    sources = [topic.name(settings.kafka.topic_prefix) for topic in EVENT_TOPICS]
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        ends = await end_offsets(admin, consumer, sources)
        for _ in range(300):
            commits = await group_offsets(admin, worker_group(settings))
            if all(commits.get(source, 0) >= end for source, end in ends.items()):
                return
            await asyncio.sleep(0.1)
    raise AssertionError("not idle in time")


async def commit_ahead(settings: Settings, topic: str) -> None:
    """Move the group's commits to a topic's end, once the worker's session is over, as a commit too many would."""
    deadline = asyncio.get_running_loop().time() + 30
    async with (
        AIOKafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap_servers,
            group_id=worker_group(settings),
            enable_auto_commit=False,
        ) as consumer,
        admin_client(settings) as admin,
    ):
        partitions = await partitions_of(admin, [topic])
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while True:
            try:
                await consumer.commit(ends)
            except CommitFailedError:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.5)
            else:
                return


async def recreate_topic(settings: Settings, name: str) -> None:
    """Delete a topic and create it again."""
    async with admin_client(settings) as admin:
        await admin.delete_topics([name])
        for _ in range(100):
            if not await _exists(admin, name):
                break
            await asyncio.sleep(0.1)
    await apply_topics(settings)


async def _exists(admin: AIOKafkaAdminClient, name: str) -> bool:
    described = await admin.describe_topics([name])
    return for_code(described[0]["error_code"]) is not UnknownTopicOrPartitionError


async def write_as_a_stranger(settings: Settings) -> None:
    """To each changelog partition: an older record of one of its sessions, with one report less."""
    records, _ = await read_sessions(settings)
    last = {record.partition: record for record in records}
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, acks="all") as stranger:
        for partition, record in last.items():
            value = jsontext.decode(record.value)
            value["state"]["reports"].popitem()
            topic = SESSIONS.name(settings.kafka.topic_prefix)
            await stranger.send_and_wait(topic, jsontext.encode(value), key=record.key, partition=partition)


async def check_positions(settings: Settings) -> None:
    """The newest positions in the changelog are the ends of the sources."""
    records, _ = await read_sessions(settings)
    said: dict[tuple[str, int], int] = {}
    for record in records:
        for name, value in record.headers:
            if name == HEADER:
                said |= {(topic, record.partition): offset for topic, offset in decode_positions(value).items()}
    sources = [topic.name(settings.kafka.topic_prefix) for topic in EVENT_TOPICS]
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        assert said == await end_offsets(admin, consumer, sources)
