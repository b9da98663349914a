"""A bad deploy, or a stranger in our topics: nothing but poison stops a role before everything is in the bin."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from sinks.warehouse import open_reader
from streams.engine.halt import ExitStatus
from streams.worker import BATCH_EVENTS_MAX
from tests.support.program import DEADLINE_SECONDS, Program
from tests.support.sessions import a_session, session_record

POISON = 1_200
LIMIT = 600
assert BATCH_EVENTS_MAX < LIMIT < 2 * BATCH_EVENTS_MAX < POISON, "one batch passes, the second trips"


@pytest.mark.timeout(600)
def test_nothing_but_poison_halts_worker_and_loader_and_after_the_fix_no_letter_is_doubled(
    tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    program = Program(
        tmp_path / "data",
        kafka,
        topic_prefix,
        {"KAFKA__PARTITIONS": "1", "DEAD_LETTERS__IN_A_ROW_MAX": str(LIMIT)},
    )
    program.run("topics", "apply")
    events, sessions = f"{topic_prefix}cdr", f"{topic_prefix}sessions"
    asyncio.run(write(kafka, events, [b"poison for the worker %d" % number for number in range(POISON)]))
    asyncio.run(write(kafka, sessions, [b"poison for the loader %d" % number for number in range(POISON)]))
    key, value = session_record(a_session("after"))

    with program.role("loader") as loader:
        assert loader.wait(DEADLINE_SECONDS) == ExitStatus.HALTED
    assert rows(program, "select count(*) from dead_letters") == [(0,)]
    assert rows(program, "select * from callweave_offsets") == []
    with program.role("worker") as worker:
        assert worker.wait(DEADLINE_SECONDS) == ExitStatus.HALTED
    # What was done before the trip is committed, letters and offsets alike; the rest is untouched.
    passed = asyncio.run(committed(kafka, f"{topic_prefix}worker", events))
    assert 0 < passed <= LIMIT
    assert asyncio.run(end(kafka, f"{topic_prefix}dead_letters")) == passed

    program.settings["DEAD_LETTERS__IN_A_ROW_MAX"] = str(2 * POISON)
    asyncio.run(write(kafka, sessions, [value], key=key))
    with program.role("loader"), program.role("worker"):
        program.run("status", "--wait-idle", "90")
    assert rows(program, "select stage, count(*), max(seen_count) from dead_letters group by 1 order by 1") == [
        ("absorb", POISON, 1),
        ("load", POISON, 1),
    ]
    assert rows(program, "select session_id from sessions") == [("after",)]


def rows(program: Program, sql: str) -> list[tuple[Any, ...]]:
    reader = open_reader("duckdb:///calls.duckdb", data_dir=program.data_dir)
    try:
        return reader.query(sql).rows
    finally:
        reader.close()


async def write(kafka: str, topic: str, values: Sequence[bytes], *, key: bytes = b"1:x") -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for sent in [await producer.send(topic, value, key=key) for value in values]:
            await sent


async def committed(kafka: str, group: str, topic: str) -> int:
    async with AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False) as consumer:
        return int(await consumer.committed(TopicPartition(topic, 0)) or 0)


async def end(kafka: str, topic: str) -> int:
    async with AIOKafkaConsumer(bootstrap_servers=kafka) as consumer:
        partition = TopicPartition(topic, 0)
        return int((await consumer.end_offsets([partition]))[partition])
