"""One answer for all who look: a panel is asked of the warehouse once a refresh, however many viewers it has.

The rule: the warehouse's own position (the offsets beside the rows) says whether anything changed; while it stands
still and the answer is young, nothing is asked again. What runs at a time, what waits and what is kept is bounded.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from callweave.dashboard.panels import Panel

KEPT_MAX = 256
WAITING_MAX = 64
AT_ONCE_MAX = 2
SECONDS_UNCHANGED_MAX = 60.0
"""An answer is computed anew after so long although the warehouse stands still: some of it goes by the clock."""


class TooBusyError(Exception):
    """More different questions wait than the page may have open."""


@dataclass(slots=True)
class Kept:
    """An answer, and what was made of it."""

    panel: Panel
    watermark: str
    made_at: float
    checked_at: float
    bodies: dict[bool, tuple[bytes, str]] = field(default_factory=dict)

    def body(self, *, sees_personal: bool) -> tuple[bytes, str]:
        """The JSON and its ETag, for those who may see what is personal or for those who may not."""
        if sees_personal not in self.bodies:
            body = self.panel.as_json(sees_personal=sees_personal)
            self.bodies[sees_personal] = body, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        return self.bodies[sees_personal]


class SharedAnswers:
    """Keeps the latest answers; `watermark` is asked before anything is computed anew."""

    def __init__(
        self,
        watermark: Callable[[], str],
        *,
        refresh_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watermark = watermark
        self._refresh_seconds = refresh_seconds
        self._monotonic = monotonic
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._flights: dict[Hashable, asyncio.Task[Kept]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._mark: tuple[str, float] | None = None
        self._mark_lock = asyncio.Lock()
        self.computed_count = 0

    async def answer(self, key: Hashable, compute: Callable[[], Panel]) -> Kept:
        """The answer to a question: kept, or computed once for everybody who waits for it."""
        kept = self._kept.get(key)
        if kept is not None and self._monotonic() - kept.checked_at < self._refresh_seconds:
            self._kept.move_to_end(key)
            return kept
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= WAITING_MAX:
                raise TooBusyError("too many different questions at once: try again in a moment")
            flight = asyncio.create_task(self._fly(key, kept, compute))
            self._flights[key] = flight
            flight.add_done_callback(lambda _done: self._flights.pop(key, None))
        # A viewer who goes away takes nothing from the others.
        return await asyncio.shield(flight)

    async def _fly(self, key: Hashable, kept: Kept | None, compute: Callable[[], Panel]) -> Kept:
        async with self._slots:
            mark = await self._current_mark()
            now = self._monotonic()
            if kept is not None and kept.watermark == mark and now - kept.made_at < SECONDS_UNCHANGED_MAX:
                kept.checked_at = now
                return kept
            panel = await asyncio.to_thread(compute)
            self.computed_count += 1
            now = self._monotonic()
            made = Kept(panel, mark, made_at=now, checked_at=now)
            self._kept[key] = made
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
            return made

    async def _current_mark(self) -> str:
        async with self._mark_lock:
            now = self._monotonic()
            if self._mark is None or now - self._mark[1] >= self._refresh_seconds:
                self._mark = await asyncio.to_thread(self._watermark), now
            return self._mark[0]
