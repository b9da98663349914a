"""How every client reaches Kafka: settings to aiokafka's and Faust's arguments, and the few admin calls we need."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

from callweave.runtime import Runtime
from callweave.settings import KafkaSettings, MisconfiguredError, Settings
from schemas.topics import MESSAGE_BYTES_MAX

_GOODBYE_SECONDS_MAX: Final = 2.0


def bootstrap_servers(settings: Settings) -> str:
    """The given broker, else the one that `up` runs on this data directory."""
    if settings.kafka.bootstrap_servers:
        return settings.kafka.bootstrap_servers
    entry = Runtime(settings.data_dir).role("broker")
    if entry is None or entry.bootstrap_servers is None:
        raise MisconfiguredError(
            "no Kafka is known: set CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS, or start `callweave up` "
            f"on the data directory {settings.data_dir}"
        )
    return entry.bootstrap_servers


def client_options(settings: Settings) -> dict[str, Any]:
    """Arguments of every aiokafka client."""
    kafka = settings.kafka
    options: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings),
        "security_protocol": kafka.security_protocol,
        "ssl_context": _ssl_context(kafka),
    }
    if kafka.sasl_username is not None and kafka.sasl_password is not None:
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password.get_secret_value(),
        }
    return options


def faust_broker(settings: Settings) -> tuple[str, Any]:
    """Faust's broker address and credentials."""
    import faust  # noqa: PLC0415  (only the worker's process loads the engine)

    kafka = settings.kafka
    servers = ";".join(f"kafka://{server.strip()}" for server in bootstrap_servers(settings).split(","))
    context = _ssl_context(kafka)
    if kafka.security_protocol.startswith("SASL") and kafka.sasl_password is not None:
        credentials: Any = faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password.get_secret_value(),
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
        return servers, credentials
    return servers, faust.SSLCredentials(context) if context is not None else None


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client."""
    client = AIOKafkaAdminClient(**client_options(settings))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def plain_consumer(settings: Settings, **more: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer without a group, which begins at the beginning."""
    # aiokafka resets a partition that was just assigned, to the end by default, and behind the caller's back: that may
    # come after `seek_to_beginning`, and nothing is read.
    consumer = AIOKafkaConsumer(
        **client_options(settings), enable_auto_commit=False, auto_offset_reset="earliest", **more
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        # Over TLS under uvloop, closing may wait for half a minute for the broker's goodbye. One without a group has
        # nothing left to say, and its connections are closed before that wait.
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS_MAX):
                await consumer.stop()


@asynccontextmanager
async def plain_producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A started idempotent producer, for records of any size that topics take."""
    async with AIOKafkaProducer(
        **client_options(settings),
        acks="all",
        enable_idempotence=True,
        max_request_size=MESSAGE_BYTES_MAX,
        compression_type="zstd",
    ) as producer:
        yield producer


async def partitions_of(admin: AIOKafkaAdminClient, topics: list[str]) -> list[TopicPartition]:
    """Every partition of the topics. Topics that do not exist have none."""
    described = await admin.describe_topics(topics)
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in sorted(topic["partitions"], key=lambda partition: int(partition["partition"]))
    ]


async def end_offsets(
    admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, topics: list[str]
) -> dict[tuple[str, int], int]:
    """Where each partition of the topics ends, now."""
    partitions = await partitions_of(admin, topics)
    ends = await consumer.end_offsets(partitions) if partitions else {}
    return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}


async def read_now(
    consumer: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    *,
    records_max: int,
    told: Callable[[int, int], None],
) -> AsyncIterator[Mapping[TopicPartition, "Sequence[ConsumerRecord[bytes, bytes]]"]]:
    """What partitions hold now, from their beginnings to their present ends, at most so many records at a time.

    `told` hears how many offsets are read, and of how many, whenever the caller is done with some.
    """
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    total = sum(ends[tp] - begins[tp] for tp in partitions)
    left = {tp for tp in partitions if begins[tp] < ends[tp]}
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    while left:
        found = await consumer.getmany(*left, timeout_ms=1000, max_records=records_max)
        yield {tp: [record for record in records if record.offset < ends[tp]] for tp, records in found.items()}
        positions = {tp: await consumer.position(tp) for tp in partitions}
        left = {tp for tp in left if positions[tp] < ends[tp]}
        told(sum(min(positions[tp], ends[tp]) - begins[tp] for tp in partitions), total)


async def group_offsets(admin: AIOKafkaAdminClient, group_id: str) -> dict[tuple[str, int], int]:
    """What a consumer group has committed; nothing yet where the broker has not made its coordinator."""
    try:
        offsets = await admin.list_consumer_group_offsets(group_id)
    except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
        return {}
    return {(tp.topic, tp.partition): entry.offset for tp, entry in offsets.items() if entry.offset >= 0}


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext | None:
    if "SSL" not in kafka.security_protocol.removeprefix("SASL_"):
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
        if kafka.ssl_certfile is not None:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile)
    except (OSError, ssl.SSLError) as exc:
        raise MisconfiguredError(f"Kafka's certificates cannot be used: {exc}") from exc
    return context
