"""Where the pipeline stands: what waits in Kafka for the worker, what waits for the loader, who runs and is ready."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from aiokafka.errors import KafkaError

from callweave.kafka import admin_client, end_offsets, group_offsets, plain_consumer
from callweave.observed import Observed, observe
from callweave.reading import open_questions
from callweave.role_health import DIRECT, ask_readiness
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import Settings
from callweave.spool_standing import SpoolStanding, spool_standing
from callweave.topics import worker_group
from schemas.topics import DEAD_LETTERS, EVENT_TOPICS, KEYED_TOPICS, RECONCILE, SESSIONS
from sinks.sink import QueryRefusedError, SinkUnavailableError

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class RoleStanding:
    """One process."""

    role: str
    pid: int
    ready: bool
    reason: str | None
    admin_url: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """The whole pipeline, now."""

    roles: list[RoleStanding]
    spool: SpoolStanding
    worker_lag: int | None
    loader_lag: int | None
    kafka_problem: str | None
    warehouse_problem: str | None
    counts: dict[str, int] = field(default_factory=dict)
    freshness_seconds: dict[str, float | None] = field(default_factory=dict)
    observed: Observed = field(default_factory=Observed)

    @property
    def is_healthy(self) -> bool:
        """Everything that runs is ready, and Kafka and the warehouse answer."""
        problems = (self.kafka_problem, self.warehouse_problem, self.spool.problem)
        return not any(problems) and all(role.ready for role in self.roles)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "healthy": self.is_healthy}

    def lines(self) -> Iterator[str]:
        """For people."""
        for role in self.roles:
            readiness = "ready" if role.ready else "not ready"
            readiness += f" ({role.reason})" if role.reason else ""
            yield f"{role.role}: {readiness}, pid {role.pid}, {role.admin_url}"
        if not self.roles:
            yield "no role runs on this data directory"
        yield f"waiting in the spool: {self.spool}"
        yield f"waiting for the worker: {_known(self.worker_lag)} events"
        yield f"waiting for the loader: {_known(self.loader_lag)} records"
        yield from filter(None, (self.spool.problem, self.kafka_problem, self.warehouse_problem))
        if self.counts:
            yield "rows: " + ", ".join(f"{count} {name}" for name, count in self.counts.items())
        p50, p95 = self.freshness_seconds.get("p50"), self.freshness_seconds.get("p95")
        if p50 is not None and p95 is not None:
            yield f"freshness, receipt to row: p50 {p50:.2f} s, p95 {p95:.2f} s"
        yield from self.observed.lines()


@dataclass(frozen=True, slots=True)
class Pending:
    """What was not in the warehouse in time."""

    events: int
    documents: int
    spooled: int = 0
    problem: str | None = None

    def __str__(self) -> str:
        """One line for a person."""
        line = f"{self.events} events wait for the worker and {self.documents} records for the loader"
        if self.spooled:
            line = f"{self.spooled} pushes wait in the receiver's spool; before them, {line}"
        return f"{line} ({self.problem})" if self.problem else line


def look(settings: Settings) -> Standing:
    """Ask everybody."""
    kafka_problem, worker_lag = None, None
    ends: dict[tuple[str, int], int] = {}
    try:
        worker_lag, ends = asyncio.run(_kafka_standing(settings))
    except (KafkaError, OSError) as exc:
        kafka_problem = f"Kafka does not answer: {exc}"
    warehouse_problem, loader_lag, counts = None, None, {}
    try:
        positions = loader_positions(settings)
        loader_lag = _behind(ends, positions)
        counts = _counts(settings)
    except (SinkUnavailableError, QueryRefusedError) as exc:
        warehouse_problem = str(exc)
    roles = Runtime(settings.data_dir).roles()
    return Standing(
        roles=[
            RoleStanding(name, entry.pid, *ask_readiness(entry), entry.admin_url)
            for name, entry in sorted(roles.items())
            if entry.admin_url
        ],
        spool=spool_standing(settings),
        worker_lag=worker_lag,
        loader_lag=loader_lag if not kafka_problem else None,
        kafka_problem=kafka_problem,
        warehouse_problem=warehouse_problem,
        counts=counts,
        freshness_seconds=_freshness(roles.get("loader")),
        observed=observe(roles, time.time()),
    )


async def wait_idle(settings: Settings, seconds: float) -> Pending | None:
    """Note where spool and topics end now; None once all of that is in the warehouse, what is pending when time is up.

    What was in the spool is in Kafka before the ends of the topics are noted.
    """
    deadline = time.monotonic() + seconds
    noted = spool_standing(settings)
    while noted.is_before(now := spool_standing(settings)):
        if time.monotonic() >= deadline:
            return Pending(0, 0, now.entries, now.problem)
        await asyncio.sleep(POLL_SECONDS)
    return await wait_for_warehouse(settings, deadline - time.monotonic())


async def wait_for_warehouse(settings: Settings, seconds: float) -> Pending | None:
    """Note where the topics end now; None once all of that is in the warehouse, what is pending when time is up."""
    deadline = time.monotonic() + seconds
    prefix = settings.kafka.topic_prefix
    sources = [topic.name(prefix) for topic in EVENT_TOPICS]
    results = _results(settings)
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        noted = await end_offsets(admin, consumer, sources)
        while events := _behind(noted, await group_offsets(admin, worker_group(settings))):
            if time.monotonic() >= deadline:
                return Pending(events, 0)
            await asyncio.sleep(POLL_SECONDS)
        while reason := await asyncio.to_thread(_why_the_worker_waits, settings):
            if time.monotonic() >= deadline:
                return Pending(0, 0, problem=f"the worker is not ready: {reason}")
            await asyncio.sleep(POLL_SECONDS)
        # The worker acknowledges its input after its output, and publishes what restoring united before it is ready: so
        # the ends of its output are final for that input.
        noted = await end_offsets(admin, consumer, results)
        while True:
            try:
                documents = _behind(noted, await asyncio.to_thread(loader_positions, settings))
            except (SinkUnavailableError, QueryRefusedError):  # a loader that has not made its tables yet
                documents = sum(noted.values())
            if not documents:
                return None
            if time.monotonic() >= deadline:
                return Pending(0, documents)
            await asyncio.sleep(POLL_SECONDS)


def _why_the_worker_waits(settings: Settings) -> str | None:
    """Of a worker on this data directory that is not ready, the reason. One elsewhere is not known here."""
    worker = Runtime(settings.data_dir).role("worker")
    if worker is None or not worker.admin_url:
        return None
    is_ready, reason = ask_readiness(worker)
    return None if is_ready else reason or "it gives no reason"


def loader_positions(settings: Settings) -> dict[tuple[str, int], int]:
    """The offsets that stand in the warehouse beside the rows."""
    with open_questions(settings) as questions:
        rows = questions.ask("select topic, partition, next_offset from callweave_offsets").rows
    return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}


async def _kafka_standing(settings: Settings) -> tuple[int, dict[tuple[str, int], int]]:
    prefix = settings.kafka.topic_prefix
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        sources = await end_offsets(admin, consumer, [topic.name(prefix) for topic in EVENT_TOPICS])
        results = await end_offsets(admin, consumer, _results(settings))
        return _behind(sources, await group_offsets(admin, worker_group(settings))), results


def _results(settings: Settings) -> list[str]:
    """What the loader reads."""
    return [topic.name(settings.kafka.topic_prefix) for topic in (SESSIONS, DEAD_LETTERS, RECONCILE, *KEYED_TOPICS)]


def _behind(ends: Mapping[tuple[str, int], int], positions: Mapping[tuple[str, int], int]) -> int:
    return sum(max(0, end - positions.get(partition, 0)) for partition, end in ends.items())


def _counts(settings: Settings) -> dict[str, int]:
    with open_questions(settings) as questions:
        row = questions.ask(
            "select (select count(*) from sessions) as sessions, (select count(*) from recordings) as recordings,"
            " (select count(*) from voicemails) as voicemails,"
            " (select count(*) from missing_recordings) as missing_recordings,"
            " (select count(*) from dead_letters) as dead_letters"
        )
    return {name: int(value) for name, value in row.dicts()[0].items()}


def _freshness(loader: RoleEntry | None) -> dict[str, float | None]:
    if loader is None or loader.admin_url is None:
        return {}
    try:
        with DIRECT.open(f"{loader.admin_url}/status", timeout=5) as response:
            answer = json.load(response)
    except OSError:
        return {}
    return {"p50": answer["freshness_p50_seconds"], "p95": answer["freshness_p95_seconds"]}


def _known(lag: int | None) -> str:
    return "unknown" if lag is None else str(lag)
