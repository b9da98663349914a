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
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from typing_extensions import override

from callweave.broker.local import LocalBroker
from callweave.kafka import admin_client, group_offsets
from callweave.settings import KafkaSettings, Settings
from callweave.topics import apply_topics, worker_group
from schemas.canonical import canonical, digest
from schemas.events import TOPIC_OF, WIRE_MODELS, EventKind, NormalizedEvent
from schemas.topics import SESSIONS, TOPICS
from tests.support.fork_server import ForkServer, Order, Started
from tests.support.program import COMMAND, COMMAND_LINE, Program

PARTITIONS = 4
WAITING_SHARE = 0.75
EARLY_SHARE = 0.5
SESSIONS_IN_STOCK = 4
"""Made once for all trials of a process: so many times what one trial takes, so that no two trials have the same."""
STARTED_APART_SECONDS_MAX = 3.0
AWAY_SECONDS_MAX = 3.0
LOOK_SECONDS = 0.1
"""How often the group's commits are looked at."""
STILL_SECONDS_MAX = 90.0
STOCK, WITH_STANDBYS = "tests.faults.stock_worker", "tests.faults.standby_worker"
"""Modules whose `main` is a worker."""
IMPORTED_BY_WORKERS = (
    COMMAND_LINE,
    "callweave.roles.worker",
    WITH_STANDBYS,
    STOCK,
    "aiokafka.admin",
    "faust.stores.memory",
    "faust.stores.rocksdb",
    "faust.transport.drivers.aiokafka",
)
"""Sooner or later, ours and stock Faust's."""
PAUSE_LONGER_THAN_THE_SESSION = 12.0
PAUSE_SHORTER_THAN_THE_SESSION = 5.0
SENDS_FAIL_SECONDS = 2.0

COMPACTS_AT_ONCE = {
    "segment.ms": "300",
    "min.compaction.lag.ms": "0",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "1000",
}

Ledger = dict[bytes, frozenset[str]]
"""What was published: digests of the reports by session."""


@dataclass(frozen=True, slots=True)
class Report:
    """One event, ready to be published."""

    kind: EventKind
    partition: int
    key: bytes
    value: bytes
    digest: str


class TrialBroker(LocalBroker):
    """Kafka whose log cleaner looks for work five times a second instead of every 15 seconds.

    Trials side by side share it, with topics of their own. A restart is a fault for all of them: those that are to meet
    one (`Restart`) have a broker for themselves.
    """

    @override
    def _write_server_properties(self, port: int) -> None:
        super()._write_server_properties(port)
        with (self.data_dir / "server.properties").open("a", encoding="ascii") as properties:
            properties.write("log.cleaner.backoff.ms=200\n")


class Restart:
    """One restart of the broker for a group of trials: the first whose moment comes strikes for all."""

    def __init__(self, broker: TrialBroker) -> None:
        self._broker = broker
        self._restarting: asyncio.Task[None] | None = None

    @property
    def has_struck(self) -> bool:
        """Whether it has begun."""
        return self._restarting is not None

    async def strike(self, *, kill: bool) -> None:
        """Stop or kill it, and start it on the same port, unless somebody else of the group did or does."""
        if self._restarting is None:
            self._restarting = asyncio.create_task(self._restart(kill=kill))
        await asyncio.shield(self._restarting)

    async def _restart(self, *, kill: bool) -> None:
        if kill:
            os.kill(self._broker.pid, signal.SIGKILL)
        await asyncio.to_thread(self._broker.stop)
        await asyncio.to_thread(self._broker.start)


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
    forks: ForkServer | None = None
    """Where workers are forked; None: each is a new process of the command, as it is deployed."""
    restart: Restart | None = None
    """For `broker_restart`: that of the group."""
    standby: int = 0
    """Faust's `table_standby_replicas`; callweave runs without."""
    workers: dict[int, Started] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)
    detail: str = ""
    struck: float = 0.0
    progress: Progress = field(default_factory=Progress)
    ledger: Ledger = field(default_factory=dict)
    _later: list[Report] = field(default_factory=list)
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
        self.apart = self.chance.uniform(0.0, STARTED_APART_SECONDS_MAX)
        """How long after the first worker the second starts, and so joins it at its work."""

    async def run(self) -> None:
        """The whole trial. Raises NoProgressError when nothing moves any more."""
        await apply_topics(self.settings)
        if self.fault == "compaction":
            await self.configure_sessions(COMPACTS_AT_ONCE)
        reports = load(self.sessions, self.chance)
        share = int(len(reports) * WAITING_SHARE)
        waiting, self._later = reports[:share], reports[share:]
        await self.publish(waiting)
        with self._supervised():
            watching = asyncio.create_task(self._watch())
            try:
                self.start(1)
                await asyncio.sleep(self.apart)
                self.start(2)
                await self._moment(len(waiting))
                self.struck = time.monotonic()
                await FAULTS[self.fault](self)
                await self.publish_the_rest()
                await self.until(lambda: self.progress.done >= len(reports))
            finally:
                watching.cancel()

    async def _moment(self, waiting: int) -> None:
        if self.early is None:
            await self.until(lambda: self._is_struck() or self.progress.done >= self.at * waiting)
        else:
            await self.until(lambda: self._is_struck() or (self.is_ready(1) and self.is_ready(2)))
            begun = time.monotonic()
            await self.until(lambda: self._is_struck() or time.monotonic() - begun >= (self.early or 0.0))

    def _is_struck(self) -> bool:
        return self.restart is not None and self.restart.has_struck

    def start(self, number: int) -> None:
        """Start a worker on its own state directory."""
        data = self.folder / f"worker{number}"
        data.mkdir(parents=True, exist_ok=True)
        servers = self.broker.bootstrap_servers
        environment = Program(data, servers, self.prefix, {"WORKER__STORE": self.store}).environment
        log = data / "log"
        log.touch()
        self._log_starts[number] = log.stat().st_size
        if self.worker == "stock":
            module, arguments = STOCK, [servers, self.prefix, str(data), self.store, str(self.standby)]
        elif self.standby:
            module, arguments = WITH_STANDBYS, [str(self.standby)]
        else:
            module, arguments = COMMAND_LINE, ["worker"]
        if self.forks is not None:
            self.workers[number] = self.forks.start(Order(module, "main", arguments, environment, str(log)))
            return
        program = COMMAND if module == COMMAND_LINE else [sys.executable, "-m", module]
        with log.open("ab") as out:
            self.workers[number] = subprocess.Popen(
                [*program, *arguments], env=environment, stdout=out, stderr=out, start_new_session=True
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

    async def publish(self, reports: list[Report]) -> None:
        """Reports to their topics in ready-made batches, all acknowledged, and into the ledger."""
        by_partition: dict[tuple[EventKind, int], list[Report]] = {}
        for report in reports:
            by_partition.setdefault((report.kind, report.partition), []).append(report)
        sent: list[asyncio.Future[Any]] = []
        async with AIOKafkaProducer(
            bootstrap_servers=self.broker.bootstrap_servers, acks="all", enable_idempotence=True
        ) as producer:
            for (kind, partition), theirs in by_partition.items():
                topic, batch = TOPIC_OF[kind].name(self.prefix), producer.create_batch()
                for report in theirs:
                    if batch.append(key=report.key, value=report.value, timestamp=None) is None:
                        sent.append(await producer.send_batch(batch, topic, partition=partition))
                        batch = producer.create_batch()
                        batch.append(key=report.key, value=report.value, timestamp=None)
                sent.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.gather(*sent)
        for report in reports:
            self.ledger[report.key] = self.ledger.get(report.key, frozenset()) | {report.digest}

    async def publish_the_rest(self) -> None:
        """The reports that come after the fault, or during it; once."""
        reports, self._later = self._later, []
        await self.publish(reports)

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
                await asyncio.sleep(LOOK_SECONDS)

    async def _watch_with(self, admin: AIOKafkaAdminClient) -> None:
        while True:
            self.progress.note(sum((await group_offsets(admin, worker_group(self.settings))).values()))
            await asyncio.sleep(LOOK_SECONDS)

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
                    process.send_signal(signal.SIGKILL)
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
    """Kafka is stopped, or killed, and comes back on its port; once for all trials of a group."""
    assert trial.restart is not None
    manner = trial.chance.choice(["stopped", "killed"])
    trial.detail = "with the group" if trial.restart.has_struck else manner
    await trial.restart.strike(kill=manner == "killed")


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
    seconds = trial.chance.choice([0.0, trial.chance.uniform(0.0, AWAY_SECONDS_MAX)])
    trial.detail = f"away {seconds:.1f} s"
    await asyncio.sleep(seconds)


def load(sessions: int, chance: random.Random) -> list[Report]:
    """Three reports a session, in an order that puts them far apart."""
    numbers = chance.sample(range(sessions * SESSIONS_IN_STOCK), sessions)
    reports = [report for number in numbers for report in session_reports(number)]
    chance.shuffle(reports)
    return reports


@cache
def session_reports(number: int) -> list[Report]:
    """The events of a session, ready to be published: made once, for all trials of a process."""
    return [
        Report(
            event.kind,
            (murmur2(event.key) & 0x7FFFFFFF) % PARTITIONS,  # Kafka's own choice for the key
            event.key,
            event.encoded(),
            event.digest,
        )
        for event in session_events(number)
    ]


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
