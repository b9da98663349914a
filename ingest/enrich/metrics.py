"""What enrichment counts; its requests stand beside reconcile's in `callweave_api_requests_total`."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas import metrics as listed
from schemas.topics import ENRICHMENT_TOPICS


class EnrichMetrics:
    """Enrichment's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        published = Counter(**listed.ENRICH_RECORDS_PUBLISHED.arguments, registry=registry)
        self.published = {topic.suffix: published.labels(topic.suffix) for topic in ENRICHMENT_TOPICS}
        self.letters = Counter(**listed.ENRICH_UNUSABLE.arguments, registry=registry)
        self.sessions_waiting = Gauge(**listed.ENRICH_SESSIONS_WAITING.arguments, registry=registry)
        self._failing = Gauge(**listed.ENRICH_FAILING.arguments, registry=registry)
        self._success = Gauge(**listed.ENRICH_SUCCESS.arguments, registry=registry)

    def succeeded(self, sdk_app_id: int, action: str, at: float) -> None:
        """Show that the API answered."""
        self._failing.labels(str(sdk_app_id), action).set(0)
        self._success.labels(str(sdk_app_id), action).set(at)

    def failed(self, sdk_app_id: int, action: str) -> None:
        """Show that it did not."""
        self._failing.labels(str(sdk_app_id), action).set(1)
