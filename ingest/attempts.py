"""Counts failed attempts by source, in bounded memory, and says when a source had enough for now.

The rule: it is only asked about attempts that failed. A right credential never comes here, so nobody can lock TCCC
out, from whatever address he fails.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

SOURCES_MAX = 10_000
"""Sources that are remembered; one that is forgotten starts afresh."""


class FailedAttempts:
    """A bucket for each source: so many failures at once, refilled at so many a minute."""

    def __init__(
        self, per_minute_max: int, *, sources_max: int = SOURCES_MAX, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if per_minute_max < 1:
            raise ValueError("at least one failed attempt a minute must be allowed")
        self._burst = float(per_minute_max)
        self._per_second = per_minute_max / 60
        self._sources_max = sources_max
        self._monotonic = monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # source: what was left, and when

    def is_too_many(self, source: str) -> bool:
        """Note one failure of a source; whether it had more than it may."""
        now = self._monotonic()
        left, at = self._left.pop(source, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        has_room = left >= 1
        self._left[source] = (left - 1 if has_room else left, now)
        if len(self._left) > self._sources_max:
            self._left.popitem(last=False)
        return not has_room

    def __len__(self) -> int:
        return len(self._left)
