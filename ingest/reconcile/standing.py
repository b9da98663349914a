"""How one application of TCCC stands with reconcile: what was read of it, and why it cannot be read, if so."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Standing:
    """How one application stands."""

    sdk_app_id: int
    problem: str | None = None
    failures: int = 0
    retry_at: float = 0.0
    hours_done: int = 0
    hours_unsettled: int = 0
    hours_failed: int = 0
    rows: int = 0
    events_published: int = 0
    last_success: datetime | None = None
