"""From a fetch to the agent's queue and back to the commit, by slices and batches, where Faust has tasks a record.

The rule: within a slice nothing is awaited, so no rebalance can come between the look at the generation and the
delivery; whatever would have to wait (a full queue, a hole in the offsets) goes Faust's own way. `guard.py` watches.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

from faust.streams import Stream
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, EventT, Message
from faust.types.tuples import ack_lock
from mode.utils.futures import notify
from typing_extensions import override

SLICE_RECORDS = 200
GATHER_BEAT_SECONDS = 0.01

Pressure = tuple[Callable[[], None], Callable[[], None]]


class DeliversInSlices(driver.Consumer):
    """`faust/transport/consumer.py` `_drain_messages` makes four tasks a message, to get away when a rebalance suspends
    the flow while a delivery waits for room.

    A record whose queue has room waits for nothing, so it is delivered at once. Everything else is handed to upstream,
    which goes the way that it went before.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pressure: dict[TP, Pressure] = {}

    @override
    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        for theirs, records in (fetched or {}).items():
            tp = TP(theirs.topic, theirs.partition)  # aiokafka has a tuple of its own, equal and of another type
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue  # paused while the fetch was under way: it is read again from where it stands
            done = 0
            while done < len(records):
                if self.should_stop or not self.flow_active or self.app.consumer_generation_id != generation:
                    return  # the new generation seeks, and reads them again
                slice_ = records[done : done + SLICE_RECORDS]
                delivered = self._deliver(tp, slice_)
                done += delivered
                if delivered < len(slice_):
                    yield tp, self._to_message(tp, records[done])
                    done += 1
                await asyncio.sleep(0)

    def _deliver(self, tp: TP, records: Sequence[Any]) -> int:
        """Put records into the queue of their one channel, as far as they need not wait; how many are dealt with."""
        app = cast("Any", self.app)
        channels = app.topics._tp_index.get(tp, ())  # noqa: SLF001  (what the conductor's own handlers are made of)
        if len(channels) != 1 or not app.flow_control.is_active():
            return 0
        (channel,) = channels
        queue, has_acks = channel.queue, app.topics.acks_enabled_for(tp.topic)
        on_high, on_drop = self._pressure_of(tp)
        make_event = app.conf.Event  # what `create_event` asks the settings for, once a slice
        known = self._read_offset[tp]
        count = 0
        for record in records:
            offset = record.offset
            if known is None or offset >= known:
                has_hole = bool(known) and offset - known > 1
                if queue.full() or (has_hole and has_acks):
                    break
                message = self._to_message(tp, record)
                message.refcount = 1
                event = make_event(app, message.key, message.value, message.headers, message)
                queue.put_nowait_enhanced(event, on_pressure_high=on_high, on_pressure_drop=on_drop)
                self._read_offset[tp] = known = offset
            count += 1
        return count

    def _pressure_of(self, tp: TP) -> Pressure:
        """What a queue calls when it fills and empties; one pair a partition, for queues know them by identity."""
        pressure = self._pressure.get(tp)
        if pressure is None:
            pressure = self._pressure[tp] = partial(self.on_buffer_full, tp), partial(self.on_buffer_drop, tp)
        return pressure


class AcksBatches(driver.Consumer):
    """`faust/transport/consumer.py` `ack`, for a whole batch under one lock.

    And row 6: `faust/streams.py` acks events of an old generation that it skips, and so moves the commit. Such a record
    will be read again, so its ack must not count.
    """

    @override
    def ack(self, message: Message) -> bool:
        return self.ack_all([message]) == 1

    def ack_all(self, messages: Iterable[Message]) -> int:
        """Note that messages are done; how many of them move the commit."""
        count = 0
        generation = self.app.consumer_generation_id
        with ack_lock:
            for message in messages:
                if message.acked:
                    continue
                message.acked, message.refcount = True, 0
                self._unacked_messages.discard(message)
                if message.generation_id == generation and self._note_done(message.tp, message.offset):
                    count += 1
            self._n_acked += count
        notify(self._waiting_for_ack)
        return count

    def _note_done(self, tp: TP, offset: int) -> bool:
        committed, done = self._committed_offset[tp], self._acked_index[tp]
        if not self.app.topics.acks_enabled_for(tp.topic) or offset in done:
            return False
        if committed is not None and offset < committed:
            return False
        done.add(offset)
        self._acked[tp].append(offset)
        return True


class BatchStream(Stream[Any]):
    """`faust/streams.py` `take_events` lets every event pass a task, a processor and a turn of the event loop.

    Here a batch is what lies in the queue. And row 5: upstream acks in a `finally`; here a batch is acknowledged only
    when its body has come back for the next one.
    """

    @override
    async def take_events(self, max_: int, within: Any) -> AsyncGenerator[Sequence[EventT[Any]], None]:
        """As upstream: at most so many events, gathered for at most so many seconds after the first."""
        is_ours = await self.maybe_start()
        consumer = cast("Any", self.app.consumer)
        try:
            while not self.should_stop:
                batch = await self._gather(max_, float(within))
                if batch:
                    yield batch
                    consumer.ack_all(event.message for event in batch)
                await asyncio.sleep(0)  # a body without work must not keep the loop
        except StopAsyncIteration:
            return  # how Faust ends an agent: what was gathered is not acknowledged, so it is read again
        finally:
            self._channel_stop_iteration(self.channel)
            if is_ours:
                await self.stop()
                self.service_reset()

    async def _gather(self, count_max: int, seconds: float) -> list[EventT[Any]]:
        queue = cast("Any", self.channel).queue
        batch: list[EventT[Any]] = []
        self._take(await queue.get(), batch)
        deadline = self.loop.time() + seconds
        while True:
            while len(batch) < count_max and not queue.empty():
                self._take(queue.get_nowait(), batch)
            left = deadline - self.loop.time()
            if left <= 0 or len(batch) >= count_max:
                return batch
            await asyncio.sleep(min(left, GATHER_BEAT_SECONDS))

    def _take(self, event: EventT[Any], batch: list[EventT[Any]]) -> None:
        """Track an event until it is acknowledged; one of an older generation is dropped: it will be read again."""
        app, message = self.app, event.message
        if not app.flow_control.is_active() or message.generation_id != app.consumer_generation_id:
            return
        if not message.tracked:
            message.tracked = True
            app.consumer.unacked.add(message)
        self.events_total += 1
        batch.append(event)
