"""Hold and mute: which sessions have something to tell, and DescribeSessionDetail's answer as records. Pure.

The rule: a session needs asking once, when a human answered it and it has been over for a while.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ingest.enrich.reading import cells_of, items_of, letter_about
from schemas import jsontext
from schemas.dead_letter import DeadLetter
from schemas.enrichment import AgentEvent, SessionDetail
from schemas.keyed import KEY_CHARACTERS_MAX
from schemas.wire_api import AgentEventObject

ACTION = "DescribeSessionDetail"
UNKNOWN_CODE = "InvalidParameterValue.RecordNotExist"
_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, order=True)
class WantedSession:
    """A session to be asked for; earlier ends first."""

    ended_at: datetime
    started_at: datetime
    sdk_app_id: int
    session_id: str

    def parameters(self) -> dict[str, Any]:
        """The request."""
        return {
            "SdkAppId": self.sdk_app_id,
            "SessionId": self.session_id,
            "StartTimestamp": int((self.started_at - _MARGIN).timestamp()),
            "EndTimestamp": int((self.ended_at + _MARGIN).timestamp()),
        }


@dataclass(frozen=True, slots=True)
class Details:
    """What one answer becomes."""

    events: tuple[AgentEvent, ...]
    detail: SessionDetail
    letters: tuple[DeadLetter, ...] = ()


def wanted_session(value: bytes) -> WantedSession | None:
    """The session of a record of the topic `sessions`, if a human answered it and it is over; else None."""
    try:
        document = jsontext.decode(value)["session"]
        legs = document["legs"]
        is_answered = any(leg["answered_at"] and (leg["agent_mail"] or leg["agent_phone"]) for leg in legs)
        if not is_answered and not (document["answered_at"] and document["agent_mail"]):
            return None
        ended_at = datetime.fromisoformat(document["ended_at"])
        started_at = datetime.fromisoformat(document["started_at"] or document["ended_at"])
        if not 0 < len(document["session_id"]) <= KEY_CHARACTERS_MAX:
            return None
        return WantedSession(ended_at, min(started_at, ended_at), document["sdk_app_id"], document["session_id"])
    except (jsontext.NotJsonError, KeyError, TypeError, ValueError):
        return None  # not ended, or no document: the loader writes the letter about the latter


def details_of(wanted: WantedSession, answer: Mapping[str, Any], asked_at: datetime) -> Details:
    """An answer as records."""
    known: list[tuple[str, dict[str, Any]]] = []
    letters: list[DeadLetter] = []
    for item in items_of(answer, "Events"):
        for one in _by_agent(item):
            cells = cells_of(AgentEventObject, one)
            if cells.problem is not None:
                letters.append(letter_about(one, cells.problem, action=ACTION, asked_at=asked_at))
            if cells.columns or cells.extra:
                known.append((_order(cells.columns), {**cells.columns, "extra": cells.extra}))
    known.sort(key=lambda event: event[0])
    key = {"sdk_app_id": wanted.sdk_app_id, "session_id": wanted.session_id, "asked_at": asked_at}
    events = tuple(
        AgentEvent.model_validate(_NOTHING_SAID | said | key | {"event_sequence": place})
        for place, (_, said) in enumerate(known)
    )
    return Details(events, _detail(wanted, asked_at, is_known=True, event_count=len(events)), tuple(letters))


def unknown_details(wanted: WantedSession, asked_at: datetime) -> Details:
    """That the API knows no such session."""
    return Details((), _detail(wanted, asked_at, is_known=False, event_count=0))


_NOTHING_SAID: dict[str, Any] = dict.fromkeys(("occurred_at", "event_type", "agent_mail", "staff_number", "extra"))


def _detail(wanted: WantedSession, asked_at: datetime, *, is_known: bool, event_count: int) -> SessionDetail:
    return SessionDetail(
        sdk_app_id=wanted.sdk_app_id,
        session_id=wanted.session_id,
        asked_at=asked_at,
        session_ended_at=wanted.ended_at,
        is_known=is_known,
        event_count=event_count,
    )


def _by_agent(item: Any) -> list[Any]:
    """The event once for each agent that it names, the agent's mail and number beside what happened."""
    if not isinstance(item, Mapping):
        return [item]
    detail = item.get("StaffEventDetail")
    staffs = detail.get("Staffs") if isinstance(detail, Mapping) else None
    rest = {name: value for name, value in item.items() if name != "StaffEventDetail"}
    if not isinstance(staffs, list) or not staffs or not all(isinstance(staff, Mapping) for staff in staffs):
        return [item]
    return [{**rest, **staff} for staff in staffs]


def _order(columns: Mapping[str, Any]) -> str:
    """By time, then by what it says: the same answer in any order gives the same sequence."""
    names = ("occurred_at", "agent_mail", "event_type")
    at, *rest = (columns.get(name) for name in names)
    return "\t".join([at.isoformat() if isinstance(at, datetime) else "", *map(str, rest)])
