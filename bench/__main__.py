"""`make bench`: the door beside a bare aiohttp echo, the worker beside a bare aiokafka loop; ratios, in one run.

One core for the process under test, the other for Kafka and the load, contestants interleaved, medians of the rounds.
"""

import asyncio
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.load import Load, post, press
from bench.work import bodies
from callweave.broker.local import LocalBroker, free_port
from callweave.child import die_with_parent
from callweave.kafka import admin_client, end_offsets, group_offsets, plain_consumer
from callweave.settings import load_settings
from callweave.topics import apply_topics
from ingest.normalize import ReceivedPush, normalize
from schemas.events import RAW_HEADER, TOPIC_OF
from schemas.topics import EVENT_TOPICS

FULL = bool(os.environ.get("FULL"))
ROUNDS = 5 if FULL else 3
DOOR_SECONDS = 10.0 if FULL else 4.0
CONNECTIONS = 64
SESSIONS = 30_000 if FULL else 8_000
UNDER_TEST_CORE, LOAD_CORE = "1", "0"
USER, PASSWORD = "bench", "bench"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="callweave-bench-") as folder:
        pin_to(LOAD_CORE)
        with LocalBroker(Path(folder) / "kafka", heap_mb=512) as broker:
            os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
            door = door_bench(Path(folder))
            worker = worker_bench(Path(folder))
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "door": door,
        "worker": worker,
    }
    print(json.dumps(report, indent=2))
    show("door: durable pushes/s (basic auth, acks=all, 64 connections)", door, "echo", "callweave")
    show("door: durable pushes/s while Kafka is away (spool, fsynced)", door, "callweave", "kafka_down")
    show("worker: pushes/s (join, changelog acknowledged, state on disk)", worker, "aiokafka_loop", "callweave")


def show(title: str, rates: dict[str, dict[str, float]], peer: str, ours: str) -> None:
    ratio = rates[ours]["median"] / rates[peer]["median"]
    print(f"{title}\n  {ours} {rates[ours]['median']:,.0f}   {peer} {rates[peer]['median']:,.0f}   ratio {ratio:.2f}")


def door_bench(folder: Path) -> dict[str, dict[str, float]]:
    """Interleaved rounds of the receiver and of a bare echo."""
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    requests = [
        post(
            f"/tccc/push?action={action}&version=1",
            body,
            {
                "Content-Type": "application/json;charset=utf8",
                "Authorization": f"Basic {credentials}",
                "X-TCCC-PUSH-UUID": str(uuid.uuid4()),
            },
        )
        for action, body in bodies(2_000)
    ]
    prefix = new_topics()
    results: dict[str, list[Load]] = {"echo": [], "callweave": [], "kafka_down": []}
    for _ in range(ROUNDS):
        port = free_port()
        with process([sys.executable, "bench/peers/echo.py", str(port)], {}, lambda line: line.startswith(b"ready")):
            results["echo"].append(measure_door(port, requests))
        port = free_port()
        environment = {
            "CALLWEAVE_KAFKA__TOPIC_PREFIX": prefix,
            "CALLWEAVE_RECEIVER__PORT": str(port),
            "CALLWEAVE_RECEIVER__AUTH": "basic",
            "CALLWEAVE_RECEIVER__USERNAME": USER,
            "CALLWEAVE_RECEIVER__PASSWORD": PASSWORD,
            "CALLWEAVE_ADMIN__PORT": "0",
            "CALLWEAVE_DATA_DIR": str(folder / "door"),
            # On a busy machine: a push that was spooled because Kafka was slow would be measured as one that it took.
            "CALLWEAVE_RECEIVER__SPOOL_WAIT_SECONDS_MAX": "5",
        }
        with process([sys.executable, "-m", "callweave", "receiver"], environment, None):
            results["callweave"].append(measure_door(port, requests))
        # The same receiver with a Kafka that nobody runs: every push is fsynced in the spool.
        environment["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{free_port()}"
        with process([sys.executable, "-m", "callweave", "receiver"], environment, None):
            results["kafka_down"].append(measure_door(port, requests))
        shutil.rmtree(folder / "door")
    assert not any(load.failures for loads in results.values() for load in loads), "a push was not answered ErrCode 0"
    return {
        name: {
            **rates_of([load.per_second for load in loads]),
            "p50_ms": statistics.median(load.p50_ms for load in loads),
            "p99_ms": statistics.median(load.p99_ms for load in loads),
        }
        for name, loads in results.items()
    }


def measure_door(port: int, requests: list[bytes]) -> Load:
    async def run() -> Load:
        await until_open(port)
        await press("127.0.0.1", port, requests, connections=8, seconds=1.0)  # warm-up
        return await press("127.0.0.1", port, requests, connections=CONNECTIONS, seconds=DOOR_SECONDS)

    return uvloop.run(run())


async def until_open(port: int) -> None:
    """Until the door answers ErrCode 0."""
    request = post(
        "/tccc/push?action=cdr", b"{}", {"Authorization": "Basic " + base64.b64encode(b"bench:bench").decode()}
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            load = await press("127.0.0.1", port, [request], connections=1, seconds=0.05)
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)
            continue
        if not load.failures:
            return
    raise TimeoutError(f"nothing answers at port {port}")


def worker_bench(folder: Path) -> dict[str, dict[str, float]]:
    """Interleaved rounds of the worker and of a bare loop, each over a backlog of its own."""
    rates: dict[str, list[float]] = {"aiokafka_loop": [], "callweave": []}
    for number in range(ROUNDS):
        prefix = new_topics(extra="peer")
        count = asyncio.run(fill(prefix))
        command = [sys.executable, "bench/peers/aiokafka_loop.py", bootstrap(), prefix, f"{prefix}loop"]
        with process(command, {}, None):
            rates["aiokafka_loop"].append(asyncio.run(pace(prefix, f"{prefix}loop", count)))
        environment = {
            "CALLWEAVE_KAFKA__TOPIC_PREFIX": prefix,
            "CALLWEAVE_ADMIN__PORT": "0",
            "CALLWEAVE_DATA_DIR": str(folder / f"worker{number}"),
        }
        with process([sys.executable, "-m", "callweave", "worker"], environment, None):
            rates["callweave"].append(asyncio.run(pace(prefix, f"{prefix}worker", count)))
    return {name: rates_of(values) for name, values in rates.items()}


async def fill(prefix: str) -> int:
    """Publish the work as the door would; the number of events."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap(), acks="all", enable_idempotence=True, linger_ms=5)
    await producer.start()
    work = bodies(SESSIONS)
    sends = []
    for number, (action, body) in enumerate(work):
        push = ReceivedPush.of(
            body, headers={"X-TCCC-PUSH-UUID": str(number)}, action=action, received_at=datetime.now(UTC)
        )
        event = normalize(push).event
        assert event is not None
        topic = TOPIC_OF[event.kind].name(prefix)
        sends.append(await producer.send(topic, event.encoded(), key=event.key, headers=[(RAW_HEADER, body)]))
    await asyncio.gather(*sends)
    await producer.stop()
    return len(work)


async def pace(prefix: str, group: str, count: int) -> float:
    """Events a second between the first and the last progress of a group's commits."""
    os.environ["CALLWEAVE_KAFKA__TOPIC_PREFIX"] = prefix
    settings = load_settings()
    topics = [topic.name(prefix) for topic in EVENT_TOPICS]
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        assert sum((await end_offsets(admin, consumer, topics)).values()) == count
        first: tuple[float, int] | None = None
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            done = sum((await group_offsets(admin, group)).values())
            now = time.perf_counter()
            if done and first is None:
                first = now, done
            if done >= count and first is not None:
                return (count - first[1]) / (now - first[0])
            await asyncio.sleep(0.02)
    raise TimeoutError(f"{group} did not finish")


def new_topics(extra: str | None = None) -> str:
    """Topics under a prefix of their own."""
    prefix = f"b{uuid.uuid4().hex[:8]}."
    os.environ["CALLWEAVE_KAFKA__TOPIC_PREFIX"] = prefix

    async def create() -> None:
        await apply_topics(load_settings())
        if extra is not None:
            admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap())
            await admin.start()
            await admin.create_topics([NewTopic(prefix + extra, 8, 1)])
            await admin.close()

    asyncio.run(create())
    return prefix


def bootstrap() -> str:
    return os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"]


def rates_of(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


@contextmanager
def process(
    command: list[str], environment: dict[str, str], is_ready: Callable[[bytes], bool] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """A contestant, on its own core."""
    pinned = ["taskset", "-c", UNDER_TEST_CORE, *command] if shutil.which("taskset") else command
    child = subprocess.Popen(
        pinned,
        env={**os.environ, "CALLWEAVE_LOG__LEVEL": "warning", **environment},
        stdout=subprocess.PIPE if is_ready else subprocess.DEVNULL,
        preexec_fn=die_with_parent(),  # noqa: PLW1509  (made safe there)
    )
    try:
        if is_ready is not None and child.stdout is not None:
            assert is_ready(child.stdout.readline())
        yield child
    finally:
        child.terminate()
        child.wait(30)


def pin_to(core: str) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})


if __name__ == "__main__":
    main()
