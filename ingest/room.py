"""How many are answered at a time, and who waits for it: in the order of their arrival, and no longer than a bound.

The rule: who waits costs nothing until there is room for him or his time is over (ADR 0061). Turning somebody away
costs a third of serving him, so it is done to so many a second and no more: the others wait on, and may yet enter.
"""

import asyncio
from collections import OrderedDict
from typing import Protocol

TURNED_AWAY_AT_ONCE = 50
_PAUSE_SECONDS = 0.05


class Guest(Protocol):
    """Somebody who would be answered."""

    def enter(self) -> None:
        """There is room: take it (`Room.enter`), or do what needs none."""
        ...

    def turn_away(self) -> None:
        """There was none in time."""
        ...


class Room:
    """So many places, and the guests that wait for one. They are bounded by who lets them wait (`DoorLimits`)."""

    def __init__(self, places: int, *, wait_seconds_max: float, loop: asyncio.AbstractEventLoop) -> None:
        self._places = places
        self._wait_seconds_max = wait_seconds_max
        self._loop = loop
        self._taken = 0
        self._waiting: OrderedDict[Guest, float] = OrderedDict()  # and until when
        self._is_letting_in = False
        self._clock: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None  # where somebody waits for it

    @property
    def has_some(self) -> bool:
        """Whether one more may enter: there is a place, and nobody who was here before waits for it."""
        return self._taken < self._places and not self._waiting

    @property
    def waiting_count(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in, nor waits."""
        return not self._taken and not self._waiting

    def enter(self) -> None:
        """Take a place."""
        self._taken += 1

    def leave(self) -> None:
        """Give a place back. Who waits longest takes it, in the next turn of the event loop."""
        self._taken -= 1
        if self._waiting and not self._is_letting_in:
            self._is_letting_in = True
            self._loop.call_soon(self._let_in)
        self._look_around()

    def wait(self, guest: Guest) -> None:
        """Wait for a place."""
        until = self._loop.time() + self._wait_seconds_max
        self._waiting[guest] = until
        if self._clock is None:
            self._clock = self._loop.call_at(until, self._turn_away)

    def forget(self, guest: Guest) -> None:
        """Somebody waits no more, if he did."""
        if self._waiting.pop(guest, None) is not None:
            self._look_around()

    async def emptied(self) -> None:
        """Return once nobody is in, nor waits."""
        self._emptied = asyncio.Event()
        self._look_around()
        await self._emptied.wait()

    def _let_in(self) -> None:
        self._is_letting_in = False
        while self._waiting and self._taken < self._places:
            guest, _ = self._waiting.popitem(last=False)
            guest.enter()
        self._look_around()

    def _turn_away(self) -> None:
        """Turn away those whose time is over: they stand first, for all wait equally long."""
        now = self._loop.time()
        left = TURNED_AWAY_AT_ONCE
        while self._waiting and left:
            guest, until = next(iter(self._waiting.items()))
            if until > now:
                break
            left -= 1
            del self._waiting[guest]
            guest.turn_away()
        if self._waiting:
            look_at = next(iter(self._waiting.values())) if left else now + _PAUSE_SECONDS
            self._clock = self._loop.call_at(look_at, self._turn_away)
        else:
            self._clock = None
        self._look_around()

    def _look_around(self) -> None:
        if self._emptied is not None and self.is_empty:
            self._emptied.set()
