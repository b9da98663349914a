"""What reconcile counts. Labels come from closed sets: actions, families of codes, the applications that are set."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from ingest.reconcile.failure import code_label
from schemas.events import NormalizedEvent


class ReconcileMetrics:
    """Reconcile's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "callweave_api_requests_total",
            "Requests to TCCC's API, by action and what was answered",
            ["action", "code"],
            registry=registry,
        )
        self._rate = Gauge(
            "callweave_api_rate_per_second",
            "Requests a second that the limiter allows now",
            ["account"],
            registry=registry,
        )
        self._windows = Counter(
            "callweave_reconcile_windows_total",
            "Hours read to their end: final, or to be read again",
            ["outcome"],
            registry=registry,
        )
        self._restarts = Counter(
            "callweave_reconcile_restarts_total",
            "Hours read again from their first page because their count changed meanwhile",
            registry=registry,
        )
        self._rows = Counter(
            "callweave_reconcile_rows_total", "Rows that the API gave, repeats included", registry=registry
        )
        self._published = Counter(
            "callweave_reconcile_events_published_total",
            "Events that Kafka acknowledged",
            ["kind", "fact"],
            registry=registry,
        )
        self._letters = Counter(
            "callweave_reconcile_dead_letters_total",
            "Rows of the API that could not be used in whole or in part",
            ["reason"],
            registry=registry,
        )
        self._read_to = Gauge(
            "callweave_reconcile_read_to_timestamp_seconds",
            "How far the newest read hour reaches, UNIX time",
            ["sdk_app_id"],
            registry=registry,
        )
        self._success = Gauge(
            "callweave_reconcile_last_success_timestamp_seconds",
            "When an hour of this application was last read to its end, UNIX time",
            ["sdk_app_id"],
            registry=registry,
        )
        self._failing = Gauge(
            "callweave_reconcile_failing",
            "1 while the API gives nothing for this application; readiness says why",
            ["sdk_app_id"],
            registry=registry,
        )

    def count_request(self, action: str, code: str) -> None:
        """Count a request."""
        self._requests.labels(action, code_label(code)).inc()

    def show_rate(self, account: str, rate: float) -> None:
        """Show what the limiter allows."""
        self._rate.labels(account).set(rate)

    def count_window(self, sdk_app_id: int, *, is_final: bool, rows: int, read_to: datetime, at: datetime) -> None:
        """Count an hour that was read to its end and is published."""
        self._windows.labels("final" if is_final else "provisional").inc()
        self._rows.inc(rows)
        reaches = self._read_to.labels(str(sdk_app_id))
        reaches.set(max(read_to.timestamp(), reaches._value.get()))  # noqa: SLF001  (a gauge has no other reader)
        self._success.labels(str(sdk_app_id)).set(at.timestamp())

    def count_restart(self) -> None:
        """Count an hour that had to be read anew."""
        self._restarts.inc()

    def count_published(self, events: list[NormalizedEvent]) -> None:
        """Count events that are in Kafka."""
        for event in events:
            self._published.labels(event.kind.value, event.fact.value if event.fact else "none").inc()

    def count_letter(self, reason: str) -> None:
        """Count a letter."""
        self._letters.labels(reason).inc()

    def show_failing(self, sdk_app_id: int, *, is_failing: bool) -> None:
        """Show whether an application is out of reach."""
        self._failing.labels(str(sdk_app_id)).set(float(is_failing))
