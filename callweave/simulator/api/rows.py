"""Writes a session as the API does: TelCdrInfo, and the flat answer of DescribeSessionDetail (protocol.md e.2, e.3).

Empty is "" and []. Addresses carry a token that is new in every answer, as TCCC's do; no row has one of them twice.
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from callweave.simulator.api.life import Habits
from callweave.simulator.chance import chance
from callweave.simulator.facts import Call, KeyPress, Leg, SeatUser, Session
from callweave.simulator.truth import match_recordings

_Json = dict[str, Any]

END_STATUS = {
    "error": 0, "ok": 1, "unconnected": 2, "seatGiveUp": 17, "blackList": 100, "seatForward": 101, "ivrGiveUp": 102,
    "waitingGiveUp": 103, "ringingGiveUp": 104, "noSeatOnline": 105, "notWorkTime": 106, "ivrEnd": 107,
    "restrictedCallee": 108, "tooManyRequest": 109, "restrictedArea": 110, "restrictedTime": 111, "unknown": 201,
    "notAnswer": 202, "userReject": 203, "powerOff": 204, "numberNotExist": 205, "busy": 206, "outOfCredit": 207,
    "operatorError": 208, "callerCancel": 209, "notInService": 210, "clientError": 211, "carrierBlocked": 212,
    "callReminder": 213, "numberInvalid": 215, "callRestricted": 216, "calleeRestricted": 217, "areaRestricted": 218,
    "promptCallForwarding": 219, "callerCancelWhileRing": 220, "callerCancelWithoutRing": 221,
    "voiceMailReached": 222, "asrError": 225, "llmasrError": 226, "ttsError": 227, "functionCallHangup": 228,
    "maxCallDurationReached": 229, "userInactivity": 230, "callTerminatedByAPI": 231, "userHangupDuringAiCall": 232,
    "aiAgentEndCall": 233, "callConflict": 501, "clientTimeout": 502, "voipClientError": 503,
}  # fmt: skip
"""EndStatus by EndStatusString (protocol.md c.1)."""

AGENT_ROLE = 3
UNKNOWN_FIELDS: _Json = {"TrafficSource": "campaign-7", "QualityScore": 0, "Labels": ["new"], "Nothing": None}
ASR_PROCESSING, ASR_COMPLETE, ASR_NONE = "Processing", "Complete", "NotExists"


def fresh_address(folder: str, suffix: str) -> str:
    """Make an address that is good for a day and for nobody else; no two are equal."""
    return f"https://tccc.example.com/tcccadmin/{folder}/{uuid.uuid4().hex}{suffix}"


@dataclass(frozen=True, slots=True)
class Existing:
    """Which recordings of a call were made: places (None: the root; else the leg) to the permanent address, or ""."""

    custom_url_at: dict[int | None, str]

    @classmethod
    def of(cls, session: Session, call: Call) -> "Existing":
        """Find out which of the recordings that a call names exist."""
        custom_urls: dict[int | None, str] = {}
        for row in match_recordings(call, session.recordings):
            if row["is_expected"] and row["is_received"]:
                places = _choices(row["leg_sequence"])
                custom_urls |= dict.fromkeys(places, row["custom_url"] or "")
        return cls(custom_urls)


def _choices(value: Any) -> list[Any]:
    return value["any_of"] if isinstance(value, dict) else [value]


def tel_cdr(
    session: Session, habits: Habits, *, now: float, address: Callable[[str, str], str] = fresh_address
) -> _Json:
    """Write the row of DescribeTelCdr as of now."""
    call = habits.told_call(session, now=now)
    urls = _Urls(Existing.of(session, call), session, habits, now, address)
    asr = _asr(session, habits, now=now)
    row: _Json = {
        "Caller": call.caller,
        "Callee": call.callee,
        "Time": call.started,
        "Direction": call.direction,
        "CallType": call.call_type,
        "Duration": call.duration,
        "RecordURL": urls.record_url(None),
        "RecordId": call.record_id,
        "SeatUser": _seat_user(call.seat_user),
        "EndStatus": END_STATUS.get(call.end_status, 0),
        "SkillGroup": call.skill_group_name,
        "CallerLocation": call.caller_location,
        "IVRDuration": call.ivr_seconds,
        "RingTimestamp": call.rang,
        "AcceptTimestamp": call.answered,
        "EndedTimestamp": call.ended,
        "IVRKeyPressed": list(call.ivr_keys),
        "HungUpSide": call.hung_up_by,
        "ServeParticipants": [_leg(leg, urls) for leg in call.legs],
        "SkillGroupId": call.skill_group_id,
        "EndStatusString": call.end_status,
        "StartTimestamp": call.started,
        "QueuedTimestamp": call.queued,
        "PostIVRKeyPressed": _presses(call.post_ivr_keys, at=call.ended),
        "QueuedSkillGroupId": call.skill_group_id,
        "SessionId": session.session_id,
        "ProtectedCaller": "",
        "ProtectedCallee": "",
        "Uui": call.uui or None,
        "UUI": call.uui,
        "IVRKeyPressedEx": _presses(call.ivr_keys_ex, at=call.started),
        "AsrUrl": address("asr", ".txt") if asr == ASR_COMPLETE else "",
        "AsrStatus": asr,
        "CustomRecordURL": urls.custom_record_url(None),
        "Remark": "" if habits.is_pending("remark_later", session, now=now) else call.user_remark,
        "QueuedSkillGroupName": call.skill_group_name,
        "VoicemailRecordURL": [address("voicemail", ".mp3") for _ in session.voicemails],
        "VoicemailAsrURL": [],
        "PostIVRKeyPressedEx": _presses(call.post_ivr_keys, at=call.ended),
        "AIAgentId": 0,
        "AIAgentName": "",
        "SysHangupReason": 0,
        "SysHangupReasonString": "",
    }
    if not call.call_type:
        del row["CallType"]
    if habits.strikes("unknown_fields", session):
        row |= UNKNOWN_FIELDS
    return row


def protected_tel_cdr(row: _Json) -> _Json:
    """Write a row as DescribeProtectedTelCdr does: ids in place of numbers."""
    ids = {f"Protected{side}": _protected(row[side]) for side in ("Caller", "Callee")}
    return row | {"Caller": "", "Callee": ""} | ids


def session_detail(
    session: Session, habits: Habits, *, now: float, address: Callable[[str, str], str] = fresh_address
) -> _Json:
    """Write the answer of DescribeSessionDetail: flat, in a spelling of its own, no Direction, Duration or RecordId."""
    call = habits.told_call(session, now=now)
    row = tel_cdr(session, habits, now=now, address=address)
    same = (
        "Caller", "Callee", "RingTimestamp", "AcceptTimestamp", "EndedTimestamp", "QueuedTimestamp", "EndStatus",
        "QueuedSkillGroupId", "QueuedSkillGroupName", "RecordURL", "CustomRecordURL", "VoicemailRecordURL",
        "VoicemailAsrURL", "HungUpSide", "UUI", "ServeParticipants", "SysHangupReason", "SysHangupReasonString",
    )  # fmt: skip
    return {
        "CallType": call.call_type,
        "StartTimeStamp": call.started,
        "StaffUserId": call.seat_user.user_id if call.seat_user else "",
        "AsrURL": row["AsrUrl"],
        "IVRKeyPressed": row["IVRKeyPressedEx"],
        "PostIVRKeyPressed": row["PostIVRKeyPressedEx"],
        "Events": _events(session, call),
    } | {name: row[name] for name in same}


@dataclass(frozen=True, slots=True)
class _Urls:
    existing: Existing
    session: Session
    habits: Habits
    now: float
    address: Callable[[str, str], str]

    def record_url(self, place: int | None) -> str:
        exists = place in self.existing.custom_url_at
        is_pending = self.habits.is_pending("record_url_later", self.session, now=self.now)
        return self.address("getRecord", "/recording.mp3") if exists and not is_pending else ""

    def custom_record_url(self, place: int | None) -> str:
        if self.habits.is_pending("custom_record_url_later", self.session, now=self.now):
            return ""
        return self.existing.custom_url_at.get(place, "")


def _asr(session: Session, habits: Habits, *, now: float) -> str:
    if not habits.strikes("asr", session):
        return ASR_NONE
    return ASR_PROCESSING if habits.is_pending("asr", session, now=now) else ASR_COMPLETE


def _seat_user(seat: SeatUser | None) -> _Json | None:
    if seat is None:
        return None
    return {
        "Name": seat.name,
        "Mail": seat.mail,
        "StaffNumber": seat.staff_number,
        "Phone": seat.phone,
        "Nick": seat.nick,
        "UserId": seat.user_id,
        "SkillGroupNameList": list(seat.skill_group_names),
        "Role": AGENT_ROLE,
        "ExtensionNumber": "",
    }


def _leg(leg: Leg, urls: _Urls) -> _Json:
    return {
        "Mail": leg.mail,
        "Phone": leg.phone,
        "RingTimestamp": leg.rang,
        "AcceptTimestamp": leg.answered,
        "EndedTimestamp": leg.ended,
        "RecordId": leg.record_id,
        "Type": leg.type,
        "TransferFrom": leg.transfer_from,
        "TransferTo": leg.transfer_to,
        "TransferFromType": leg.transfer_from_type,
        "TransferToType": leg.transfer_to_type,
        "SkillGroupId": leg.skill_group_id,
        "EndStatusString": leg.end_status,
        "RecordURL": urls.record_url(leg.sequence) if leg.record_id else "",
        "Sequence": leg.sequence,
        "StartTimestamp": leg.started,
        "SkillGroupName": leg.skill_group_name,
        "CustomRecordURL": urls.custom_record_url(leg.sequence) if leg.record_id else "",
    }


def _presses(presses: tuple[KeyPress, ...], *, at: int) -> list[_Json]:
    """Write key presses in the API's longer form; its times are in milliseconds."""
    return [
        {
            "Key": press.key,
            "Label": press.label,
            "Timestamp": 1_000 * (at + place),
            "NodeLabel": "menu",
            "OriginalContent": "",
            "TTSPrompt": "",
        }
        for place, press in enumerate(presses)
    ]


def _protected(number: str) -> str:
    return f"protected-{hashlib.sha256(number.encode()).hexdigest()[:16]}" if number else ""


def _events(session: Session, call: Call) -> list[_Json]:
    """Let some agents put their caller on hold, and mute themselves; the same in every answer."""
    stream = chance(0, "events", session.name)
    events: list[_Json] = []
    for leg in call.legs:
        if leg.answered and leg.ended - leg.answered > 30 and stream.random() < 0.3:
            start = leg.answered + stream.randint(5, 15)
            pair = stream.choice((("StaffHold", "StaffUnhold"), ("StaffMute", "StaffUnmute")))
            for kind, at in zip(pair, (start, start + stream.randint(3, 14)), strict=True):
                staffs = [{"Mail": leg.mail, "StaffNumber": ""}]
                events.append({"Timestamp": at, "EventType": kind, "StaffEventDetail": {"Staffs": staffs}})
    return sorted(events, key=lambda event: int(event["Timestamp"]))
