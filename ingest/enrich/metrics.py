"""What enrichment counts; its requests stand beside reconcile's in `callweave_api_requests_total`."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas.topics import ENRICHMENT_TOPICS


class EnrichMetrics:
    """Enrichment's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        published = Counter(
            "callweave_enrich_records_published_total", "Records that Kafka acknowledged", ["topic"], registry=registry
        )
        self.published = {topic.suffix: published.labels(topic.suffix) for topic in ENRICHMENT_TOPICS}
        self.letters = Counter(
            "callweave_enrich_dead_letters_total", "Items of the API that could not be used", registry=registry
        )
        self.sessions_waiting = Gauge(
            "callweave_enrich_sessions_waiting", "Sessions whose details are still to be asked for", registry=registry
        )
        self._failing = Gauge(
            "callweave_enrich_failing",
            "1 while the API gives nothing; readiness says why",
            ["sdk_app_id", "action"],
            registry=registry,
        )
        self._success = Gauge(
            "callweave_enrich_last_success_timestamp_seconds",
            "When the API last gave all that was asked, UNIX time",
            ["sdk_app_id", "action"],
            registry=registry,
        )

    def succeeded(self, sdk_app_id: int, action: str, at: float) -> None:
        """Show that the API answered."""
        self._failing.labels(str(sdk_app_id), action).set(0)
        self._success.labels(str(sdk_app_id), action).set(at)

    def failed(self, sdk_app_id: int, action: str) -> None:
        """Show that it did not."""
        self._failing.labels(str(sdk_app_id), action).set(1)
