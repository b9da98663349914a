"""The rows that must follow once everything was asked of the API too, and the numbers that tell how complete it is.

The API's row is one more report about a call: it names the same things (protocol.md e.2), adds some, and stores no
address. Like `truth`, this follows the contract, and shares no code with the rooms that it checks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from callweave.simulator.api.life import Habits, latest_call
from callweave.simulator.api.rows import ASR_COMPLETE, ASR_NONE, ASR_PROCESSING, UNKNOWN_FIELDS, tel_cdr
from callweave.simulator.facts import Call, Recording, Session
from callweave.simulator.ledger import LedgerSession, facts_of
from callweave.simulator.truth import (
    leg_row,
    match_recordings,
    merge_calls,
    missing_row,
    person,
    place_of,
    prune,
    session_row,
    voicemail_row,
)
from callweave.simulator.worlds import possible_arrivals

FILLED: Final = {"filled": True}
"""Stands for a value that must be there, whatever it is."""

_ABSENCE_GREY: Final = timedelta(hours=1)
"""So long around the deadline either is right: reconcile asked some time before anybody verifies."""

_Rows = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """How the API was asked: until when, and how long after a call its missing recordings count as absent.

    was_asked: False gives the truth before. habits: how the server was told to behave; "late" fields count as come.
    """

    asked_at: datetime
    absent_after: timedelta = timedelta(hours=24)
    was_asked: bool = True
    habits: Habits = field(default_factory=Habits)

    def knows(self, session: Session) -> bool:
        """Tell whether the API told of the session when it was asked."""
        return self.was_asked and self.habits.visible_at(session) <= self.asked_at.timestamp()

    def absences(self, session: Session) -> tuple[bool, ...]:
        """Tell whether what does not exist counts as absent by then; both, where it is close."""
        age = self.asked_at - datetime.fromtimestamp(latest_call(session).ended, UTC)
        if abs(age - self.absent_after) <= _ABSENCE_GREY:
            return True, False
        return (age > self.absent_after,)


def reconciled(line: LedgerSession, reconciliation: Reconciliation) -> LedgerSession:
    """Give a session of a ledger with the rows that must follow once the API was asked too."""
    session = facts_of(line)
    if not reconciliation.knows(session) or line.is_unsettled:
        return line
    outcomes: list[_Rows | None] = [
        reconciled_rows(session, arrived, api_place=api_place, is_absent=is_absent)
        for arrived in _arrivals(line)
        for api_place in _places_of_api(session, arrived)
        for is_absent in reconciliation.absences(session)
    ]
    distinct = [rows for place, rows in enumerate(outcomes) if rows not in outcomes[:place]]
    return replace(line, expected=distinct[0], alternatives=distinct[1:])


def _arrivals(line: LedgerSession) -> Sequence[Sequence[str]]:
    in_order = sorted(line.pushes, key=lambda push: (push.order is None, push.order or 0))
    worlds = possible_arrivals((push.content, push.outcome) for push in in_order)
    return [()] if worlds is None else [*worlds] or [()]


def _places_of_api(session: Session, arrived: Sequence[str]) -> list[int]:
    """Give where among the CDRs the API's row may have come first: last, unless it was asked while they came."""
    count = len({content for content in arrived if content.startswith("cdr:")})
    return list(range(count, -1, -1)) if len(session.calls) > 1 else [count]


def reconciled_rows(session: Session, arrived: Sequence[str], *, api_place: int, is_absent: bool) -> _Rows:
    """Give the rows after contents first came in this order, and the API's row as the `api_place`-th of the CDRs."""
    contents = list(dict.fromkeys(arrived))
    pushed_calls = [session.calls[place_of(content)] for content in contents if content.startswith("cdr:")]
    tracks = [session.recordings[place_of(content)] for content in contents if content.startswith("record:")]
    mails = [session.voicemails[place_of(content)] for content in contents if content.startswith("voicemail:")]
    told = _as_told(latest_call(session))
    call = merge_calls([*pushed_calls[:api_place], told, *pushed_calls[api_place:]])
    recordings = _recordings(session, call, told, tracks, is_absent=is_absent)
    beyond = range(1, 1 + len(session.voicemails) - len(mails))
    voicemails = [voicemail_row(mail) for mail in mails] + [_api_voicemail_row(number) for number in beyond]
    without_presses = replace(call, ivr_keys_ex=(), post_ivr_keys=())
    row = session_row(without_presses, recordings, voicemail_count=len(voicemails))
    row["source"] = "push+api" if pushed_calls else "api"
    row["extra"] = (row["extra"] or {}) | _api_extra(session, pushed_calls)
    return {
        "session": row,
        "legs": [leg_row(leg) for leg in sorted(call.legs, key=lambda leg: leg.sequence)],
        "recordings": recordings,
        "voicemails": voicemails,
    }


# The call


def _as_told(call: Call) -> Call:
    """Give what the API says of a call, of all that has a column or a push's name; the rest is `_api_extra`."""
    return replace(
        call,
        tel_location=None,
        legs=tuple(replace(leg, skill_group_priority=None, unknown={}) for leg in call.legs),
        seat_user=call.seat_user and replace(call.seat_user, unknown={"Role": 3}),
        key_labels_in_lower_case=False,
        unknown={},
        unholdable={},
    )


_OF_PUSHES = frozenset(
    {
        "Caller", "Callee", "Direction", "CallType", "Duration", "RecordId", "SeatUser", "CallerLocation",
        "IVRDuration", "RingTimestamp", "AcceptTimestamp", "EndedTimestamp", "IVRKeyPressed", "HungUpSide",
        "ServeParticipants", "EndStatusString", "StartTimestamp", "QueuedTimestamp", "QueuedSkillGroupId",
        "QueuedSkillGroupName", "SessionId", "Uui",
        # Told by another name in pushes.
        "Time", "UUI", "Remark",
        # Addresses, which are never stored.
        "RecordURL", "CustomRecordURL", "AsrUrl", "VoicemailRecordURL", "VoicemailAsrURL",
    }
)  # fmt: skip
_PRESSES = ("IVRKeyPressedEx", "PostIVRKeyPressed")


def _api_extra(session: Session, pushed_calls: Sequence[Call]) -> dict[str, Any]:
    """Give the fields that only the API has, under its names; and key presses, which it tells at greater length."""
    told = tel_cdr(session, Habits(), now=float(latest_call(session).ended))
    extra: dict[str, Any] = {}
    for name, value in told.items():
        if name in _OF_PUSHES or prune(value) is None:
            continue
        # A zero that nobody documents is a value, or none.
        extra[name] = {"maybe": value} if value == 0 else prune(value)
    extra |= {"AsrStatus": {"any_of": [ASR_NONE, ASR_PROCESSING, ASR_COMPLETE]}}
    extra |= {name: {"maybe": prune(value)} for name, value in UNKNOWN_FIELDS.items() if prune(value) is not None}
    for name in _PRESSES:
        forms = [extra[name]] if name in extra else []
        forms += [pushed for call in pushed_calls for pushed in _pushed_presses(call, name)]
        if forms:
            extra[name] = {"any_of": forms}
    return extra


def _pushed_presses(call: Call, name: str) -> list[Any]:
    presses = call.ivr_keys_ex if name == "IVRKeyPressedEx" else call.post_ivr_keys
    spellings = [("Key", "Label"), *([("key", "label")] if call.key_labels_in_lower_case else [])]
    forms = [prune([{key: press.key, label: press.label} for press in presses]) for key, label in spellings]
    return [form for form in forms if form is not None]


# Its recordings and voicemails


def _recordings(
    session: Session, call: Call, told: Call, tracks: Iterable[Recording], *, is_absent: bool
) -> list[_Rows]:
    """Match what was pushed first; what the API says is about a name, and makes no second row of one recording."""
    rows = match_recordings(call, tracks)
    made = _made(session, told)
    for record_id in sorted(made):
        row = _row_that_it_means(rows, record_id)
        if row is None:
            row = missing_row(record_id)
            rows.append(row)
        if row["is_received"]:
            row["source"] = "push+api"
        else:
            matched_by = "recording_id" if row["is_expected"] else None
            row |= {"is_received": True, "source": "api", "matched_by": matched_by, "pushed_recording_id": record_id}
    named = {told.record_id, *(leg.record_id for leg in told.legs)} - {""}
    for row in rows:
        if is_absent and not row["is_received"] and row["recording_id"] in named:
            row["absent_at"] = FILLED
    return rows


def _row_that_it_means(rows: list[_Rows], record_id: str) -> _Rows | None:
    """Find the row of that name; else one that was pushed under that id."""
    pushed = [row for row in rows if row["is_received"] and row.get("pushed_recording_id") == record_id]
    pushed.sort(key=lambda row: person(row["endpoint_user"] or ""))
    return next((row for row in rows if row["recording_id"] == record_id), pushed[0] if pushed else None)


def _made(session: Session, told: Call) -> set[str]:
    """Find the RecordIds under which the API has an address: on the root, or on a leg."""
    row = tel_cdr(replace(session, calls=(told,)), Habits(), now=float(told.ended))
    return {one["RecordId"] for one in (row, *row["ServeParticipants"]) if one["RecordURL"] and one["RecordId"]}


def _api_voicemail_row(number: int) -> _Rows:
    return {
        "voicemail_id": f"api:{number}",
        "endpoint_user": None,
        "generated_at": None,
        "url": None,
        "is_received": True,
        "source": "api",
        "extra": None,
    }


# Completeness


@dataclass(slots=True)
class Completeness:
    """What is complete of one application and UTC hour of call end.

    known_to_api: sessions that the API told of, so none before it was asked. in_warehouse: those with a CDR, by push,
    from the API, or both. by_push: a CDR was pushed. api_only: the CDR came from the API alone. push_only: pushed, and
    the API was not asked or knows nothing. without_cdr: only tracks came. recordings_received counts what came in
    either way; recovered of them came from the API alone.
    """

    sessions_known_to_api: int = 0
    sessions_in_warehouse: int = 0
    sessions_by_push: int = 0
    sessions_api_only: int = 0
    sessions_push_only: int = 0
    sessions_without_cdr: int = 0
    recordings_expected: int = 0
    recordings_received: int = 0
    recordings_recovered: int = 0
    recordings_absent: int = 0
    recordings_missing: int = 0

    def add(self, other: "Completeness") -> None:
        """Count another one in."""
        for member in fields(self):
            setattr(self, member.name, getattr(self, member.name) + getattr(other, member.name))


def completeness(
    sessions: Iterable[LedgerSession], reconciliation: Reconciliation
) -> dict[tuple[int, datetime], Completeness]:
    """Give the right numbers by application and hour in which calls ended; `was_asked=False` gives those before.

    A session of which only tracks came has no end of its own yet, and counts in the hour in which the first of them
    was made. One of which nothing came is nowhere, unless the API told of it.
    """
    result: dict[tuple[int, datetime], Completeness] = {}
    for line in sessions:
        session = facts_of(line)
        rows = reconciled(line, reconciliation).expected
        if rows is None:
            continue
        hour = _moment(rows).replace(minute=0, second=0, microsecond=0)
        of_hour = result.setdefault((line.sdk_app_id, hour), Completeness())
        of_hour.add(_completeness_of(rows, is_known=reconciliation.knows(session)))
    return result


def _moment(rows: _Rows) -> datetime:
    """When a session ended; else when it started; else when the first of its tracks was made."""
    session = rows["session"]
    made = [row["generated_at"] for row in (*rows["recordings"], *rows["voicemails"]) if row["generated_at"]]
    return datetime.fromisoformat(session.get("ended_at") or session.get("started_at") or min(made))


def _completeness_of(rows: _Rows, *, is_known: bool) -> Completeness:
    source, recordings = rows["session"]["source"], rows["recordings"]
    return Completeness(
        sessions_known_to_api=is_known,
        sessions_in_warehouse=source is not None,
        sessions_by_push=source in {"push", "push+api"},
        sessions_api_only=source == "api",
        sessions_push_only=source == "push",
        sessions_without_cdr=source is None,
        recordings_expected=sum(row["is_expected"] for row in recordings),
        recordings_received=sum(row["is_received"] for row in recordings),
        recordings_recovered=sum(row["is_received"] and row["source"] == "api" for row in recordings),
        recordings_absent=sum(row["absent_at"] is not None for row in recordings),
        recordings_missing=rows["session"]["recordings_missing"],
    )
