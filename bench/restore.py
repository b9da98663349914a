"""`make bench-restore`: documents restored a second, cold: in bulk, and Faust's own way; and seconds until ready, warm.

python -m bench.restore [--sessions N] [--rounds N]
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from bench.work import bodies
from callweave.broker.local import LocalBroker
from callweave.child import die_with_parent
from callweave.runtime import Runtime
from callweave.settings import load_settings
from callweave.topics import apply_topics
from ingest.normalize import ReceivedPush, normalize
from schemas.topics import SESSIONS
from streams.core.fold import fold

READY_SECONDS_MAX = 600.0
STOCK = "stock"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    given = os.environ.get("CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS")
    with tempfile.TemporaryDirectory(prefix="callweave-restore-") as folder:
        own = nullcontext() if given else LocalBroker(Path(folder) / "kafka", heap_mb=512)
        with own as broker:
            if broker is not None:
                os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
            os.environ["CALLWEAVE_KAFKA__TOPIC_PREFIX"] = f"b{uuid.uuid4().hex[:8]}."
            print(json.dumps(measure(Path(folder) / "data", arguments.sessions, arguments.rounds), indent=2))
    return 0


def measure(data: Path, sessions: int, rounds: int) -> dict[str, Any]:
    """Interleaved rounds: Faust's way and ours from an empty disk, ours from a full one."""
    asyncio.run(apply_topics(load_settings()))
    size = asyncio.run(fill(sessions))
    restoring: dict[str, list[float]] = {"cold_bulk": [], "cold_stock": []}
    ready: dict[str, list[float]] = {"cold_bulk": [], "cold_stock": [], "warm": []}
    for _ in range(rounds):
        for name, arguments in (("cold_stock", [STOCK]), ("cold_bulk", []), ("warm", [])):
            if name != "warm":
                shutil.rmtree(data, ignore_errors=True)
            expected = 0 if name == "warm" else sessions
            until_ready, in_restoring = start_once(data, arguments, expected)
            ready[name].append(until_ready)
            if name != "warm":
                restoring[name].append(sessions / in_restoring)
    return {
        "sessions": sessions,
        "record_bytes_mean": size,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "documents_per_second": {name: spread(values) for name, values in restoring.items()},
        "seconds_until_ready": {name: spread(values) for name, values in ready.items()},
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


async def fill(sessions: int) -> int:
    """Publish one record a session, as the worker would; their mean size."""
    by_key: dict[bytes, list[Any]] = {}
    for number, (action, body) in enumerate(bodies(sessions)):
        push = ReceivedPush.of(
            body, headers={"X-TCCC-PUSH-UUID": str(number)}, action=action, received_at=datetime.now(UTC)
        )
        event = normalize(push).event
        assert event is not None
        by_key.setdefault(event.key, []).append(event)
    topic = SESSIONS.name(os.environ["CALLWEAVE_KAFKA__TOPIC_PREFIX"])
    total = 0
    async with AIOKafkaProducer(
        bootstrap_servers=os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"],
        acks="all",
        linger_ms=5,
        compression_type="lz4",
    ) as producer:
        for key, events in by_key.items():
            record = fold(key, None, events).record
            assert record is not None
            total += len(record)
            await producer.send(topic, record, key=key)
    return total // len(by_key)


def start_once(data: Path, arguments: list[str], expected: int) -> tuple[float, float]:
    """Start a worker: seconds until it is ready with so many records restored, and seconds of them in restoring."""
    environment = {
        **os.environ,
        "CALLWEAVE_DATA_DIR": str(data),
        "CALLWEAVE_ADMIN__PORT": "0",
        "CALLWEAVE_LOG__LEVEL": "error",
    }
    command = [sys.executable, "-m", "bench.restore_worker", *arguments]
    begun = time.perf_counter()
    worker = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent())  # noqa: PLW1509  (made safe there)
    try:
        while time.perf_counter() - begun < READY_SECONDS_MAX:
            assert worker.poll() is None, f"the worker ended with {worker.returncode}"
            if ask(data, worker.pid, "/health/ready")[0] == 200:
                until_ready = time.perf_counter() - begun
                told = gauges(ask(data, worker.pid, "/metrics")[1])
                if told["bench_restored_records"] == expected:
                    return until_ready, told["bench_restoring_seconds"]
            time.sleep(0.02)
        raise TimeoutError("the worker did not become ready")
    finally:
        worker.terminate()
        worker.wait(60)


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
