"""A guard against getting slower: how many calls each part of the way of a push makes, counted, not timed.

Counts are the same on every machine, however busy. A bound is a fifth above what the code needs today; whoever needs
more raises it, says why, and measures with `python -m bench.compare` what it costs in time.
"""

import asyncio
import base64
import cProfile
import pstats
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import HttpVersion11, StreamReader
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from prometheus_client import CollectorRegistry
from yarl import URL

from bench.work import bodies
from ingest.answers import wire_of
from ingest.auth import BasicAuthenticator
from ingest.guard import Access, Guard
from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.normalize import ReceivedPush, normalize
from ingest.push_log import LogEntry
from ingest.receiver import UsualPush
from ingest.spool import SpoolingPushLog, SpoolOptions
from schemas.events import NormalizedEvent, decode_event
from sinks.rows import lay_out, read_document
from streams.core.fold import fold, restore
from tests.support.consumers import CDR, FetchedConsumer, QueueStream, records
from tests.support.door import a_door
from tests.support.push_log import MemoryPushLog, ScriptedPublisher

# Calls for each; CPython 3.11, whose comprehensions are calls of their own. Measured: 123, 14, 240, 33, 133, 48.
NORMALIZE, DECODE, FOLD, RESTORE, LOAD, ENGINE = 147, 17, 288, 39, 160, 58

# The same of the door: from the parsed request to its answer, looked at and counted; from there to Kafka's client.
# Measured: 427, 85.
DOOR, PUBLISH = 512, 102

SESSIONS = 100
AT = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def calls_each(job: Callable[[], object], count: int) -> float:
    """Calls of Python and of C functions, for each of `count` things that a job does, once its caches are filled."""
    job()
    profile = cProfile.Profile()
    profile.runcall(job)
    return pstats.Stats(profile).total_calls / count  # type: ignore[attr-defined]  # typeshed does not know it


@pytest.fixture(scope="module")
def pushes() -> list[ReceivedPush]:
    """The work of the bench: a CDR and two recordings for each call, far apart, 5 % delivered twice."""
    return [
        ReceivedPush.of(body, headers={"X-TCCC-PUSH-UUID": f"p{number}"}, action=action, received_at=AT)
        for number, (action, body) in enumerate(bodies(SESSIONS))
    ]


@pytest.fixture(scope="module")
def events(pushes: list[ReceivedPush]) -> list[NormalizedEvent]:
    return [event for push in pushes if (event := normalize(push).event) is not None]


@pytest.fixture(scope="module")
def published(events: list[NormalizedEvent]) -> dict[bytes, bytes]:
    return fold_all(events)


def fold_all(events: list[NormalizedEvent]) -> dict[bytes, bytes]:
    stored: dict[bytes, bytes] = {}
    records: dict[bytes, bytes] = {}
    for event in events:
        folded = fold(event.key, stored.get(event.key), [event])
        if folded.stored is not None and folded.record is not None:
            stored[event.key], records[event.key] = folded.stored, folded.record
    return records


def test_a_push_is_normalized_in_so_many_calls(pushes: list[ReceivedPush]) -> None:
    assert calls_each(lambda: [normalize(push) for push in pushes], len(pushes)) < NORMALIZE


def test_a_push_passes_the_door_in_so_many_calls(pushes: list[ReceivedPush]) -> None:
    """From the parsed request to its answer, counted and looked at; the log is a list."""
    access = Access(BasicAuthenticator("tccc", ["secret"]))
    headers = {"Authorization": "Basic " + base64.b64encode(b"tccc:secret").decode()}
    requests = [
        (
            RawRequestMessage(
                "POST",
                f"/tccc/push?action={push.action}&version=1",
                HttpVersion11,
                CIMultiDictProxy(CIMultiDict({**push.headers, **headers, "Content-Length": str(len(push.raw))})),
                *((), False, None, False, False, URL("/tccc/push")),
            ),
            SimpleNamespace(read_nowait=lambda raw=push.raw: raw),
        )
        for push in pushes
    ]

    async def pass_through() -> None:
        door = a_door(MemoryPushLog(), CollectorRegistry(), access=access)
        usual = UsualPush(door, Guard(access, door.metrics, door.watch))
        for message, body in requests:
            answering = usual(message, cast("StreamReader", body))
            assert answering is not None
            assert wire_of(await answering, closes=False).endswith(b'{"ErrCode":0,"ErrMsg":""}')
        await asyncio.sleep(0)  # what is looked at after the answers

    assert calls_each(lambda: asyncio.run(pass_through()), len(requests)) < DOOR


def test_a_push_goes_from_the_door_to_the_client_of_kafka_in_so_many_calls(
    pushes: list[ReceivedPush], tmp_path: Path
) -> None:
    """Those of one turn of the event loop go together, with one task and one time limit for all."""
    entries = [LogEntry(normalize(push).event, push.raw) for push in pushes]

    async def pass_through() -> None:
        options = KafkaLogOptions(connection={})
        kafka = KafkaPushLog(options, lambda: ScriptedPublisher("p", []))
        options_of_spool = SpoolOptions(directory=tmp_path / "spool", wait_seconds_max=60.0)
        log = SpoolingPushLog(kafka, options_of_spool, lambda: AT, CollectorRegistry())
        await log.start()
        while kafka.unready() is not None:  # noqa: ASYNC110  (the log has no events of its own)
            await asyncio.sleep(0)
        await asyncio.gather(*map(log.append, entries))
        await log.close()

    assert calls_each(lambda: asyncio.run(pass_through()), len(entries)) < PUBLISH


def test_an_event_is_read_in_so_many_calls(events: list[NormalizedEvent]) -> None:
    raw = [(event.key, event.encoded()) for event in events]
    assert calls_each(lambda: [decode_event(*record) for record in raw], len(raw)) < DECODE


def test_an_event_is_folded_in_so_many_calls(events: list[NormalizedEvent]) -> None:
    assert calls_each(lambda: fold_all(events), len(events)) < FOLD


def test_a_record_is_restored_in_so_many_calls(published: dict[bytes, bytes]) -> None:
    assert calls_each(lambda: [restore(None, record) for record in published.values()], len(published)) < RESTORE


def test_a_session_is_laid_out_for_the_warehouse_in_so_many_calls(published: dict[bytes, bytes]) -> None:
    def load() -> object:
        return lay_out(read_document(*record) for record in published.items())

    assert calls_each(load, len(published)) < LOAD


def test_a_record_passes_the_engine_in_so_many_calls() -> None:
    """From the fetch to the batch and to its acknowledgement; a task for each would show at once."""
    count = 400

    async def pass_through() -> None:
        consumer = FetchedConsumer(records(*range(count)))
        await consumer.drained()
        batches = QueueStream(consumer).take_events(count, within=0)
        batch = await anext(batches)
        consumer.queue.force_put_nowait(SimpleNamespace(message=batch[0].message))
        await anext(batches)
        assert len(consumer._acked[CDR]) == count

    assert calls_each(lambda: asyncio.run(pass_through()), count) < ENGINE


@pytest.mark.parametrize("process", ["callweave.supervisor", "callweave.roles.receiver", "callweave.roles.dashboard"])
def test_who_writes_to_no_warehouse_loads_no_library_of_one(process: str) -> None:
    """Each is 9 to 40 MB of memory that the process would never use."""
    heavy = {"pyarrow", "numpy", "duckdb", "psycopg", "clickhouse_connect", "requests", "lxml", "faust"}
    assert not heavy & modules_of(process)


@pytest.mark.parametrize(
    "process",
    ["callweave.supervisor", "callweave.roles.worker", "callweave.roles.loader", "callweave.roles.dashboard"],
)
def test_who_checks_no_signature_loads_no_cryptography(process: str) -> None:
    """8 MB of memory in each of them; who has Kafka's certificates in files loads it to read when they end."""
    assert "cryptography" not in modules_of(process)


def modules_of(process: str) -> set[str]:
    """What a process has loaded once it can begin."""
    look = f"import sys, callweave.cli.app, {process}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    return set(done.stdout.split())
