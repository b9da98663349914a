"""The worker with more and more sessions in its state (FULL): is a push as cheap as with few, and a restart quick?

The sessions are published as the worker would have; then a correction and a late recording come for some of them,
anywhere.
"""

import asyncio
import random
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from bench.machine import bootstrap, cpu_seconds, new_topics, process, rss_bytes
from bench.results import figure
from bench.work import event_of, session
from bench.worker import Progress, committed, pace, publish_events
from callweave.runtime import Runtime
from callweave.standing import ask_readiness
from schemas.topics import SESSIONS
from streams.core.fold import fold

SIZES = (10_000, 1_000_000, 2_000_000)
CHANGED = 10_000
READY_SECONDS_MAX = 900.0


def with_many_sessions(folder: Path, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """By the number of sessions: CPU and pushes a second, and seconds until a worker is ready, new and known disk."""
    prefix, data = new_topics(), folder / "many"
    there, done = 0, 0
    told: dict[str, Any] = {}
    for size in sizes:
        asyncio.run(publish_sessions(prefix, there, size))
        there = size
        catching_up, _ = seconds_to_ready(prefix, data)
        warm, memory = seconds_to_ready(prefix, data)
        backlog = asyncio.run(publish_events(prefix, changes(size)))
        with a_worker(prefix, data) as child:
            of_now = since(done, committed(f"{prefix}worker", prefix))
            events, seconds, cpu = asyncio.run(pace(of_now, backlog.count, [child.pid]))
        done += backlog.count
        told[f"{size:,} sessions"] = {
            "pushes_per_second": figure(events / seconds),
            "cpu_us_per_push": figure(1e6 * cpu / events),
            "seconds_to_ready_with_what_was_added": figure(catching_up),
            "seconds_to_ready_warm": figure(warm),
            "rss_bytes_when_ready": memory,
        }
    return told


async def publish_sessions(prefix: str, first: int, end: int) -> None:
    """One record a session: its CDR and its first recording."""
    topic = SESSIONS.name(prefix)
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap(), acks="all", linger_ms=20, compression_type="zstd"
    ) as producer:
        for number in range(first, end):
            events = [
                event_of(action, orjson.dumps(body), f"{number}-{place}")
                for place, (action, body) in enumerate(session(number)[:2])
            ]
            await producer.send(topic, fold(events[0].key, None, events).record, key=events[0].key)


def changes(size: int) -> list[tuple[str, bytes]]:
    """For some sessions anywhere: the CDR once more, changed, and the second recording."""
    chance = random.Random(size)
    work = []
    for number in chance.sample(range(size), min(CHANGED, size)):
        (_, cdr), _, (_, recording), *_ = session(number)
        work += [("cdr", orjson.dumps({**cdr, "Uui": f"corrected-{size}"})), ("record", orjson.dumps(recording))]
    chance.shuffle(work)
    return work


def since(before: int, progress: Progress) -> Progress:
    """What came after so many events."""

    async def done(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> int:
        return await progress(admin, consumer) - before

    return done


def a_worker(prefix: str, data: Path) -> AbstractContextManager["Popen[bytes]"]:
    """`callweave worker` on this directory."""
    environment = {
        "CALLWEAVE_KAFKA__TOPIC_PREFIX": prefix,
        "CALLWEAVE_ADMIN__PORT": "0",
        "CALLWEAVE_DATA_DIR": str(data),
    }
    return process([sys.executable, "-m", "callweave", "worker"], environment)


def seconds_to_ready(prefix: str, data: Path) -> tuple[float, int]:
    """Start a worker and stop it when it is ready; how long that took, and the memory it then had."""
    begun = time.perf_counter()
    with a_worker(prefix, data) as child:
        while time.perf_counter() - begun < READY_SECONDS_MAX:
            entry = Runtime(data).role("worker")
            if entry is not None and entry.admin_url and entry.pid == child.pid and ask_readiness(entry)[0]:
                return time.perf_counter() - begun, rss_bytes(child.pid)
            time.sleep(0.02)
        raise TimeoutError(f"the worker was not ready; it spent {cpu_seconds(child.pid):g} s of CPU")
