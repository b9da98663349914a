"""One idempotent Kafka producer, from its first connection to its burial: aiokafka's, with its sharp edges covered.

The rule: `publish` returns only when every acknowledgement is in, and a producer that failed once is not used again
(`ingest.kafka_log` sees to it). Why, in aiokafka 0.14: a batch that fails for good has used up its sequence numbers
(`MessageAccumulator._pop_batch`), so every later batch of that partition is out of order for the broker, for ever.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from ingest.compression import keep_compressor
from ingest.partitioner import partition_of
from schemas.topics import MESSAGE_BYTES_MAX

_BATCH_BYTES = 256 * 1024
"""A partition has one batch in flight; what arrives meanwhile gathers in the next, up to this."""

_ADDED_BYTES_MAX = _BATCH_BYTES // 4
"""A larger record goes aiokafka's own way, where its size is checked."""

_METADATA_PAUSE_SECONDS = 0.1
_ENVELOPE_BYTES = 64 * 1024
_HOPELESS = (MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError, InvalidTopicError)


class TopicsMissingError(Exception):
    """The broker does not have the topics; they are never created by writing to them."""

    def __init__(self, topics: Collection[str]) -> None:
        super().__init__(f"Kafka has no topic {', '.join(sorted(topics))}; create it with `callweave topics apply`")


class Record(NamedTuple):
    """One Kafka record, encoded."""

    topic: str
    key: bytes
    value: bytes | None
    """None is a tombstone."""
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaLogOptions:
    """How the log reaches Kafka. `connection` is aiokafka's own arguments: bootstrap_servers, TLS, SASL."""

    connection: Mapping[str, Any] = field(repr=False)
    topic_prefix: str = "tccc."
    ack_seconds_max: float = 5.0
    linger_ms: int = 0
    """What comes while a batch is on its way gathers in the next; to wait for more costs more than it saves."""
    client_id: str = "callweave-receiver"


class Publisher(Protocol):
    """One producer's life. Failures are KafkaError, OSError, TimeoutError or TopicsMissingError."""

    async def start(self, topics: Collection[str]) -> None:
        """Connect, and see that the topics are there."""
        ...

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once all of them are acknowledged."""
        ...

    async def publish_each(self, parts: Sequence[Sequence[Record]], acknowledged: Callable[[int], None]) -> None:
        """The same of several parts; the place of each that is whole is told as soon as it is, whatever the others do.

        Who stops waiting may still be told.
        """
        ...

    async def stop(self, grace_seconds: float) -> None:
        """Give what is on its way this long, then let go of everything. Never raises."""
        ...


class KafkaPublisher:
    """A Publisher over aiokafka. Make it inside the event loop that uses it."""

    def __init__(self, options: KafkaLogOptions) -> None:
        keep_compressor()
        self._producer = AIOKafkaProducer(
            client_id=options.client_id,
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",  # aiokafka's lz4 is at its slowest level: more time and more bytes
            partitioner=partition_of,
            linger_ms=options.linger_ms,
            max_batch_size=_BATCH_BYTES,
            max_request_size=MESSAGE_BYTES_MAX + _ENVELOPE_BYTES,
            # One bound for connecting, for a request, and for a batch without a leader.
            request_timeout_ms=int(options.ack_seconds_max * 1000),
            **options.connection,
        )
        _make_patient(self._producer.client)

    async def start(self, topics: Collection[str]) -> None:
        """Connect, get a producer id, and see that the topics are there."""
        await self._producer.start()
        await self._producer.client.force_metadata_update()
        self._partitions_of(topics)

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once all of them are acknowledged."""
        await self.publish_each([records], lambda _place: None)

    async def publish_each(self, parts: Sequence[Sequence[Record]], acknowledged: Callable[[int], None]) -> None:
        """Return once all of them are acknowledged, and tell of each part when it is; one failure is raised for all."""
        partitions = self._partitions_of({record.topic for records in parts for record in records})
        awaited = _Awaited(parts, acknowledged)
        try:
            for place, records in enumerate(parts):
                for record in records:
                    awaited.add(self._added(record, partitions[record.topic]) or await self._sent(record), place)
        except KafkaError as exc:
            awaited.fail(exc)
        # All are awaited even when one fails, so that no failure is left without a reader.
        await awaited.settled()

    async def stop(self, grace_seconds: float) -> None:
        """Flush for a while; then fail what is left, so that nothing waits for a broker that does not come back.

        aiokafka's own `stop` flushes without end: an idempotent producer's batches never expire while their partition
        has a leader. There is no public way to give up, hence the private ones (the version is pinned for it).
        """
        # Its flush and its sender may fail with anything that a sick broker makes of them; nobody can use it any more.
        with suppress(TimeoutError, KafkaError, OSError, RuntimeError, KeyError):
            async with asyncio.timeout(grace_seconds):
                await self._producer.stop()
                return
        self._producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001
        sender = self._producer._sender.sender_task  # noqa: SLF001
        if sender is not None:
            sender.cancel()
            # It waits for its requests, which the request timeout bounds.
            await asyncio.wait([sender], timeout=grace_seconds)
        with suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(grace_seconds):
                await self._producer.client.close()

    def _added(self, record: Record, partitions: Sequence[int]) -> asyncio.Future[Any] | None:
        """Add a record to the batch that gathers for its partition; the batch's future, or None: `_sent` must do it.

        What `AIOKafkaProducer.send` does for each record (two coroutines, a future, a look at every partition), left
        out: a batch is acknowledged as a whole, and the topics were looked up once for all. Nobody waits here, so it
        takes no records that are too large for that, nor where a batch is full or the producer is ill.
        """
        gathering = self._producer._message_accumulator  # noqa: SLF001  (there is no public way; the version is pinned)
        if gathering._closed or gathering._exception is not None or _is_large(record):  # noqa: SLF001
            return None
        key = record.key
        place = TopicPartition(record.topic, partition_of(key, partitions, partitions))
        waiting = gathering._batches.get(place)  # noqa: SLF001
        batch = waiting[-1] if waiting else gathering._append_batch(gathering.create_builder(), place)  # noqa: SLF001
        # A list: aiokafka's compiled writer takes no other sequence.
        added = batch._builder.append(timestamp=None, key=key, value=record.value, headers=list(record.headers))  # noqa: SLF001
        if added is None:
            return None
        acknowledged: asyncio.Future[Any] = batch.future
        return acknowledged

    async def _sent(self, record: Record) -> asyncio.Future[Any]:
        """Let aiokafka send one record: it waits for room, and says what is wrong."""
        acknowledged: asyncio.Future[Any] = await self._producer.send(
            record.topic, record.value, record.key, headers=list(record.headers)
        )
        return acknowledged

    def _partitions_of(self, topics: Collection[str]) -> dict[str, Sequence[int]]:
        """The partitions of topics, as aiokafka orders them.

        Unknown ones are refused before aiokafka asks the broker for them: asking creates them where that is allowed.
        """
        known = self._producer.client.cluster
        found = {topic: known.partitions_for_topic(topic) for topic in topics}
        missing = [topic for topic, partitions in found.items() if partitions is None]
        if missing:
            raise TopicsMissingError(missing)
        return {topic: list(partitions) for topic, partitions in found.items()}


class _Awaited:
    """The acknowledgements that one `publish_each` waits for: one for each batch, whoever else's records are in it."""

    def __init__(self, parts: Sequence[Sequence[Record]], acknowledged: Callable[[int], None]) -> None:
        self._acknowledged = acknowledged
        self._records_left = [len(records) for records in parts]
        self._places: dict[asyncio.Future[Any], list[int]] = {}
        self._failure: BaseException | None = None
        self._all_settled: asyncio.Future[None] | None = None

    def add(self, batch: asyncio.Future[Any], place: int) -> None:
        """Note that a record of a part is in a batch."""
        places = self._places.get(batch)
        if places is None:
            self._places[batch] = [place]
            batch.add_done_callback(self._settle)
        else:
            places.append(place)

    def fail(self, failure: BaseException) -> None:
        """Note that something was not even sent."""
        self._failure = self._failure or failure

    async def settled(self) -> None:
        """Return once every batch is acknowledged or failed; raise the first failure."""
        if self._places:
            self._all_settled = asyncio.get_running_loop().create_future()
            await self._all_settled
        if self._failure is not None:
            raise self._failure

    def _settle(self, batch: asyncio.Future[Any]) -> None:
        places = self._places.pop(batch)
        failure = ProducerClosed() if batch.cancelled() else batch.exception()
        if failure is not None:
            self.fail(failure)
        else:
            for place in places:
                self._records_left[place] -= 1
                if not self._records_left[place]:
                    self._acknowledged(place)
        settled = self._all_settled
        if not self._places and settled is not None and not settled.done():
            settled.set_result(None)


def _is_large(record: Record) -> bool:
    size = len(record.value or b"") + sum(len(value) for _, value in record.headers)
    return size > _ADDED_BYTES_MAX


def _make_patient(client: AIOKafkaClient) -> None:
    """Pause after metadata that could not be had.

    With batches for a partition whose leader is gone, aiokafka's sender asks for metadata in a loop without a pause
    (`Sender._sender_routine`): a broker that refuses connections then costs a whole core, and the door its speed.
    """
    ask = client._metadata_update  # noqa: SLF001  (there is no public way; the version is pinned for it)

    async def ask_patiently(cluster: ClusterMetadata, topics: Collection[str]) -> bool:
        is_updated: bool = await ask(cluster, topics)
        if not is_updated:
            await asyncio.sleep(_METADATA_PAUSE_SECONDS)
        return is_updated

    client._metadata_update = ask_patiently  # noqa: SLF001


def is_hopeless(error: BaseException) -> bool:
    """Say whether the broker would refuse the same records again, from any producer."""
    return isinstance(error, (*_HOPELESS, TopicsMissingError))
