"""The topics as the loader reads them: an aiokafka consumer without a group, on all partitions, from offsets of ours.

The rule: the warehouse alone knows how far it is; nothing is committed to Kafka. A stored offset outside of the log, or
of another topic of the same name, is told loudly, and the partition is read from its beginning, because rows are
idempotent by version.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from schemas.topics import MESSAGE_BYTES_MAX
from schemas.tracing import context_in
from sinks.log import Haul, LogUnavailableError, Record
from sinks.sink import LogPartition

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

IDENTITY: Final = -1
"""The partition number under which a topic's id stands among the offsets: it says which topic the others are of."""

TopicIds = Callable[[], Awaitable[Mapping[str, int]]]
"""Asks the broker for a number of each topic that another one of the same name does not have."""
_RECORDS_AT_ONCE: Final = 1_000
_LOOK_MS: Final = 1_000
"""How often aiokafka looks by itself whether there is something to ask for; everything that makes it so wakes it."""
_FETCH_WAIT_MS: Final = 250
_IDLE_FETCH_WAIT_MS: Final = 1_000
"""How long the broker may hold a fetch while nothing comes. It answers at once when something does; but a fetch that
began while some partitions' records lay unread here does not ask for those."""
_ANSWER_SECONDS_MAX: Final = 10.0


@dataclass(frozen=True, slots=True)
class HaulLimits:
    """How much is read before it is written. The first record waits for others at most `linger_seconds`."""

    records_max: int = 10_000
    bytes_max: int = 64 * 1024 * 1024
    linger_seconds: float = 0.2
    idle_seconds: float = 0.5
    probe_seconds: float = 5.0
    partitions_seconds: float = 30.0


@dataclass(slots=True)
class _Reading:
    """A consumer at work, and what it knows."""

    consumer: AIOKafkaConsumer
    ends: dict[LogPartition, int] = field(default_factory=dict)
    topic_ids: Mapping[str, int] = field(default_factory=dict)
    probed_at: float = 0.0
    counted_at: float = 0.0


class KafkaSource:
    """The given topics, whole."""

    def __init__(  # noqa: PLR0913  (the collaborators, by name)
        self,
        kafka: Mapping[str, Any],
        topics: tuple[str, ...],
        limits: HaulLimits,
        *,
        count_reset: Callable[[], None],
        topic_ids: TopicIds | None = None,
        may_lack: frozenset[str] = frozenset(),
        reads_traces: bool = False,
    ) -> None:
        """`may_lack`: topics that are read once they exist."""
        self._kafka = kafka
        self._topics = topics
        self._may_lack = may_lack
        self._reads_traces = reads_traces
        self._limits = limits
        self._count_reset = count_reset
        self._topic_ids = topic_ids
        self._reading: _Reading | None = None

    async def open(self, stored: Mapping[LogPartition, int]) -> None:
        """Connect and seek."""
        await self.close()
        consumer = AIOKafkaConsumer(
            **self._kafka,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            consumer_timeout_ms=_LOOK_MS,
            max_partition_fetch_bytes=MESSAGE_BYTES_MAX,
            request_timeout_ms=int(_ANSWER_SECONDS_MAX * 1000),
        )
        reading = _Reading(consumer)
        self._reading = reading
        try:
            await _answered(consumer.start())
            partitions = await self._partitions(consumer)
            reading.topic_ids = await self._ids()
            await self._assign(reading, partitions, self._of_these_topics(stored, reading.topic_ids))
        except BaseException:
            await self.close()
            raise

    async def read(self) -> Haul:
        """Gather records until they are many, large, or old enough."""
        assert self._reading is not None, "the source is opened before it is read"
        reading, limits = self._reading, self._limits
        await self._look_around(reading)
        records: list[Record] = []
        bytes_count, due = 0, monotonic() + limits.idle_seconds
        while len(records) < limits.records_max and bytes_count < limits.bytes_max:
            wait = due - monotonic()
            if wait <= 0:
                break
            found = await self._fetch(reading, wait, limits.records_max - len(records))
            if found and not records:
                due = monotonic() + limits.linger_seconds
            records += found
            bytes_count += sum(len(record.value or b"") for record in found)
        fetcher: Any = reading.consumer._fetcher  # noqa: SLF001  (there is no public way to it, and each fetch reads it)
        fetcher._fetch_max_wait_ms = _FETCH_WAIT_MS if records else _IDLE_FETCH_WAIT_MS  # noqa: SLF001
        return Haul(records, await self._positions(reading))

    def ends(self) -> Mapping[LogPartition, int]:
        """Where each partition ended when the broker last said so."""
        return {} if self._reading is None else self._reading.ends

    async def close(self) -> None:
        """Disconnect."""
        reading, self._reading = self._reading, None
        if reading is not None:
            # A consumer whose broker is away may fail at saying good-bye; there is nothing that it would lose.
            with contextlib.suppress(LogUnavailableError):
                await _answered(reading.consumer.stop())

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        # aiokafka has no public call for this; asking for one topic by name might create it on the way.
        cluster = await _answered(consumer._client.fetch_all_metadata())  # noqa: SLF001
        found: list[TopicPartition] = []
        for topic in self._topics:
            numbers = cluster.partitions_for_topic(topic)
            if not numbers:
                if topic in self._may_lack:
                    continue
                raise LogUnavailableError(f"the topic {topic} does not exist: run `callweave topics apply`")
            found += [TopicPartition(topic, number) for number in sorted(numbers)]
        return found

    async def _assign(
        self, reading: _Reading, partitions: list[TopicPartition], wanted: Mapping[LogPartition, int]
    ) -> None:
        consumer = reading.consumer
        consumer.assign(partitions)
        beginnings = await _answered(consumer.beginning_offsets(partitions))
        ends = await _answered(consumer.end_offsets(partitions))
        for partition in partitions:
            offset = wanted.get(_ours(partition))
            beginning, end = beginnings[partition], ends[partition]
            if offset is not None and not beginning <= offset <= end:
                self._tell_reset(partition, offset, beginning=beginning, end=end)
                offset = None
            consumer.seek(partition, beginning if offset is None else offset)
        reading.ends = {_ours(partition): end for partition, end in ends.items()}
        reading.probed_at = reading.counted_at = monotonic()

    async def _look_around(self, reading: _Reading) -> None:
        """Ask the broker now and then: a consumer hides that it is away, and does not see partitions that are added."""
        now = monotonic()
        if now - reading.counted_at >= self._limits.partitions_seconds:
            ids = await self._ids()
            if ids and any(ids.get(topic) != topic_id for topic, topic_id in reading.topic_ids.items()):
                raise LogUnavailableError("a topic was made anew: it is opened again, and read from its beginning")
            reading.topic_ids = ids or reading.topic_ids  # an optional topic may have come
            partitions = await self._partitions(reading.consumer)
            if set(partitions) != reading.consumer.assignment():
                log.info("partitions_changed", count=len(partitions))
                await self._assign(reading, partitions, await self._positions(reading))
            reading.counted_at = now
        if now - reading.probed_at >= self._limits.probe_seconds:
            ends = await _answered(reading.consumer.end_offsets(list(reading.consumer.assignment())))
            reading.ends = {_ours(partition): end for partition, end in ends.items()}
            reading.probed_at = now

    async def _fetch(self, reading: _Reading, wait: float, count_max: int) -> list[Record]:
        try:
            found = await reading.consumer.getmany(
                timeout_ms=max(1, int(wait * 1000)), max_records=min(count_max, _RECORDS_AT_ONCE)
            )
        except OffsetOutOfRangeError as exc:
            await self._restart(reading, dict(exc.args[0]))
            return []
        except KafkaError as exc:
            raise LogUnavailableError(f"Kafka: {exc!r}") from exc
        return [
            Record(
                _ours(partition),
                record.offset,
                record.key,
                record.value,
                record.timestamp / 1000,
                context_in(record.headers) if self._reads_traces else None,
            )
            for partition, records in found.items()
            for record in records
        ]

    async def _restart(self, reading: _Reading, offsets: Mapping[TopicPartition, int]) -> None:
        partitions = list(offsets)
        beginnings = await _answered(reading.consumer.beginning_offsets(partitions))
        ends = await _answered(reading.consumer.end_offsets(partitions))
        for partition in partitions:
            self._tell_reset(partition, offsets[partition], beginning=beginnings[partition], end=ends[partition])
            reading.consumer.seek(partition, beginnings[partition])

    async def _positions(self, reading: _Reading) -> dict[LogPartition, int]:
        # Not the last record's offset: compaction leaves gaps, at the end too, and whoever waits for the end would
        # wait for ever.
        positions = await _answered(_all_positions(reading.consumer))
        for partition, position in positions.items():
            reading.ends[partition] = max(reading.ends.get(partition, 0), position)
        return positions | {LogPartition(topic, IDENTITY): number for topic, number in reading.topic_ids.items()}

    async def _ids(self) -> Mapping[str, int]:
        return {} if self._topic_ids is None else await _answered(self._topic_ids())

    def _of_these_topics(self, stored: Mapping[LogPartition, int], ids: Mapping[str, int]) -> dict[LogPartition, int]:
        """The stored offsets without those of topics that only had the names of these."""
        kept = dict(stored)
        for topic, topic_id in ids.items():
            if stored.get(LogPartition(topic, IDENTITY), topic_id) == topic_id:
                continue
            kept = {partition: offset for partition, offset in kept.items() if partition.topic != topic}
            self._count_reset()
            log.error(
                "stored_offsets_of_another_topic",
                topic=topic,
                meaning="the topic was deleted and made anew since they were stored",
                action="reading it from its beginning; rows of older versions change nothing",
            )
        return kept

    def _tell_reset(self, partition: TopicPartition, offset: int, *, beginning: int, end: int) -> None:
        self._count_reset()
        log.error(
            "stored_offset_outside_log",
            topic=partition.topic,
            partition=partition.partition,
            stored_offset=offset,
            log_begins_at=beginning,
            log_ends_at=end,
            meaning=(
                "records were removed before they were loaded (retention)"
                if offset < beginning
                else "the topic was made anew, or lost its end"
            ),
            action="reading this partition from its beginning; rows of older versions change nothing",
        )


def _ours(partition: TopicPartition) -> LogPartition:
    return LogPartition(partition.topic, partition.partition)


async def _all_positions(consumer: AIOKafkaConsumer) -> dict[LogPartition, int]:
    return {_ours(partition): await consumer.position(partition) for partition in consumer.assignment()}


async def _answered(request: Awaitable[_T]) -> _T:
    """What aiokafka answers, within a bound; its own cancellations are failures like any other.

    A consumer whose broker was killed raises CancelledError from `stop` (of a task that it cancelled itself), which
    would end the loader as if somebody had cancelled that. Hence a task of its own, and no `asyncio.wait_for`, which
    also waits until what it cancelled has ended.
    """
    asked = asyncio.ensure_future(request)
    try:
        done, _ = await asyncio.wait({asked}, timeout=_ANSWER_SECONDS_MAX)
    except asyncio.CancelledError:
        _abandon(asked)
        raise
    if not done:
        _abandon(asked)
        raise LogUnavailableError(f"Kafka does not answer within {_ANSWER_SECONDS_MAX:g} s")
    try:
        return asked.result()
    except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as exc:
        raise LogUnavailableError(f"Kafka does not answer: {exc!r}") from exc


def _abandon(asked: "asyncio.Future[_T]") -> None:
    asked.cancel()
    asked.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody else will look at it
