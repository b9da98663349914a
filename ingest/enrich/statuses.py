"""What agents were doing: DescribeStaffStatusHistory, by windows under seven days and pages behind a cursor.

The rule: a reading begins a little before the last one ended, because changes may be told late; what was told already
is known by its digest and not written again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ingest.enrich.reading import cells_of, items_of, letter_about
from ingest.reconcile.client import Caller
from ingest.reconcile.failure import ApiError
from schemas import jsontext
from schemas.dead_letter import DeadLetter
from schemas.enrichment import AgentStatus, AgentStatusRead
from schemas.wire_api import AgentStatusObject

ACTION: Final = "DescribeStaffStatusHistory"
PAGE_SIZE: Final = 100
PAGES_MAX: Final = 2_000
"""Of one window: a cursor that never ends is an answer that cannot be read."""

WINDOW: Final = timedelta(days=6)
OVERLAP: Final = timedelta(minutes=10)
_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class StatusNews:
    """What a reading brought: changes that were not told before, and how far it went."""

    statuses: tuple[AgentStatus, ...]
    read: AgentStatusRead
    letters: tuple[DeadLetter, ...]


def windows(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The span in parts that the API takes; oldest first."""
    parts: list[tuple[datetime, datetime]] = []
    while since < until:
        parts.append((since, min(since + WINDOW, until)))
        since = parts[-1][1]
    return parts


async def read_window(caller: Caller, sdk_app_id: int, mail: str, window: tuple[datetime, datetime]) -> list[Any]:
    """All changes of one window. ApiError where the API gives nothing."""
    items: list[Any] = []
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        parameters: dict[str, Any] = {
            "SdkAppId": sdk_app_id,
            "StaffUserId": mail,
            "StartTimestamp": int(window[0].timestamp()),
            "EndTimestamp": int(window[1].timestamp()),
            "PageSize": PAGE_SIZE,
        }
        page = items_of(await caller.call(ACTION, parameters | ({} if cursor is None else {"Cursor": cursor})), "Data")
        items += page
        last = page[-1] if page else None
        following = last.get("Cursor") if isinstance(last, Mapping) else None
        # A page that is not full is no end (nobody says so); one without a cursor, or with the same one, is.
        if not following or str(following) == cursor:
            return items
        cursor = str(following)
    raise ApiError("UnreadableAnswer", "the history of an agent's status does not end")


def status_news(
    items: Sequence[Any],
    before: AgentStatusRead | None,
    *,
    sdk_app_id: int,
    agent_mail: str,
    window: tuple[datetime, datetime],
    asked_at: datetime,
) -> StatusNews:
    """What of a window's changes is new, and the record of the reading."""
    told = frozenset(before.recent) if before is not None else frozenset()
    letters: list[DeadLetter] = []
    statuses: dict[tuple[datetime, int], AgentStatus] = {}
    in_second: dict[datetime, list[dict[str, Any]]] = {}
    for item in items:
        cells = cells_of(AgentStatusObject, item)
        changed_at = cells.columns.get("changed_at")
        problem = cells.problem or (None if changed_at is not None else "a change has no Timestamp")
        if problem is not None:
            letters.append(letter_about(item, problem, action=ACTION, asked_at=asked_at))
        if changed_at is None:
            continue
        said = {name: cells.columns.get(name) for name in ("status", "session_id", "reason", "staff_number")}
        same_second = in_second.setdefault(changed_at, [])
        if said not in same_second:  # windows share the second between them
            same_second.append(said)
    for changed_at, of_second in in_second.items():
        for place, said in enumerate(of_second):
            statuses[changed_at, place] = AgentStatus(
                sdk_app_id=sdk_app_id,
                agent_mail=agent_mail,
                changed_at=changed_at,
                status_sequence=place,
                asked_at=asked_at,
                **said,
            )
    ordered = [statuses[place] for place in sorted(statuses)]
    since = window[1] - OVERLAP
    read = AgentStatusRead(
        sdk_app_id=sdk_app_id,
        agent_mail=agent_mail,
        asked_at=asked_at,
        read_from=window[0] if before is None else before.read_from,
        read_to=window[1],
        recent=tuple(_digest(status) for status in ordered if status.changed_at >= since),
    )
    return StatusNews(tuple(one for one in ordered if _digest(one) not in told), read, tuple(letters))


def _digest(status: AgentStatus) -> str:
    said = jsontext.encode(status.model_dump(mode="json", exclude={"asked_at"}))
    return hashlib.blake2b(said, digest_size=_DIGEST_BYTES).hexdigest()
