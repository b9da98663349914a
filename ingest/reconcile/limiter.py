"""How fast one secret may ask: a steady pace that halves when the API says that it is too fast, and recovers slowly.

The quota's scope is not documented (protocol.md g.24), so all actions and applications of a secret share one limiter.
"""

import asyncio
import time
from collections.abc import Callable

RATE_MIN = 0.5
RECOVERY_PER_REQUEST = 0.1
"""Requests a second that each success gives back: from half of 15 to all of it in 75 requests."""

HOLD_SECONDS = 1.0
"""After a refusal nobody asks for this long: TCCC counts by the second."""

CATCH_UP_REQUESTS = 1.0
"""How many turns that nobody took in time may be taken late; more would be a burst."""


class Limiter:
    """Gives turns, spaced evenly. Additive increase, multiplicative decrease."""

    def __init__(self, rate_max: float, clock: Callable[[], float] = time.monotonic) -> None:
        assert rate_max > 0
        self._rate_max = rate_max
        self._clock = clock
        self._next_at = clock()
        self._held_since = float("-inf")
        self._one_at_a_time = asyncio.Lock()
        self.rate = rate_max

    async def turn(self) -> None:
        """Return when it is this caller's turn to send a request."""
        # One at a time, and the turn is taken on waking: after a stall of this process nobody comes in a bunch.
        async with self._one_at_a_time:
            while (pause := self.pause()) > 0:  # noqa: ASYNC110  (a refusal may put the turn off meanwhile)
                await asyncio.sleep(pause)
            self.take()

    def pause(self) -> float:
        """How many seconds the next turn is away."""
        return self._next_at - self._clock()

    def take(self) -> None:
        """Take the turn that has come."""
        self._next_at = max(self._next_at, self._clock() - CATCH_UP_REQUESTS / self.rate) + 1 / self.rate

    def succeeded(self) -> None:
        """A request was answered: recover a little."""
        self.rate = min(self._rate_max, self.rate + RECOVERY_PER_REQUEST)

    def refused(self) -> None:
        """The API said RequestLimitExceeded. Refusals of one moment are one signal."""
        now = self._clock()
        if now - self._held_since < HOLD_SECONDS:
            return
        self._held_since = now
        self.rate = max(min(RATE_MIN, self._rate_max), self.rate / 2)
        self._next_at = max(self._next_at, now + HOLD_SECONDS)
