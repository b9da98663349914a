"""What a tally and a spread expose is what prometheus_client's own classes expose, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from ingest.tallies import Spread, Tally
from schemas import metrics as listed
from schemas.events import EventKind

BOUNDS = listed.PUSH_SECONDS.buckets
AMOUNTS = st.sampled_from(BOUNDS) | st.floats(min_value=0, max_value=100)


@given(st.lists(st.sampled_from(list(EventKind))))
def test_a_tally_is_a_counter(kinds: list[EventKind]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally(listed.PUSHES_STORED, EventKind, registry=ours)
    counter = Counter(**listed.PUSHES_STORED.arguments, registry=theirs)
    for kind in EventKind:
        counter.labels(kind.value)
    for kind in kinds:
        tally.counts[kind] += 1
        counter.labels(kind.value).inc()

    assert exposed(ours) == exposed(theirs)


@given(st.lists(AMOUNTS))
def test_a_spread_is_a_histogram(amounts: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    spread = Spread(listed.PUSH_SECONDS, registry=ours)
    histogram = Histogram(**listed.PUSH_SECONDS.arguments, registry=theirs)
    for amount in amounts:
        spread.observe(amount)
        histogram.observe(amount)

    assert exposed(ours) == exposed(theirs)


def exposed(registry: CollectorRegistry) -> list[str]:
    """As the admin port says it: without the time when each series began."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]
