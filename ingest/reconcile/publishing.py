"""Reconcile's way into Kafka: what it is given is acknowledged when `publish` returns, however long Kafka is away.

A sick broker is waited for in place, because the API's answer is at hand and nothing else is to be done with it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog
from aiokafka.errors import KafkaError

from ingest.kafka_publisher import KafkaLogOptions, KafkaPublisher, Publisher, Record, TopicsMissingError
from schemas.dead_letter import DeadLetter
from schemas.events import TOPIC_OF, NormalizedEvent
from schemas.suppression import NOBODY, Suppressions
from schemas.topics import DEAD_LETTERS, EVENT_TOPICS, RECONCILE, Topic

CHUNK_RECORDS = 2_000
CHUNK_SECONDS_MAX = 30.0
RETRY_SECONDS_FIRST = 0.2
RETRY_SECONDS_MAX = 5.0
STOP_SECONDS_MAX = 5.0

log = structlog.stdlib.get_logger(__name__)


class PatientPublisher:
    """Publishes in order of the calls; one producer at a time, replaced when it failed (`ingest.kafka_publisher`)."""

    def __init__(
        self,
        options: KafkaLogOptions,
        make_publisher: Callable[[], Publisher] | None = None,
        *,
        topics: Sequence[Topic] = (*EVENT_TOPICS, DEAD_LETTERS, RECONCILE),
        suppressions: Callable[[], Suppressions] = lambda: NOBODY,
    ) -> None:
        self._suppressions = suppressions
        self._prefix = options.topic_prefix
        self._make_publisher = make_publisher or (lambda: KafkaPublisher(options))
        self._topics = {topic.name(options.topic_prefix) for topic in topics}
        self._topic_of = {kind: topic.name(options.topic_prefix) for kind, topic in TOPIC_OF.items()}
        self._current: Publisher | None = None
        self._one_at_a_time = asyncio.Lock()
        self.problem: str | None = None
        """Why nothing can be published just now."""

    def records_of(self, events: Sequence[NormalizedEvent], letters: Sequence[DeadLetter]) -> list[Record]:
        """What events and letters are in Kafka. The API has no body to travel beside them, and knows erased people."""
        suppressions = self._suppressions()
        events = [suppressions.event(event) for event in events]
        letters = [suppressions.letter(letter) for letter in letters]
        letters_topic = DEAD_LETTERS.name(self._prefix)
        return [
            *(Record(letters_topic, letter.dead_letter_id.encode(), letter.encoded()) for letter in letters),
            *(Record(self._topic_of[event.kind], event.key, event.encoded()) for event in events),
        ]

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once all of them are acknowledged."""
        async with self._one_at_a_time:
            for start in range(0, len(records), CHUNK_RECORDS):
                await self._publish_chunk(records[start : start + CHUNK_RECORDS])

    async def close(self) -> None:
        """Let go of Kafka."""
        await self._discard()

    async def _publish_chunk(self, records: Sequence[Record]) -> None:
        pause = RETRY_SECONDS_FIRST
        while True:
            try:
                async with asyncio.timeout(CHUNK_SECONDS_MAX):
                    await (await self._usable()).publish(records)
            except (KafkaError, OSError, TimeoutError, TopicsMissingError) as exc:
                words = "no answer in time" if isinstance(exc, TimeoutError) else str(exc) or type(exc).__name__
                self.problem = words if isinstance(exc, TopicsMissingError) else f"Kafka cannot be reached: {words}"
                log.warning("reconcile_waits_for_kafka", reason=self.problem)
                await self._discard()
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            else:
                self.problem = None
                return

    async def _usable(self) -> Publisher:
        if self._current is None:
            publisher = self._make_publisher()
            try:
                await publisher.start(self._topics)
            except BaseException:
                await publisher.stop(STOP_SECONDS_MAX)
                raise
            self._current = publisher
        return self._current

    async def _discard(self) -> None:
        publisher, self._current = self._current, None
        if publisher is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await publisher.stop(STOP_SECONDS_MAX)
