"""Recordings whose audio TCCC will soon delete: it keeps them three months, and callweave keeps addresses only."""

from datetime import datetime, timedelta
from typing import Final

from callweave.reading import Questions, instant_literal
from schemas.metrics import RECORDINGS_EXPIRING

KEPT: Final = timedelta(days=90)
"""Three months, by their shortest reading that is no February."""
DAYS: Final = tuple(map(int, RECORDINGS_EXPIRING.values("within_days")))


def read_expiring(questions: Questions, now: datetime) -> dict[int, int]:
    """For each number of days: how many recordings that came are deleted within them."""
    begins = now - KEPT
    made = "coalesce(generated_at, received_at)"
    ends = {days: instant_literal(begins + timedelta(days=days)) for days in DAYS}
    counted = ", ".join(
        f"coalesce(sum(case when {made} <= {end} then 1 else 0 end), 0) as within_{days}" for days, end in ends.items()
    )
    row = questions.ask(
        f"select {counted} from recordings where received_at is not null "  # noqa: S608 - values of our own
        f"and {made} > {instant_literal(begins)} and {made} <= {ends[max(DAYS)]}"
    ).dicts()[0]
    return {days: int(row[f"within_{days}"]) for days in DAYS}
