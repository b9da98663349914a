"""Slices from a fetch to the agent's queue, and batches back to the commit (`streams/engine/delivery.py`)."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
from aiokafka.structs import TopicPartition
from faust.types import TP
from mode.utils.locks import Event
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from streams.engine.consumer import SafeConsumer
from streams.engine.delivery import SLICE_RECORDS, BatchStream
from tests.support.engine import a_message, an_event

CDR = TP("tccc.cdr", 0)
RECORD = TP("tccc.record", 0)


class Flow(FlowControlEvent):
    """Faust's own, running."""

    def __init__(self) -> None:
        super().__init__()
        self.resume()


class Fetched(SafeConsumer):
    """A consumer whose next fetch is what a test says."""

    def __init__(self, fetched: dict[Any, list[Any]], *, room: int = 1000) -> None:
        self.flow = Flow()
        self.queue: Any = ThrowableQueue(maxsize=room, flow_control=self.flow)
        channel = SimpleNamespace(queue=self.queue)
        self.app = SimpleNamespace(
            consumer_generation_id=2,
            flow_control=self.flow,
            in_recovery=False,
            topics=SimpleNamespace(_tp_index={CDR: {channel_of(channel)}}, acks_enabled_for=lambda _: True),
            create_event=lambda _key, _value, _headers, message: SimpleNamespace(message=message),
        )
        self.fetched, self.active = fetched, {CDR}
        self.flow_active = True
        self._stopped = Event()
        self._crashed = Event()
        self._pressure = {}
        self._read_offset = defaultdict(lambda: None)
        self._acked, self._acked_index = defaultdict(list), defaultdict(set)
        self._committed_offset = defaultdict(lambda: None)
        self._unacked_messages = WeakSet()
        self._waiting_for_ack, self._n_acked = None, 0
        self._active_partitions, self._paused_partitions, self._buffered_partitions = {CDR}, set(), set()

    async def _wait_next_records(self, _timeout: float) -> Any:
        return self.fetched, self.active

    def _to_message(self, tp: TP, record: Any) -> Any:
        return a_message(tp, record.offset)

    @property
    def should_stop(self) -> bool:
        return False

    async def drained(self) -> list[int]:
        """What is handed to upstream."""
        return [message.offset async for _, message in self.getmany(1.0)]

    def delivered(self) -> list[int]:
        """What lies in the agent's queue."""
        return [event.message.offset for event in self.queue._queue]


class channel_of:  # noqa: N801  (a hashable SimpleNamespace)
    def __init__(self, channel: SimpleNamespace) -> None:
        self.queue = channel.queue


def records(*offsets: int) -> dict[Any, list[Any]]:
    # aiokafka's own tuple, as a fetch answers with.
    return {TopicPartition(*CDR): [SimpleNamespace(offset=offset) for offset in offsets]}


async def test_a_fetch_is_delivered_in_order_without_a_task() -> None:
    consumer = Fetched(records(*range(3 * SLICE_RECORDS + 7)))
    assert await consumer.drained() == []
    assert consumer.delivered() == list(range(3 * SLICE_RECORDS + 7))
    assert consumer._read_offset[CDR] == 3 * SLICE_RECORDS + 6
    assert all(type(tp) is TP for tp in consumer._read_offset)


async def test_what_has_no_room_goes_upstreams_way_one_by_one() -> None:
    consumer = Fetched(records(0, 1, 2, 3, 4), room=3)
    assert await consumer.drained() == [3, 4]
    assert consumer.delivered() == [0, 1, 2]


async def test_a_full_queue_takes_its_partition_out_of_the_fetches_and_gives_it_back() -> None:
    consumer = Fetched(records(*range(10)), room=10)
    await consumer.drained()
    assert CDR not in consumer._active_partitions
    while not consumer.queue.empty():
        consumer.queue.get_nowait()
    consumer.queue.maybe_endorse_pressure_drop()
    assert CDR in consumer._active_partitions


async def test_a_hole_in_the_offsets_goes_upstreams_way() -> None:
    consumer = Fetched(records(4, 5, 9, 10))
    consumer._read_offset[CDR] = 3
    assert await consumer.drained() == [9, 10]  # nobody here notes that 9 was read, as upstream's loop would
    assert consumer.delivered() == [4, 5]


async def test_what_was_read_already_is_not_delivered_again() -> None:
    consumer = Fetched(records(1, 2, 3, 4))
    consumer._read_offset[CDR] = 3
    await consumer.drained()
    assert consumer.delivered() == [3, 4]


async def test_a_partition_that_was_paused_during_the_fetch_is_left_out() -> None:
    consumer = Fetched(records(0, 1))
    consumer.active = {RECORD}
    assert await consumer.drained() == []
    assert consumer.delivered() == []


@pytest.mark.parametrize("change", ["generation", "flow"])
async def test_a_rebalance_between_slices_ends_the_delivery(change: str) -> None:
    consumer = Fetched(records(*range(2 * SLICE_RECORDS)))
    draining = asyncio.create_task(consumer.drained())
    await asyncio.sleep(0)  # the first slice
    if change == "generation":
        consumer.app.consumer_generation_id = 3
    else:
        consumer.flow_active = False
    assert await draining == []
    assert consumer.delivered() == list(range(SLICE_RECORDS))


async def test_nothing_is_put_into_a_queue_whose_flow_is_stopped() -> None:
    consumer = Fetched(records(0, 1))
    consumer.flow.suspend()
    assert await consumer.drained() == [0, 1]
    assert consumer.delivered() == []


def test_a_batch_of_acks_moves_the_commit_as_single_acks_do() -> None:
    consumer = Fetched({})
    messages = [a_message(CDR, offset) for offset in (5, 6, 7)]
    stale = a_message(CDR, 8, generation=1)
    assert consumer.ack_all([*messages, messages[0], stale]) == 3
    assert consumer._acked[CDR] == [5, 6, 7]
    assert stale.acked


class Stream(BatchStream):
    """A stream over a queue, without the services around it."""

    def __init__(self, consumer: Fetched) -> None:
        self.app = consumer.app
        self.app.consumer = consumer
        self.channel = SimpleNamespace(queue=consumer.queue)
        self.events_total = 0
        self._loop = asyncio.get_running_loop()
        self._stopped = Event()
        self._crashed = Event()
        self._active_agens = WeakSet()

    async def maybe_start(self) -> bool:
        return False

    @property
    def should_stop(self) -> bool:
        return False


async def test_a_batch_is_acknowledged_when_its_body_asks_for_the_next_and_not_before() -> None:
    consumer = Fetched({})
    for offset in range(5):
        consumer.queue.force_put_nowait(an_event(CDR, offset))
    batches = Stream(consumer).take_events(3, within=0)
    first = await anext(batches)
    assert [event.message.offset for event in first] == [0, 1, 2]
    assert consumer._acked[CDR] == []
    assert len(consumer._unacked_messages) == 0, "only what is tracked must be awaited at the end"
    await anext(batches)
    assert consumer._acked[CDR] == [0, 1, 2]


async def test_a_body_that_raises_acknowledges_nothing() -> None:
    consumer = Fetched({})
    consumer.queue.force_put_nowait(an_event(CDR, 0))
    batches = Stream(consumer).take_events(3, within=0)
    await anext(batches)
    with pytest.raises(ZeroDivisionError):
        await batches.athrow(ZeroDivisionError())
    assert consumer._acked[CDR] == []


async def test_events_of_an_older_generation_are_dropped_without_an_ack() -> None:
    consumer = Fetched({})
    for event in (an_event(CDR, 0, generation=1), an_event(CDR, 1)):
        consumer.queue.force_put_nowait(event)
    (event,) = await anext(Stream(consumer).take_events(3, within=0))
    assert event.message.offset == 1
    assert consumer._acked[CDR] == []


async def test_an_event_in_hand_is_tracked_until_it_is_acknowledged() -> None:
    consumer = Fetched({})
    event = an_event(CDR, 0)
    event.message.tracked = False
    consumer.queue.force_put_nowait(event)
    batches = Stream(consumer).take_events(3, within=0)
    await anext(batches)
    assert list(consumer._unacked_messages) == [event.message]
    consumer.queue.force_put_nowait(an_event(CDR, 1))
    await anext(batches)
    assert list(consumer._unacked_messages) == []


async def test_a_batch_gathers_what_comes_within_its_time() -> None:
    consumer = Fetched({})
    batches = Stream(consumer).take_events(2, within=60)
    taking = asyncio.ensure_future(anext(batches))
    consumer.queue.force_put_nowait(an_event(CDR, 0))
    await asyncio.sleep(0)
    consumer.queue.force_put_nowait(an_event(CDR, 1))
    assert len(await asyncio.wait_for(taking, 10)) == 2, "full before its time is over"


async def test_the_end_that_faust_throws_into_the_queue_ends_the_stream() -> None:
    consumer = Fetched({})
    batches = Stream(consumer).take_events(3, within=0)
    consumer.queue._throw(StopAsyncIteration())
    assert [batch async for batch in batches] == []
