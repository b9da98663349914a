"""Each fault of `make chaos-engine` twice, with a small load: the campaign in `docs/engine-trials.md`, in short.

All trials run side by side on brokers of their own; of the two of a fault, one is on each store.
"""

import pytest

from streams.engine.halt import ExitStatus
from tests.faults.engine_trials import Campaign, Outcome, Plan, read_results
from tests.faults.trial import FAULTS
from tests.support.broker import kafka_version

SESSIONS = 300

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """All trials, run once for the tests below."""
    base = tmp_path_factory.mktemp("trials")
    plan = Plan(results=base / "trials.jsonl", seeds=range(1, 3), sessions=SESSIONS, goes_on=True)
    Campaign(plan, base, kafka_version()).run()
    return read_results(plan.results)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_loses_nothing_and_doubles_nothing(fault: str, outcomes: list[Outcome]) -> None:
    theirs = [outcome for outcome in outcomes if outcome.fault == fault]
    assert sorted(outcome.store for outcome in theirs) == ["memory", "rocksdb"]
    for outcome in theirs:
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
            assert ExitStatus.RESTART in outcome.exits, "the worker did not start anew by itself"
        case "short_pause" | "third_worker" | "broker_restart":
            assert set(outcome.exits) <= {ExitStatus.RESTART}, "on a machine that is slow it may start anew"
    assert (outcome.compacted > 0) == (outcome.fault == "compaction")
