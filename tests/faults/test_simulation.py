"""The whole path, step by step: no schedule of crashes, sleeps and lost answers breaks a law, and broken code does."""

import pytest

from tests.faults.simulation import BREAKAGES, try_seed

SEEDS = 300
SEEDS_UNTIL_CAUGHT_MAX = 600


def test_no_schedule_of_crashes_breaks_a_law() -> None:
    for seed in range(SEEDS):
        failure = try_seed(seed)

        assert failure is None, "\n".join(failure.lines())


@pytest.mark.parametrize("broken", BREAKAGES)
def test_a_schedule_is_found_for_every_way_to_break_the_code_and_told_in_few_steps(broken: str) -> None:
    failure = next(filter(None, (try_seed(seed, broken) for seed in range(SEEDS_UNTIL_CAUGHT_MAX))), None)

    assert failure is not None, f"{broken!r} was never caught"
    assert len(failure.trace) <= 30
    assert failure == try_seed(failure.seed, broken), "the same seed fails in the same way"
