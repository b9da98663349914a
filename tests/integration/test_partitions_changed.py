"""Another number of partitions: adding them in place is refused, and a copy to another prefix loses nothing."""

import asyncio
import json
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewPartitions

from callweave.kafka import admin_client
from callweave.settings import KafkaSettings, Settings
from schemas.topics import LEGAL_HOLDS, RECORDING_FILES, SUPPRESSIONS
from tests.support.program import Program, eventually
from tests.support.push_to import push
from tests.support.pushes import a_cdr, a_record

SESSIONS = 12
ROWS = "select session_id, has_cdr, recordings_received, version from sessions order by session_id"


def told(program: Program, action: str) -> None:
    """A push about each session."""
    url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
    make = {"cdr": a_cdr, "record": a_record}[action]
    for number in range(SESSIONS):
        body = json.dumps(make(SessionId=f"s{number:02}")).encode()
        assert push(f"{url}?action={action}", body, push_id=f"{action}-{number}")[1]["ErrCode"] == 0


@pytest.mark.timeout(600)
def test_topics_with_more_partitions_take_over_and_late_reports_meet_their_sessions(
    tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    before = Program(tmp_path / "data", kafka, topic_prefix, {"KAFKA__PARTITIONS": "2"})
    with before.up():
        told(before, "cdr")
        before.run("status", "--wait-idle", "90")
        earlier = {row["session_id"]: int(row["version"]) for row in before.sql(ROWS)}
    after = Program(tmp_path / "data", kafka, f"{topic_prefix}5.", {"KAFKA__PARTITIONS": "5"})
    after.settings["WORKER__STATE_DIR"] = str(tmp_path / "state-5")
    after.run("topics", "apply")

    for _ in range(2):
        said = after.run("topics", "copy", topic_prefix).stdout
        assert f"{topic_prefix}cdr: {SESSIONS} records" in said, "and a second copy changes nothing"
    with after.up():
        told(after, "record")
        after.run("status", "--wait-idle", "90")
        rows = after.sql(ROWS)
        assert after.sql("select count(*) as letters from dead_letters") == [{"letters": 0}]

    assert [row["session_id"] for row in rows] == [f"s{number:02}" for number in range(SESSIONS)]
    assert {(row["has_cdr"], row["recordings_received"]) for row in rows} == {(True, 1)}
    assert all(int(row["version"]) > earlier[row["session_id"]] for row in rows)


def test_partitions_added_in_place_are_refused_with_the_way_out(tmp_path: Path, kafka: str, topic_prefix: str) -> None:
    program = Program(tmp_path / "data", kafka, topic_prefix, {"KAFKA__PARTITIONS": "2"})
    program.run("topics", "apply")

    async def add() -> None:
        async with admin_client(Settings(kafka=KafkaSettings(bootstrap_servers=kafka))) as admin:
            await admin.create_partitions({f"{topic_prefix}cdr": NewPartitions(total_count=3)})

    asyncio.run(add())

    refused = json.loads(program.run("topics", "check", "--json", expect=1).stdout)
    assert ["topics copy" in line["problem"] for line in refused if line["problem"]] == [True]
    assert "is the prefix of these settings" in program.run("topics", "copy", topic_prefix, expect=2).stderr
    elsewhere = Program(tmp_path / "data", kafka, f"{topic_prefix}3.", {"KAFKA__PARTITIONS": "3"})
    assert "does not exist" in elsewhere.run("topics", "copy", topic_prefix, expect=2).stderr


def test_who_is_erased_what_is_held_and_what_is_archived_go_along(
    tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    archive = {"ARCHIVER__STORE": str(tmp_path / "archive")}
    names = [topic.name("") for topic in (SUPPRESSIONS, LEGAL_HOLDS, RECORDING_FILES)]
    new_prefix = f"{topic_prefix}3."
    Program(tmp_path / "data", kafka, topic_prefix, archive).run("topics", "apply")
    after = Program(tmp_path / "data", kafka, new_prefix, {**archive, "KAFKA__PARTITIONS": "3"})
    after.run("topics", "apply")

    async def publish() -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            for name in names:
                await producer.send_and_wait(f"{topic_prefix}{name}", f"of {name}".encode(), b"key", timestamp_ms=7_000)

    async def copied() -> list[tuple[bytes, bytes, int]]:
        topics = [f"{new_prefix}{name}" for name in names]
        async with AIOKafkaConsumer(*topics, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
            records = [await asyncio.wait_for(consumer.getone(), 60) for _ in names]
        return sorted((record.key, record.value, record.timestamp) for record in records)

    asyncio.run(publish())
    said = after.run("topics", "copy", topic_prefix).stdout.splitlines()

    assert said[0] == f"{topic_prefix}{names[0]}: 1 records", "who is erased goes first"
    assert {f"{topic_prefix}{name}: 1 records" for name in names} <= set(said)
    assert asyncio.run(copied()) == sorted((b"key", f"of {name}".encode(), 7_000) for name in names)
