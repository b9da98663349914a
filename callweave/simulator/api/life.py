"""When the API says what of a session: visible since, addresses since, remark since. Pure: seed, session and a moment.

A fault strikes a session by its name, so restarting the server, or asking in another order, changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from callweave.simulator.chance import chance
from callweave.simulator.facts import Call, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How the API behaves towards sessions: fault rates, and how late "later" is."""

    seed: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    visibility_delay_seconds: float = 0.0
    later_seconds: float = 3_600.0

    def strikes(self, fault: str, session: Session) -> bool:
        """Decide whether a fault strikes a session; the same answer for ever."""
        rate = self.rates.get(fault, 0.0)
        return rate > 0 and chance(self.seed, "api", fault, session.name).random() < rate

    def visible_at(self, session: Session) -> float:
        """Give the moment from which the API knows the session."""
        late = self.later_seconds if self.strikes("late_row", session) else 0.0
        return latest_call(session).ended + self.visibility_delay_seconds + late

    def is_pending(self, fault: str, session: Session, *, now: float) -> bool:
        """Tell whether what a "later" fault keeps back is still kept back."""
        return self.strikes(fault, session) and now < latest_call(session).ended + self.later_seconds

    def told_call(self, session: Session, *, now: float) -> Call:
        """Give the call as the API tells it now: as it was corrected last, unless that takes time."""
        is_stale = len(session.calls) > 1 and self.is_pending("stale", session, now=now)
        return session.calls[0] if is_stale else latest_call(session)


def latest_call(session: Session) -> Call:
    """Give the call as it was corrected last."""
    return session.calls[-1]
