"""`make bench-restore`: documents restored a second, cold: in bulk, and Faust's own way; and seconds until ready, warm.

Also by the worker's own processor time, which says the same on a machine that others use. After every start the stores
are compared with what was published, session by session; any difference ends the run.

python -m bench.restore [--sessions N] [--rounds N]; as a work of `make bench` beside Kafka Streams, which restores the
changelog that its own join left.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from aiokafka import AIOKafkaProducer

from bench import streams_restore
from bench.contestants import Contestants, our_version
from bench.machine import FULL, a_broker, bootstrap, new_topics, process, rss_bytes
from bench.many_sessions import with_many_sessions
from bench.results import Result, Run
from bench.work import bodies, event_of
from callweave.runtime import Runtime
from callweave.settings import load_settings
from schemas.topics import SESSIONS
from streams.core.fold import fold
from streams.engine.store import partition_store
from streams.worker import WorkerOptions, build_worker

READY_SECONDS_MAX = 600.0
STOCK = "stock"
SESSION_COUNT = 100_000 if FULL else 20_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="callweave-restore-") as folder, a_broker(Path(folder)):
        new_topics()
        print(json.dumps(measure(Path(folder) / "data", arguments.sessions, arguments.rounds), indent=2))
    return 0


def restore_work(folder: Path, contestants: Contestants, rounds: int) -> list[Result]:
    """The work of `make bench`: each way from an empty disk, ours from a full one too."""
    streams = streams_restore.prepare(folder, contestants, SESSION_COUNT)
    new_topics()  # after that: nothing but sessions lies in these, no worker has anything to do once it is ready
    published = asyncio.run(fill(SESSION_COUNT))
    version, unit = our_version("callweave"), "documents/s"
    ours = Result("restore", "callweave", version, unit, "into RocksDB; every session compared with what was published")
    memory = Result("restore", "callweave-memory", version, unit, "into memory; as many as were published")
    stock = Result("restore", "callweave-stock-faust", version, unit, "into RocksDB, Faust's own way; compared")
    results = [ours, memory, stock]
    warm: list[float] = []
    for number in range(rounds):
        data = folder / f"restore{number}"
        ours.runs.append(cold(data, [], published))
        warm.append(start_once(data, [], 0)[0])
        compare(data, published)
        stock.runs.append(cold(folder / f"stock{number}", [STOCK], published))
        os.environ["CALLWEAVE_WORKER__STORE"] = "memory"
        memory.runs.append(cold(folder / f"memory{number}", [], {}))
        del os.environ["CALLWEAVE_WORKER__STORE"]
        if streams is not None:
            streams.restore_once()
    ours.extra |= {"sessions": SESSION_COUNT, "seconds_to_ready_warm": round(statistics.median(warm), 2)}
    if FULL:
        ours.extra["worker_with_many_sessions"] = with_many_sessions(folder)
    return [*results, *([streams.result] if streams is not None else [])]


def cold(data: Path, arguments: list[str], published: dict[bytes, bytes]) -> Run:
    """A start from an empty disk; what it left there is compared, if it is told what that has to be."""
    until_ready, told = start_once(data, arguments, SESSION_COUNT)
    if published:
        compare(data, published)
    return Run(
        SESSION_COUNT / told["bench_restoring_seconds"],
        told["bench_restoring_cpu_seconds"],
        int(told["rss_bytes"]),
        {"seconds_to_ready": until_ready},
    )


def measure(data: Path, sessions: int, rounds: int) -> dict[str, Any]:
    """Interleaved rounds: Faust's way and ours from an empty disk, ours from a full one."""
    published = asyncio.run(fill(sessions))
    restoring: dict[str, list[float]] = {"cold_bulk": [], "cold_stock": []}
    working: dict[str, list[float]] = {"cold_bulk": [], "cold_stock": []}
    ready: dict[str, list[float]] = {"cold_bulk": [], "cold_stock": [], "warm": []}
    compared = 0
    for _ in range(rounds):
        for name, arguments in (("cold_stock", [STOCK]), ("cold_bulk", []), ("warm", [])):
            if name != "warm":
                shutil.rmtree(data, ignore_errors=True)
            expected = 0 if name == "warm" else sessions
            until_ready, told = start_once(data, arguments, expected)
            compare(data, published)
            compared += 1
            ready[name].append(until_ready)
            if name != "warm":
                restoring[name].append(sessions / told["bench_restoring_seconds"])
                working[name].append(sessions / told["bench_restoring_cpu_seconds"])
    return {
        "sessions": sessions,
        "starts_whose_every_session_was_right": compared,
        "state_bytes_mean": sum(map(len, published.values())) // sessions,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "documents_per_second": {name: spread(values) for name, values in restoring.items()},
        "documents_per_cpu_second": {name: spread(values) for name, values in working.items()},
        "cpu_ratio_bulk_to_stock": spread(
            [bulk / stock for bulk, stock in zip(working["cold_bulk"], working["cold_stock"], strict=True)]
        ),
        "seconds_until_ready": {name: spread(values) for name, values in ready.items()},
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


def compare(data: Path, published: dict[bytes, bytes]) -> None:
    """The stores that a start left: each session, in its partition, with its state."""
    settings = load_settings(data_dir=data)
    options = WorkerOptions(
        faust_broker="kafka://nobody",
        topic_prefix=settings.kafka.topic_prefix,
        partitions=settings.kafka.partitions,
        state_dir=settings.state_dir,
        instance_id="compare",
        now=lambda: datetime.now(UTC),
    )
    table = build_worker(options).table
    found: dict[bytes, bytes | None] = {}
    for partition in range(settings.kafka.partitions):
        store = partition_store(table.data, partition)
        found |= {key: store.get(key) for key in store.session_keys()}
        cast("Any", table.data)._dbs.pop(partition).close()  # noqa: SLF001  (the next start has to get its lock)
    wrong = [key for key in published.keys() | found.keys() if published.get(key) != found.get(key)]
    assert not wrong, f"{len(wrong)} sessions were not restored as they were published, {wrong[0]!r} among them"


async def fill(sessions: int) -> dict[bytes, bytes]:
    """Publish one record a session, as the worker would; the state of each session."""
    by_key: dict[bytes, list[Any]] = {}
    for number, (action, body) in enumerate(bodies(sessions)):
        event = event_of(action, body, str(number))
        by_key.setdefault(event.key, []).append(event)
    topic = SESSIONS.name(os.environ["CALLWEAVE_KAFKA__TOPIC_PREFIX"])
    states: dict[bytes, bytes] = {}
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap(),
        acks="all",
        linger_ms=5,
        compression_type="lz4",
    ) as producer:
        for key, events in by_key.items():
            folded = fold(key, None, events)
            assert folded.record is not None
            assert folded.stored is not None
            states[key] = folded.stored
            await producer.send(topic, folded.record, key=key)
    return states


def start_once(data: Path, arguments: list[str], expected: int) -> tuple[float, dict[str, float]]:
    """Start a worker: seconds until it is ready with so many records restored, and what it tells of restoring."""
    environment = {
        "CALLWEAVE_DATA_DIR": str(data),
        "CALLWEAVE_ADMIN__PORT": "0",
        "CALLWEAVE_LOG__LEVEL": "error",
    }
    begun = time.perf_counter()
    with process([sys.executable, "-m", "bench.restore_worker", *arguments], environment) as worker:
        while time.perf_counter() - begun < READY_SECONDS_MAX:
            assert worker.poll() is None, f"the worker ended with {worker.returncode}"
            if ask(data, worker.pid, "/health/ready")[0] == 200:
                until_ready = time.perf_counter() - begun
                told = gauges(ask(data, worker.pid, "/metrics")[1])
                if told["bench_restored_records"] == expected:
                    return until_ready, {**told, "rss_bytes": rss_bytes(worker.pid)}
            time.sleep(0.02)
        raise TimeoutError("the worker did not become ready")


def gauges(text: str) -> dict[str, float]:
    lines = (line.split() for line in text.splitlines() if line.startswith("bench_"))
    return {name: float(value) for name, value in lines}


def ask(data: Path, pid: int, path: str) -> tuple[int, str]:
    entry = Runtime(data).role("worker")
    if entry is None or entry.pid != pid or entry.admin_url is None:
        return 0, ""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(entry.admin_url + path, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, ""


if __name__ == "__main__":
    sys.exit(main())
