"""Counts what happens to every push, as plain numbers that are read when somebody asks for the metrics.

prometheus_client's own classes check and lock for each increment, and a push has a dozen of them. The rule: what is
exposed is what its `Counter` and `Histogram` would expose, and only the event loop's thread counts.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from schemas import metrics as listed


class Tally(Collector):
    """A counter with one label, whose values are known: `tally.counts[value] += 1`."""

    def __init__(self, metric: listed.Metric, values: Iterable[str], *, registry: CollectorRegistry) -> None:
        self._metric = metric
        self.counts = dict.fromkeys(values, 0)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """What there is by now."""
        labels = [label.name for label in self._metric.labels]
        family = CounterMetricFamily(self._metric.name, self._metric.meaning, labels=labels)
        for value, count in self.counts.items():
            family.add_metric([value], count)
        yield family

    describe = collect


class Spread(Collector):
    """A histogram without labels."""

    def __init__(self, metric: listed.Metric, *, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._bounds = metric.buckets
        self._counts = [0] * (len(metric.buckets) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, amount: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def collect(self) -> Iterator[Metric]:
        """What there is by now."""
        bounds = [floatToGoString(bound) for bound in (*self._bounds, inf)]  # type: ignore[no-untyped-call]
        family = HistogramMetricFamily(self._metric.name, self._metric.meaning)
        family.add_metric([], list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)
        yield family

    describe = collect
