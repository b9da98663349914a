"""The work `door`: durable pushes a second with 64 connections; past saturation; and with connections that do nothing.

After each round, what the contestant said was stored is counted in Kafka.
"""

import asyncio
import base64
import resource
import shutil
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import Popen

import uvloop

from bench.contestants import Contestants, our_version
from bench.load import Load, offer, post, press
from bench.machine import FULL, bootstrap, cpu_seconds, new_topics, process, rss_bytes
from bench.results import Result, Run
from bench.work import bodies
from callweave.broker.local import free_port
from callweave.kafka import admin_client, end_offsets, plain_consumer
from callweave.settings import load_settings
from schemas.topics import EVENT_TOPICS

SECONDS = 10.0 if FULL else 4.0
CONNECTIONS = 64
OVERLOAD = 2.0
OVERLOAD_CONNECTIONS = 1_500  # more than the receiver keeps unanswered (receiver.requests_in_flight_max)
IDLE_CONNECTIONS = 10_000
GREETED_AT_ONCE = 200
_GREETING = b"POST /none HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n"  # answered 404, and kept open
USER, PASSWORD = "bench", "bench"
CREDENTIALS = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
Start = Callable[[int], AbstractContextManager["Popen[bytes]"]]


@dataclass
class Door:
    """One contestant: its figures, how to start it at a port, and whether what it takes is in Kafka afterwards."""

    result: Result
    start: Start
    is_in_kafka: bool = True


def door(folder: Path, contestants: Contestants, rounds: int) -> list[Result]:
    """Interleaved rounds, the order turned around each time."""
    prefix = new_topics()
    requests = pushes()
    doors = [*ours(folder, prefix), *others(prefix, contestants)]
    for number in range(rounds):
        for one in doors if number % 2 == 0 else reversed(doors):
            stored = asyncio.run(events_in_kafka()) if one.is_in_kafka else 0
            port = free_port()
            with one.start(port) as child:
                run, taken = measure(port, requests, child)
            one.result.runs.append(run)
            if one.is_in_kafka:
                arrived = asyncio.run(events_in_kafka()) - stored
                assert arrived >= taken, f"{one.result.contestant} said that {taken} are stored; Kafka has {arrived}"
    result = doors[0].result
    result.extra |= overloaded(doors[0].start, requests, result.best)
    result.extra |= with_idle_connections(folder, prefix, requests)
    return [one.result for one in doors]


def ours(folder: Path, prefix: str) -> list[Door]:
    """The receiver, and the same receiver with a Kafka that nobody runs: every push is fsynced in the spool."""
    guarantee = "acknowledged by all replicas or fsynced before ErrCode 0; validated, dead letters"
    spooled = "fsynced in the spool before ErrCode 0; validated, dead letters"
    away = {"CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    version = our_version("callweave")
    return [
        Door(Result("door", "callweave", version, "pushes/s", guarantee), partial(receiver, folder, prefix, {})),
        Door(
            Result("door", "callweave-kafka-away", version, "pushes/s", spooled),
            partial(receiver, folder / "spooled", prefix, away),
            is_in_kafka=False,
        ),
    ]


def others(prefix: str, contestants: Contestants) -> list[Door]:
    """Whom we are beside: the limit that stores nothing, the usual one, and the limit in a compiled language."""
    unit, stored = "pushes/s", "acknowledged by all replicas before ErrCode 0; no spool, no dead letters"
    doors = [
        Door(
            Result("door", "aiohttp-echo", our_version("aiohttp"), unit, "none: reads the body and answers"),
            lambda port: process([sys.executable, "bench/peers/echo.py", str(port)], {}, says_ready=True),
            is_in_kafka=False,
        )
    ]
    if (python := contestants.python("fastapi-aiokafka")) is not None:
        version = contestants.python_version(python, "fastapi")
        command = [python, "bench/peers/fastapi_door.py", bootstrap(), prefix]
        doors.append(
            Door(
                Result("door", "fastapi-aiokafka", version, unit, stored),
                lambda port: process([*command, str(port)], {}),
            )
        )
    if (go := contestants.go_franz) is not None:
        doors.append(
            Door(
                Result("door", "go-franz", contestants.franz_version, unit, stored),
                lambda port: process([*go, bootstrap(), prefix, str(port)], {"GOMAXPROCS": "1"}, says_ready=True),
            )
        )
    return doors


def receiver(
    folder: Path, prefix: str, environment: dict[str, str], port: int
) -> AbstractContextManager["Popen[bytes]"]:
    """`callweave receiver`, from an empty data directory."""
    shutil.rmtree(folder / "door", ignore_errors=True)
    settings = {
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
    return process([sys.executable, "-m", "callweave", "receiver"], {**settings, **environment})


def pushes(sessions: int = 2_000, *, first: int = 0) -> list[bytes]:
    """The work as requests; the sessions are numbered from `first` on."""
    return [
        post(
            f"/tccc/push?action={action}&version=1",
            body,
            {
                "Content-Type": "application/json;charset=utf8",
                "Authorization": CREDENTIALS,
                "X-TCCC-PUSH-UUID": str(uuid.uuid4()),
            },
        )
        for action, body in bodies(sessions, first=first)
    ]


def measure(port: int, requests: list[bytes], child: "Popen[bytes]") -> tuple[Run, int]:
    """One round: the figures, and how many pushes were taken, the warm-up's too."""

    async def run() -> tuple[Run, int]:
        await until_open(port)
        warm = await press("127.0.0.1", port, requests, connections=8, seconds=1.0)
        before = cpu_seconds(child.pid)
        load = await press("127.0.0.1", port, requests, connections=CONNECTIONS, seconds=SECONDS)
        assert not load.failures + load.shed, "a push was not answered ErrCode 0"
        figures = Run(
            load.per_second, cpu_seconds(child.pid) - before, rss_bytes(child.pid),
            {"p50_ms": load.p50_ms, "p95_ms": load.p95_ms, "p99_ms": load.p99_ms},
        )  # fmt: skip
        return figures, warm.answers + load.answers

    return uvloop.run(run())


def overloaded(start: Start, requests: list[bytes], best: float) -> dict[str, object]:
    """A sender with twice as many pushes a second as it can take: how many it still takes, and how many it refuses.

    What none of his connections is free for he cannot send: an answer that he waits for holds it back.
    """
    port = free_port()

    async def run() -> Load:
        await until_open(port)
        await press("127.0.0.1", port, requests, connections=8, seconds=1.0)
        return await offer(
            "127.0.0.1", port, requests,
            connections=OVERLOAD_CONNECTIONS, seconds=2 * SECONDS, per_second=OVERLOAD * best,
        )  # fmt: skip

    with start(port):
        load = uvloop.run(run())
    return {
        "overload_wanted_per_second": round(OVERLOAD * best),
        "overload_sent_per_second": round(load.offered / (2 * SECONDS)),
        "overload_completed_share_of_best": round(load.per_second / best, 2),
        "overload_shed_with_503": load.shed,
        "overload_failures": load.failures,
        "overload_p99_ms": round(load.p99_ms, 1),
    }


def with_idle_connections(folder: Path, prefix: str, requests: list[bytes]) -> dict[str, object]:
    """What connections cost that wait after one request, as a proxy's do, and that the door still answers beside them.

    One that never says anything costs less, and is closed after 15 seconds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE_CONNECTIONS, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 500)), hard))
    port = free_port()
    allowed = {"CALLWEAVE_RECEIVER__CONNECTIONS_MAX": str(count + 100)}

    async def run(child: "Popen[bytes]") -> dict[str, object]:
        await until_open(port)
        await press("127.0.0.1", port, requests, connections=8, seconds=1.0)
        before = rss_bytes(child.pid)
        idle: list[asyncio.StreamWriter] = []
        while len(idle) < count:
            idle += await asyncio.gather(*(_greeted(port) for _ in range(min(GREETED_AT_ONCE, count - len(idle)))))
        beside = await press("127.0.0.1", port, requests, connections=8, seconds=1.0)
        cost = rss_bytes(child.pid) - before
        still_open = sum(not writer.is_closing() for writer in idle)
        for writer in idle:
            writer.close()
        assert not beside.failures + beside.shed, "a push beside idle connections was not answered ErrCode 0"
        return {
            "idle_connections": count,
            "idle_connections_kept": still_open,
            "idle_connections_rss_bytes": cost,
        }

    with receiver(folder, prefix, allowed, port) as child:
        return uvloop.run(run(child))


async def _greeted(port: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(_GREETING)
    answer = await reader.readuntil(b"}")
    assert b" 404 " in answer, "a connection was refused"
    return writer


async def until_open(port: int) -> None:
    """Until the door answers ErrCode 0."""
    request = post("/tccc/push?action=cdr", b"{}", {"Authorization": CREDENTIALS})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            load = await press("127.0.0.1", port, [request], connections=1, seconds=0.05)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        if load.per_second and not load.failures:
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"nothing answers at port {port}")


async def events_in_kafka() -> int:
    """How many events the topics hold."""
    settings = load_settings()
    topics = [topic.name(settings.kafka.topic_prefix) for topic in EVENT_TOPICS]
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        return sum((await end_offsets(admin, consumer, topics)).values())
