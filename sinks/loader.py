"""The loop from the log to the warehouse: read a haul, write it with its offsets in one transaction, read on.

The rule: in order, and only forward. What fails for now is repeated in place while readiness is false; what can never
be loaded is a dead letter that Kafka acknowledged before the offsets move; everything else halts.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, Self, TypeVar

import structlog
from prometheus_client import CollectorRegistry

from schemas.breaker import Breaker, BreakerLimits
from schemas.dead_letter import Reason
from schemas.lag import LagWatch
from schemas.topics import DEAD_LETTERS, KEYED_TOPICS, RECONCILE, SESSIONS
from schemas.tracing import Tracing
from sinks.backoff import delays
from sinks.correcting import Corrected, Correction, correct
from sinks.discretion import OPEN, Discretion
from sinks.erasing import refilled
from sinks.freshness import CallFreshness, since_receipt
from sinks.halt import HaltError
from sinks.intake import Intake, letter_about, prepare, take_in
from sinks.kafka_outbox import KafkaOutbox
from sinks.kafka_source import IDENTITY, HaulLimits, KafkaSource, TopicIds
from sinks.keyed import KEYED_TABLES, keyed_rows
from sinks.log import Haul, LogUnavailableError, Outbox, Source, UndeliverableLetterError
from sinks.metrics import LoaderLag, LoaderMetrics
from sinks.rows import SessionRows, VersionsOf
from sinks.sink import (
    Batch,
    FencedError,
    LettersRejectedError,
    LogPartition,
    RowsRejectedError,
    Sink,
    SinkUnavailableError,
    Written,
    utc_now,
)
from sinks.snapshot import Embedded, Snapshot, SnapshotError, Snapshots
from sinks.status import FreshnessWindow, LoaderStatus, PartitionStatus

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

LOADED_TOPICS: Final = (SESSIONS, DEAD_LETTERS, RECONCILE, *KEYED_TOPICS)


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """How much at once, how often, how long. The defaults favour freshness."""

    limits: HaulLimits = field(default_factory=HaulLimits)
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    checkpoint_idle_seconds: float = 20.0
    retry_first_seconds: float = 0.5
    retry_most_seconds: float = 30.0
    snapshot_file: Path | None = None
    snapshot_seconds: float = 0.0


class _StoppedError(Exception):
    """The stop came while something was being repeated: it is left undone, and its offsets unmoved."""


@dataclass(slots=True)
class _Counts:
    sessions_applied: int = 0
    sessions_stale: int = 0
    letters_loaded: int = 0
    dead_lettered: int = 0


class Loader:
    """One loader of one warehouse. `run` it once."""

    def __init__(  # noqa: PLR0913 - the collaborators, by name
        self,
        sink: Sink,
        source: Source,
        outbox: Outbox,
        *,
        topic_prefix: str,
        settings: LoaderSettings,
        metrics: LoaderMetrics,
        versions_of: VersionsOf | None = None,
        discretion: Callable[[], Discretion] = lambda: OPEN,
        clock: Callable[[], datetime] = utc_now,
        tracing: Tracing | None = None,
    ) -> None:
        self._sink = sink
        self._source = source
        self._outbox = outbox
        self._letters_topic = DEAD_LETTERS.name(topic_prefix)
        self._keyed_topics = {f"{topic_prefix}{name}": name for name in KEYED_TABLES}
        self._windows_topic = RECONCILE.name(topic_prefix)
        self._labels = {topic.name(topic_prefix): topic.suffix for topic in LOADED_TOPICS}
        self._settings = settings
        self._metrics = metrics
        self._versions_of = versions_of
        self._discretion = discretion
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="warehouse")
        self._breaker = Breaker(settings.breaker)
        self._stored: dict[LogPartition, int] = {}
        self._known: frozenset[LogPartition] = frozenset()
        self._reason: str | None = "starting"
        self._counts = _Counts()
        self._freshness = FreshnessWindow()
        self._call_freshness = CallFreshness()
        self._tracing = tracing
        self._lag: LagWatch[LogPartition] = LagWatch()
        metrics.registry.register(
            LoaderLag(self._partitions, self._lag, label_of=self._label, clock=lambda: self._clock().timestamp())
        )
        self._last_commit_at: datetime | None = None
        self._written_since_checkpoint = False
        self._written_at = 0.0
        self._snapshots = (
            Snapshots(sink, settings.snapshot_file, settings.snapshot_seconds)
            if settings.snapshot_file is not None and isinstance(sink, Embedded)
            else None
        )

    @classmethod
    def over_kafka(  # noqa: PLR0913 - what differs between loaders, by name
        cls,
        kafka: Mapping[str, Any],
        topic_prefix: str,
        sink: Sink,
        settings: LoaderSettings = LoaderSettings(),
        *,
        registry: CollectorRegistry,
        topic_ids: TopicIds | None = None,
        versions_of: VersionsOf | None = None,
        discretion: Callable[[], Discretion] = lambda: OPEN,
        tracing: Tracing | None = None,
    ) -> Self:
        """A loader of the topics with this prefix; `kafka` holds the arguments of every aiokafka client.

        Without `topic_ids`, a topic that was made anew is noticed only where it is shorter than the one before.
        """
        metrics = LoaderMetrics(registry)
        topics = tuple(topic.name(topic_prefix) for topic in LOADED_TOPICS)
        return cls(
            sink,
            KafkaSource(
                kafka,
                topics,
                settings.limits,
                count_reset=metrics.resets.inc,
                topic_ids=topic_ids,
                # An older deployment has no topic of hours, and one without enrichment none of those.
                may_lack=frozenset(topic.name(topic_prefix) for topic in (RECONCILE, *KEYED_TOPICS)),
                reads_traces=tracing is not None,
            ),
            KafkaOutbox(kafka, DEAD_LETTERS.name(topic_prefix)),
            topic_prefix=topic_prefix,
            settings=settings,
            metrics=metrics,
            versions_of=versions_of,
            discretion=discretion,
            tracing=tracing,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Load until `stop` is set; then finish the batch in hand. Raises HaltError where going on is not safe."""
        try:
            await self._patiently(partial(self._in_thread, self._sink.open), stop)
            await self._reopen(stop)
            self._discretion()  # halts where this warehouse must not be written as this process is set up
            while not stop.is_set():
                await self._turn(stop)
        except _StoppedError:
            log.warning("batch_left_undone", reason=self._reason, meaning="its offsets are unmoved: it is read again")
        except (FencedError, LettersRejectedError, UndeliverableLetterError) as exc:
            self._not_ready(str(exc))
            raise HaltError(str(exc)) from exc
        except BaseException as exc:
            self._not_ready(type(exc).__name__)
            raise
        finally:
            await self._close()
        self._not_ready("stopped")

    def status(self) -> LoaderStatus:
        """How it is going. Call it from the event loop that runs the loader."""
        counts = self._counts
        return LoaderStatus(
            ready=self._reason is None,
            reason=self._reason,
            partitions=self._partitions(),
            last_commit_at=self._last_commit_at,
            sessions_applied=counts.sessions_applied,
            sessions_stale=counts.sessions_stale,
            letters_loaded=counts.letters_loaded,
            dead_lettered=counts.dead_lettered,
            freshness_p50_seconds=self._freshness.percentile(0.50),
            freshness_p95_seconds=self._freshness.percentile(0.95),
        )

    def _partitions(self) -> tuple[PartitionStatus, ...]:
        ends = self._source.ends()
        return tuple(
            PartitionStatus(partition, self._stored.get(partition, 0), ends.get(partition))
            for partition in sorted({*self._known, *ends})
            if partition.partition != IDENTITY
        )

    async def _turn(self, stop: asyncio.Event) -> None:
        try:
            haul = await self._source.read()
        except LogUnavailableError as exc:
            self._count_retry(exc)
            # Whatever the source had in hand is read again.
            await self._reopen(stop)
            return
        # Records may come without moving the offset: a topic that was made anew, with as many records as before.
        read = {record.partition for record in haul.records}
        moved = {
            partition: position
            for partition, position in haul.positions.items()
            if position != self._stored.get(partition, 0) or partition in read
        }
        self._known = frozenset(haul.positions)
        if moved:
            await self._land(haul, moved, stop)
        elif self._is_quiet():
            await self._checkpoint()
        if self._snapshots is not None and self._snapshots.is_due():
            await self._publish_snapshot()

    async def _reopen(self, stop: asyncio.Event) -> None:
        self._stored = await self._patiently(partial(self._in_thread, self._sink.offsets), stop)
        await self._patiently(partial(self._source.open, self._stored), stop)
        self._ready()

    async def _land(self, haul: Haul, moved: dict[LogPartition, int], stop: asyncio.Event) -> None:
        """Write a haul. Taking out what cannot be loaded may take several rounds; each first publishes its letters."""
        read_at = self._clock()
        discretion = self._discretion()
        intake = await self._in_thread(self._taken_in(haul, discretion))
        if intake.hollow:
            refill = partial(refilled, self._sink, intake, discretion.suppressions)
            intake = await self._patiently(partial(self._in_thread, refill), stop)
        keyed = await self._in_thread(partial(keyed_rows, intake.keyed))
        published: set[int] = set()
        while True:
            intake, rows = await self._in_thread(partial(prepare, intake))
            breaker = self._breaker.after(intake.verdicts())
            if breaker.tripped is not None:
                self._not_ready(breaker.tripped)
                raise HaltError(breaker.tripped)
            await self._publish_letters(intake, published, stop)
            expected = {partition: self._stored.get(partition) for partition in moved}
            batch = Batch(rows, intake.letters(), moved, expected, keyed)
            try:
                if intake.erased or intake.erased_letters:
                    await self._patiently(partial(self._in_thread, partial(self._forget, intake, rows)), stop)
                written = await self._patiently(partial(self._write, batch), stop)
            except RowsRejectedError as exc:
                # Not what the warehouse said: it may quote values. The letters' details do.
                log.warning("sessions_refused", count=len(exc.sessions), reason=Reason.SINK_REJECTED.value)
                intake = intake.without(exc.sessions, Reason.SINK_REJECTED)
                continue
            break
        self._breaker = breaker
        self._stored.update(moved)
        self._ready()
        self._count(haul, rows, written)
        if intake.erased or intake.erased_letters:
            log.info("erased", sessions=len(intake.erased), letters=len(intake.erased_letters))
            if self._snapshots is not None:
                await self._publish_snapshot()  # the copy that readers have must forget, too
        self._trace(haul, read_at)

    def _forget(self, intake: Intake, rows: SessionRows) -> None:
        """What is left is written first, then what it replaces goes; the offsets move later, with the batch."""
        self._sink.write(Batch(rows, (), {}, {}))
        self._sink.forget(sorted(intake.erased), sorted(intake.erased_letters))

    def _taken_in(self, haul: Haul, discretion: Discretion) -> Callable[[], Intake]:
        return partial(
            take_in,
            haul.records,
            letters_topic=self._letters_topic,
            windows_topic=self._windows_topic,
            keyed_topics=self._keyed_topics,
            versions_of=self._versions_of,
            discretion=discretion,
        )

    async def _write(self, batch: Batch) -> Written:
        with self._metrics.writing.time():
            return await self._in_thread(partial(self._sink.write, batch))

    async def _publish_letters(self, intake: Intake, published: set[int], stop: asyncio.Event) -> None:
        due = [position for position in intake.letters_due() if position not in published]
        if not due:
            return
        now = self._clock()
        suppressions = self._discretion().suppressions
        letters = [
            suppressions.letter(letter_about(intake.records[at], intake.unusable[at], occurred_at=now)) for at in due
        ]
        await self._patiently(partial(self._outbox.publish, letters), stop)
        published.update(due)
        self._counts.dead_lettered += len(due)
        for position in due:
            self._metrics.dead_letters[intake.unusable[position].reason].inc()

    async def _patiently(self, attempt: Callable[[], Awaitable[_T]], stop: asyncio.Event) -> _T:
        """Repeat what a sick dependency fails at, until it succeeds or the stop comes."""
        for delay in delays(self._settings.retry_first_seconds, self._settings.retry_most_seconds):
            try:
                outcome = await attempt()
            except (SinkUnavailableError, LogUnavailableError) as exc:
                self._count_retry(exc)
                if await _is_set_within(stop, delay):
                    raise _StoppedError from exc
            else:
                return outcome
        raise AssertionError("delays never end")

    async def _checkpoint(self) -> None:
        self._written_since_checkpoint = False
        try:
            await self._in_thread(self._sink.checkpoint)
        except SinkUnavailableError as exc:
            # Nothing is lost: the next batch meets the same fault, and waits for its end.
            log.warning("checkpoint_failed", reason=str(exc))

    async def snapshot(self) -> Snapshot:
        """Publish a copy of the warehouse now; raise SnapshotError where that fails. Call it from the loader's loop."""
        if self._snapshots is None:
            raise SnapshotError("this warehouse answers many readers by itself: connect to it, no copy is needed")
        # The one thread of the warehouse does one thing at a time: no batch is half-way while the file is copied.
        return await self._in_thread(self._snapshots.publish)

    async def correct(self, corrections: Sequence[Correction]) -> Corrected:
        """Lay sessions down again beside the batches; raise SinkUnavailableError. Call it from the loader's loop."""
        corrected = await self._in_thread(
            partial(correct, self._sink, corrections, self._versions_of, self._discretion())
        )
        if corrected.applied:
            self._note_write()
        return corrected

    async def _publish_snapshot(self) -> None:
        try:
            await self.snapshot()
        except SnapshotError as exc:
            self._metrics.snapshot_failures.inc()
            log.warning("snapshot_failed", reason=str(exc))

    def _is_quiet(self) -> bool:
        return (
            self._written_since_checkpoint and monotonic() - self._written_at >= self._settings.checkpoint_idle_seconds
        )

    async def _close(self) -> None:
        await self._source.close()
        await self._outbox.close()
        await self._in_thread(self._sink.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, job: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def _ready(self) -> None:
        if self._reason is not None:
            log.info("loader_ready", after=self._reason)
        self._reason = None

    def _not_ready(self, reason: str) -> None:
        self._reason = reason

    def _count_retry(self, exc: Exception) -> None:
        of_sink = isinstance(exc, SinkUnavailableError)
        (self._metrics.sink_retries if of_sink else self._metrics.log_retries).inc()
        log.warning("warehouse_unavailable" if of_sink else "kafka_unavailable", reason=str(exc))
        self._not_ready(str(exc))

    def _count(self, haul: Haul, rows: SessionRows, written: Written) -> None:
        now = self._clock()
        self._last_commit_at = now
        self._note_write()
        counts, metrics = self._counts, self._metrics
        counts.sessions_applied += len(written.applied)
        counts.sessions_stale += written.stale_count
        counts.letters_loaded += written.letter_count
        metrics.sessions_applied.inc(len(written.applied))
        metrics.sessions_stale.inc(written.stale_count)
        metrics.letters_loaded.inc(written.letter_count)
        for topic, count in Counter(record.partition.topic for record in haul.records).items():
            metrics.records_read[self._label(topic)].inc(count)
        self._lag.note_read(
            {record.partition: record.published_at for record in haul.records if record.published_at is not None}
        )
        fresh = since_receipt(rows, written, now)
        self._freshness.add(fresh)
        for seconds in fresh:
            metrics.freshness.observe(seconds)
        for seconds in self._call_freshness.since_end(rows, written, now):
            metrics.call_freshness.observe(seconds)

    def _trace(self, haul: Haul, read_at: datetime) -> None:
        """The last span of each trace that a record of the haul carries: from its reading to its row's commit."""
        if self._tracing is None:
            return
        for record in haul.records:
            if record.trace is not None:
                name, began_at = "callweave.load", read_at.timestamp()
                topic = self._label(record.partition.topic)
                self._tracing.begin(name, parents=[record.trace], began_at=began_at, topic=topic).end()

    def _note_write(self) -> None:
        self._written_since_checkpoint, self._written_at = True, monotonic()
        if self._snapshots is not None:
            self._snapshots.note_write()

    def _label(self, topic: str) -> str:
        return self._labels.get(topic, SESSIONS.suffix)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
