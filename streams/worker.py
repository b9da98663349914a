"""The thin shell around the core: one Faust app, one agent over the three event topics, one table.

Its one rule: nothing leaves the agent's body. Every event ends in a published session, a dead letter that is
acknowledged, or the end of the process with offsets uncommitted. The datum goes on to `tccc.sessions`.
"""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import faust
import structlog
from faust.types import TP, EventT

from schemas import topics
from schemas.breaker import Breaker, BreakerLimits
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.events import PUSH_ID_HEADER, RAW_HEADER, NormalizedEvent, NotAnEventError, Source, decode_event
from schemas.lag import LagWatch
from schemas.suppression import NOBODY, Suppressions
from schemas.tracing import Span, Tracing, context_in
from streams import metrics
from streams.core.absorb import Outcome
from streams.core.fold import fold, record_of_stored, restore
from streams.core.retirement import Retention
from streams.engine.assignor import WholeAssignor
from streams.engine.consumer import SafeTransport
from streams.engine.delivery import BatchStream
from streams.engine.fence import SessionFence
from streams.engine.guard import ContiguityGuard
from streams.engine.halt import exit_for_restart, halt, leave_when_stopping_hangs
from streams.engine.monitor import QuietMonitor
from streams.engine.positions import by_partition
from streams.engine.recovery import SafeTableManager
from streams.engine.state_dir import LogIdentity, StateDirectory
from streams.engine.store import StateStore, seen_entry
from streams.engine.table import SEND_SECONDS_MAX, Entry, SessionTable
from streams.retire import Retirement

log = structlog.get_logger(__name__)

MIB = 1024 * 1024
BATCH_EVENTS_MAX = 500
BATCH_WITHIN_SECONDS = 0.05
POLL_RECORDS_MAX = 1000
"""Unpacked at once; what a rebalance throws away has cost nothing but the fetch."""
BATCH_STUCK_SECONDS = 5.0
"""A batch that waits longer for its acknowledgement makes the worker not ready."""
SESSION_SECONDS = 10.0
"""A worker that the group has not heard of for so long has lost its partitions."""
HEARTBEAT_SECONDS = 3.0
STOP_SECONDS_MAX = 12.0
"""An orderly stop takes a second or two; whoever waits for us gets an end all the same."""
LAST_COMMIT_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker needs to know. `faust_broker` and `credentials` are what Faust calls them."""

    faust_broker: str
    topic_prefix: str
    partitions: int
    state_dir: Path
    instance_id: str
    now: Callable[[], datetime]
    store: str = "rocksdb"
    retention_days: int = 200
    log_identity: Callable[[], Awaitable[LogIdentity]] | None = None
    credentials: Any = None
    group_suffix: str = "worker"
    suppressions: Callable[[], Suppressions] = lambda: NOBODY
    """The list as of now; it is asked about every event before that is folded."""
    prepared: Callable[[], Awaitable[None]] | None = None
    """Returns once the list is known; nothing is restored or read before."""
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    tracing: Tracing | None = None

    @property
    def group_id(self) -> str:
        """The consumer group, and Faust's app id."""
        return f"{self.topic_prefix}{self.group_suffix}"

    @property
    def retention(self) -> Retention:
        """How long a session is remembered."""
        return Retention(self.retention_days)


class SafeApp(faust.App):
    """Faust's app, with the guard that recovery and the agent share, and what runs beside them from the first moment.

    Faust starts an `@app.task` only after restoring; a worker that restores must be able to say that it is not ready.
    """

    guard: ContiguityGuard
    beside: Callable[[], Awaitable[None]]
    prepared: Callable[[], Awaitable[None]] | None

    async def on_start(self) -> None:
        """Called by Faust before it connects to anything."""
        await super().on_start()
        self.add_future(self.beside())
        if self.prepared is not None:
            await self.prepared()

    def _crash(self, reason: BaseException) -> None:
        """Called by mode on every service of the tree when one crashes; Faust would stop in order, and commit."""
        exit_for_restart("a service of Faust crashed", problem=type(reason).__name__)


@dataclass(slots=True)
class Worker:
    """A built worker: the Faust app and what can be asked of it."""

    app: SafeApp
    table: SessionTable
    options: WorkerOptions
    breaker: Breaker
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever reads the state, publishes, and writes it holds this: a batch, or a slice of retirement."""
    busy_since: float | None = None
    lag: LagWatch[TP] = field(default_factory=LagWatch)
    background: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def not_ready_because(self) -> str | None:
        """Why the worker is not ready, in a sentence; None when it is."""
        if not self.app.tables.actives_ready or self.app.in_recovery:
            return "waiting for its partitions and restoring their sessions"
        if self.busy_since is not None and time.monotonic() - self.busy_since > BATCH_STUCK_SECONDS:
            return "waiting for Kafka to acknowledge a batch"
        return None

    @property
    def restoring_remaining(self) -> int | None:
        """Records of `tccc.sessions` that are still to be absorbed; None while it is not restoring."""
        recovery = cast("Any", self.app.tables).recovery
        return max(0, recovery.active_remaining_total()) if self.app.in_recovery else None

    def source_partitions(self) -> set[tuple[str, int]]:
        """The partitions of the event topics that are this worker's, as far as the guard knows."""
        return (
            {(tp.topic, tp.partition) for tp in self.app.guard.positions()} if self.app.tables.actives_ready else set()
        )


def build_worker(options: WorkerOptions) -> Worker:
    """Build the app. Import and construction touch neither network nor disk beyond the state directory."""
    app = SafeApp(
        options.group_id,
        broker=options.faust_broker,
        broker_credentials=options.credentials,
        datadir=str(options.state_dir),
        store="rocksdb://" if options.store == "rocksdb" else "memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=options.partitions,
        topic_allow_declare=False,  # Faust's own creation uses a request that Kafka 4 dropped; `topics apply` creates
        topic_disable_leader=True,
        table_standby_replicas=0,
        recovery_consistency_check=False,  # `BulkRestore` answers a topic that lost its end
        stream_wait_empty=True,  # row 12 of faust.md: False loses the message in flight on SIGTERM
        stream_buffer_maxsize=4096,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=options.instance_id,
        consumer_max_fetch_size=4 * MIB,
        broker_max_poll_records=POLL_RECORDS_MAX,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        broker_rebalance_timeout=30.0,
        broker_commit_interval=0.5,
        producer_acks=-1,
        producer_linger=0,  # what is sent is whole: batches, and letters one by one
        producer_compression_type="zstd",  # aiokafka's lz4 is at its slowest level: more time and more bytes
        producer_max_batch_size=topics.MESSAGE_BYTES_MAX // 2,
        producer_max_request_size=topics.MESSAGE_BYTES_MAX + MIB,
        web_enabled=False,
        Stream=BatchStream,
        TableManager=SafeTableManager,
        PartitionAssignor=WholeAssignor,
        Monitor=QuietMonitor,
    )
    app.guard = ContiguityGuard()
    fence = SessionFence(SESSION_SECONDS, HEARTBEAT_SECONDS)
    app.transport = SafeTransport(app.conf.broker_consumer, app)
    sources = app.topic(
        *[topic.name(options.topic_prefix) for topic in topics.EVENT_TOPICS],
        key_serializer="raw",
        value_serializer="raw",
        key_type=bytes,
        value_type=bytes,
        allow_empty=True,
    )
    changelog = app.topic(
        topics.SESSIONS.name(options.topic_prefix),
        compacting=True,
        partitions=options.partitions,
        key_serializer="raw",
        value_serializer="raw",
        key_type=bytes,
        value_type=bytes,
        acks=False,  # the consumer's side: compaction leaves gaps
        allow_empty=True,
    )
    table = SessionTable(
        app,
        name="sessions",
        partitions=options.partitions,
        key_type=bytes,
        value_type=bytes,
        changelog_topic=changelog,
        options=ROCKSDB_OPTIONS.copy() if options.store == "rocksdb" else None,
        restore=lambda stored, value: restore(stored, value, options.suppressions()),
        record_of_stored=record_of_stored,
        fence=fence,
        open_store=_state_store(options) if options.store == "rocksdb" else None,
    )
    app.tables.add(table)
    worker = Worker(app=app, table=table, options=options, breaker=Breaker(options.breaker))
    retirement = Retirement(app, table, options.retention, options.now, worker.turn)

    @app.agent(sources, concurrency=1, name=f"{options.group_id}.sessions")
    async def sessions(stream: Any) -> None:
        async for events in stream.take_events(BATCH_EVENTS_MAX, within=BATCH_WITHIN_SECONDS):
            try:
                async with worker.turn:
                    await absorb_batch(worker, events)
            except BaseException as exc:
                log.exception("batch_failed")
                exit_for_restart("a batch failed", problem=type(exc).__name__)

    async def beside() -> None:
        for service in worker.background:
            await service()
        await fence.keep()

    app.beside = beside
    app.prepared = options.prepared

    @app.task  # type: ignore[untyped-decorator]  # Faust types no decorators
    async def retire() -> None:
        await retirement.keep()

    return worker


def _state_store(options: WorkerOptions) -> Callable[..., StateStore]:
    return partial(StateStore, directory=StateDirectory(options.state_dir), log_identity=options.log_identity)


ROCKSDB_OPTIONS: dict[str, Any] = {
    # Faust's defaults (a 2 GiB cache and 64 MiB buffers for each partition) are meant for one table on a large machine.
    "driver": "rocksdict",
    "write_buffer_size": 8 * MIB,
    "block_cache_size": 16 * MIB,
    "target_file_size_base": 32 * MIB,
    "bloom_filter_size": 10,  # bits a key: a look for a new session reads a block once in 100 times; with 3, in 4
}


async def absorb_batch(worker: Worker, events: Sequence[EventT[Any]]) -> None:
    """Decode, fold, publish, await, store. Returning acknowledges the batch."""
    worker.busy_since = time.monotonic()
    retention = worker.options.retention
    suppressions = worker.options.suppressions()
    admitted = worker.app.guard.admit(events, worker.app.consumer_generation_id)
    usable: dict[tuple[int, bytes], list[tuple[EventT[Any], NormalizedEvent]]] = {}
    letters: list[DeadLetter] = []
    without_row: set[int] = set()
    worker.lag.note_read({event.message.tp: event.message.timestamp for event in admitted})
    for event in admitted:
        try:
            decoded = decode_event(event.message.key, event.message.value)
        except NotAnEventError as exc:
            letters.append(_letter(worker, event, Reason.UNDECODABLE, str(exc)))
            without_row.add(id(event))
            continue
        decoded = suppressions.event(decoded)
        # The record's own time, so that every reading of the log says the same.
        published_ms = round(event.message.timestamp * 1000)
        late = retention.too_late(decoded.received_at, published_ms=published_ms)
        if late is not None:
            letters.append(_letter(worker, event, Reason.SESSION_RETIRED, late, decoded))
            continue
        usable.setdefault((event.message.partition, decoded.key), []).append((event, decoded))
    entries: list[Entry] = []
    outcomes: Counter[Outcome] = Counter()
    spans = _begin_spans(worker.options.tracing, usable)
    stores = {partition: worker.table.store(partition) for partition, _ in usable}
    for (partition, key), pairs in usable.items():
        folded = fold(key, stores[partition].get(key), [decoded for _, decoded in pairs], suppressions)
        outcomes.update(folded.outcomes)
        if folded.refused:
            refused = {id(decoded) for decoded in folded.refused}
            letters += [
                _letter(worker, event, Reason.BOUND_EXCEEDED, "the session holds as many reports as it may", decoded)
                for event, decoded in pairs
                if id(decoded) in refused
            ]
            without_row |= {id(event) for event, decoded in pairs if id(decoded) in refused}
        if folded.record is not None and folded.stored is not None:
            beside = {} if folded.born_ms is None else {seen_entry(folded.born_ms, key): b""}
            span = spans.get((partition, key))
            trace = None if span is None else span.context
            entries.append(Entry(partition, key, folded.record, folded.stored, beside, trace))
    for outcome, count in outcomes.items():
        metrics.EVENTS_ABSORBED.labels(outcome.value).inc(count)
    await _check_breaker(worker, [id(event) in without_row for event in admitted])
    await _publish_letters(worker, [suppressions.letter(letter) for letter in letters])
    touched = {event.message.partition for event in admitted}
    await worker.table.write(entries, by_partition(worker.app.guard.positions(), touched))
    for span in spans.values():
        span.end()
    metrics.SESSIONS_PUBLISHED.inc(len(entries))
    metrics.BATCH_SECONDS.observe(time.monotonic() - worker.busy_since)
    worker.busy_since = None


def _begin_spans(
    tracing: Tracing | None, usable: Mapping[tuple[int, bytes], Sequence[tuple[EventT[Any], NormalizedEvent]]]
) -> dict[tuple[int, bytes], Span]:
    """One span for each session that somebody traces a push of."""
    if tracing is None:
        return {}
    spans: dict[tuple[int, bytes], Span] = {}
    for place, pairs in usable.items():
        parents = [context for event, _ in pairs if (context := context_in(event.message.headers)) is not None]
        if parents:
            session_id = pairs[0][1].session_id
            spans[place] = tracing.begin("callweave.absorb", parents=parents, session_id=session_id, events=len(pairs))
    return spans


async def _check_breaker(worker: Worker, without_row: Sequence[bool]) -> None:
    """Halt instead of writing letters about everything; this batch stays uncommitted."""
    worker.breaker = worker.breaker.after(without_row)
    if worker.breaker.tripped is None:
        return
    # The batches before this one are done: their offsets go out now, so that their letters are not written twice.
    with contextlib.suppress(Exception):  # whatever fails here, halting is what matters
        async with asyncio.timeout(LAST_COMMIT_SECONDS_MAX):
            await worker.app.consumer.commit()  # returns when the commit that is under way is done, if there is one
            await worker.app.consumer.commit()
    halt(worker.breaker.tripped)


async def _publish_letters(worker: Worker, letters: list[DeadLetter]) -> None:
    """Letters are durable before their events are acknowledged."""
    if not letters:
        return
    topic = topics.DEAD_LETTERS.name(worker.options.topic_prefix)
    producer = cast("Any", worker.app.producer)._producer  # noqa: SLF001  (Faust's own send has no awaitable acknowledgement)
    for letter in letters:
        await asyncio.wait_for(
            producer.send_and_wait(topic, letter.encoded(), key=letter.dead_letter_id.encode()), SEND_SECONDS_MAX
        )
        metrics.DEAD_LETTERS.labels(letter.stage.value, letter.reason.value).inc()


def _letter(
    worker: Worker, event: EventT[Any], reason: Reason, detail: str, decoded: NormalizedEvent | None = None
) -> DeadLetter:
    """A letter with the body as it was pushed, and with what a replay needs to be the same receipt of it."""
    message = event.message
    raw = dict(message.headers or {}).get(RAW_HEADER)
    return DeadLetter.of(
        Stage.ABSORB,
        reason,
        detail,
        raw=(message.value or b"") if raw is None else raw,
        occurred_at=worker.options.now(),
        received_at=None if decoded is None else decoded.received_at,
        headers={PUSH_ID_HEADER: decoded.push_id} if decoded is not None and decoded.source is Source.PUSH else None,
        origin=(message.topic, message.partition, message.offset),
    )


class PromptWorker(faust.Worker):
    """Faust's program, which ends soon when it is told to."""

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        """Called by mode's handlers of SIGTERM and SIGINT."""
        leave_when_stopping_hangs(STOP_SECONDS_MAX)
        super()._schedule_shutdown(signal)


def run_worker(worker: Worker) -> int:
    """Run until SIGTERM or SIGINT; the exit status. The loop's policy must be set before."""
    runner = PromptWorker(
        worker.app,
        quiet=True,
        redirect_stdouts=False,
        override_logging=False,  # the caller has set up the logs
        loglevel="WARN",
    )
    runner.spinner = None  # it writes to the terminal, also where there is none
    try:
        runner.execute_from_commandline()  # ends with SystemExit
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
