"""The archiver, wired: what Kafka knows of the files, the sessions as they come, and clients for fresh addresses."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from callweave.accounts import api_accounts
from callweave.kafka import admin_client, client_options, partitions_of, plain_consumer
from callweave.reconciling import client_of
from callweave.roles.hosting import utc_now
from callweave.settings import MisconfiguredError, Settings
from ingest.archiver.archiver import Archiver, ArchiverOptions
from ingest.archiver.download import Downloader
from ingest.archiver.feed import CommittedFeed
from ingest.archiver.fresh import FreshAddresses
from ingest.archiver.metrics import ArchiverMetrics
from ingest.archiver.safety import AddressRules
from ingest.archiver.shelf import Shelf
from ingest.archiver.store import Archive, StoreError
from ingest.kafka_publisher import KafkaLogOptions, Record
from ingest.reconcile.client import ApiClient
from ingest.reconcile.limiter import Limiter
from ingest.reconcile.metrics import ApiMetrics
from ingest.reconcile.publishing import PatientPublisher
from schemas.archive import LegalHold
from schemas.records import NotARecordError, decode_keyed
from schemas.topics import ARCHIVE_TOPICS, LEGAL_HOLDS, MESSAGE_BYTES_MAX, SESSIONS

REQUESTS_PER_SECOND = 2.0
"""Of TCCC's API for fresh addresses, for each key: beside what reconcile and login tokens take of its 20."""

log = structlog.stdlib.get_logger(__name__)


def archive_of(settings: Settings) -> Archive:
    """The place of the files. MisconfiguredError where none is named, or none that can be used."""
    if settings.archiver.store is None:
        raise MisconfiguredError("nothing is archived: set CALLWEAVE_ARCHIVER__STORE to a folder or an s3:// address")
    try:
        return Archive(settings.archiver.store.get_secret_value())
    except StoreError as exc:
        raise MisconfiguredError(str(exc)) from exc


@asynccontextmanager
async def wired_archiver(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Archiver]:
    """Build it inside the event loop that uses it; its connections end with the context."""
    archive = archive_of(settings)
    knobs = settings.archiver
    prefix = settings.kafka.topic_prefix
    rules = AddressRules(knobs.allowed_networks)
    shelf = await read_shelf(settings)
    async with AsyncExitStack() as held:
        consumer = AIOKafkaConsumer(
            **client_options(settings),
            group_id=f"{prefix}archiver",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MESSAGE_BYTES_MAX,
        )
        await consumer.start()
        held.push_async_callback(consumer.stop)
        async with admin_client(settings) as admin:
            partitions = await partitions_of(admin, [SESSIONS.name(prefix)])
        publisher = _publisher(settings, "callweave-archiver")
        held.push_async_callback(publisher.close)
        downloader = Downloader(
            rules, bytes_max=knobs.bytes_max, seconds_max=knobs.seconds_max, per_host_max=knobs.per_host_max
        )
        held.push_async_callback(downloader.close)
        clients = _clients(settings, registry)
        for client in set(clients.values()):
            held.callback(client.close)
        yield Archiver(
            ArchiverOptions(
                topic_prefix=prefix,
                partial_dir=(knobs.partial_dir or settings.data_dir / "archiver").absolute(),
                delay=timedelta(seconds=knobs.delay_seconds),
                concurrency=knobs.concurrency,
                free_bytes_min=knobs.free_bytes_min,
                retry_seconds_first=knobs.retry_seconds_first,
                retry_seconds_max=knobs.retry_seconds_max,
                retry=timedelta(days=knobs.retry_days),
                keep=None if knobs.keep_days is None else timedelta(days=knobs.keep_days),
            ),
            feed=CommittedFeed(consumer, partitions),
            fetcher=downloader,
            fresh=FreshAddresses(clients, utc_now),
            archive=archive,
            publisher=publisher,
            shelf=shelf,
            metrics=ArchiverMetrics(registry),
            now=utc_now,
        )


async def read_shelf(settings: Settings) -> Shelf:
    """Everything that the topics of the archive say, the newest record of each file."""
    shelf = Shelf()
    async with plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer:
        there = await consumer.topics()
        for topic in ARCHIVE_TOPICS:
            partition = TopicPartition(topic.name(settings.kafka.topic_prefix), 0)
            if partition.topic not in there:
                raise MisconfiguredError(f"Kafka has no topic {partition.topic}: run `callweave topics apply`")
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        try:
                            shelf.take([decode_keyed(topic.suffix, record.key, record.value or b"")])
                        except NotARecordError as exc:
                            # The loader writes the letter about it; here it costs that a file is fetched again.
                            log.warning("archive_record_unusable", topic=partition.topic, problem=str(exc))
    return shelf


async def publish_holds(settings: Settings, holds: Iterable[LegalHold]) -> None:
    """Return once Kafka has them."""
    publisher = _publisher(settings, "callweave-archive-hold")
    topic = LEGAL_HOLDS.name(settings.kafka.topic_prefix)
    try:
        await publisher.publish([Record(topic, hold.key, hold.encoded()) for hold in holds])
    finally:
        await publisher.close()


def _publisher(settings: Settings, client_id: str) -> PatientPublisher:
    options = KafkaLogOptions(
        connection=client_options(settings), topic_prefix=settings.kafka.topic_prefix, client_id=client_id
    )
    return PatientPublisher(options, topics=ARCHIVE_TOPICS)


def _clients(settings: Settings, registry: CollectorRegistry) -> dict[int, ApiClient]:
    """A client for each application that a key reads; none where there is no key."""
    metrics = ApiMetrics(registry)
    clients: dict[int, ApiClient] = {}
    limiters: dict[str, Limiter] = {}
    for account in api_accounts(settings):
        limiter = limiters.setdefault(account.secret_id, Limiter(REQUESTS_PER_SECOND))
        client = client_of(settings, account, limiter, metrics)
        clients |= dict.fromkeys(account.sdk_app_ids, client)
    return clients
