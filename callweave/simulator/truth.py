"""The second answer: which rows must follow from what arrived, computed from what happened and from nothing else.

It follows the contract's part on tables sentence by sentence, and shares no code with the rooms that it checks.
Rows are JSON values: times as ISO text in UTC, `extra` as an object. `{"any_of": [...]}` stands where the contract
leaves a choice; `recording_id` is None where the warehouse derives an id of its own. What the API adds to it is in
`reconciled`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from callweave.simulator.facts import Call, KeyPress, Leg, Recording, SeatUser, Session, Voicemail

_DIRECTIONS = {0: "inbound", 1: "outbound"}
_CALL_TYPES = {1: "outbound", 2: "inbound", 3: "audio_inbound", 5: "predictive_outbound", 6: "internal"}
_AREA_AND_NUMBER = re.compile(r"(10|2\d|[3-9]\d{2})\d{7,8}")
_MOBILE = re.compile(r"1\d{10}")

_Row = dict[str, Any]
_Member = TypeVar("_Member", SeatUser, Leg)


def expected_rows(session: Session, arrived: Sequence[str]) -> dict[str, Any] | None:
    """Give the rows of a session after contents like "cdr:0", "record:2" or "voicemail:0" first came, in that order.

    None when nothing came: then the warehouse has no such session.
    """
    contents = list(dict.fromkeys(arrived))
    if not contents:
        return None
    calls = [session.calls[place_of(content)] for content in contents if content.startswith("cdr:")]
    tracks = [session.recordings[place_of(content)] for content in contents if content.startswith("record:")]
    mails = [session.voicemails[place_of(content)] for content in contents if content.startswith("voicemail:")]
    call = merge_calls(calls) if calls else None
    recordings = match_recordings(call, tracks)
    return {
        "session": session_row(call, recordings, voicemail_count=len(mails)),
        "legs": [leg_row(leg) for leg in sorted(call.legs, key=lambda leg: leg.sequence)] if call else [],
        "recordings": recordings,
        "voicemails": [voicemail_row(mail) for mail in mails],
    }


def place_of(content: str) -> int:
    """Give the 2 of "record:2"."""
    return int(content.partition(":")[2])


# Several CDRs of one session


def merge_calls(calls: Sequence[Call]) -> Call:
    """Merge what CDRs say, first received first: filled beats empty, and of two filled values the later first receipt.

    Members of one person or leg are filled only from reports that name the same one.
    """
    latest_first = list(reversed(calls))
    chosen: dict[str, Any] = {}
    for member in fields(Call):
        values = [getattr(call, member.name) for call in latest_first]
        if member.name == "direction":
            chosen[member.name] = values[0]
        elif member.name == "seat_user":
            chosen[member.name] = _merge_seat_users([value for value in values if value is not None])
        elif member.name == "legs":
            chosen[member.name] = _merge_legs([value for value in values if value])
        elif member.name in {"unknown", "unholdable"}:
            chosen[member.name] = {
                name: value for values_of_one in reversed(values) for name, value in values_of_one.items()
            }
        else:
            chosen[member.name] = next((value for value in values if value), values[0])
    return Call(**chosen)


def _merge_seat_users(latest_first: list[SeatUser]) -> SeatUser | None:
    if not latest_first:
        return None
    winner = latest_first[0]
    for other in latest_first[1:]:
        if _same_person((winner.user_id, other.user_id), (winner.mail, other.mail), (winner.phone, other.phone)):
            winner = _filled(winner, other)
    return winner


def _merge_legs(latest_first: list[tuple[Leg, ...]]) -> tuple[Leg, ...]:
    if not latest_first:
        return ()
    winners = list(latest_first[0])
    for others in latest_first[1:]:
        of_sequence = {leg.sequence: leg for leg in others}
        for place, winner in enumerate(winners):
            other = of_sequence.get(winner.sequence)
            if other and _same_person((winner.mail, other.mail), (winner.phone, other.phone)):
                winners[place] = _filled(winner, other)
    return tuple(winners)


def _same_person(*pairs: tuple[str, str]) -> bool:
    return next((one == other for one, other in pairs if one and other), True)


def _filled(winner: _Member, other: _Member) -> _Member:
    """Fill the winner's empty members from the other's; an unknown member is filled when it is absent."""
    added: dict[str, Any] = {}
    for member in fields(winner):
        mine, theirs = getattr(winner, member.name), getattr(other, member.name)
        if isinstance(mine, dict):
            added[member.name] = theirs | mine
        elif mine is None or (not mine and member.name not in {"sequence", "skill_group_priority"}):
            added[member.name] = theirs
    return replace(winner, **added)


# Whose recording is whose


@dataclass(slots=True)
class _Name:
    """A recording that a CDR names: by the root, by a leg, or by both under one id."""

    record_id: str
    claims: list["Claim"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A place in a call that names a recording, and whose it would be."""

    side: str
    leg_sequence: int | None
    persons: frozenset[str]
    ended: int


def match_recordings(call: Call | None, tracks: Iterable[Recording]) -> list[_Row]:
    """Match what was pushed to what the merged CDR names, one to one, and give a row for each named or pushed one."""
    pushed: dict[str, dict[str, Recording]] = {}
    without_id: list[Recording] = []
    for track in tracks:
        if track.record_id:
            pushed.setdefault(track.record_id, {})[person(track.endpoint_user)] = track
        else:
            without_id.append(track)
    names = _names(call) if call else {}
    rows: list[_Row] = []
    rest: list[tuple[str | None, Recording]] = [(None, track) for track in without_id]
    open_names = dict(names)
    for record_id, by_person in pushed.items():
        name = open_names.pop(record_id, None)
        if name is None:
            several = len(by_person) > 1
            rest += [(f"{record_id}~{who}" if several else record_id, track) for who, track in by_person.items()]
        elif len(by_person) == 1:
            rows.append(_only_track_row(name, next(iter(by_person.values()))))
        else:
            taken, others = _share_out(name, by_person)
            rows += taken
            rest += others
            if not taken:
                open_names[record_id] = name
    rows += _match_by_person(rest, open_names)
    rows += [missing_row(name.record_id, name.claims) for name in open_names.values()]
    return sorted(rows, key=lambda row: (row["recording_id"] or "", row["url"] or ""))


def person(endpoint_user: str) -> str:
    """Normalize an endpoint: a mail case-folded; a phone as digits, without 00, then without 86 before a number."""
    if not re.fullmatch(r"[+\d\s()-]+", endpoint_user):
        return endpoint_user.casefold()
    digits = re.sub(r"\D", "", endpoint_user).removeprefix("00")
    national = digits.removeprefix("86")
    if _MOBILE.fullmatch(national) or _AREA_AND_NUMBER.fullmatch(national):
        return national
    return digits


def _names(call: Call) -> dict[str, _Name]:
    names: dict[str, _Name] = {}
    if call.record_id:
        persons = frozenset({person(call.customer)} if call.customer else ())
        names[call.record_id] = _Name(call.record_id, [Claim("customer", None, persons, call.ended)])
    for leg in sorted(call.legs, key=lambda leg: leg.sequence):
        if leg.record_id:
            persons = frozenset(person(text) for text in (leg.mail, leg.phone) if text)
            name = names.setdefault(leg.record_id, _Name(leg.record_id, []))
            name.claims.append(Claim("agent", leg.sequence, persons, leg.ended))
    return names


def _only_track_row(name: _Name, track: Recording) -> _Row:
    """One endpoint came for the name: it is the name's, whoever it is."""
    claims = name.claims
    if len(claims) > 1 and person(track.endpoint_user) in claims[0].persons:
        claims = claims[:1]
    return _received_row(name.record_id, track, claims, matched_by="recording_id")


def _share_out(name: _Name, by_person: dict[str, Recording]) -> tuple[list[_Row], list[tuple[str | None, Recording]]]:
    """Several endpoints came for one id: each claim takes its own; the first claim's keeps the plain id."""
    rows: list[_Row] = []
    remaining = dict(by_person)
    for claim in name.claims:
        who = next((who for who in remaining if who in claim.persons), None)
        if who is not None:
            recording_id = f"{name.record_id}~{who}" if rows else name.record_id
            rows.append(_received_row(recording_id, remaining.pop(who), [claim], matched_by="recording_id"))
    return rows, [(f"{name.record_id}~{who}", track) for who, track in remaining.items()]


def _match_by_person(rest: list[tuple[str | None, Recording]], open_names: dict[str, _Name]) -> list[_Row]:
    """Give what no id matched to the unmatched names of its person, the earliest made to the earliest ended."""
    rows: list[_Row] = []
    for recording_id, track in sorted(rest, key=lambda item: (item[1].timestamp, item[1].record_id)):
        who = person(track.endpoint_user)
        candidates = [
            (claim.ended, -1 if claim.leg_sequence is None else claim.leg_sequence, name, claim)
            for name in open_names.values()
            for claim in name.claims
            if who in claim.persons
        ]
        if candidates:
            _, _, name, claim = min(candidates, key=lambda candidate: candidate[:2])
            del open_names[name.record_id]
            rows.append(_received_row(name.record_id, track, [claim], matched_by="endpoint_user"))
        else:
            rows.append(_received_row(recording_id, track, [], matched_by=None))
    return rows


# Rows


def _received_row(recording_id: str | None, track: Recording, claims: list[Claim], *, matched_by: str | None) -> _Row:
    return {
        "recording_id": recording_id,
        "is_expected": bool(claims),
        "is_received": True,
        "absent_at": None,
        "side": _choice([claim.side for claim in claims]),
        "leg_sequence": _choice([claim.leg_sequence for claim in claims]),
        "endpoint_user": track.endpoint_user,
        "generated_at": _time(track.timestamp),
        "url": track.url or None,
        "custom_url": track.custom_url or None,
        "matched_by": matched_by,
        # The contract fills it "in every row that came", and "as pushed": of a push without one, both will do.
        **({"pushed_recording_id": track.record_id} if track.record_id else {}),
        "source": "push",
        "extra": prune(track.unknown),
    }


def missing_row(record_id: str, claims: Sequence[Claim] = ()) -> _Row:
    """Give the row of a recording that did not come; nobody names it where there are no claims."""
    return {
        "recording_id": record_id,
        "is_expected": bool(claims),
        "is_received": False,
        "absent_at": None,
        "side": _choice([claim.side for claim in claims]),
        "leg_sequence": _choice([claim.leg_sequence for claim in claims]),
        "endpoint_user": None,
        "generated_at": None,
        "url": None,
        "custom_url": None,
        "matched_by": None,
        "pushed_recording_id": None,
        "source": None,
        "extra": None,
    }


def session_row(call: Call | None, recordings: list[_Row], *, voicemail_count: int) -> _Row:
    """Give the row of a session whose CDRs were merged into one call, or never came."""
    counts = {
        "recordings_expected": sum(row["is_expected"] for row in recordings),
        "recordings_received": sum(row["is_received"] for row in recordings),
        "recordings_missing": sum(
            row["is_expected"] and not row["is_received"] and row["absent_at"] is None for row in recordings
        ),
        "voicemail_count": voicemail_count,
    }
    if call is None:
        return {"has_cdr": False, **dict.fromkeys(_CDR_COLUMNS), "leg_count": 0, **counts}
    row: _Row = {
        "has_cdr": True,
        "direction": _DIRECTIONS.get(call.direction, str(call.direction)),
        "call_type": _CALL_TYPES.get(call.call_type, str(call.call_type)) if call.call_type else None,
        "caller": call.caller or None,
        "callee": call.callee or None,
        "customer_number": call.customer or None,
        "line_number": _line(call),
        "started_at": _time(call.started),
        "queued_at": _time(call.queued),
        "rang_at": _time(call.rang),
        "answered_at": _time(call.answered),
        "ended_at": _time(call.ended),
        "ivr_seconds": call.ivr_seconds or None,
        "wait_seconds": _span(call.queued, call.answered or call.ended),
        "talk_seconds": _span(call.answered, call.ended),
        "end_status": call.end_status or None,
        "hung_up_by": call.hung_up_by or None,
        "skill_group_id": call.skill_group_id or None,
        "skill_group_name": call.skill_group_name or None,
        "agent_mail": (call.seat_user and call.seat_user.mail) or None,
        "agent_name": (call.seat_user and call.seat_user.name) or None,
        "uui": call.uui or None,
        "user_remark": call.user_remark or None,
        "source": "push",
        "extra": _session_extra(call),
    }
    return row | {"leg_count": len(call.legs)} | counts


_CDR_COLUMNS = (
    "direction", "call_type", "caller", "callee", "customer_number", "line_number", "started_at", "queued_at",
    "rang_at", "answered_at", "ended_at", "ivr_seconds", "wait_seconds", "talk_seconds", "end_status", "hung_up_by",
    "skill_group_id", "skill_group_name", "agent_mail", "agent_name", "uui", "user_remark", "source", "extra",
)  # fmt: skip


def _line(call: Call) -> str | None:
    if not call.customer:
        return None
    return (call.callee if call.direction == 0 else call.caller) or None


def _session_extra(call: Call) -> Any:
    """Give every field without a column; key presses in either case, as the contract speaks of neither."""
    seat, place = call.seat_user, call.tel_location
    extra: dict[str, Any] = {
        "Duration": call.duration or None,
        "CallerLocation": call.caller_location,
        "IVRKeyPressed": list(call.ivr_keys),
        "TelLocation": place
        and {
            "TelNumber": place.tel_number,
            "Country": place.country,
            "Province": place.province,
            "City": place.city,
            "Operator": place.operator,
        },
        "SeatUser": seat
        and {
            "Nick": seat.nick,
            "Phone": seat.phone,
            "UserId": seat.user_id,
            "StaffNumber": seat.staff_number,
            "SkillGroupNameList": list(seat.skill_group_names),
            **seat.unknown,
        },
        **call.unknown,
        **call.unholdable,
    }
    proper, lower = (
        prune(extra | {"IVRKeyPressedEx": _presses(call.ivr_keys_ex, *labels),
                       "PostIVRKeyPressed": _presses(call.post_ivr_keys, *labels)})
        for labels in (("Key", "Label"), ("key", "label"))
    )  # fmt: skip
    return _choice([proper, lower]) if call.key_labels_in_lower_case else proper


def _presses(presses: tuple[KeyPress, ...], key: str, label: str) -> list[dict[str, str]]:
    return [{key: press.key, label: press.label} for press in presses]


def leg_row(leg: Leg) -> _Row:
    """Give the row of a leg."""
    return {
        "leg_sequence": leg.sequence,
        "agent_mail": leg.mail or None,
        "agent_phone": leg.phone or None,
        "leg_type": leg.type or None,
        "started_at": _time(leg.started),
        "rang_at": _time(leg.rang),
        "answered_at": _time(leg.answered),
        "ended_at": _time(leg.ended),
        "end_status": leg.end_status or None,
        "recording_id": leg.record_id or None,
        "skill_group_id": leg.skill_group_id or None,
        "skill_group_name": leg.skill_group_name or None,
        "transfer_from": leg.transfer_from or None,
        "transfer_from_type": leg.transfer_from_type or None,
        "transfer_to": leg.transfer_to or None,
        "transfer_to_type": leg.transfer_to_type or None,
        "extra": prune({"SkillGroupPriority": leg.skill_group_priority, **leg.unknown}),
    }


def voicemail_row(mail: Voicemail) -> _Row:
    """Give the row of a voicemail that was pushed."""
    return {
        "endpoint_user": mail.endpoint_user or None,
        "generated_at": _time(mail.timestamp),
        "url": mail.url or None,
        "is_received": True,
        "source": "push",
        "extra": prune(mail.unknown),
    }


def prune(value: Any) -> Any:
    """Take the empty members out; None when nothing is left. 0 and false are values."""
    if isinstance(value, dict):
        value = {name: kept for name, member in value.items() if (kept := prune(member)) is not None}
    elif isinstance(value, list | tuple):
        value = [kept for member in value if (kept := prune(member)) is not None]
    return None if value is None or value in ("", [], {}) else value


def _choice(values: list[Any]) -> Any:
    """Give what all agree on, else that any of them will do."""
    if not values:
        return None
    return values[0] if all(value == values[0] for value in values) else {"any_of": values}


def _time(seconds: int) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def _span(start: int, end: int) -> int | None:
    return end - start if start and end and end >= start else None
