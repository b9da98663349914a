"""Kafka's disk is lost, without replicas: what reconcile alone then does, and what a worker's disk brings back."""

import asyncio
import shutil
from pathlib import Path

import pytest

from callweave.broker.local import LocalBroker
from callweave.kafka import admin_client
from callweave.settings import KafkaSettings, Settings
from callweave.topics import apply_topics
from schemas.topics import TOPICS
from tests.faults.audit import read_sessions
from tests.faults.test_engine_restarts import absorbed, publish, until_idle, worker
from tests.faults.trial import PARTITIONS
from tests.integration.test_reconcile import api_of, reader
from tests.support.broker import kafka_version
from tests.support.program import Program, eventually

SESSIONS = 25
SPAN = "--from=50h"
TOLD_BY_PUSHES = """
select (select count(*) from sessions) as sessions,
       (select count(*) from recordings where url is not null) as addresses
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
            # Idle comes before the worker has united what both told, and published it.
            verify = ("verify", f"--ledger={ledger}", "--reconciled", "--absent-after-hours=0")
            eventually(lambda: program.run(*verify, expect=None).returncode == 0)
            revived = program.sql(TOLD_BY_PUSHES)

    assert min(before[0].values()) > 0
    assert replaced == [{"sessions": SESSIONS, "addresses": 0}]
    assert revived == before
    assert said == [f"{SESSIONS} sessions revived; start the workers\n"] * 2, "and a second time changes nothing"


def lose_topics(kafka: str, prefix: str) -> None:
    """Nothing of the deployment is left in Kafka."""

    async def delete() -> None:
        async with admin_client(Settings(kafka=KafkaSettings(bootstrap_servers=kafka))) as admin:
            await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
            while any(name.startswith(prefix) for name in await admin.list_topics()):  # noqa: ASYNC110  (Kafka tells nobody)
                await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(delete(), 60))


async def test_one_lost_partition_of_the_sessions_topic_is_filled_again_from_the_workers_disk(tmp_path: Path) -> None:
    with LocalBroker(tmp_path / "kafka", heap_mb=256, version=kafka_version()) as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, partitions=PARTITIONS)
        settings = Settings.model_construct(kafka=kafka, data_dir=tmp_path / "data")
        await apply_topics(settings)
        await publish(settings, range(20))
        with worker(settings):
            await absorbed(settings, range(20))
            await until_idle(settings)
        broker.stop()
        for topic in TOPICS:
            shutil.rmtree(broker.data_dir / "topics" / f"{topic.name(kafka.topic_prefix)}-0")
        broker.start()
        left, _ = await read_sessions(settings)
        await publish(settings, range(20, 40))
        with worker(settings):
            await absorbed(settings, range(40))

    assert 0 < len({record.key for record in left}) < 20
