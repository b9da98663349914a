"""Slices from a fetch to the agent's queue, and batches back to the commit (`streams/engine/delivery.py`)."""

import asyncio

import pytest
from faust.types import TP

from streams.engine.delivery import SLICE_RECORDS
from tests.support.consumers import CDR, FetchedConsumer, QueueStream, records
from tests.support.engine import a_message, an_event

RECORD = TP("tccc.record", 0)


async def test_a_fetch_is_delivered_in_order_without_a_task() -> None:
    consumer = FetchedConsumer(records(*range(3 * SLICE_RECORDS + 7)))
    assert await consumer.drained() == []
    assert consumer.delivered() == list(range(3 * SLICE_RECORDS + 7))
    assert consumer._read_offset[CDR] == 3 * SLICE_RECORDS + 6
    assert all(type(tp) is TP for tp in consumer._read_offset)


async def test_what_has_no_room_goes_upstreams_way_one_by_one() -> None:
    consumer = FetchedConsumer(records(0, 1, 2, 3, 4), room=3)
    assert await consumer.drained() == [3, 4]
    assert consumer.delivered() == [0, 1, 2]


async def test_a_full_queue_takes_its_partition_out_of_the_fetches_and_gives_it_back() -> None:
    consumer = FetchedConsumer(records(*range(10)), room=10)
    await consumer.drained()
    assert CDR not in consumer._active_partitions
    while not consumer.queue.empty():
        consumer.queue.get_nowait()
    consumer.queue.maybe_endorse_pressure_drop()
    assert CDR in consumer._active_partitions


async def test_a_hole_in_the_offsets_goes_upstreams_way() -> None:
    consumer = FetchedConsumer(records(4, 5, 9, 10))
    consumer._read_offset[CDR] = 3
    assert await consumer.drained() == [9, 10]  # nobody here notes that 9 was read, as upstream's loop would
    assert consumer.delivered() == [4, 5]


async def test_what_was_read_already_is_not_delivered_again() -> None:
    consumer = FetchedConsumer(records(1, 2, 3, 4))
    consumer._read_offset[CDR] = 3
    await consumer.drained()
    assert consumer.delivered() == [3, 4]


async def test_a_partition_that_was_paused_during_the_fetch_is_left_out() -> None:
    consumer = FetchedConsumer(records(0, 1))
    consumer.active = {RECORD}
    assert await consumer.drained() == []
    assert consumer.delivered() == []


@pytest.mark.parametrize("change", ["generation", "flow"])
async def test_a_rebalance_between_slices_ends_the_delivery(change: str) -> None:
    consumer = FetchedConsumer(records(*range(2 * SLICE_RECORDS)))
    draining = asyncio.create_task(consumer.drained())
    await asyncio.sleep(0)  # the first slice
    if change == "generation":
        consumer.app.consumer_generation_id = 3
    else:
        consumer.flow_active = False
    assert await draining == []
    assert consumer.delivered() == list(range(SLICE_RECORDS))


async def test_nothing_is_put_into_a_queue_whose_flow_is_stopped() -> None:
    consumer = FetchedConsumer(records(0, 1))
    consumer.flow.suspend()
    assert await consumer.drained() == [0, 1]
    assert consumer.delivered() == []


def test_a_batch_of_acks_moves_the_commit_as_single_acks_do() -> None:
    consumer = FetchedConsumer({})
    messages = [a_message(CDR, offset) for offset in (5, 6, 7)]
    stale = a_message(CDR, 8, generation=1)
    assert consumer.ack_all([*messages, messages[0], stale]) == 3
    assert consumer._acked[CDR] == [5, 6, 7]
    assert stale.acked


async def test_a_batch_is_acknowledged_when_its_body_asks_for_the_next_and_not_before() -> None:
    consumer = FetchedConsumer({})
    for offset in range(5):
        consumer.queue.force_put_nowait(an_event(CDR, offset))
    batches = QueueStream(consumer).take_events(3, within=0)
    first = await anext(batches)
    assert [event.message.offset for event in first] == [0, 1, 2]
    assert consumer._acked[CDR] == []
    assert len(consumer._unacked_messages) == 0, "only what is tracked must be awaited at the end"
    await anext(batches)
    assert consumer._acked[CDR] == [0, 1, 2]


async def test_a_body_that_raises_acknowledges_nothing() -> None:
    consumer = FetchedConsumer({})
    consumer.queue.force_put_nowait(an_event(CDR, 0))
    batches = QueueStream(consumer).take_events(3, within=0)
    await anext(batches)
    with pytest.raises(ZeroDivisionError):
        await batches.athrow(ZeroDivisionError())
    assert consumer._acked[CDR] == []


async def test_events_of_an_older_generation_are_dropped_without_an_ack() -> None:
    consumer = FetchedConsumer({})
    for event in (an_event(CDR, 0, generation=1), an_event(CDR, 1)):
        consumer.queue.force_put_nowait(event)
    (event,) = await anext(QueueStream(consumer).take_events(3, within=0))
    assert event.message.offset == 1
    assert consumer._acked[CDR] == []


async def test_an_event_in_hand_is_tracked_until_it_is_acknowledged() -> None:
    consumer = FetchedConsumer({})
    event = an_event(CDR, 0)
    event.message.tracked = False
    consumer.queue.force_put_nowait(event)
    batches = QueueStream(consumer).take_events(3, within=0)
    await anext(batches)
    assert list(consumer._unacked_messages) == [event.message]
    consumer.queue.force_put_nowait(an_event(CDR, 1))
    await anext(batches)
    assert list(consumer._unacked_messages) == []


async def test_a_batch_gathers_what_comes_within_its_time() -> None:
    consumer = FetchedConsumer({})
    batches = QueueStream(consumer).take_events(2, within=60)
    taking = asyncio.ensure_future(anext(batches))
    consumer.queue.force_put_nowait(an_event(CDR, 0))
    await asyncio.sleep(0)
    consumer.queue.force_put_nowait(an_event(CDR, 1))
    assert len(await asyncio.wait_for(taking, 50)) == 2, "full before its time is over"


async def test_the_end_that_faust_throws_into_the_queue_ends_the_stream() -> None:
    consumer = FetchedConsumer({})
    batches = QueueStream(consumer).take_events(3, within=0)
    consumer.queue._throw(StopAsyncIteration())
    assert [batch async for batch in batches] == []
