"""What the loader is given to lay down the history of sessions: the core's telling of a state, within the retention."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from callweave.settings import Settings
from schemas.models import instant_text
from sinks.rows import SessionKey, VersionsOf
from streams.core.history import list_versions
from streams.core.state import state_from_json


def versions_of(settings: Settings, now: Callable[[], datetime]) -> VersionsOf | None:
    """Rows of `session_versions` of a record's state; None where WAREHOUSE__HISTORY is off."""
    warehouse = settings.warehouse
    if not warehouse.history:
        return None

    def versions(key: SessionKey, state: Any) -> list[dict[str, Any]]:
        try:
            known = state_from_json(state)
        except (KeyError, TypeError, ValueError, AttributeError):
            return []  # a newer worker's: the document is whole without its history
        rows = list_versions(*key, known)
        if not warehouse.history_days:
            return rows
        # All of them have the same form, so that their order as text is their order in time.
        since = instant_text(now() - timedelta(days=warehouse.history_days))
        return [row for row in rows if row["received_at"] >= since]

    return versions
