import asyncio
import time

from ingest.reconcile.limiter import RATE_MIN, Limiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def turns(clock: Clock, limiter: Limiter, count: int) -> list[float]:
    """When so many turns come, one after another."""
    moments = []
    for _ in range(count):
        clock.now += max(0.0, limiter.pause())
        limiter.take()
        moments.append(clock.now)
    return moments


def test_turns_are_spaced_evenly_and_never_more_than_the_rate_in_any_second() -> None:
    clock = Clock()
    limiter = Limiter(15, clock)
    at = turns(clock, limiter, 100)

    assert all(sum(first <= other < first + 1 - 1e-9 for other in at) <= 15 for first in at)
    assert at[-1] - at[0] <= 99 / 15 + 1e-6


def test_turns_that_nobody_took_are_no_burst() -> None:
    clock = Clock()
    limiter = Limiter(10, clock)
    limiter.take()
    clock.now = 60.0
    at = turns(clock, limiter, 30)

    assert sum(moment < 61 for moment in at) <= 11


async def test_callers_that_woke_late_together_come_one_after_another() -> None:
    limiter = Limiter(50)
    begun = time.monotonic()
    waiting = [asyncio.create_task(limiter.turn()) for _ in range(9)]
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251  (the stall that is meant)
    await asyncio.gather(*waiting)

    # One turn was taken before the stall and one may be caught up; the rest are a pace apart again.
    assert time.monotonic() - begun >= 0.3 + 6 / 50


def test_a_refusal_halves_the_rate_once_and_success_restores_it() -> None:
    clock = Clock()
    limiter = Limiter(16, clock)
    for _ in range(8):  # the requests that were under way
        limiter.refused()

    assert limiter.rate == 8
    assert limiter.pause() >= 1.0

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
