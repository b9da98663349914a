"""Writes what happened as TCCC would: action, query and JSON body of each push, quirks of the encoding included.

Shapes are those of the vendor's guide: null arrays, "" texts, 0 for what did not happen, SdkAppId near the end.
"""

import gzip
import json
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from callweave.simulator.facts import Call, KeyPress, Leg, Recording, Session, Voicemail

CONTENT_TYPE = "application/json;charset=utf8"

_Json = dict[str, Any]

_TIMES = frozenset(
    {
        "AcceptTimestamp",
        "EndedTimestamp",
        "QueuedTimestamp",
        "RingTimestamp",
        "StartTimestamp",
        "Timestamp",
    }
)
_NUMBERS = _TIMES | {
    "CallType",
    "Direction",
    "Duration",
    "IVRDuration",
    "QueuedSkillGroupId",
    "SdkAppId",
    "Sequence",
    "SkillGroupId",
    "SkillGroupPriority",
}
_OFTEN_EMPTY = ("IVRKeyPressed", "IVRKeyPressedEx", "PostIVRKeyPressed", "ServeParticipants", "SeatUser")

PASSING_QUIRKS = ("numbers_as_text", "null_arrays", "duplicate_key", "bom", "gzip")
"""Ways to write that change from push to push, and never what is said."""

LASTING_QUIRKS = ("milliseconds",)
"""Ways to write that all pushes of one content share."""


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of one push, and the Content-Encoding that they need."""

    raw: bytes
    content_encoding: str | None = None


def action_of(content: str) -> str:
    """Give the action of a content like "record:2"."""
    return content.partition(":")[0]


def query_of(action: str, *, with_action: bool, with_version: bool) -> str:
    """Give what TCCC appends to the push address."""
    return "&".join([f"action={action}"] * with_action + ["version=1"] * with_version)


def write_body(session: Session, content: str, quirks: AbstractSet[str], *, members_reversed: bool = False) -> Body:
    """Write one content of a session; `quirks` are those below, and control_text."""
    action, _, place_text = content.partition(":")
    place = int(place_text)
    match action:
        case "cdr":
            payload = _cdr(session, session.calls[place])
            unholdable = session.calls[place].unholdable
        case "record":
            payload, unholdable = _record(session, session.recordings[place]), {}
        case "voicemail":
            payload, unholdable = _voicemail(session, session.voicemails[place]), {}
        case _:
            raise AssertionError(content)
    for quirk, rewrite in _REWRITES:
        if quirk in quirks:
            payload = rewrite(payload)
    payload |= unholdable
    if members_reversed:
        payload = dict(reversed(payload.items()))
    return _encode(payload, quirks)


def _encode(payload: _Json, quirks: AbstractSet[str]) -> Body:
    # Control characters need escapes; everything else goes as UTF-8, as TCCC sends names.
    text = json.dumps(payload, ensure_ascii="control_text" in quirks)
    if "control_text" in quirks:
        text = text.replace("\\ufffd", "\\u0000", 1).replace("\\ufffd", "\\ud83d")
    if "duplicate_key" in quirks and "Duration" in payload:
        text = text.replace("{", '{"Duration": 15, ', 1)
    raw = text.encode()
    if "bom" in quirks:
        raw = b"\xef\xbb\xbf" + raw
    if "gzip" in quirks:
        return Body(gzip.compress(raw, mtime=0), "gzip")
    return Body(raw)


# Shapes


def _cdr(session: Session, call: Call) -> _Json:
    seat, place = call.seat_user, call.tel_location
    payload: _Json = {
        "SessionId": session.session_id,
        "Caller": call.caller,
        "Callee": call.callee,
        "Direction": call.direction,
        "CallType": call.call_type,
        "Duration": call.duration,
        "SeatUser": seat
        and {
            "Mail": seat.mail,
            "Name": seat.name,
            "Nick": seat.nick,
            "Phone": seat.phone,
            "UserId": seat.user_id,
            "StaffNumber": seat.staff_number,
            "SkillGroupNameList": list(seat.skill_group_names),
        },
        "CallerLocation": call.caller_location,
        "IVRDuration": call.ivr_seconds,
        "RingTimestamp": call.rang,
        "AcceptTimestamp": call.answered,
        "EndedTimestamp": call.ended,
        "IVRKeyPressed": list(call.ivr_keys) or None,
        "IVRKeyPressedEx": _presses(call, call.ivr_keys_ex),
        "HungUpSide": call.hung_up_by,
        "ServeParticipants": [_leg(leg) for leg in call.legs] or None,
        "EndStatusString": call.end_status,
        "StartTimestamp": call.started,
        "QueuedTimestamp": call.queued,
        "PostIVRKeyPressed": _presses(call, call.post_ivr_keys),
        "QueuedSkillGroupId": call.skill_group_id,
        "QueuedSkillGroupName": call.skill_group_name,
        "SdkAppId": session.sdk_app_id,
        "RecordId": call.record_id,
        "UserRemark": call.user_remark,
        "Uui": call.uui,
        "TelLocation": {
            "TelNumber": place.tel_number if place else "",
            "Country": place.country if place else "",
            "Province": place.province if place else "",
            "City": place.city if place else "",
            "Operator": place.operator if place else "",
        },
        **call.unknown,
    }
    if not call.call_type:
        del payload["CallType"]
    return payload


def _presses(call: Call, presses: tuple[KeyPress, ...]) -> list[dict[str, str]] | None:
    key, label = ("key", "label") if call.key_labels_in_lower_case else ("Key", "Label")
    return [{key: press.key, label: press.label} for press in presses] or None


def _leg(leg: Leg) -> _Json:
    return {
        "Mail": leg.mail,
        "Phone": leg.phone,
        "RingTimestamp": leg.rang,
        "AcceptTimestamp": leg.answered,
        "EndedTimestamp": leg.ended,
        "RecordId": leg.record_id,
        "Type": leg.type,
        "TransferFrom": leg.transfer_from,
        "TransferFromType": leg.transfer_from_type,
        "TransferTo": leg.transfer_to,
        "TransferToType": leg.transfer_to_type,
        "SkillGroupId": leg.skill_group_id,
        "EndStatusString": leg.end_status,
        "Sequence": leg.sequence,
        "StartTimestamp": leg.started,
        "SkillGroupName": leg.skill_group_name,
        "SkillGroupPriority": leg.skill_group_priority,
        **leg.unknown,
    }


def _record(session: Session, track: Recording) -> _Json:
    payload: _Json = {
        "SdkAppId": session.sdk_app_id,
        "RecordId": track.record_id,
        "SessionId": session.session_id,
        "Timestamp": track.timestamp,
        "EndpointUser": int(track.endpoint_user) if track.endpoint_is_number else track.endpoint_user,
        "RecordURL": track.url,
        **track.unknown,
    }
    return payload | ({"CustomRecordURL": track.custom_url} if track.custom_url else {})


def _voicemail(session: Session, mail: Voicemail) -> _Json:
    return {
        "SdkAppId": session.sdk_app_id,
        "SessionId": session.session_id,
        "Timestamp": mail.timestamp,
        "RecordURL": mail.url,
        "EndpointUser": int(mail.endpoint_user) if mail.endpoint_is_number else mail.endpoint_user,
        **mail.unknown,
    }


# Other ways to write the same


def _in_milliseconds(payload: _Json) -> _Json:
    return _each_known(payload, lambda name, value: value * 1_000 if name in _TIMES else value)


def _as_text(payload: _Json) -> _Json:
    return _each_known(payload, lambda name, value: str(value) if name in _NUMBERS else value)


def _each_known(payload: _Json, rewrite: Callable[[str, int], object]) -> _Json:
    """Rewrite the documented numbers of the root and of its legs."""
    rewritten = {name: rewrite(name, value) if type(value) is int else value for name, value in payload.items()}
    if payload.get("ServeParticipants"):
        rewritten["ServeParticipants"] = [_each_known(leg, rewrite) for leg in payload["ServeParticipants"]]
    return rewritten


def _empties_otherwise(payload: _Json) -> _Json:
    """Write [] for null and {} for no seat, and leave out the location that is empty anyway."""
    rewritten = dict(payload)
    for name in _OFTEN_EMPTY:
        if name in rewritten and not rewritten[name]:
            rewritten[name] = {} if name == "SeatUser" else []
    location = rewritten.get("TelLocation")
    if location is not None and not any(location.values()):
        del rewritten["TelLocation"]
    for name in ("CallerLocation", "UserRemark", "Uui"):
        if rewritten.get(name) == "":
            rewritten[name] = None
    return rewritten


_REWRITES: tuple[tuple[str, Callable[[_Json], _Json]], ...] = (
    ("milliseconds", _in_milliseconds),
    ("numbers_as_text", _as_text),
    ("null_arrays", _empties_otherwise),
)
