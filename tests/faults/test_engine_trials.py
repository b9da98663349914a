"""Each fault of `make chaos-engine` twice, with a small load: the campaign in `docs/engine-trials.md`, in short.

Both trials of a fault run side by side on one broker of their own, one on each store.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.engine_trials import Outcome, run_trial
from tests.faults.trial import FAULTS, Trial, TrialBroker
from tests.support.broker import kafka_version

SESSIONS = 300


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialBroker]:
    """A Kafka that the trials may stop and kill."""
    with TrialBroker(tmp_path_factory.mktemp("kafka"), version=kafka_version(), heap_mb=512) as started:
        yield started


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_loses_nothing_and_doubles_nothing(fault: str, broker: TrialBroker, tmp_path: Path) -> None:
    outcomes = await asyncio.gather(
        *[
            run_trial(
                Trial(
                    fault=fault,
                    seed=seed,
                    worker="callweave",
                    store=store,
                    broker=broker,
                    folder=tmp_path / store,
                    sessions=SESSIONS,
                )
            )
            for seed, store in ((1, "rocksdb"), (2, "memory"))
        ]
    )
    for outcome in outcomes:
        check(outcome)


def check(outcome: Outcome) -> None:
    """Nothing lost, nothing doubled; and the fault was really there."""
    assert outcome.reports == SESSIONS * 3
    assert outcome.is_clean, outcome
    match outcome.fault:
        case "sigkill" | "compaction":
            assert -9 in outcome.exits
        case "sigterm" | "rolling":
            assert outcome.exits.count(0) >= (2 if outcome.fault == "rolling" else 1)
        case "long_pause" | "failed_sends":
            assert 75 in outcome.exits, "the worker did not start anew by itself"
        case "short_pause" | "third_worker" | "broker_restart":
            assert outcome.exits == []
    assert (outcome.compacted > 0) == (outcome.fault == "compaction")
