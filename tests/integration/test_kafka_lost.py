"""Kafka's disk is lost, without replicas: what reconcile alone then does, and what a worker's disk brings back."""

import asyncio
from pathlib import Path

import pytest

from callweave.kafka import admin_client
from callweave.settings import KafkaSettings, Settings
from tests.integration.test_reconcile import api_of, reader
from tests.support.program import Program

SESSIONS = 25
SPAN = "--from=50h"
TOLD_BY_PUSHES = """
select (select count(*) from sessions) as sessions,
       (select count(*) from recordings where url is not null) as addresses,
       (select count(*) from voicemails where url is not null) as voicemails
"""


@pytest.mark.timeout(300)
def test_a_workers_disk_brings_back_what_reconcile_into_an_empty_kafka_replaced(
    tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    pipeline = Program(tmp_path / "data", kafka, topic_prefix, {"KAFKA__PARTITIONS": "2"})
    ledger, state = tmp_path / "ledger.jsonl", tmp_path / "data" / "state"
    with pipeline.up() as url:
        pipeline.run("simulate", f"--url={url}", f"--sessions={SESSIONS}", "--days=2", f"--ledger={ledger}")
        pipeline.run("status", "--wait-idle", "90")
        before = pipeline.sql(TOLD_BY_PUSHES)
    lose_topics(kafka, topic_prefix)
    with api_of(pipeline, ledger) as endpoint:
        program = reader(pipeline, endpoint)
        assert "the topics are not as they must be" in program.run("topics", "revive", str(state), expect=2).stderr
        with pipeline.up():
            program.run("reconcile", SPAN)
            program.run("status", "--wait-idle", "90")
            replaced = program.sql(TOLD_BY_PUSHES)
            assert "stop all workers" in program.run("topics", "revive", str(state), expect=2).stderr
        said = [program.run("topics", "revive", str(state)).stdout for _ in range(2)]
        with pipeline.up():
            program.run("status", "--wait-idle", "90")
            revived = program.sql(TOLD_BY_PUSHES)
            program.run("verify", f"--ledger={ledger}", "--reconciled", "--absent-after-hours=0")

    assert min(before[0].values()) > 0
    assert replaced == [{"sessions": SESSIONS, "addresses": 0, "voicemails": 0}]
    assert revived == before
    assert said == [f"{SESSIONS} sessions revived; start the workers\n"] * 2, "and a second time changes nothing"


def lose_topics(kafka: str, prefix: str) -> None:
    """Nothing of the deployment is left in Kafka."""

    async def delete() -> None:
        async with admin_client(Settings(kafka=KafkaSettings(bootstrap_servers=kafka))) as admin:
            await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
            while any(name.startswith(prefix) for name in await admin.list_topics()):
                await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(delete(), 60))
