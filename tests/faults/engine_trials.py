"""`make chaos-engine`: two workers, a real broker, most of the load waiting, one fault in the middle; then the count.

One line a trial. A report that was published to the event topics and is in no record of `tccc.sessions` is lost; a last
record that says less than all records of its session together is stale. A loss stops the run and keeps everything.

    python -m tests.faults.engine_trials [--trials N] [--fault NAME …] [--seed S] [--sessions N]
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from callweave.broker.local import LocalBroker
from callweave.kafka import admin_client, end_offsets, group_offsets, partitions_of, plain_consumer
from callweave.settings import KafkaSettings, Settings
from callweave.standing import worker_group
from callweave.topics import apply_topics
from schemas import jsontext
from schemas.canonical import canonical, digest
from schemas.events import TOPIC_OF, WIRE_MODELS, EventKind, NormalizedEvent
from schemas.topics import EVENT_TOPICS, MESSAGE_BYTES_MAX, SESSIONS
from tests.support.program import COMMAND, Program

PARTITIONS = 4
IDLE_SECONDS_MAX = 150.0
PAUSE_LONGER_THAN_THE_SESSION = 14.0
PAUSE_SHORTER_THAN_THE_SESSION = 4.0


@dataclass
class Trial:
    """Two workers on one name space, restarted whenever they end by themselves."""

    fault: str
    seed: int
    settings: Settings
    folder: Path
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)

    def start(self, number: int) -> None:
        """Start a worker on its own state directory."""
        data = self.folder / f"worker{number}"
        data.mkdir(parents=True, exist_ok=True)
        kafka = self.settings.kafka
        program = Program(data, str(kafka.bootstrap_servers), kafka.topic_prefix)
        with (data / "log").open("ab") as log:
            self.workers[number] = subprocess.Popen(
                [*COMMAND, "worker"], env=program.environment, stdout=log, stderr=log, start_new_session=True
            )

    def restart_the_ended(self) -> None:
        """What a supervisor does."""
        for number, process in list(self.workers.items()):
            status = process.poll()
            if status is not None:
                self.exits.append(status)
                self.start(number)

    def send(self, number: int, signum: signal.Signals) -> None:
        """A signal to one worker."""
        self.workers[number].send_signal(signum)

    def end(self) -> None:
        """Kill what this trial started."""
        for process in self.workers.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


async def sigterm(trial: Trial) -> None:
    trial.send(1, signal.SIGTERM)


async def sigkill(trial: Trial) -> None:
    trial.send(1, signal.SIGKILL)


async def long_pause(trial: Trial) -> None:
    trial.send(1, signal.SIGSTOP)
    await asyncio.sleep(PAUSE_LONGER_THAN_THE_SESSION)
    trial.send(1, signal.SIGCONT)


async def short_pause(trial: Trial) -> None:
    trial.send(1, signal.SIGSTOP)
    await asyncio.sleep(PAUSE_SHORTER_THAN_THE_SESSION)
    trial.send(1, signal.SIGCONT)


async def rolling(trial: Trial) -> None:
    for number in (1, 2):
        trial.send(number, signal.SIGTERM)
        await asyncio.sleep(6.0)
        trial.restart_the_ended()


async def third_worker(trial: Trial) -> None:
    trial.start(3)


FAULTS: dict[str, Callable[[Trial], Any]] = {
    "sigterm": sigterm,
    "sigkill": sigkill,
    "long_pause": long_pause,
    "short_pause": short_pause,
    "rolling": rolling,
    "third_worker": third_worker,
}


async def run_trial(fault: str, seed: int, sessions: int, bootstrap_servers: str, folder: Path) -> dict[str, Any]:
    """One trial; what came of it."""
    chance = random.Random(seed)
    prefix = f"c{uuid.uuid4().hex[:8]}."
    kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=prefix, partitions=PARTITIONS)
    settings = Settings.model_construct(kafka=kafka, data_dir=folder)
    await apply_topics(settings)
    ledger = await publish(settings, sessions, chance)
    trial = Trial(fault, seed, settings, folder)
    begun = time.monotonic()
    at = chance.uniform(0.1, 0.6)
    total = sum(len(reports) for reports in ledger.values())
    try:
        for number in (1, 2):
            trial.start(number)
        await until(trial, lambda done: done >= at * total)
        await FAULTS[fault](trial)
        struck = time.monotonic()
        before = await committed(settings)
        resumed = await until(trial, lambda done: done > before) - struck if before < total else 0.0
        idle = await until(trial, lambda done: done >= total)
    finally:
        trial.end()
    found = await read_sessions(settings)
    lost = {key: sorted(ledger[key] - union) for key, (union, _) in found.items() if ledger[key] - union}
    lost |= {key: sorted(reports) for key, reports in ledger.items() if key not in found}
    stale = [key.decode() for key, (union, last) in found.items() if union != last]
    return {
        "fault": fault,
        "seed": seed,
        "at": round(at, 2),
        "reports": total,
        "lost": sum(map(len, lost.values())),
        "stale": len(stale),
        "exits": trial.exits,
        "resumed_s": round(resumed, 1),
        "total_s": round(idle - begun, 1),
        "first_lost": [key.decode() for key in list(lost)[:3]],
        "folder": str(folder) if lost or stale else None,
    }


async def publish(settings: Settings, sessions: int, chance: random.Random) -> dict[bytes, set[str]]:
    """The load, before any worker runs: digests of the reports by session."""
    events = [event for number in range(sessions) for event in session_events(number)]
    chance.shuffle(events)
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap_servers, acks="all", enable_idempotence=True, linger_ms=5
    )
    await producer.start()
    sends = [
        await producer.send(TOPIC_OF[event.kind].name(settings.kafka.topic_prefix), event.encoded(), key=event.key)
        for event in events
    ]
    await asyncio.gather(*sends)
    await producer.stop()
    ledger: dict[bytes, set[str]] = {}
    for event in events:
        ledger.setdefault(event.key, set()).add(event.digest)
    return ledger


def session_events(number: int) -> list[NormalizedEvent]:
    """One CDR and two recordings."""
    session = f"s{number}"
    payloads: list[tuple[EventKind, dict[str, Any]]] = [
        (EventKind.CDR, {"Direction": 0, "RecordId": f"r{number}", "EndedTimestamp": 1_700_000_000 + number}),
        (
            EventKind.RECORD,
            {"RecordId": f"r{number}", "EndpointUser": "13900000001", "RecordURL": f"http://a/{number}"},
        ),
        (
            EventKind.RECORD,
            {"RecordId": f"q{number}", "EndpointUser": "a@example.com", "RecordURL": f"http://b/{number}"},
        ),
    ]
    events = []
    for kind, fields in payloads:
        payload = canonical(WIRE_MODELS[kind], {"SdkAppId": 1, "SessionId": session, **fields})
        events.append(
            NormalizedEvent(
                kind=kind,
                sdk_app_id=1,
                session_id=session,
                payload=payload,
                digest=digest(kind, "push", None, payload),
                push_id=f"{session}-{kind}",
                received_at=datetime.now(UTC).replace(microsecond=0),
            )
        )
    return events


async def committed(settings: Settings) -> int:
    """Events that the group has committed."""
    async with admin_client(settings) as admin:
        return sum((await group_offsets(admin, worker_group(settings))).values())


async def until(trial: Trial, condition: Callable[[int], bool]) -> float:
    """Wait for the group's commits; the moment."""
    deadline = time.monotonic() + IDLE_SECONDS_MAX
    async with admin_client(trial.settings) as admin:
        while time.monotonic() < deadline:
            trial.restart_the_ended()
            if condition(sum((await group_offsets(admin, worker_group(trial.settings))).values())):
                return time.monotonic()
            await asyncio.sleep(0.05)
    raise TimeoutError(f"no progress in {IDLE_SECONDS_MAX:g} s; logs in {trial.folder}")


async def read_sessions(settings: Settings) -> dict[bytes, tuple[set[str], set[str]]]:
    """By session: digests in any record, and in the last one."""
    topic = SESSIONS.name(settings.kafka.topic_prefix)
    found: dict[bytes, tuple[set[str], set[str]]] = {}
    async with (
        admin_client(settings) as admin,
        plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer,
    ):
        sources = [source.name(settings.kafka.topic_prefix) for source in EVENT_TOPICS]
        assert sum((await end_offsets(admin, consumer, sources)).values()) > 0
        partitions = await partitions_of(admin, [topic])
        ends = await end_offsets(admin, consumer, [topic])
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(tp) < ends[tp.topic, tp.partition] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    last = set(jsontext.decode(record.value or b"")["state"]["reports"])
                    union, _ = found.get(record.key or b"", (set(), set()))
                    found[record.key or b""] = union | last, last
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1, help="of each fault")
    parser.add_argument("--fault", action="append", choices=sorted(FAULTS), help="only these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=5000)
    arguments = parser.parse_args()
    os.environ.pop("CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS", None)
    base = Path(tempfile.mkdtemp(prefix="callweave-chaos-"))
    count = 0
    with LocalBroker(base / "kafka", heap_mb=512) as broker:
        for number in range(arguments.trials):
            for fault in arguments.fault or FAULTS:
                seed = arguments.seed + number
                folder = base / f"{fault}-{seed}"
                outcome = asyncio.run(run_trial(fault, seed, arguments.sessions, broker.bootstrap_servers, folder))
                print(json.dumps(outcome), flush=True)
                count += 1
                if outcome["lost"] or outcome["stale"]:
                    print(f"stopped: everything is kept in {base}", file=sys.stderr)
                    return 1
    print(f"{count} trials, nothing lost, nothing stale")
    return 0


if __name__ == "__main__":
    sys.exit(main())
