"""How far the worker is behind on each of its partitions. Reckoned when somebody scrapes: a batch pays nothing."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from faust.types import TP
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.lag import LagWatch
from schemas.metrics import WORKER_LAG_RECORDS, WORKER_LAG_SECONDS, Metric


class WorkerLag(Collector):
    """The two gauges. Collect them in the event loop that runs the worker."""

    def __init__(self, app: Any, watch: LagWatch[TP], topic_prefix: str, clock: Callable[[], float]) -> None:
        self._app = app
        self._watch = watch
        self._prefix = topic_prefix
        self._clock = clock

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Called by the registry when it takes us on; there is no Kafka yet to ask."""
        yield _family(WORKER_LAG_RECORDS)
        yield _family(WORKER_LAG_SECONDS)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called for each scrape."""
        records, seconds = _family(WORKER_LAG_RECORDS), _family(WORKER_LAG_SECONDS)
        now = self._clock()
        for tp, position in self._positions().items():
            end = self._app.consumer.highwater(tp)
            if end is None:
                continue  # nothing was fetched of it yet
            waiting = max(0, end - position)
            labels = [tp.topic.removeprefix(self._prefix), str(tp.partition)]
            records.add_metric(labels, waiting)
            seconds.add_metric(labels, self._watch.seconds(tp, waiting=waiting, now=now))
        yield records
        yield seconds

    def _positions(self) -> Mapping[TP, int]:
        """Of the partitions that are ours; while we restore, we are asked for nothing of them yet."""
        is_ours = self._app.tables.actives_ready and not self._app.in_recovery
        return self._app.guard.positions() if is_ours else {}


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.meaning, labels=[label.name for label in metric.labels])
