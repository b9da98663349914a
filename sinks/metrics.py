"""What the loader measures, under the names of `schemas.metrics`, and its lag, reckoned when somebody scrapes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas import metrics as listed
from schemas.dead_letter import Reason, Stage
from schemas.lag import LagWatch
from sinks.sink import LogPartition
from sinks.status import PartitionStatus

TOPIC_LABELS: Final = listed.LOADER_RECORDS_READ.values("topic")


class LoaderMetrics:
    """The loader's metrics in one registry; children are looked up once, here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        read = Counter(**listed.LOADER_RECORDS_READ.arguments, registry=registry)
        loaded = Counter(**listed.SESSIONS_LOADED.arguments, registry=registry)
        letters = Counter(**listed.DEAD_LETTERS.arguments, registry=registry)
        retries = Counter(**listed.LOADER_RETRIES.arguments, registry=registry)
        self.registry = registry
        self.records_read = {name: read.labels(name) for name in TOPIC_LABELS}
        self.sessions_applied = loaded.labels("applied")
        self.sessions_stale = loaded.labels("stale")
        self.dead_letters = {
            reason: letters.labels(Stage.LOAD.value, reason.value)
            for reason in (Reason.SCHEMA_VIOLATION, Reason.SINK_REJECTED)
        }
        self.sink_retries = retries.labels("warehouse")
        self.log_retries = retries.labels("kafka")
        self.letters_loaded = Counter(**listed.LETTERS_LOADED.arguments, registry=registry)
        self.snapshot_failures = Counter(**listed.SNAPSHOT_FAILURES.arguments, registry=registry)
        self.freshness = Histogram(**listed.FRESHNESS.arguments, registry=registry)
        self.call_freshness = Histogram(**listed.CALL_FRESHNESS.arguments, registry=registry)
        self.writing = Histogram(**listed.BATCH_WRITE_SECONDS.arguments, registry=registry)
        self.resets = Counter(**listed.LOADER_OFFSET_RESETS.arguments, registry=registry)


class LoaderLag(Collector):
    """The two gauges of each partition. Collect them in the event loop that runs the loader."""

    def __init__(
        self,
        partitions: Callable[[], Sequence[PartitionStatus]],
        watch: LagWatch[LogPartition],
        *,
        label_of: Callable[[str], str],
        clock: Callable[[], float],
    ) -> None:
        self._partitions = partitions
        self._watch = watch
        self._label_of = label_of
        self._clock = clock

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Called by the registry when it takes us on."""
        yield _family(listed.LOADER_LAG_RECORDS)
        yield _family(listed.LOADER_LAG_SECONDS)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called for each scrape."""
        records, seconds = _family(listed.LOADER_LAG_RECORDS), _family(listed.LOADER_LAG_SECONDS)
        now = self._clock()
        for status in self._partitions():
            place = status.partition
            labels = [self._label_of(place.topic), str(place.partition)]
            records.add_metric(labels, status.lag)
            seconds.add_metric(labels, self._watch.seconds(place, waiting=status.lag, now=now))
        yield records
        yield seconds


def _family(metric: listed.Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.meaning, labels=[label.name for label in metric.labels])
