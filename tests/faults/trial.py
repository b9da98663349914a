"""One trial: two workers, most of the load waiting, one fault in the middle, more load after it, then the count.

A trial ends when the group has committed everything. What it left behind (topic, stores, logs) is for `audit.py`.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from typing_extensions import override

from callweave.broker.local import LocalBroker
from callweave.kafka import admin_client, group_offsets
from callweave.settings import KafkaSettings, Settings
from callweave.topics import apply_topics, worker_group
from schemas.canonical import canonical, digest
from schemas.events import TOPIC_OF, WIRE_MODELS, EventKind, NormalizedEvent
from schemas.topics import SESSIONS, TOPICS
from tests.support.program import COMMAND, Program

PARTITIONS = 4
WAITING_SHARE = 0.75
EARLY_SHARE = 0.5
STILL_SECONDS_MAX = 90.0
PAUSE_LONGER_THAN_THE_SESSION = 12.0
PAUSE_SHORTER_THAN_THE_SESSION = 5.0
SENDS_FAIL_SECONDS = 2.0

COMPACTS_AT_ONCE = {
    "segment.ms": "300",
    "min.compaction.lag.ms": "0",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "1000",
}

Ledger = dict[bytes, set[str]]
"""What was published: digests of the reports by session."""


class TrialBroker(LocalBroker):
    """Kafka whose log cleaner looks for work five times a second instead of every 15 seconds."""

    restarting = asyncio.Lock()
    restarted_at = 0.0

    async def restart(self, *, kill: bool, unless_since: float) -> None:
        """Stop or kill it, and start it on the same port; of trials side by side, the first does it for all."""
        async with self.restarting:
            if self.restarted_at > unless_since:
                return
            if kill:
                os.kill(self.pid, signal.SIGKILL)
            await asyncio.to_thread(self.stop)
            await asyncio.to_thread(self.start)
            self.restarted_at = time.monotonic()

    @override
    def _write_server_properties(self, port: int) -> None:
        super()._write_server_properties(port)
        with (self.data_dir / "server.properties").open("a", encoding="ascii") as properties:
            properties.write("log.cleaner.backoff.ms=200\n")


class NoProgressError(Exception):
    """Nothing moves any more."""


@dataclass
class Progress:
    """What the group had committed, and when: one sample for each change."""

    samples: list[tuple[float, int]] = field(default_factory=list)

    def note(self, done: int) -> None:
        """Take a sample; only more than ever before is progress."""
        if not self.samples or done > self.samples[-1][1]:
            self.samples.append((time.monotonic(), done))

    @property
    def done(self) -> int:
        """Events committed so far."""
        return self.samples[-1][1] if self.samples else 0

    @property
    def last_at(self) -> float:
        """When there was progress last."""
        return self.samples[-1][0] if self.samples else 0.0

    def resumed_after(self, moment: float) -> float:
        """Seconds from a moment until the next progress; 0 when there was no such moment, or all was done by then."""
        return next((at - moment for at, _ in self.samples if moment and at > moment), 0.0)

    def longest_stall(self) -> float:
        """The longest time between two samples, from the first progress on."""
        times = [at for at, done in self.samples if done]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


@dataclass
class Trial:
    """Workers on one name space, restarted whenever they end by themselves."""

    fault: str
    seed: int
    worker: str
    store: str
    broker: TrialBroker
    folder: Path
    sessions: int
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)
    detail: str = ""
    struck: float = 0.0
    progress: Progress = field(default_factory=Progress)
    ledger: Ledger = field(default_factory=dict)
    _later: list[NormalizedEvent] = field(default_factory=list)
    _log_starts: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.prefix = f"c{uuid.uuid4().hex[:8]}."
        kafka = KafkaSettings(
            bootstrap_servers=self.broker.bootstrap_servers, topic_prefix=self.prefix, partitions=PARTITIONS
        )
        self.settings = Settings.model_construct(kafka=kafka, data_dir=self.folder)
        self.at = self.chance.uniform(0.02, 0.6)
        """The share of the waiting load that is done when the fault strikes."""
        self.early = self.chance.uniform(0.0, 1.5) if self.chance.random() < EARLY_SHARE else None
        """Instead: so many seconds after both are ready, when most partitions have no commit yet."""

    async def run(self) -> None:
        """The whole trial. Raises NoProgressError when nothing moves any more."""
        await apply_topics(self.settings)
        if self.fault == "compaction":
            await self.configure_sessions(COMPACTS_AT_ONCE)
        events = load(self.sessions, self.chance)
        waiting, self._later = events[: int(len(events) * WAITING_SHARE)], events[int(len(events) * WAITING_SHARE) :]
        await self.publish(waiting)
        with self._supervised():
            watching = asyncio.create_task(self._watch())
            try:
                for number in (1, 2):
                    self.start(number)
                await self._moment(len(waiting))
                self.struck = time.monotonic()
                await FAULTS[self.fault](self)
                await self.publish_the_rest()
                await self.until(lambda: self.progress.done >= len(events))
            finally:
                watching.cancel()

    async def _moment(self, waiting: int) -> None:
        if self.early is None:
            await self.until(lambda: self.progress.done >= self.at * waiting)
        else:
            await self.until(lambda: self.is_ready(1) and self.is_ready(2))
            await asyncio.sleep(self.early)

    def start(self, number: int) -> None:
        """Start a worker on its own state directory."""
        data = self.folder / f"worker{number}"
        data.mkdir(parents=True, exist_ok=True)
        servers = self.broker.bootstrap_servers
        program = Program(data, servers, self.prefix, {"WORKER__STORE": self.store})
        stock = [sys.executable, "-m", "tests.faults.stock_worker", servers, self.prefix, str(data), self.store]
        command = stock if self.worker == "stock" else [*COMMAND, "worker"]
        with (data / "log").open("ab") as log:
            self._log_starts[number] = log.tell()
            self.workers[number] = subprocess.Popen(
                command, env=program.environment, stdout=log, stderr=log, start_new_session=True
            )

    def send(self, number: int, signum: signal.Signals) -> None:
        """A signal to one worker."""
        self.workers[number].send_signal(signum)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait, and do what a supervisor does: start again who has ended."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - max(begun, self.progress.last_at) > STILL_SECONDS_MAX:
                when = "after" if self.struck else "before"
                raise NoProgressError(
                    f"{self.progress.done} events done, then nothing for {STILL_SECONDS_MAX:g} s, {when} the fault"
                )
            self.restart_the_ended()
            await asyncio.sleep(0.05)

    def restart_the_ended(self) -> None:
        """Start every worker that is not there, and remember how it ended."""
        for number, process in list(self.workers.items()):
            status = process.poll()
            if status is not None:
                self.exits.append(status)
                self.start(number)

    def is_ready(self, number: int) -> bool:
        """Whether a worker says that it is; stock Faust says it in its log."""
        data = self.folder / f"worker{number}"
        if self.worker == "stock":
            return b"Worker ready" in (data / "log").read_bytes()[self._log_starts[number] :]
        entry = Program(data, "", self.prefix).roles().get("worker", {})
        if entry.get("pid") != self.workers[number].pid:
            return False
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            return bool(opener.open(f"{entry['admin_url']}/health/ready", timeout=2).status == 200)
        except (urllib.error.URLError, TimeoutError):
            return False

    async def publish(self, events: list[NormalizedEvent]) -> None:
        """Events to their topics, all acknowledged, and into the ledger."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.broker.bootstrap_servers, acks="all", enable_idempotence=True, linger_ms=5
        )
        await producer.start()
        sends = [
            await producer.send(TOPIC_OF[event.kind].name(self.prefix), event.encoded(), key=event.key)
            for event in events
        ]
        await asyncio.gather(*sends)
        await producer.stop()
        for event in events:
            self.ledger.setdefault(event.key, set()).add(event.digest)

    async def publish_the_rest(self) -> None:
        """The events that come after the fault, or during it; once."""
        events, self._later = self._later, []
        await self.publish(events)

    async def configure_sessions(self, changes: dict[str, str]) -> None:
        """Give the session topic its promised settings with changes."""
        resource = ConfigResource(
            ConfigResourceType.TOPIC, SESSIONS.name(self.prefix), configs={**SESSIONS.config, **changes}
        )
        async with admin_client(self.settings) as admin:
            await admin.alter_configs([resource])

    async def delete_topics(self) -> None:
        """Make room for the next trial."""
        async with admin_client(self.settings) as admin:
            await admin.delete_topics([topic.name(self.prefix) for topic in TOPICS])

    async def _watch(self) -> None:
        """Sample the group's commits, also while the broker comes and goes."""
        while True:
            try:
                async with admin_client(self.settings) as admin:
                    await self._watch_with(admin)
            except (KafkaError, OSError):
                await asyncio.sleep(0.1)

    async def _watch_with(self, admin: AIOKafkaAdminClient) -> None:
        while True:
            self.progress.note(sum((await group_offsets(admin, worker_group(self.settings))).values()))
            await asyncio.sleep(0.05)

    @contextmanager
    def _supervised(self) -> Iterator[None]:
        """Kill what this trial started, whatever happens."""
        try:
            yield
        finally:
            for process in self.workers.values():
                status = process.poll()
                if status is not None:
                    self.exits.append(status)
                else:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                process.wait()


async def sigterm(trial: Trial) -> None:
    """One worker is told to stop, and started again at once or after a while."""
    trial.send(1, signal.SIGTERM)
    await _ended(trial, 1)
    await _away(trial)


async def sigkill(trial: Trial) -> None:
    """One worker is killed, and started again at once or after a while."""
    trial.send(1, signal.SIGKILL)
    await _ended(trial, 1)
    await _away(trial)


async def long_pause(trial: Trial) -> None:
    """One worker stands still for longer than its session lasts, and wakes into new load."""
    trial.send(1, signal.SIGSTOP)
    await asyncio.sleep(PAUSE_LONGER_THAN_THE_SESSION)
    trial.send(1, signal.SIGCONT)


async def short_pause(trial: Trial) -> None:
    """One worker stands still, but not for so long that anybody noticed."""
    trial.send(1, signal.SIGSTOP)
    await asyncio.sleep(PAUSE_SHORTER_THAN_THE_SESSION)
    trial.send(1, signal.SIGCONT)


async def rolling(trial: Trial) -> None:
    """Both are restarted, one after the other."""
    for number in (1, 2):
        trial.send(number, signal.SIGTERM)
        await _ended(trial, number)
        trial.restart_the_ended()
        await trial.until(lambda number=number: trial.is_ready(number))  # type: ignore[misc]


async def third_worker(trial: Trial) -> None:
    """One more joins."""
    trial.start(3)


async def broker_restart(trial: Trial) -> None:
    """Kafka is stopped, or killed, and comes back on its port."""
    trial.detail = trial.chance.choice(["stopped", "killed"])
    await trial.broker.restart(kill=trial.detail == "killed", unless_since=trial.struck)


async def failed_sends(trial: Trial) -> None:
    """The broker refuses every session record for a while: the topic's largest message shrinks to nothing."""
    await trial.configure_sessions({"max.message.bytes": "10"})
    await trial.publish_the_rest()  # so that there is something to send, also where the waiting load is done
    await asyncio.sleep(SENDS_FAIL_SECONDS)
    await trial.configure_sessions({})


async def compaction(trial: Trial) -> None:
    """The log cleaner runs all the time; a worker is killed and restores from what it left."""
    await sigkill(trial)


FAULTS: dict[str, Callable[[Trial], Awaitable[None]]] = {
    fault.__name__: fault
    for fault in (
        sigterm,
        sigkill,
        long_pause,
        short_pause,
        rolling,
        third_worker,
        broker_restart,
        failed_sends,
        compaction,
    )
}


async def _ended(trial: Trial, number: int) -> None:
    """Wait for a worker's end; one that does not obey is killed, which its exit status tells."""
    try:
        await asyncio.to_thread(trial.workers[number].wait, 30)
    except subprocess.TimeoutExpired:
        trial.send(number, signal.SIGKILL)
        await asyncio.to_thread(trial.workers[number].wait)


async def _away(trial: Trial) -> None:
    seconds = trial.chance.choice([0.0, 0.0, trial.chance.uniform(0.0, 3.0)])
    trial.detail = f"away {seconds:.1f} s"
    await asyncio.sleep(seconds)


def load(sessions: int, chance: random.Random) -> list[NormalizedEvent]:
    """Three events a session, in an order that puts them far apart."""
    events = [event for number in range(sessions) for event in session_events(number)]
    chance.shuffle(events)
    return events


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
