"""A loader on real topics inside the test's process, and waiting for what it does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import for_code
from prometheus_client import CollectorRegistry

from callweave.log_identity import read_topic_ids
from callweave.settings import KafkaSettings, Settings
from schemas.topics import DEAD_LETTERS, MESSAGE_BYTES_MAX, SESSIONS
from sinks.kafka_source import HaulLimits
from sinks.loader import Loader, LoaderSettings
from sinks.warehouse import open_reader, open_sink

DEADLINE_SECONDS = 120
DUCKDB = "duckdb:///calls.duckdb"
# Everything that is asked now and then is asked at once, so that no test waits for it.
SETTINGS = LoaderSettings(
    limits=replace(HaulLimits(), linger_seconds=0.05, idle_seconds=0.1, probe_seconds=0.2, partitions_seconds=0.2),
    retry_first_seconds=0.05,
    retry_most_seconds=0.2,
)


class Log:
    """The topics of one test."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self.options = {"bootstrap_servers": bootstrap_servers}
        self.prefix = prefix
        self.sessions = SESSIONS.name(prefix)
        self.letters = DEAD_LETTERS.name(prefix)

    async def create(self, *topics: tuple[str, int]) -> None:
        config = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
        async with self._admin() as admin:
            answer = await admin.create_topics(
                [NewTopic(name, count, 1, topic_configs=config) for name, count in topics]
            )
        assert [for_code(error[1]).errno for error in answer.topic_errors] == [0] * len(topics)

    async def delete(self, topic: str) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([topic])

            async def is_gone() -> bool:
                return topic not in await admin.list_topics()

            await until_awaited(is_gone)

    async def add_partitions(self, topic: str, count: int) -> None:
        async with self._admin() as admin:
            await admin.create_partitions({topic: NewPartitions(count)})

    async def send(
        self, topic: str, records: Iterable[tuple[bytes, bytes | None]], partition: int | None = None
    ) -> None:
        async with AIOKafkaProducer(**self.options, max_request_size=MESSAGE_BYTES_MAX) as producer:
            for sent in [await producer.send(topic, value, key=key, partition=partition) for key, value in records]:
                await sent

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**self.options)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


def a_loader(log: Log, data_dir: Path, url: str = DUCKDB, settings: LoaderSettings = SETTINGS) -> Loader:
    sink = open_sink(url, data_dir=data_dir, recording_deadline_seconds=3600)
    kafka = KafkaSettings(bootstrap_servers=log.options["bootstrap_servers"], topic_prefix=log.prefix)
    topic_ids = partial(read_topic_ids, Settings.model_construct(kafka=kafka), [log.sessions, log.letters])
    return Loader.over_kafka(log.options, log.prefix, sink, settings, registry=CollectorRegistry(), topic_ids=topic_ids)


@asynccontextmanager
async def loading(log: Log, data_dir: Path, url: str = DUCKDB) -> AsyncIterator[Loader]:
    """Run a loader; what stops it by itself is raised at the end."""
    loader = a_loader(log, data_dir, url)
    stop = asyncio.Event()
    run = asyncio.create_task(loader.run(stop))
    try:
        yield loader
    finally:
        stop.set()
        await asyncio.wait_for(run, DEADLINE_SECONDS)


async def until(condition: Callable[[], Any]) -> None:
    async def check() -> bool:
        return bool(condition())

    await until_awaited(check)


async def until_awaited(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - what is waited for is elsewhere
            await asyncio.sleep(0.02)


def loaded(loader: Loader, log: Log, counts: dict[int, int]) -> bool:
    status = loader.status()
    found = {
        part.partition.partition: part.next_offset for part in status.partitions if part.partition.topic == log.sessions
    }
    return status.ready and found == counts


def rows(data_dir: Path, sql: str, url: str = DUCKDB) -> list[tuple[Any, ...]]:
    reader = open_reader(url, data_dir=data_dir)
    try:
        return reader.query(sql).rows
    finally:
        reader.close()
