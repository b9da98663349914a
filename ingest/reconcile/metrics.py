"""What reconcile counts. Labels come from closed sets: actions, families of codes, the applications that are set."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from ingest.reconcile.failure import code_label
from schemas import metrics as listed
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.events import NormalizedEvent


class ApiMetrics:
    """What every client of the API counts, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(**listed.API_REQUESTS.arguments, registry=registry)
        self._rate = Gauge(**listed.API_RATE.arguments, registry=registry)

    def count_request(self, action: str, code: str) -> None:
        """Count a request."""
        self._requests.labels(action, code_label(code)).inc()

    def show_rate(self, account: str, rate: float) -> None:
        """Show what the limiter allows."""
        self._rate.labels(account).set(rate)


class ReconcileMetrics(ApiMetrics):
    """Reconcile's metrics in one registry, its requests among them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._windows = Counter(**listed.RECONCILE_WINDOWS.arguments, registry=registry)
        self._restarts = Counter(**listed.RECONCILE_RESTARTS.arguments, registry=registry)
        self._rows = Counter(**listed.RECONCILE_ROWS.arguments, registry=registry)
        self._published = Counter(**listed.RECONCILE_EVENTS_PUBLISHED.arguments, registry=registry)
        self._letters = Counter(**listed.DEAD_LETTERS.arguments, registry=registry)
        for reason in Reason:  # at 0, so that growth is seen from the first one on
            self._letters.labels(Stage.RECONCILE.value, reason.value)
        self._read_to = Gauge(**listed.RECONCILE_READ_TO.arguments, registry=registry)
        self._success = Gauge(**listed.RECONCILE_SUCCESS.arguments, registry=registry)
        self._failing = Gauge(**listed.RECONCILE_FAILING.arguments, registry=registry)

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

    def count_letter(self, letter: DeadLetter) -> None:
        """Count a letter."""
        self._letters.labels(letter.stage.value, letter.reason.value).inc()

    def show_failing(self, sdk_app_id: int, *, is_failing: bool) -> None:
        """Show whether an application is out of reach."""
        self._failing.labels(str(sdk_app_id)).set(float(is_failing))
