"""The fence: a worker that stood still for longer than its session no longer owns its partitions, and must not write.

Answers the first part of row 11 of faust.md part 1: nothing in Faust or aiokafka stops a process that was suspended
(SIGSTOP, a frozen machine) from sending what it had in hand when it wakes. It is a clock on the event loop, looked at
before each send and on its own beat; whichever comes first after a pause ends the process (ADR 0011).
"""

import asyncio
import time
from collections.abc import Callable

from streams.engine.halt import exit_for_restart

BEAT_SECONDS = 0.5


def monotonic_with_sleep() -> float:
    """Seconds that also pass while the machine is suspended, where the system can tell (Linux)."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class SessionFence:
    """Ends the process once the loop has stood still so long that the group may have given its partitions away."""

    def __init__(
        self, session_seconds: float, heartbeat_seconds: float, clock: Callable[[], float] = monotonic_with_sleep
    ) -> None:
        # The last heartbeat may have been sent a whole interval before the pause began.
        self._still_seconds_max = session_seconds - heartbeat_seconds
        self._clock = clock
        self._seen_at: float | None = None

    def check(self) -> None:
        """Before each send: exit if the loop has not been seen for too long."""
        now = self._clock()
        still = 0.0 if self._seen_at is None else now - self._seen_at
        if still > self._still_seconds_max:
            exit_for_restart(
                "the worker stood still for longer than its session lasts; others may own its partitions now",
                seconds=round(still, 1),
            )
        self._seen_at = now

    async def keep(self) -> None:
        """The beat: checks twice a second, for as long as the worker runs."""
        while True:
            self.check()
            await asyncio.sleep(BEAT_SECONDS)
