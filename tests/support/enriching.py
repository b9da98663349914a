"""Enrichment against the API simulator in one process, with the real SDK between them, and a Kafka that is a list."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from callweave.simulator.api.server import ApiServer
from callweave.simulator.facts import Session
from ingest.enrich.details import WantedSession
from ingest.enrich.enricher import Enricher, EnrichOptions
from ingest.enrich.knowledge import Knowledge
from ingest.enrich.metrics import EnrichMetrics
from ingest.kafka_publisher import KafkaLogOptions
from ingest.reconcile.client import ApiClient
from ingest.reconcile.limiter import Limiter
from ingest.reconcile.metrics import ReconcileMetrics
from ingest.reconcile.publishing import PatientPublisher
from schemas.keyed import KeyedRecord
from schemas.records import RECORDS, decode_keyed
from schemas.topics import DEAD_LETTERS, ENRICHMENT_TOPICS
from tests.support.api import NOW
from tests.support.reconciling import PREFIX, KafkaThatIsAList, an_account

ALL_OF_IT: dict[str, Any] = {
    "topic_prefix": PREFIX,
    "session_details": True,
    "directory": True,
    "agent_status": True,
    "requests_per_second": 1000.0,
    "session_delay": timedelta(0),
    "status_interval": timedelta(0),
    "status_lag": timedelta(0),
}


class FeedThatIsAList:
    """A Feed that gives everything again at each poll, as a topic that is read anew would."""

    def __init__(self, wanted: Iterable[WantedSession]) -> None:
        self.wanted = list(wanted)

    async def poll(self) -> list[WantedSession]:
        return self.wanted


@dataclass
class Enrichment:
    """One enricher, as one process would have it."""

    enricher: Enricher
    kafka: KafkaThatIsAList
    clients: list[ApiClient] = field(default_factory=list)

    async def read(self) -> int:
        """Ask for all that is due; how many records were published."""
        before = len(self.kafka.journal)
        await self.enricher.read_once()
        return len(self.kafka.journal) - before


def records_in(kafka: KafkaThatIsAList, suffix: str) -> list[Any]:
    """Every record of one topic, in order."""
    return [
        decode_keyed(suffix, record.key, record.value)
        for record in kafka.journal
        if record.topic == f"{PREFIX}{suffix}"
    ]


def rows_in(kafka: KafkaThatIsAList, suffix: str) -> dict[bytes, KeyedRecord]:
    """What a warehouse would hold of one topic."""
    rows: dict[bytes, KeyedRecord] = {}
    for record in records_in(kafka, suffix):
        if record.key not in rows or record.asked_at > rows[record.key].asked_at:
            rows[record.key] = record
    return rows


def wanted_of(sessions: Iterable[Session]) -> list[WantedSession]:
    """The sessions that a human answered."""
    return [
        WantedSession(_at(call.ended), _at(call.started), session.sdk_app_id, session.session_id)
        for session in sessions
        for call in (session.calls[-1],)
        if any(leg.answered and leg.mail for leg in call.legs)
    ]


@asynccontextmanager
async def enriching(
    server: ApiServer,
    wanted: Iterable[WantedSession] = (),
    *,
    kafka: KafkaThatIsAList | None = None,
    moment: datetime | None = None,
    **changes: Any,
) -> AsyncIterator[Enrichment]:
    """An enricher. What Kafka knows is read from its journal, as a new process would."""
    log = kafka or KafkaThatIsAList()
    knowledge = Knowledge()
    for suffix in RECORDS:
        knowledge.take(records_in(log, suffix))
    registry = CollectorRegistry()
    now = moment or _at(NOW)
    account = an_account(server)
    client = ApiClient(
        account, Limiter(1000.0), concurrency=2, metrics=ReconcileMetrics(registry), now=lambda: datetime.now(UTC)
    )
    publisher = PatientPublisher(
        KafkaLogOptions(connection={}, topic_prefix=PREFIX), lambda: log, topics=(DEAD_LETTERS, *ENRICHMENT_TOPICS)
    )
    enricher = Enricher(
        [(account, client)],
        EnrichOptions(**{**ALL_OF_IT, **changes}),
        publisher=publisher,
        knowledge=knowledge,
        metrics=EnrichMetrics(registry),
        now=lambda: now,
        feed=FeedThatIsAList(wanted),
    )
    try:
        yield Enrichment(enricher, log, [client])
    finally:
        client.close()


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
