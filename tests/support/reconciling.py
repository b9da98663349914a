"""Reconcile against the API simulator in one process, with the real SDK between them, and a Kafka that is a list."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from callweave.simulator.api.access import DEFAULT_SECRET
from callweave.simulator.api.server import ApiServer
from ingest.kafka_publisher import KafkaLogOptions, Record
from ingest.reconcile.account import Account
from ingest.reconcile.client import ApiClient
from ingest.reconcile.limiter import Limiter
from ingest.reconcile.metrics import ReconcileMetrics
from ingest.reconcile.progress import Progress
from ingest.reconcile.publishing import PatientPublisher
from ingest.reconcile.reconciler import ReconcileOptions, Reconciler
from ingest.reconcile.windows import Timing, unsettled_hours
from schemas.events import NormalizedEvent, decode_event
from schemas.reconcile import HourRecord, decode_hour
from tests.support.api import NOW

PREFIX = "t."


@dataclass
class KafkaThatIsAList:
    """A Publisher that keeps a journal; `fails` raises before the next records are kept."""

    journal: list[Record] = field(default_factory=list)
    fails: list[BaseException] = field(default_factory=list)

    async def start(self, topics: Collection[str]) -> None:
        assert topics

    async def publish(self, records: Sequence[Record]) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.journal += records

    async def stop(self, grace_seconds: float) -> None:
        assert grace_seconds >= 0

    @property
    def events(self) -> list[NormalizedEvent]:
        """Every event, in order."""
        topics = (f"{PREFIX}cdr", f"{PREFIX}record", f"{PREFIX}voicemail")
        return [decode_event(record.key, record.value) for record in self.journal if record.topic in topics]

    @property
    def hours(self) -> list[HourRecord]:
        """Every hour that was noted."""
        noted = [decode_hour(record.value) for record in self.journal if record.topic == f"{PREFIX}reconcile"]
        return [hour for hour in noted if hour is not None]


@dataclass
class Office:
    """One reconciler, as one process would have it."""

    reconciler: Reconciler
    progress: Progress
    kafka: KafkaThatIsAList
    clients: list[ApiClient]
    registry: CollectorRegistry
    moment: datetime
    timing: Timing

    def problems(self) -> dict[int, str | None]:
        """What each application suffers from."""
        return {app: standing.problem for app, standing in self.reconciler.standings.items()}

    async def read(self, days: int = 3) -> int:
        """Read what is not final of the last days, once; how many events were published."""
        before = len(self.kafka.events)
        first = self.moment - timedelta(days=days)

        def hours(app: int) -> Any:
            return unsettled_hours(app, self.progress.asked, first, self.moment, timing=self.timing, now=self.moment)

        await self.reconciler.read_hours(hours, asyncio.Event(), lambda _hour: None)
        return len(self.kafka.events) - before


def an_account(server: ApiServer, *sdk_app_ids: int, **changes: Any) -> Account:
    """The simulator's own key."""
    values: dict[str, Any] = {
        "name": "default",
        "secret_id": DEFAULT_SECRET.secret_id,
        "secret_key": DEFAULT_SECRET.secret_key,
        "sdk_app_ids": sdk_app_ids or tuple(server.world.sdk_app_ids),
        "endpoint": server.endpoint,
        **changes,
    }
    return Account(**values)


@asynccontextmanager
async def an_office(
    *accounts: Account, kafka: KafkaThatIsAList | None = None, rate: float = 1000.0, timing: Timing | None = None
) -> AsyncIterator[Office]:
    """A reconciler over accounts. What Kafka knows of hours is read from its journal, as a new process would."""
    log = kafka or KafkaThatIsAList()
    progress = Progress()
    for hour in log.hours:
        progress.take(hour)
    registry = CollectorRegistry()
    metrics = ReconcileMetrics(registry)
    moment = datetime.fromtimestamp(NOW, tz=UTC)
    clients = [
        ApiClient(account, Limiter(rate), concurrency=4, metrics=metrics, now=lambda: datetime.now(UTC))
        for account in accounts
    ]
    publisher = PatientPublisher(KafkaLogOptions(connection={}, topic_prefix=PREFIX), lambda: log)
    timing = timing or Timing(lag=timedelta(0), overlap=timedelta(0), absent_after=timedelta(0))
    reconciler = Reconciler(
        list(zip(accounts, clients, strict=True)),
        ReconcileOptions(
            topic_prefix=PREFIX,
            timing=timing,
            concurrency=4,
        ),
        publisher=publisher,
        progress=progress,
        metrics=metrics,
        now=lambda: moment,
    )
    try:
        yield Office(reconciler, progress, log, clients, registry, moment, timing)
    finally:
        for client in clients:
            client.close()
