"""Enrichment, wired: what Kafka knows of it, the sessions as they come, and reconcile's own clients (ADR 0027)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from callweave.kafka import admin_client, client_options, partitions_of, plain_consumer
from callweave.roles.hosting import utc_now
from callweave.settings import MisconfiguredError, Settings
from ingest.enrich.enricher import Enricher, EnrichOptions
from ingest.enrich.feed import SessionFeed
from ingest.enrich.knowledge import Knowledge
from ingest.enrich.metrics import EnrichMetrics
from ingest.kafka_publisher import KafkaLogOptions
from ingest.reconcile.account import Account
from ingest.reconcile.client import Caller
from ingest.reconcile.publishing import PatientPublisher
from schemas.records import NotARecordError, decode_keyed
from schemas.topics import (
    AGENT_STATUS_READS,
    AGENTS,
    DEAD_LETTERS,
    ENRICHMENT_TOPICS,
    MESSAGE_BYTES_MAX,
    SESSION_DETAILS,
    SESSIONS,
    SKILL_GROUPS,
    Topic,
)

_REMEMBERED = (SESSION_DETAILS, AGENTS, SKILL_GROUPS, AGENT_STATUS_READS)
"""What tells how far enrichment went; the others are only written."""

log = structlog.stdlib.get_logger(__name__)


def options_of(settings: Settings) -> EnrichOptions:
    """What is asked, and when."""
    knobs = settings.enrich
    return EnrichOptions(
        topic_prefix=settings.kafka.topic_prefix,
        session_details=knobs.session_details,
        directory=knobs.directory,
        agent_status=knobs.agent_status,
        requests_per_second=knobs.requests_per_second,
        session_delay=timedelta(seconds=knobs.session_delay_seconds),
        session_reach=timedelta(days=knobs.session_days_back),
        directory_interval=timedelta(seconds=knobs.directory_interval_seconds),
        status_interval=timedelta(seconds=knobs.status_interval_seconds),
        status_lag=timedelta(seconds=knobs.status_lag_seconds),
        status_reach=timedelta(days=knobs.status_days_back),
    )


@asynccontextmanager
async def wired_enricher(
    settings: Settings, accounts: Sequence[tuple[Account, Caller]], registry: CollectorRegistry
) -> AsyncIterator[Enricher]:
    """Build it inside the event loop that uses it; its consumer and its producer end with the context."""
    options = options_of(settings)
    prefix = options.topic_prefix
    async with AsyncExitStack() as held:
        feed = None
        if options.session_details:
            consumer = await held.enter_async_context(
                plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX)
            )
            async with admin_client(settings) as admin:
                partitions = await partitions_of(admin, [SESSIONS.name(prefix)])
            feed = SessionFeed(consumer, partitions, since=utc_now() - options.session_reach)
        publisher = PatientPublisher(
            KafkaLogOptions(connection=client_options(settings), topic_prefix=prefix, client_id="callweave-enrich"),
            topics=(DEAD_LETTERS, *ENRICHMENT_TOPICS),
        )
        held.push_async_callback(publisher.close)
        yield Enricher(
            accounts,
            options,
            publisher=publisher,
            knowledge=await read_knowledge(settings),
            metrics=EnrichMetrics(registry),
            now=utc_now,
            feed=feed,
        )


async def read_knowledge(settings: Settings) -> Knowledge:
    """Everything that the topics say of how far enrichment went."""
    knowledge = Knowledge()
    async with plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer:
        there = await consumer.topics()
        for topic in _REMEMBERED:
            name = topic.name(settings.kafka.topic_prefix)
            if name not in there:
                raise MisconfiguredError(f"Kafka has no topic {name}: run `callweave topics apply`")
            await _take_all(consumer, topic, TopicPartition(name, 0), knowledge)
    return knowledge


async def _take_all(consumer: AIOKafkaConsumer, topic: Topic, partition: TopicPartition, knowledge: Knowledge) -> None:
    consumer.assign([partition])
    end = (await consumer.end_offsets([partition]))[partition]
    await consumer.seek_to_beginning(partition)
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                try:
                    knowledge.take([decode_keyed(topic.suffix, record.key, record.value or b"")])
                except NotARecordError as exc:
                    # The loader writes the letter about it; here it only means that something is asked for again.
                    log.warning("enrichment_record_unusable", topic=partition.topic, problem=str(exc))
