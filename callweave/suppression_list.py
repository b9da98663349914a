"""The suppression list as a process knows it: read to its end before anything is written, and followed from then on.

The rule: who does not know the list writes nothing. A process that cannot read it waits, and one that has another key
than the list was written with stops and says so.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from callweave.kafka import client_options, plain_consumer
from callweave.settings import MisconfiguredError, Settings
from schemas.person import PersonKey
from schemas.suppression import NOBODY, NotASuppressionError, SuppressionRecord, Suppressions, decode_suppression
from schemas.topics import SUPPRESSIONS

FOLLOW_SECONDS_MAX = 1.0
"""How long the broker holds an answer back while nothing is new. It answers at once when there is an entry."""
CONSUMER_LOOK_MS = 1_000
"""How often aiokafka looks by itself whether there is something to ask for; everything that makes it so wakes it."""
LOOK_FOR_TOPIC_SECONDS = 5.0
RETRY_SECONDS_FIRST = 0.2
RETRY_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 10.0

log = structlog.get_logger(__name__)


def person_key(settings: Settings) -> PersonKey | None:
    """The key under which people are hashed; None where none is set."""
    key = settings.privacy.key
    return None if key is None else PersonKey(key.get_secret_value().encode())


class SuppressionList:
    """Keeps the list current, for as long as its `follow` runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = person_key(settings)
        self._entries: dict[bytes, SuppressionRecord] = {}
        self._current: Suppressions | None = None
        self._known = asyncio.Event()
        self.misconfigured: str | None = None
        """Why the list can never be known as this process is set up, in a sentence."""

    @property
    def current(self) -> Suppressions | None:
        """The list as of now; None where it is not known."""
        return self._current

    def now(self) -> Suppressions:
        """The list of who waited for it; MisconfiguredError where its key is another since."""
        if self._current is None:
            raise MisconfiguredError(self.misconfigured or "the suppression list is not known yet")
        return self._current

    async def known(self) -> None:
        """Return once the list was read to its end."""
        await self._known.wait()
        self.now()

    async def known_or_wait(self) -> None:
        """Return once the list was read, or cannot be: `now` says why."""
        await self._known.wait()

    async def follow(self) -> None:
        """Read the list, and follow it until cancelled; end where it was written with another key."""
        retry_seconds = RETRY_SECONDS_FIRST
        while True:
            try:
                await self._read_on()
                retry_seconds = RETRY_SECONDS_FIRST
                await asyncio.sleep(LOOK_FOR_TOPIC_SECONDS)  # there is no such topic yet
            except (KafkaError, OSError, TimeoutError) as exc:
                log.warning("suppression_list_unread", problem=type(exc).__name__, known=self._current is not None)
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, RETRY_SECONDS_MAX)
            except (MisconfiguredError, NotASuppressionError) as exc:
                self._current, self.misconfigured = None, str(exc)
                self._known.set()
                log.error("suppression_list_unusable", reason=str(exc))
                return

    async def _read_on(self) -> None:
        """Read from the beginning, then follow; return at once where there is no such topic."""
        topic = SUPPRESSIONS.name(self._settings.kafka.topic_prefix)
        consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=int(FOLLOW_SECONDS_MAX * 1000),
            consumer_timeout_ms=CONSUMER_LOOK_MS,
            request_timeout_ms=int(ANSWER_SECONDS_MAX * 1000),
        )
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await consumer.start()
        try:
            # Asking for one topic by name might create it on the way.
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001
            if not cluster.partitions_for_topic(topic):
                self._set({})
                return
            partition = TopicPartition(topic, 0)
            # Asked before anything is fetched: what is asked later waits until the broker lets go of the fetch.
            end = (await consumer.end_offsets([partition]))[partition]
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            entries: dict[bytes, SuppressionRecord] = {}
            while await consumer.position(partition) < end:
                self._take(entries, await consumer.getmany(timeout_ms=1000))
            self._set(entries)
            while True:
                if found := await consumer.getmany(timeout_ms=int(FOLLOW_SECONDS_MAX * 1000)):
                    self._take(entries, found)
                    self._set(entries)
        finally:
            await consumer.stop()

    def _take(self, entries: dict[bytes, SuppressionRecord], found: Mapping[TopicPartition, list[Any]]) -> None:
        for records in found.values():
            for record in records:
                if record.value is None:
                    entries.pop(record.key, None)
                else:
                    entries[record.key] = decode_suppression(record.value)

    def _set(self, entries: dict[bytes, SuppressionRecord]) -> None:
        self._current = suppressions_of(self._key, entries.values())
        self._known.set()


def suppressions_of(key: PersonKey | None, records: Collection[SuppressionRecord]) -> Suppressions:
    """The list that entries make; MisconfiguredError where they were made with another key."""
    if not records:
        return NOBODY
    if key is None:
        raise MisconfiguredError(
            f"{len(records)} people or calls are erased from this deployment and their list cannot be read: set "
            "CALLWEAVE_PRIVACY__KEY (or …_FILE) to the key that they were erased with"
        )
    strangers = sorted({record.key_id for record in records} - {key.id})
    if strangers:
        raise MisconfiguredError(
            f"the suppression list was written with the key {strangers[0]}, and CALLWEAVE_PRIVACY__KEY is the key "
            f"{key.id}: set it to the one that people were erased with, everywhere"
        )
    return Suppressions.of(key, records)


@dataclass(frozen=True, slots=True)
class ReadList:
    """The list, read once."""

    suppressions: Suppressions
    entries: Mapping[bytes, SuppressionRecord]
    end: int


async def read_list(settings: Settings) -> ReadList:
    """The list as of now, for a command that ends soon."""
    topic = TopicPartition(SUPPRESSIONS.name(settings.kafka.topic_prefix), 0)
    entries: dict[bytes, SuppressionRecord] = {}
    async with plain_consumer(settings) as consumer:
        cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001
        if not cluster.partitions_for_topic(topic.topic):
            return ReadList(NOBODY, {}, 0)
        consumer.assign([topic])
        await consumer.seek_to_beginning(topic)
        end = (await consumer.end_offsets([topic]))[topic]
        while await consumer.position(topic) < end:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    if record.value is None:
                        entries.pop(record.key, None)
                    else:
                        entries[record.key] = decode_suppression(record.value)
    return ReadList(suppressions_of(person_key(settings), entries.values()), entries, end)


@asynccontextmanager
async def followed(settings: Settings) -> AsyncIterator[SuppressionList]:
    """The list, followed in the background; the caller awaits `known` before it writes."""
    listed = SuppressionList(settings)
    async with following(listed):
        yield listed


@asynccontextmanager
async def following(listed: SuppressionList) -> AsyncIterator[None]:
    """Follow a list in the background. A list that cannot be trusted any more says so to whoever asks it."""
    task = asyncio.create_task(listed.follow())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
