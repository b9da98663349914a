"""Overrides of Faust's consumer: one class per defect of faust-streaming 0.15.3 (faust.md part 1)."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import aiokafka
import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from typing_extensions import override

from streams.engine.delivery import AcksBatches, DeliversInSlices
from streams.engine.positions import start_offset

log = structlog.get_logger(__name__)

FETCH_WAIT_MS = 100
IDLE_FETCH_WAIT_MS = 500
FETCH_BYTES_MAX = 8 * 1024 * 1024


class FrozenFetchThread(driver.AIOKafkaConsumerThread):
    """Row 3: `faust/transport/drivers/aiokafka.py` `_fetch_records` hands aiokafka the *live* set of partitions.

    A fetch begun before a rebalance drains the new assignment with it, and a set emptied meanwhile means "all
    partitions" to aiokafka. Here the set is frozen, one lock stands around fetches and seeks, and what an
    older generation fetched is dropped (the new one seeks, under the same lock, before it resumes).

    It also waits 100 ms for a fetch where upstream has a fixed 1,500 ms (`_create_worker_consumer`): a fetch for idle
    partitions blocks the one connection, so that is a fault of latency. Where a second brought nothing, the broker may
    hold the next fetch longer: it answers at once when there is a record, of whichever partition (ADR 0059).

    And a fetch brings 8 MiB at most where aiokafka takes 50: a rebalance throws away what is fetched and not yet
    absorbed, and somebody has to fetch it again.
    """

    _fetch_lock: asyncio.Lock | None = None

    @override
    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001  (read by aiokafka when it starts)
        consumer._fetch_max_bytes = FETCH_BYTES_MAX  # noqa: SLF001  (likewise)
        return consumer

    @override
    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[TP, list[Any]]:
        partitions = set(active_partitions or ())
        if not partitions or not self.consumer.flow_active:
            return {}
        generation = self.app.consumer_generation_id
        async with self._lock():
            records: Mapping[TP, list[Any]] = await super()._fetch_records(
                consumer, partitions, timeout=timeout, max_records=max_records
            )
        is_idle = not records and self.consumer.flow_active
        _hold_fetches(consumer, IDLE_FETCH_WAIT_MS if is_idle else FETCH_WAIT_MS)
        return records if self.app.consumer_generation_id == generation else {}

    @override
    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        _hold_fetches(self._ensure_consumer(), FETCH_WAIT_MS)  # what a rebalance asks goes over the same connection
        await super().on_partitions_revoked(revoked)

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int | None]:
        """What the group has committed, by partition."""
        return await self.call_thread(self._committed, list(partitions))  # type: ignore[no-any-return]

    async def _committed(self, partitions: list[TP]) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        return dict(zip(partitions, await asyncio.gather(*map(consumer.committed, partitions)), strict=True))

    @override
    async def _seek_wait(self, consumer: aiokafka.AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        async with self._lock():
            await super()._seek_wait(consumer, partitions)

    def _lock(self) -> asyncio.Lock:
        # Made on the consumer thread's loop, where all three callers run.
        if self._fetch_lock is None:
            self._fetch_lock = asyncio.Lock()
        return self._fetch_lock


class FrozenFetches(driver.Consumer):
    """Puts `FrozenFetchThread` in the place of Faust's."""

    @override
    def _new_consumer_thread(self) -> FrozenFetchThread:
        return FrozenFetchThread(self, loop=self.loop, beacon=self.beacon)


class SeeksToPositions(driver.Consumer):
    """Row 2: `aiokafka/consumer/consumer.py` `seek_to_committed` (`offset > 0`) behind `Consumer.perform_seek`.

    Upstream does not rewind a partition without a commit, so what a rebalance dropped at its start is gone; and a
    commit may be ahead of what was absorbed (rows 5 and 6). Here the state says where it stands (`positions.py`), and
    every source partition is sought there; what was committed never moves a position ahead.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.starts: dict[TP, int] | None = None
        """Where the assigned source partitions are read from; None until they have been sought."""

    @override
    async def perform_seek(self) -> None:
        # Faust calls this also when a fetch meets a flow that has been stopped. A rebalance stopped it, and that ends
        # with `seek_to_positions`; seeking in between could only race it.
        pass

    async def seek_to_positions(self, positions: Mapping[TP, int]) -> None:
        """Seek every assigned source partition to what the state says, and let the group's commits say the same."""
        self.starts = None
        sources = [tp for tp in map(_tp, self.assignment()) if not self._is_changelog_tp(tp)]
        if not sources:
            self.starts = {}
            return
        assert isinstance(self._thread, FrozenFetchThread)
        committed = await self._thread.committed(sources)
        earliest = await self.earliest_offsets(*sources)
        ends = await self.highwaters(*sources)
        starts: dict[TP, int] = {}
        behind: dict[TP, int] = {}
        for tp in sources:
            position, commit = positions.get(tp), committed[tp]
            starts[tp], problem = start_offset(position, committed=commit, earliest=earliest[tp], end=ends[tp])
            if problem is not None:
                log.error(
                    "source_position_unusable",
                    problem=problem,
                    topic=tp.topic,
                    partition=tp.partition,
                    position=position,
                    earliest=earliest[tp],
                    end=ends[tp],
                )
            elif commit is not None and commit != starts[tp]:
                behind[tp] = starts[tp]
        await self.seek_wait(starts)
        for tp in sources:
            for bookkeeping in (self._gap, self._acked, self._acked_index):
                bookkeeping.pop(tp, None)
        self._committed_offset.update({tp: starts[tp] for tp in sources})
        if behind:
            await self._commit(behind)
        self.starts = starts


class KeepsPaused(driver.Consumer):
    """Row 7: `faust/transport/consumer.py` `on_buffer_drop` re-activates a partition that was paused meanwhile."""

    @override
    def on_buffer_drop(self, tp: TP) -> None:
        if tp in self._paused_partitions:
            self._buffered_partitions.discard(tp)
            return
        super().on_buffer_drop(tp)


class SafeConsumer(DeliversInSlices, FrozenFetches, SeeksToPositions, KeepsPaused, AcksBatches, driver.Consumer):
    """All answers together."""


class IdempotentProducer(driver.Producer):
    """Row 9, its settings: `faust/transport/drivers/aiokafka.py` offers no idempotence without transactions."""

    @override
    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class SafeTransport(driver.Transport):
    """Faust's transport with the consumer and the producer of this folder."""

    Consumer = SafeConsumer
    Producer = IdempotentProducer


def _hold_fetches(consumer: aiokafka.AIOKafkaConsumer, milliseconds: int) -> None:
    """For so long may the broker hold the next fetches while it has nothing."""
    consumer._fetcher._fetch_max_wait_ms = milliseconds  # noqa: SLF001  (read for each fetch)


def _tp(partition: Any) -> TP:
    return TP(partition.topic, partition.partition)
