"""The receiver without its Kafka, as users meet it: processes, and a broker of their own that stops and starts."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from callweave.broker.local import LocalBroker
from schemas.events import RAW_HEADER, NormalizedEvent, decode_event
from schemas.topics import CDR
from tests.integration.test_operating import ask
from tests.support.program import Program, eventually, ready_url

PUSHES = 40


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    with LocalBroker(tmp_path_factory.mktemp("kafka"), heap_mb=256) as running:
        yield running


def body(number: int) -> bytes:
    return b'{"SdkAppId":1,"SessionId":"s%d","Direction":0,  "Uui":"as sent"}' % number


def push(url: str, numbers: range) -> None:
    for number in numbers:
        assert ask(f"{url}?action=cdr", data=body(number)) == (200, {"ErrCode": 0, "ErrMsg": ""})


def push_url(program: Program, process: subprocess.Popen[str]) -> str:
    """Where that very process listens."""
    entry = eventually(lambda: (e := program.roles().get("receiver", {})).get("pid") == process.pid and e)
    url: str = eventually(lambda: entry.get("push_url") or program.roles()["receiver"].get("push_url"))
    return url


async def events_of(bootstrap_servers: str, topic: str, partitions: int) -> list[tuple[NormalizedEvent, bytes]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(assigned)
        ends = await consumer.end_offsets(assigned)
        found = []
        for partition in assigned:
            while await consumer.position(partition) < ends[partition]:
                record = await consumer.getone(partition)
                found.append((decode_event(record.key, record.value), dict(record.headers)[RAW_HEADER]))
        return found
    finally:
        await consumer.stop()


@pytest.mark.timeout(600)
def test_pushes_that_came_while_kafka_was_away_arrive_when_it_is_back_as_they_were(
    tmp_path: Path, broker: LocalBroker
) -> None:
    program = Program(tmp_path / "data", broker.bootstrap_servers, "x.")
    program.run("topics", "apply")
    with program.role("receiver") as process:
        url = push_url(program, process)
        push(url, range(1))
        admin = program.roles()["receiver"]["admin_url"]
        eventually(lambda: ask(f"{admin}/health/ready")[1]["degraded"] is None)
        broker.stop()
        begun = datetime.now(UTC)
        push(url, range(1, PUSHES))
        ended = datetime.now(UTC)

        status, ready = ask(f"{admin}/health/ready")
        assert (status, ready["ready"]) == (200, True)
        assert f"{PUSHES - 1} pushes" in ready["degraded"]
        pending = program.run("status", "--wait-idle", "0.5", expect=1)
        assert f"{PUSHES - 1} pushes wait in the receiver's spool" in pending.stderr

        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    alone = program.run("status", "--wait-idle", "0.5", expect=1)
    assert "nobody drains the spool" in alone.stderr
    spool_line = next(line for line in program.run("doctor", expect=1).stdout.splitlines() if "spool" in line)
    assert spool_line.startswith("FAULT spool: nobody drains the spool")

    with program.role("receiver") as process:  # Kafka is away from its beginning
        push(push_url(program, process), range(PUSHES, PUSHES + 5))
        second = program.run("receiver", expect=2)
        assert "another receiver spools into" in second.stderr
        broker.start()
        admin = program.roles()["receiver"]["admin_url"]
        eventually(lambda: ask(f"{admin}/health/ready")[1]["degraded"] is None)
        found = asyncio.run(events_of(broker.bootstrap_servers, CDR.name("x."), 4))

    assert {event.session_id for event, _ in found} == {f"s{number}" for number in range(PUSHES + 5)}
    assert {(event.session_id, raw) for event, raw in found} == {
        (f"s{number}", body(number)) for number in range(PUSHES + 5)
    }
    spooled = [event for event, _ in found if 1 <= int(event.session_id[1:]) < PUSHES]
    assert all(begun.replace(microsecond=0) <= event.received_at <= ended for event in spooled)


@pytest.mark.timeout(600)
def test_up_takes_pushes_before_its_kafka_is_there_and_drains_them_all(tmp_path: Path, broker: LocalBroker) -> None:
    broker.stop()
    program = Program(tmp_path / "data", broker.bootstrap_servers, "y.")
    process = program.start("up")
    try:
        push(ready_url(process), range(PUSHES))
        standing = json.loads(program.run("status", "--json", expect=1).stdout)
        assert standing["spool"]["entries"] == PUSHES
        broker.start()
        program.run("status", "--wait-idle", "90")
        rows = program.sql("select count(*) as n, count(distinct session_id) as d from sessions")
        assert rows == [{"n": PUSHES, "d": PUSHES}]
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    finally:
        process.kill()
        process.wait()


def test_up_that_is_stopped_before_its_kafka_was_there_says_that_pushes_wait_and_keeps_them(tmp_path: Path) -> None:
    program = Program(tmp_path, "127.0.0.1:1", "x.")
    process = program.start("up")
    push(ready_url(process), range(2))
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 1
    assert "nobody drains the spool" in program.run("status", expect=1).stdout


def test_a_spool_that_is_full_refuses_and_says_so(tmp_path: Path) -> None:
    program = Program(tmp_path, "127.0.0.1:1", "x.", {"RECEIVER__SPOOL_BYTES_MAX": str(2**20)})
    large = b'{"SdkAppId":1,"SessionId":"s","Direction":0,"UserRemark":"' + b"x" * 500_000 + b'"}'
    with program.role("receiver") as process:
        url = push_url(program, process)
        answers = [ask(f"{url}?action=cdr", data=large) for _ in range(2)]
        status, ready = ask(f"{program.roles()['receiver']['admin_url']}/health/ready")

    assert [(code, answer["ErrCode"]) for code, answer in answers] == [(200, 0), (503, 503)]
    assert (status, ready["ready"]) == (503, False)
    assert "the spool is full" in ready["reason"]
