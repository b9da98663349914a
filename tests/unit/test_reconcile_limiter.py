from ingest.reconcile.limiter import RATE_MIN, Limiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_turns_are_spaced_evenly_and_never_more_than_the_rate_in_any_second() -> None:
    clock = Clock()
    limiter = Limiter(15, clock)
    at = [clock.now + limiter.reserve() for _ in range(100)]

    assert all(sum(first <= other < first + 1 - 1e-9 for other in at) <= 15 for first in at)
    assert at[-1] - at[0] <= 99 / 15 + 1e-6


def test_turns_that_nobody_took_are_no_burst() -> None:
    clock = Clock()
    limiter = Limiter(10, clock)
    limiter.reserve()
    clock.now = 60.0
    at = [clock.now + limiter.reserve() for _ in range(30)]

    assert sum(moment < 61 for moment in at) <= 12


def test_a_refusal_halves_the_rate_once_and_success_restores_it() -> None:
    clock = Clock()
    limiter = Limiter(16, clock)
    for _ in range(8):  # the requests that were under way
        limiter.refused()

    assert limiter.rate == 8
    assert limiter.reserve() >= 1.0

    for _ in range(1000):
        limiter.succeeded()
    assert limiter.rate == 16


def test_a_rate_is_never_refused_away() -> None:
    clock = Clock()
    limiter = Limiter(16, clock)
    for second in range(100):
        clock.now = 2.0 * second
        limiter.refused()

    assert limiter.rate == RATE_MIN
