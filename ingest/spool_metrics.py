"""What the spool tells of itself: how full, how old, how fast; every alarm is a gauge that is not zero."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas import metrics as listed
from schemas.metrics import Metric


class SpoolMetrics:
    """The spool's metrics in one registry; the gauges are asked for when somebody looks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.spooled = Counter(**listed.SPOOLED.arguments, registry=registry)
        self.drained = Counter(**listed.SPOOL_DRAINED.arguments, registry=registry)
        self.commit_seconds = Histogram(**listed.SPOOL_COMMIT_SECONDS.arguments, registry=registry)
        self.commit_entries = Histogram(**listed.SPOOL_COMMIT_ENTRIES.arguments, registry=registry)

    def watch(self, metric: Metric, value: Callable[[], float]) -> None:
        """Add a gauge."""
        Gauge(**metric.arguments, registry=self._registry).set_function(value)
