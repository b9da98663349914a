"""Where contestants run: each on a core of its own, with topics of its own; and what a process has cost so far."""

import asyncio
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from callweave.broker.local import LocalBroker
from callweave.child import die_with_parent
from callweave.settings import load_settings
from callweave.topics import apply_topics

FULL = bool(os.environ.get("FULL"))
UNDER_TEST_CORE, LOAD_CORE = "1", "0"
STOP_SECONDS_MAX = 60.0
MB = 1_000_000


@contextmanager
def process(
    command: list[str],
    environment: dict[str, str],
    *,
    says_ready: bool = False,
    heard: bool = False,
    pinned: bool = True,
) -> Iterator[subprocess.Popen[bytes]]:
    """A contestant, on its own core; if it says when it is ready, from then on. Who is heard is read by the caller."""
    taskset = shutil.which("taskset")
    prefix = [taskset, "-c", UNDER_TEST_CORE] if taskset and pinned and (os.cpu_count() or 1) > 1 else []
    child = subprocess.Popen(
        [*prefix, *command],
        env={**os.environ, "CALLWEAVE_LOG__LEVEL": "warning", **environment},
        stdout=subprocess.PIPE if says_ready or heard else subprocess.DEVNULL,
        preexec_fn=die_with_parent(),  # noqa: PLW1509  (made safe there)
    )
    try:
        if says_ready and child.stdout is not None:
            line = child.stdout.readline()
            assert line.startswith(b"ready"), f"{command[0]} said {line!r} instead of being ready"
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def pin_to(core: str | None) -> None:
    """This process, and what it starts, on one core; None sets it free."""
    if hasattr(os, "sched_setaffinity"):
        cores = range(os.cpu_count() or 1)
        os.sched_setaffinity(0, cores if core is None or int(core) not in cores else {int(core)})


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all of its threads."""
    spent = psutil.Process(pid).cpu_times()
    return float(spent.user + spent.system)


def rss_bytes(pid: int) -> int:
    """The memory that a process has now."""
    return int(psutil.Process(pid).memory_info().rss)


def new_topics() -> str:
    """Topics under a prefix of their own."""
    prefix = f"b{uuid.uuid4().hex[:8]}."
    os.environ["CALLWEAVE_KAFKA__TOPIC_PREFIX"] = prefix
    asyncio.run(apply_topics(load_settings()))
    return prefix


def new_topic(name: str) -> str:
    """A contestant's output, with as many partitions as callweave's topics have."""

    async def create() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap())
        await admin.start()
        await admin.create_topics([NewTopic(name, load_settings().kafka.partitions, 1)])
        await admin.close()

    asyncio.run(create())
    return name


@contextmanager
def a_broker(folder: Path) -> Iterator[None]:
    """The broker that the environment names, else one of this run's own."""
    if os.environ.get("CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"):
        yield
        return
    with LocalBroker(folder / "kafka", heap_mb=512) as broker:
        os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
        yield


def bootstrap() -> str:
    """The broker of this run."""
    return os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"]
