"""What the spool tells of itself: how full, how old, how fast; every alarm is a gauge that is not zero."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ENTRIES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class SpoolMetrics:
    """The spool's metrics in one registry; the gauges are asked for when somebody looks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.spooled = Counter("callweave_spooled_total", "Pushes that went into the spool", registry=registry)
        self.drained = Counter(
            "callweave_spool_drained_total", "Spooled pushes that Kafka acknowledged", registry=registry
        )
        self.commit_seconds = Histogram(
            "callweave_spool_commit_seconds", "One fsynced commit of the spool", buckets=_SECONDS, registry=registry
        )
        self.commit_entries = Histogram(
            "callweave_spool_commit_entries",
            "Pushes that shared one fsynced commit of the spool",
            buckets=_ENTRIES,
            registry=registry,
        )

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Add a gauge."""
        Gauge(f"callweave_spool_{name}", meaning, registry=self._registry).set_function(value)
