"""The push log over Kafka: acknowledged by all replicas in sync, or LogUnavailable within a bounded time.

A keeper task makes producers: the first one, whenever the broker can be had, and a new one after any failure, because
an idempotent producer is of no use after one (`ingest.kafka_publisher`). Appends use the current one.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aiokafka.errors import KafkaError

from ingest.kafka_publisher import (
    KafkaLogOptions,
    KafkaPublisher,
    Publisher,
    Record,
    TopicsMissingError,
    is_hopeless,
)
from ingest.push_log import LogEntry, LogRefused, LogUnavailable, Stored
from schemas.events import RAW_HEADER, TOPIC_OF
from schemas.topics import DEAD_LETTERS, EVENT_TOPICS
from schemas.tracing import TRACE_HEADER

_RETRY_SECONDS_FIRST = 0.1
_RETRY_SECONDS_MAX = 2.0
"""How long a broker that came back waits for us: TCCC's retries are finite."""

_CLOSED = "the push log is closed"
_FAILURES = (KafkaError, OSError, TopicsMissingError)

_log = structlog.stdlib.get_logger(__name__)


class KafkaPushLog:
    """A PushLog over Kafka, with one idempotent producer at a time."""

    def __init__(self, options: KafkaLogOptions, make_publisher: Callable[[], Publisher] | None = None) -> None:
        self._options = options
        self._make_publisher = make_publisher or (lambda: KafkaPublisher(options))
        self._topics = {topic.name(options.topic_prefix) for topic in (*EVENT_TOPICS, DEAD_LETTERS)}
        self._topic_of = {kind: topic.name(options.topic_prefix) for kind, topic in TOPIC_OF.items()}
        self._letters_topic = DEAD_LETTERS.name(options.topic_prefix)
        self._current: Publisher | None = None
        self._reason: str | None = "the push log was not started"
        self._settled = asyncio.Event()  # there is a producer, or a reason why there is none
        self._broken = asyncio.Event()  # the current producer failed
        self._keeper: asyncio.Task[None] | None = None
        self._burials: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to reach for Kafka in the background."""
        assert self._keeper is None, "the push log was started twice"
        self._reason = None
        self._keeper = asyncio.create_task(self._keep())

    async def append(self, entry: LogEntry) -> None:
        """Return once Kafka acknowledged all of the entry; raise LogUnavailable where it did not in time."""
        await self._publish([self._records(entry)], _unheard)

    async def append_all(self, entries: Sequence[LogEntry]) -> None:
        """Return once Kafka acknowledged all of all entries, which a session's partition has in this order."""
        await self._publish([[record for entry in entries for record in self._records(entry)]], _unheard)

    async def append_each(self, entries: Sequence[LogEntry], stored: Stored) -> None:
        """Return once Kafka acknowledged every entry; say of each when, and raise LogUnavailable for the others."""
        await self._publish([self._records(entry) for entry in entries], stored)

    async def _publish(self, parts: Sequence[Sequence[Record]], stored: Stored) -> None:
        """Publish parts of records; the parts that a sick producer lost once more, with another one."""
        waiting = dict(enumerate(parts))

        def part_is_stored(place: int) -> None:
            if waiting.pop(place, None) is not None:
                stored(place)

        publisher: Publisher | None = None
        try:
            async with asyncio.timeout(self._options.ack_seconds_max):
                publisher = await self._usable()
                try:
                    await publisher.publish_each(parts, part_is_stored)
                except _FAILURES as exc:
                    self._discard(publisher, reason=None)
                    if is_hopeless(exc):
                        raise LogRefused(f"Kafka refused: {_words(exc)}") from exc
                    # The producer was the sick one; a new one may be a moment away.
                    publisher = await self._usable()
                    places = list(waiting)
                    again = [waiting[place] for place in places]
                    await publisher.publish_each(again, lambda place: part_is_stored(places[place]))
        except TimeoutError as exc:
            reason = f"Kafka did not acknowledge within {self._options.ack_seconds_max:g} s"
            self._discard(publisher, reason)
            raise LogUnavailable(reason) from exc
        except _FAILURES as exc:
            self._discard(publisher, reason=None)
            raise LogUnavailable(f"Kafka refused: {_words(exc)}") from exc

    def unready(self) -> str | None:
        """Why nothing can be stored just now."""
        return None if self._current is not None else self._reason or "connecting to Kafka"

    async def close(self) -> None:
        """Let go of Kafka, within the time that an acknowledgement may take."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        self._discard(self._current, reason=_CLOSED)
        self._reason = _CLOSED
        self._settled.set()
        while self._burials:
            await asyncio.wait(self._burials)

    async def _usable(self) -> Publisher:
        """The current producer, waited for while nothing is known against it."""
        while self._current is None:
            if self._reason is not None:
                raise LogUnavailable(self._reason)
            await self._settled.wait()
        return self._current

    def _records(self, entry: LogEntry) -> list[Record]:
        trace = () if entry.trace is None else ((TRACE_HEADER, entry.trace),)
        records = [
            Record(self._letters_topic, letter.dead_letter_id.encode(), letter.encoded(), trace)
            for letter in entry.letters
        ]
        if entry.event is not None:
            topic = self._topic_of[entry.event.kind]
            records.append(Record(topic, entry.event.key, entry.event.encoded(), ((RAW_HEADER, entry.raw), *trace)))
        return records

    def _discard(self, publisher: Publisher | None, reason: str | None) -> None:
        """Use a producer no more. With a reason, appends fail at once until there is another; without, they wait."""
        if publisher is None or publisher is not self._current:
            return  # somebody else saw it fail first
        self._current = None
        self._reason = reason
        if reason is None:
            self._settled.clear()
        self._broken.set()
        self._bury(publisher)

    async def _keep(self) -> None:
        """Keep one working producer at hand, whatever happens to the broker."""
        retry_seconds = _RETRY_SECONDS_FIRST
        while True:
            publisher = await self._started()
            if publisher is None:
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, _RETRY_SECONDS_MAX)
                continue
            retry_seconds = _RETRY_SECONDS_FIRST
            self._broken.clear()
            self._current, self._reason = publisher, None
            self._settled.set()
            _log.info("push_log_available")
            await self._broken.wait()
            _log.warning("push_log_producer_replaced", reason=self._reason)

    async def _started(self) -> Publisher | None:
        """A new producer, connected; None where that failed, with the reason noted."""
        publisher: Publisher | None = None
        try:
            async with asyncio.timeout(self._options.ack_seconds_max):
                publisher = self._make_publisher()
                await publisher.start(self._topics)
        except Exception as exc:  # noqa: BLE001  (aiokafka raises anything for odd brokers and settings; we try again)
            reason = str(exc) if isinstance(exc, TopicsMissingError) else f"Kafka cannot be reached: {_words(exc)}"
            if reason != self._reason:
                _log.warning("push_log_unavailable", reason=reason)
            self._reason = reason
            self._settled.set()
        except asyncio.CancelledError:
            if publisher is not None:
                self._bury(publisher)
            raise
        else:
            return publisher
        if publisher is not None:
            self._bury(publisher)
        return None

    def _bury(self, publisher: Publisher) -> None:
        """Stop a producer in the background: what it still has on its way may yet be acknowledged."""
        burial = asyncio.create_task(publisher.stop(self._options.ack_seconds_max))
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _unheard(_place: int) -> None:
    """Nobody asks which of the parts are stored."""
