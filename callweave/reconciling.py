"""Reconcile, wired: a client for each account, the limiters, and what Kafka knows of the hours that were read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from callweave.accounts import api_accounts, needed_accounts
from callweave.kafka import client_options, plain_consumer
from callweave.roles.hosting import utc_now
from callweave.settings import MisconfiguredError, Settings
from callweave.suppression_list import SuppressionList, followed
from ingest.kafka_publisher import KafkaLogOptions
from ingest.reconcile.account import Account
from ingest.reconcile.client import ApiClient
from ingest.reconcile.failure import ApiError
from ingest.reconcile.limiter import Limiter
from ingest.reconcile.metrics import ApiMetrics, ReconcileMetrics
from ingest.reconcile.paging import Span, read_page
from ingest.reconcile.progress import Progress
from ingest.reconcile.publishing import PatientPublisher
from ingest.reconcile.reconciler import ReconcileOptions, Reconciler
from ingest.reconcile.windows import Timing
from schemas.reconcile import decode_hour
from schemas.topics import MESSAGE_BYTES_MAX, RECONCILE


def timing_of(settings: Settings) -> Timing:
    """When hours are read."""
    knobs = settings.reconcile
    return Timing(
        lag=timedelta(seconds=knobs.lag_seconds),
        overlap=timedelta(seconds=knobs.overlap_seconds),
        interval=timedelta(seconds=knobs.interval_seconds),
        absent_after=timedelta(seconds=knobs.absent_after_seconds),
    )


@dataclass(frozen=True, slots=True)
class Wired:
    """A reconciler and what it knows, and the clients that it asks with."""

    reconciler: Reconciler
    progress: Progress
    timing: Timing
    clients: list[tuple[Account, ApiClient]]


@asynccontextmanager
async def wired_reconciler(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Wired]:
    """Build it inside the event loop that uses it; its threads and its producer end with the context."""
    async with followed(settings) as listed:
        await listed.known()
        async with _wired(settings, registry, listed) as wired:
            yield wired


@asynccontextmanager
async def _wired(settings: Settings, registry: CollectorRegistry, listed: SuppressionList) -> AsyncIterator[Wired]:
    accounts = needed_accounts(settings)
    metrics = ReconcileMetrics(registry)
    progress = await read_progress(settings)
    publisher = PatientPublisher(
        KafkaLogOptions(
            connection=client_options(settings),
            topic_prefix=settings.kafka.topic_prefix,
            client_id="callweave-reconcile",
        ),
        suppressions=listed.now,
    )
    # The quota's scope is not documented: applications and tenants that share a secret share its limiter.
    limiters = {account.secret_id: Limiter(settings.reconcile.requests_per_second) for account in accounts}
    clients = [(account, client_of(settings, account, limiters[account.secret_id], metrics)) for account in accounts]
    options = ReconcileOptions(
        topic_prefix=settings.kafka.topic_prefix,
        timing=timing_of(settings),
        back_fill=timedelta(days=settings.reconcile.back_fill_days),
        concurrency=settings.reconcile.concurrency,
    )
    reconciler = Reconciler(clients, options, publisher=publisher, progress=progress, metrics=metrics, now=utc_now)
    try:
        yield Wired(reconciler, progress, options.timing, clients)
    finally:
        for _, client in clients:
            client.close()
        await publisher.close()


async def read_progress(settings: Settings) -> Progress:
    """Everything in the topic `reconcile`, the newest record of each hour."""
    progress = Progress()
    partition = TopicPartition(RECONCILE.name(settings.kafka.topic_prefix), 0)
    async with plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer:
        if partition.topic not in await consumer.topics():
            raise MisconfiguredError(f"Kafka has no topic {partition.topic}: run `callweave topics apply`")
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    hour = decode_hour(record.value)
                    if hour is not None:
                        progress.take(hour)
    return progress


@dataclass(frozen=True, slots=True)
class ApiFinding:
    """Whether an application can be read."""

    sdk_app_id: int
    problem: str | None
    clock_ahead_seconds: float | None


async def probe_api(settings: Settings) -> list[ApiFinding]:
    """Ask for one row of each application, once."""
    findings: list[ApiFinding] = []
    metrics = ReconcileMetrics(CollectorRegistry())
    for account in api_accounts(settings):
        limiter = Limiter(settings.reconcile.requests_per_second)
        client = client_of(settings, account, limiter, metrics, attempts_max=1)
        now = utc_now()
        try:
            for app in account.sdk_app_ids:
                problem = None
                try:
                    await read_page(client, Span(app, now - timedelta(hours=1), now), 0, page_size=1)
                except ApiError as exc:
                    problem = exc.sentence(app)
                findings.append(ApiFinding(app, problem, client.clock_ahead_seconds))
        finally:
            client.close()
    return findings


def probe(settings: Settings) -> list[ApiFinding]:
    """The same, for those who have no event loop."""
    return asyncio.run(probe_api(settings))


def client_of(settings: Settings, account: Account, limiter: Limiter, metrics: ApiMetrics, **more: int) -> ApiClient:
    """A client of one account, within a limiter."""
    concurrency = settings.reconcile.concurrency
    return ApiClient(account, limiter, concurrency=concurrency, metrics=metrics, now=utc_now, **more)
