"""When a report comes too late, and when a session is forgotten (architecture.md law 12, ADR 0012). Pure.

Whether a report is too late depends on its own record alone: how long ago it had been received when it was published.
So the order of records, restarts, and the clock of whoever reads them cannot change the verdict.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.models import instant_ms

DAY_MS: Final = 24 * 60 * 60 * 1000

FORGETTING_MARGIN_MS: Final = DAY_MS
"""A session outlives the moment from which its reports are refused, by more than clocks differ and batches last."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a session is remembered after its last receipt."""

    days: int

    def too_late(self, received_at: datetime, *, published_ms: int) -> str | None:
        """Why a report is a dead letter (SESSION_RETIRED); None where its session is still remembered."""
        if published_ms - instant_ms(received_at) <= self.days * DAY_MS:
            return None
        return (
            f"received on {received_at:%Y-%m-%d} and published more than {self.days} days later: its session may have "
            "been retired; the warehouse keeps the rows that it has"
        )

    def forgotten_before_ms(self, now_ms: int) -> int:
        """Sessions whose last receipt lies before this moment are forgotten."""
        return now_ms - self.days * DAY_MS - FORGETTING_MARGIN_MS
