"""What the API knows: the sessions of a ledger by SdkAppId, newest first, as of a moment that the clock tells.

All it remembers is what it has told, so that rows can appear, move and change while a client pages.
"""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from callweave.simulator.api.life import Habits, latest_call
from callweave.simulator.api.rows import tel_cdr
from callweave.simulator.facts import Session

WindowBy = Literal["start", "end"]


@dataclass(slots=True)
class Clock:
    """The server's idea of now: runs on from where it was set, and can be put forward."""

    offset_seconds: float = 0.0
    source: Callable[[], float] = time.time

    @classmethod
    def starting_at(cls, moment: float | None, source: Callable[[], float] = time.time) -> "Clock":
        """Give a clock that shows `moment` now; None: the real time."""
        return cls(0.0 if moment is None else moment - source(), source)

    def now(self) -> float:
        """Give the moment in UNIX seconds."""
        return self.source() + self.offset_seconds

    def advance(self, seconds: float) -> None:
        """Put the clock forward."""
        self.offset_seconds += seconds


class Page(NamedTuple):
    """One page of sessions, and how many there are in all."""

    total: int
    sessions: list[Session]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a client asks for: times inclusive, and optional filters."""

    start: int
    end: int
    phones: Collection[str] = ()
    session_ids: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The sessions of one application, newest first, and the times that windows are held against."""

    sessions: list[Session]
    moments: list[int]  # of each, negative, so that they ascend

    def between(self, window: Window) -> list[Session]:
        """Give those of a window; both ends count."""
        return self.sessions[bisect_left(self.moments, -window.end) : bisect_right(self.moments, -window.start)]


class World:
    """All sessions, the clock, and how the API behaves."""

    def __init__(
        self, sessions: Iterable[Session], habits: Habits, clock: Clock, *, window_by: WindowBy = "start"
    ) -> None:
        self.clock = clock
        self._habits = habits
        self._visible_at: dict[str, float] = {}
        self._settled: set[str] = set()  # have appeared and moved
        self._told: set[str] = set()
        of_app: dict[int, list[tuple[int, Session]]] = {}
        for session in sessions:
            call = latest_call(session)
            moment = call.started if window_by == "start" else call.ended
            of_app.setdefault(session.sdk_app_id, []).append((-moment, session))
        self._shelves: dict[int, _Shelf] = {}
        for app, of_one in of_app.items():
            of_one.sort(key=lambda item: (item[0], item[1].session_id))
            self._shelves[app] = _Shelf([session for _, session in of_one], [moment for moment, _ in of_one])
        self._by_name = {session.name: session for of_one in of_app.values() for _, session in of_one}

    @property
    def habits(self) -> Habits:
        """How the API behaves; may be set anew while serving."""
        return self._habits

    @habits.setter
    def habits(self, habits: Habits) -> None:
        self._habits = habits
        self._visible_at.clear()

    @property
    def sdk_app_ids(self) -> list[int]:
        """Give the applications of the scenario."""
        return sorted(self._shelves)

    def sessions_of(self, sdk_app_id: int) -> list[Session]:
        """Give all sessions of an application, visible or not, newest first."""
        return self._shelves[sdk_app_id].sessions if sdk_app_id in self._shelves else []

    def session(self, sdk_app_id: int, session_id: str) -> Session | None:
        """Give a session that is visible now."""
        session = self._by_name.get(f"{sdk_app_id}:{session_id}")
        return session if session is not None and self._is_visible(session, self.clock.now()) else None

    def page(self, sdk_app_id: int, window: Window, *, number: int, size: int) -> Page:
        """Give one page, newest first, and the total as it is now."""
        now = self.clock.now()
        shelf = self._shelves.get(sdk_app_id, _Shelf([], []))
        found = [session for session in shelf.between(window) if _passes(window, session)]
        visible = [session for session in found if self._is_visible(session, now)]
        if number == 0 and len(visible) > size:
            # What appears or moves while a client pages has not done so when it reads the first of several pages.
            there = [session for session in visible if not self._is_yet_to("appears_while_paging", session)]
            visible = sorted(there, key=lambda session: self._is_yet_to("moves_while_paging", session))
        else:
            self._settled |= {session.name for session in visible}
        return Page(len(visible), visible[number * size : (number + 1) * size])

    def row(self, session: Session) -> dict[str, Any]:
        """Write the row of a session as it is now; telling of it may be what changes it."""
        row = tel_cdr(session, self._habits, now=self.clock.now())
        is_first = session.name not in self._told
        self._told.add(session.name)
        if is_first and self._habits.strikes("changes_while_paging", session):
            row |= {"Remark": "", "HungUpSide": ""}
        return row

    def _is_visible(self, session: Session, now: float) -> bool:
        if session.name not in self._visible_at:
            self._visible_at[session.name] = self._habits.visible_at(session)
        return self._visible_at[session.name] <= now

    def _is_yet_to(self, fault: str, session: Session) -> bool:
        return session.name not in self._settled and self._habits.strikes(fault, session)


def _passes(window: Window, session: Session) -> bool:
    if window.session_ids and session.session_id not in window.session_ids:
        return False
    call = latest_call(session)
    return not window.phones or call.caller in window.phones or call.callee in window.phones
