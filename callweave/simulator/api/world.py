"""What the API knows: the sessions of a ledger by SdkAppId, newest first, as of a moment that the clock tells.

The one thing it remembers is which windows were asked for, so that rows can appear while a client pages.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from callweave.simulator.api.life import Habits, latest_call
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


@dataclass(slots=True)
class World:
    """All sessions, the clock, and how the API behaves."""

    habits: Habits
    clock: Clock
    window_by: WindowBy = "start"
    _of_app: Mapping[int, list[Session]] = field(default_factory=dict)
    _by_name: Mapping[tuple[int, str], Session] = field(default_factory=dict)
    _appeared: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, sessions: Iterable[Session], habits: Habits, clock: Clock, *, window_by: WindowBy = "start") -> "World":
        """Take in the sessions of a scenario."""
        of_app: dict[int, list[Session]] = {}
        for session in sessions:
            of_app.setdefault(session.sdk_app_id, []).append(session)
        for of_one in of_app.values():
            of_one.sort(key=lambda session: (-latest_call(session).started, session.session_id))
        by_name = {
            (session.sdk_app_id, session.session_id): session for of_one in of_app.values() for session in of_one
        }
        return cls(habits, clock, window_by, of_app, by_name)

    @property
    def sdk_app_ids(self) -> list[int]:
        """Give the applications of the scenario."""
        return sorted(self._of_app)

    def sessions_of(self, sdk_app_id: int) -> list[Session]:
        """Give all sessions of an application, visible or not, newest first."""
        return self._of_app.get(sdk_app_id, [])

    def session(self, sdk_app_id: int, session_id: str) -> Session | None:
        """Give a session that is visible now."""
        session = self._by_name.get((sdk_app_id, session_id))
        return session if session is not None and self._is_visible(session, self.clock.now()) else None

    def page(self, sdk_app_id: int, window: Window, *, number: int, size: int) -> Page:
        """Give one page, newest first, and the total as it is now."""
        now = self.clock.now()
        found = [session for session in self.sessions_of(sdk_app_id) if _is_in(window, self._moment(session), session)]
        visible = [session for session in found if self._is_visible(session, now)]
        if number == 0 and len(visible) > size:
            # What appears while a client pages is not there yet when it reads the first of several pages.
            visible = [session for session in visible if not self._is_yet_to_appear(session)]
        else:
            self._appeared |= {session.name for session in visible}
        return Page(len(visible), visible[number * size : (number + 1) * size])

    def _moment(self, session: Session) -> int:
        call = latest_call(session)
        return call.started if self.window_by == "start" else call.ended

    def _is_visible(self, session: Session, now: float) -> bool:
        return self.habits.visible_at(session) <= now

    def _is_yet_to_appear(self, session: Session) -> bool:
        return session.name not in self._appeared and self.habits.strikes("appears_while_paging", session)


def _is_in(window: Window, moment: int, session: Session) -> bool:
    if not window.start <= moment <= window.end:
        return False
    if window.session_ids and session.session_id not in window.session_ids:
        return False
    call = latest_call(session)
    return not window.phones or call.caller in window.phones or call.callee in window.phones
