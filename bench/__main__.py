"""`make bench`: the door and the worker beside what others would use, and beside what bounds them; ratios, in one run.

One core for the process under test, the other for Kafka and the load, contestants interleaved, medians of the rounds.
"""

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.load import Load, post, press
from bench.results import Result, Run, publish
from bench.work import bodies
from callweave.broker.local import VERSION, LocalBroker, free_port
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
KAFKA = VERSION
LEFT_OUT = (
    "bytewax, kafka-streams, go-franz: not written yet",
    "restore, loaders, pipeline, idle: `make bench-restore`, bench/README.md and docs/where-the-time-goes.md",
)


def main() -> None:
    peers = PeerPython()
    with tempfile.TemporaryDirectory(prefix="callweave-bench-") as folder:
        pin_to(LOAD_CORE)
        with LocalBroker(Path(folder) / "kafka", heap_mb=512) as broker:
            os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
            results = [*door_bench(Path(folder), peers), *worker_bench(Path(folder), peers)]
    publish(results, left_out=[*peers.left_out, *LEFT_OUT], kafka=KAFKA)
    for result in results:
        if result.runs:
            one = result.as_json()
            print(f"{one['work']}: {one['contestant']} {one['median']:,} {one['unit']}, {one['cpu_seconds']} s of CPU")
    print("docs/benchmarks.json and docs/benchmarks.md are written")


class PeerPython:
    """The environment of what we compare with; contestants that cannot be installed are left out, and named."""

    def __init__(self) -> None:
        self.left_out: list[str] = []
        self.python: str | None = None
        folder = Path("bench/.venv")
        python = folder / "bin" / "python"
        wanted = Path("bench/peers/requirements.txt")
        mark = folder / ".installed"
        try:
            if not mark.exists() or mark.stat().st_mtime < wanted.stat().st_mtime:
                subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
                pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                subprocess.run([*pip, "-r", str(wanted)], check=True)
                mark.touch()
            self.python = str(python.absolute())
        except (OSError, subprocess.CalledProcessError) as exc:
            self.left_out.append(f"fastapi-aiokafka, quix, confluent-loop: not installed ({type(exc).__name__})")

    def version(self, name: str) -> str:
        """As it is installed."""
        if self.python is None:
            return ""
        code = f"from importlib.metadata import version; print(version({name!r}))"
        return subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def door_bench(folder: Path, peers: PeerPython) -> list[Result]:
    """Interleaved rounds of the receiver and of others."""
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
    unit = "pushes/s"
    echo = Result("door", "aiohttp-echo", version("aiohttp"), unit, "none: reads the body and answers")
    ours = Result(
        "door", "callweave", version("callweave"), unit,
        "acknowledged by all replicas or fsynced before ErrCode 0; validated, dead letters",
    )  # fmt: skip
    spool = Result("door", "callweave-kafka-away", version("callweave"), unit, "fsynced in the spool before ErrCode 0")
    fastapi = Result(
        "door", "fastapi-aiokafka", peers.version("fastapi"), unit, "acknowledged by all replicas; no dead letters"
    )
    for _ in range(ROUNDS):
        port = free_port()
        with process(
            [sys.executable, "bench/peers/echo.py", str(port)], {}, lambda line: line.startswith(b"ready")
        ) as child:
            echo.runs.append(measure_door(port, requests, child))
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
        with process([sys.executable, "-m", "callweave", "receiver"], environment, None) as child:
            ours.runs.append(measure_door(port, requests, child))
        # The same receiver with a Kafka that nobody runs: every push is fsynced in the spool.
        environment["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{free_port()}"
        with process([sys.executable, "-m", "callweave", "receiver"], environment, None) as child:
            spool.runs.append(measure_door(port, requests, child))
        shutil.rmtree(folder / "door")
        if peers.python is not None:
            port = free_port()
            with process(
                [peers.python, "bench/peers/fastapi_door.py", bootstrap(), prefix, str(port)], {}, None
            ) as child:
                fastapi.runs.append(measure_door(port, requests, child))
    return [ours, spool, echo, fastapi]


def measure_door(port: int, requests: list[bytes], child: subprocess.Popen[bytes]) -> Run:
    async def run() -> Load:
        await until_open(port)
        await press("127.0.0.1", port, requests, connections=8, seconds=1.0)  # warm-up
        before = cpu_seconds(child)
        load = await press("127.0.0.1", port, requests, connections=CONNECTIONS, seconds=DOOR_SECONDS)
        spent.append(cpu_seconds(child) - before)
        return load

    spent: list[float] = []
    load = uvloop.run(run())
    assert not load.failures, "a push was not answered ErrCode 0"
    return Run(load.per_second, spent[0], rss_bytes(child), load.p50_ms, load.p99_ms)


def cpu_seconds(child: subprocess.Popen[bytes]) -> float:
    """User and system time of a process so far, all of its threads."""
    spent = psutil.Process(child.pid).cpu_times()
    return float(spent.user + spent.system)


def rss_bytes(child: subprocess.Popen[bytes]) -> int:
    return int(psutil.Process(child.pid).memory_info().rss)


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


def worker_bench(folder: Path, peers: PeerPython) -> list[Result]:
    """Interleaved rounds of the worker and of others, each over a backlog of its own."""
    unit = "pushes/s"
    nothing = "at least once until it restarts: state in memory, nothing validated"
    ours = Result(
        "worker", "callweave", version("callweave"), unit,
        "changelog acknowledged before offsets move, state on disk, contiguity guard, fence, validation, dead letters",
    )  # fmt: skip
    loop = Result("worker", "aiokafka-loop", version("aiokafka"), unit, nothing)
    quix = Result("worker", "quix", peers.version("quixstreams"), unit, "at least once, state on disk with a changelog")
    confluent = Result("worker", "confluent-loop", peers.version("confluent-kafka"), unit, nothing)
    for number in range(ROUNDS):
        prefix = new_topics(extra="peer")
        count = asyncio.run(fill(prefix))
        command = [sys.executable, "bench/peers/aiokafka_loop.py", bootstrap(), prefix, f"{prefix}loop"]
        loop.runs.append(contest(command, {}, prefix, f"{prefix}loop", count))
        environment = {
            "CALLWEAVE_KAFKA__TOPIC_PREFIX": prefix,
            "CALLWEAVE_ADMIN__PORT": "0",
            "CALLWEAVE_DATA_DIR": str(folder / f"worker{number}"),
        }
        command = [sys.executable, "-m", "callweave", "worker"]
        ours.runs.append(contest(command, environment, prefix, f"{prefix}worker", count))
        if peers.python is not None:
            state = str(folder / f"quix{number}")
            command = [peers.python, "bench/peers/quix.py", bootstrap(), prefix, f"{prefix}quix", state]
            quix.runs.append(contest(command, {}, prefix, f"{prefix}quix", count))
            command = [peers.python, "bench/peers/confluent_loop.py", bootstrap(), prefix, f"{prefix}confluent"]
            confluent.runs.append(contest(command, {}, prefix, f"{prefix}confluent", count))
    return [ours, quix, loop, confluent]


def contest(command: list[str], environment: dict[str, str], prefix: str, group: str, count: int) -> Run:
    """One round over the backlog: between the first and the last progress of the group's commits."""
    with process(command, environment, None) as child:
        rate, spent = asyncio.run(pace(prefix, group, count, child))
        return Run(rate, spent, rss_bytes(child))


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


async def pace(prefix: str, group: str, count: int, child: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Events a second, and CPU seconds, between the first and the last progress of a group's commits."""
    os.environ["CALLWEAVE_KAFKA__TOPIC_PREFIX"] = prefix
    settings = load_settings()
    topics = [topic.name(prefix) for topic in EVENT_TOPICS]
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        ends = await end_offsets(admin, consumer, topics)
        sources = set(ends)
        assert sum(ends.values()) == count
        first: tuple[float, int, float] | None = None
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            committed = await group_offsets(admin, group)
            done = sum(offset for partition, offset in committed.items() if partition in sources)
            now = time.perf_counter()
            if done and first is None:
                first = now, done, cpu_seconds(child)
            if done >= count and first is not None:
                return (count - first[1]) / (now - first[0]), cpu_seconds(child) - first[2]
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
