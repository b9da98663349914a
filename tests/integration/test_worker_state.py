"""The worker's state over restarts: warm, cold, damaged, foreign; sessions that are retired; a worker that is stuck."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from callweave.kafka import admin_client, end_offsets, partitions_of, plain_consumer
from callweave.settings import KafkaSettings, Settings
from schemas.canonical import canonical, digest
from schemas.events import TOPIC_OF, WIRE_MODELS, EventKind, NormalizedEvent
from schemas.topics import SESSIONS
from tests.support.program import Program, eventually

COUNT = 60


@pytest.fixture
def program(tmp_path: Path, kafka: str, topic_prefix: str) -> Program:
    program = Program(tmp_path / "data", kafka, topic_prefix, {"LOG__LEVEL": "info", "LOG__FORMAT": "json"})
    program.run("topics", "apply")
    return program


def settings_of(program: Program) -> Settings:
    kafka = KafkaSettings(bootstrap_servers=program.kafka, topic_prefix=program.topic_prefix, partitions=4)
    return Settings.model_construct(kafka=kafka, data_dir=program.data_dir)


@contextmanager
def a_worker(program: Program, *bent: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker, with its log in `<data>/log`; killed at the end, which its state must bear."""
    program.data_dir.mkdir(exist_ok=True)
    command = ["-m", "tests.support.bent_worker", *bent] if bent else ["-m", "callweave", "worker"]
    with (program.data_dir / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, *command], env=program.environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def ask(program: Program, process: "subprocess.Popen[bytes]", path: str) -> tuple[int, str]:
    """What the admin port says; status 0 while it does not listen yet."""
    assert process.poll() is None, (program.data_dir / "log").read_text()[-3000:]
    entry = program.roles().get("worker", {})
    if entry.get("pid") != process.pid:
        return 0, ""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(entry["admin_url"] + path, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def until_ready(program: Program, process: "subprocess.Popen[bytes]") -> None:
    eventually(lambda: ask(program, process, "/health/ready")[0] == 200)


def counted(program: Program, process: "subprocess.Popen[bytes]", name: str) -> int:
    found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", ask(program, process, "/metrics")[1], re.MULTILINE)
    return int(sum(map(float, found)))


def until_restored(program: Program, process: "subprocess.Popen[bytes]", count: int) -> None:
    """Ready, having read so many records of the session topic and no other number."""

    def is_so() -> bool:
        name = "callweave_changelog_records_restored_total"
        return ask(program, process, "/health/ready")[0] == 200 and counted(program, process, name) == count

    eventually(is_so)


def logged(program: Program, event: str) -> list[dict[str, Any]]:
    lines = (program.data_dir / "log").read_text().splitlines()
    return [
        line for line in map(json.loads, filter(lambda text: text.startswith("{"), lines)) if line["event"] == event
    ]


def a_cdr(session: str, *, received_at: datetime) -> NormalizedEvent:
    payload = canonical(WIRE_MODELS[EventKind.CDR], {"SdkAppId": 1, "SessionId": session, "Direction": 0})
    return NormalizedEvent(
        kind=EventKind.CDR,
        sdk_app_id=1,
        session_id=session,
        payload=payload,
        digest=digest("cdr", "push", None, payload),
        push_id=session,
        received_at=received_at,
    )


def publish(program: Program, events: list[NormalizedEvent]) -> None:
    async def run() -> None:
        async with AIOKafkaProducer(bootstrap_servers=program.kafka, acks="all") as producer:
            for event in events:
                await producer.send(TOPIC_OF[event.kind].name(program.topic_prefix), event.encoded(), key=event.key)

    asyncio.run(run())


def session_records(program: Program) -> list[Any]:
    """Every record of the session topic."""

    async def run() -> list[Any]:
        settings, topic = settings_of(program), SESSIONS.name(program.topic_prefix)
        found: list[Any] = []
        async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
            partitions = await partitions_of(admin, [topic])
            ends = await end_offsets(admin, consumer, [topic])
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            while any([await consumer.position(tp) < ends[tp.topic, tp.partition] for tp in partitions]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found

    return asyncio.run(run())


def say_again(program: Program, records: list[Any]) -> None:
    """Records by somebody else, behind what the state knows."""

    async def run() -> None:
        async with AIOKafkaProducer(bootstrap_servers=program.kafka, acks="all") as producer:
            for record in records:
                await producer.send_and_wait(record.topic, record.value, key=record.key, partition=record.partition)

    asyncio.run(run())


def one_of_each_partition(records: list[Any]) -> list[Any]:
    return list({record.partition: record for record in records}.values())


@pytest.mark.timeout(600)
def test_state_over_restarts(program: Program) -> None:
    """Warm: only the tail is read. Damaged: set aside, read again. Of another log: set aside. One set-up for all."""
    now = datetime.now(UTC).replace(microsecond=0)
    publish(program, [a_cdr(f"s{number}", received_at=now) for number in range(COUNT)])
    with a_worker(program) as worker:
        eventually(lambda: counted(program, worker, "callweave_sessions_published_total") == COUNT)
        until_ready(program, worker)
    records = session_records(program)
    assert len(records) == COUNT
    tail = one_of_each_partition(records)
    say_again(program, tail)

    with a_worker(program) as worker:
        until_restored(program, worker, len(tail))  # a warm restart reads the tail alone

    stores = program.data_dir / "state" / "v1" / "tables"
    (stores / "sessions-1.db" / "CURRENT").write_bytes(b"garbage")
    in_the_damaged_one = sum(record.partition == 1 for record in [*records, *tail])
    with a_worker(program) as worker:
        until_restored(program, worker, in_the_damaged_one)  # only what was damaged is read again
    assert [line["store"] for line in logged(program, "state_set_aside")] == ["sessions-1.db"]
    assert len(list(stores.glob("sessions-1.db.set-aside-*"))) == 1

    shutil.rmtree(stores)
    with a_worker(program) as worker:
        until_restored(program, worker, COUNT + len(tail))  # a cold restart reads everything

    foreign = Program(program.data_dir, program.kafka, f"{program.topic_prefix}other.", program.settings)
    foreign.run("topics", "apply")
    with a_worker(foreign) as worker:
        until_restored(foreign, worker, 0)
    assert {line["store"] for line in logged(program, "state_set_aside")[1:]} == {f"sessions-{n}.db" for n in range(4)}
    assert len(session_records(program)) == COUNT + len(tail), "restoring published nothing"


@pytest.mark.timeout(600)
def test_sessions_are_retired_through_a_kill_and_stay_so_while_the_warehouse_keeps_its_rows(program: Program) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    sessions = 1500
    publish(program, [a_cdr(f"s{number}", received_at=now) for number in range(sessions)])
    with program.role("loader"):
        with a_worker(program) as worker:
            eventually(lambda: counted(program, worker, "callweave_sessions_published_total") == sessions)
            # A partition without any commit is read from its start (ADR 0010): calls begun anew, not what came back.
            program.run("status", "--wait-idle", "60")
        with a_worker(program, "later", "202") as worker:
            eventually(lambda: any(record.value is None for record in session_records(program)))
        with a_worker(program, "later", "202") as worker:
            eventually(lambda: len({r.key for r in session_records(program) if r.value is None}) == sessions)
        records = session_records(program)
        last = {record.key: record.value for record in records}
        assert set(last.values()) == {None}

        shutil.rmtree(program.data_dir / "state")
        old = a_cdr("s7", received_at=now - timedelta(days=201))
        publish(program, [old])
        with a_worker(program) as worker:
            until_restored(program, worker, len(records))
            eventually(lambda: counted(program, worker, "callweave_dead_letters_total") == 1)
            program.run("status", "--wait-idle", "60")
        assert len(session_records(program)) == len(records), "what was forgotten did not come back"
        assert program.sql("select count(*) as n from sessions") == [{"n": sessions}]
        assert program.sql("select reason from dead_letters") == [{"reason": "SESSION_RETIRED"}]


@pytest.mark.timeout(600)
def test_a_worker_whose_batch_never_ends_fails_liveness_and_says_where(program: Program) -> None:
    program.settings["WORKER__STALL_SECONDS_MAX"] = "10"
    publish(program, [a_cdr("s1", received_at=datetime.now(UTC).replace(microsecond=0))])
    with a_worker(program, "stuck") as worker:
        until_ready(program, worker)
        assert ask(program, worker, "/health/live")[0] == 200
        eventually(lambda: ask(program, worker, "/health/live")[0] == 503)
        _, said = ask(program, worker, "/health/live")

    assert re.search(r"partition \d of .*cdr has made no progress for .* 1 records wait", said)
