"""One idempotent Kafka producer, from its first connection to its burial: aiokafka's, with its sharp edges covered.

The rule: `publish` returns only when every acknowledgement is in, and a producer that failed once is not used again
(`ingest.kafka_log` sees to it). Why, in aiokafka 0.14: a batch that fails for good has used up its sequence numbers
(`MessageAccumulator._pop_batch`), so every later batch of that partition is out of order for the broker, for ever.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
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

from ingest.partitioner import partition_of
from schemas.topics import MESSAGE_BYTES_MAX

_BATCH_BYTES = 256 * 1024
"""A partition has one batch in flight; what arrives meanwhile gathers in the next, up to this."""

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
    linger_ms: int = 2
    client_id: str = "callweave-receiver"


class Publisher(Protocol):
    """One producer's life. Failures are KafkaError, OSError, TimeoutError or TopicsMissingError."""

    async def start(self, topics: Collection[str]) -> None:
        """Connect, and see that the topics are there."""
        ...

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once all of them are acknowledged."""
        ...

    async def stop(self, grace_seconds: float) -> None:
        """Give what is on its way this long, then let go of everything. Never raises."""
        ...


class KafkaPublisher:
    """A Publisher over aiokafka. Make it inside the event loop that uses it."""

    def __init__(self, options: KafkaLogOptions) -> None:
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
        self._require(topics)

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once all of them are acknowledged."""
        self._require({record.topic for record in records})
        acknowledgements = [
            # A list: aiokafka's compiled writer takes no other sequence.
            await self._producer.send(record.topic, record.value, record.key, headers=list(record.headers))
            for record in records
        ]
        if len(acknowledgements) == 1:
            await acknowledgements[0]
            return
        # All are awaited even when one fails, so that no failure is left without a reader.
        outcomes = await asyncio.gather(*acknowledgements, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

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

    def _require(self, topics: Collection[str]) -> None:
        """Refuse unknown topics before aiokafka asks the broker for them: asking creates them where that is allowed."""
        known = self._producer.client.cluster
        missing = [topic for topic in topics if known.partitions_for_topic(topic) is None]
        if missing:
            raise TopicsMissingError(missing)


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
