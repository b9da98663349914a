"""Faust's consumer and stream without Kafka: a fetch of what a test says, and the agent's queue."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

from aiokafka.structs import TopicPartition
from faust.types import TP
from mode.utils.locks import Event
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from streams.engine.consumer import SafeConsumer
from streams.engine.delivery import BatchStream
from tests.support.engine import a_message

CDR = TP("tccc.cdr", 0)


class Flow(FlowControlEvent):
    """Faust's own, running."""

    def __init__(self) -> None:
        super().__init__()
        self.resume()


class FetchedConsumer(SafeConsumer):
    """A consumer whose next fetch is what a test says."""

    def __init__(self, fetched: dict[Any, list[Any]], *, room: int = 1000) -> None:
        self.flow = Flow()
        self.queue: Any = ThrowableQueue(maxsize=room, flow_control=self.flow)
        self.app = SimpleNamespace(
            consumer_generation_id=2,
            flow_control=self.flow,
            in_recovery=False,
            topics=SimpleNamespace(_tp_index={CDR: {Channel(self.queue)}}, acks_enabled_for=lambda _: True),
            conf=SimpleNamespace(Event=lambda _app, _key, _value, _headers, message: SimpleNamespace(message=message)),
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


class Channel:
    """What a conductor knows of an agent."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue


def records(*offsets: int) -> dict[Any, list[Any]]:
    """What a fetch answers with, of one partition."""
    # aiokafka's own tuple, as a fetch answers with.
    return {TopicPartition(*CDR): [SimpleNamespace(offset=offset) for offset in offsets]}


class QueueStream(BatchStream):
    """A stream over a queue, without the services around it."""

    def __init__(self, consumer: FetchedConsumer) -> None:
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
