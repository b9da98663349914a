"""Appends together what one turn of the event loop brings: one task and one time limit for all of it.

The rule: entries share the way and nothing else. Each hears its own outcome, as soon as that is known.
"""

import asyncio

from ingest.push_log import BatchPushLog, LogEntry

_Waiting = tuple[LogEntry, asyncio.Future[None]]


class Together:
    """Groups entries for a log. How many are on their way is bounded by who appends (`DoorLimits`)."""

    def __init__(self, log: BatchPushLog, *, wait_seconds_max: float) -> None:
        self._log = log
        self._wait_seconds_max = wait_seconds_max
        self._gathered: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def append(self, entry: LogEntry) -> asyncio.Future[None]:
        """Append with the others of this turn; the future fails with LogUnavailable or TimeoutError as they come."""
        loop = asyncio.get_running_loop()
        if not self._gathered:
            loop.call_soon(self._send)
        outcome: asyncio.Future[None] = loop.create_future()
        self._gathered.append((entry, outcome))
        return outcome

    async def ended(self) -> None:
        """Return once nothing is on its way, within the time that each may take."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _send(self) -> None:
        group, self._gathered = self._gathered, []
        task = asyncio.get_running_loop().create_task(self._append(group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _append(self, group: list[_Waiting]) -> None:
        def stored(place: int) -> None:
            outcome = group[place][1]
            if not outcome.done():  # its time may be over, or its sender gone
                outcome.set_result(None)

        try:
            async with asyncio.timeout(self._wait_seconds_max):
                await self._log.append_each([entry for entry, _ in group], stored)
        except Exception as exc:  # noqa: BLE001  (whoever waits knows what to make of it)
            for _, outcome in group:
                if not outcome.done():
                    outcome.set_exception(exc)
        else:
            for place in range(len(group)):
                stored(place)
