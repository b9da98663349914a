"""Bends what happened: the faults that change what a session's pushes say, before anything is written as JSON.

The expected rows are made from the bent session, so a fault here never needs to be told to whoever computes them.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from callweave.simulator.chance import draw_uuid
from callweave.simulator.facts import AUDIO_INBOUND, INTERNAL, Call, Recording, SeatUser, Session
from callweave.simulator.faults import Dice

_UNKNOWN_CDR = {
    "AiSummary": {"Mood": "calm", "Note": "", "Turns": 0},
    "IsVip": False,
    "RiskTags": ["repeat caller", "0086"],
    "TraceNo": 9_007_199_254_740_993,
    "QueuePosition": 0,
    "StaffCode": "007",
    "Blank": {"Inner": {"Text": "", "List": []}},
    "Nothing": None,
}
_UNKNOWN_LEG = {"HoldSeconds": 0, "DeviceName": "softphone 4.2"}
_UNKNOWN_TRACK = {"FileBytes": 48_213, "Codec": "mp3", "Checksum": ""}

_UNHOLDABLE: tuple[tuple[str, object], ...] = (
    ("RingTimestamp", -5),
    ("RingTimestamp", 1_700_000_000.5),
    ("RingTimestamp", "soon"),
    ("QueuedSkillGroupId", 2**70),
    ("Uui", ["not", "text"]),
)


def bend(session: Session, dice: Dice) -> Session:
    """Let each content fault strike the session, or not."""
    for fault, bender in _BENDERS:
        if dice.strikes(fault):
            session = bender(session, dice.stream(fault))
    return session


def _with_call(session: Session, call: Call) -> Session:
    return replace(session, calls=(call,))


def _call_type_missing(session: Session, _stream: random.Random) -> Session:
    return _with_call(session, replace(session.calls[0], call_type=0))


def _unknown_fields(session: Session, _stream: random.Random) -> Session:
    call = session.calls[0]
    legs = tuple(replace(leg, unknown=_UNKNOWN_LEG) for leg in call.legs)
    return replace(
        _with_call(session, replace(call, legs=legs, unknown=_UNKNOWN_CDR)),
        recordings=tuple(replace(recording, unknown=_UNKNOWN_TRACK) for recording in session.recordings),
        voicemails=tuple(replace(voicemail, unknown=_UNKNOWN_TRACK) for voicemail in session.voicemails),
    )


def _unknown_end_status(session: Session, stream: random.Random) -> Session:
    status = stream.choice(("userHangupDuringAIAgent", "movedToTheMoon", "OK"))
    return _with_call(session, replace(session.calls[0], end_status=status))


def _lower_case_keys(session: Session, _stream: random.Random) -> Session:
    return _with_call(session, replace(session.calls[0], key_labels_in_lower_case=True))


def _never_recorded(session: Session, stream: random.Random) -> Session:
    """Lose one track before it was made; its name stays in the CDR."""
    if not session.recordings:
        return session
    lost = stream.randrange(len(session.recordings))
    return replace(session, recordings=session.recordings[:lost] + session.recordings[lost + 1 :])


def _epoch_record_id(session: Session, stream: random.Random) -> Session:
    """Name tracks by the second in which they began, as the guide's own sample does."""
    call = session.calls[0]
    new_ids: dict[str, str] = {}
    used: set[int] = set()
    for leg in call.legs:
        if leg.record_id:
            second = leg.answered or leg.started
            while second in used:
                second += 1
            used.add(second)
            new_ids[leg.record_id] = str(second)
    if call.record_id:
        first_leg = next((leg for leg in call.legs if leg.answered and leg.record_id), None)
        may_share = first_leg is not None and call.call_type not in {AUDIO_INBOUND, INTERNAL} and call.customer
        if first_leg is not None and may_share and stream.random() < 0.7:
            new_ids[call.record_id] = new_ids[first_leg.record_id]
        else:
            second = call.started
            while second in used:
                second += 1
            new_ids[call.record_id] = str(second)
    legs = tuple(replace(leg, record_id=new_ids.get(leg.record_id, "")) for leg in call.legs)
    recordings = tuple(replace(track, record_id=new_ids[track.record_id]) for track in session.recordings)
    bent = _with_call(session, replace(call, legs=legs, record_id=new_ids.get(call.record_id, "")))
    return replace(bent, recordings=recordings)


def _empty_record_id(session: Session, stream: random.Random) -> Session:
    call = session.calls[0]
    named_legs = [leg for leg in call.legs if leg.record_id]
    # Between agents nobody is the customer, so a track without an id could not be told whose it is.
    may_empty_push = bool(session.recordings) and call.caller != "" and "@" not in call.caller
    choices = ["root"] * bool(call.record_id) + ["leg"] * bool(named_legs) + ["push"] * may_empty_push
    if not choices:
        return session
    match stream.choice(choices):
        case "root":
            return _with_call(session, replace(call, record_id=""))
        case "leg":
            unnamed = stream.choice(named_legs)
            legs = tuple(replace(leg, record_id="") if leg is unnamed else leg for leg in call.legs)
            return _with_call(session, replace(call, legs=legs))
        case _:
            emptied = stream.choice(session.recordings)
            tracks = (replace(track, record_id="") if track is emptied else track for track in session.recordings)
            return replace(session, recordings=tuple(tracks))


def _endpoint_number(session: Session, _stream: random.Random) -> Session:
    def as_number(track: Recording) -> Recording:
        bare = track.endpoint_user.removeprefix("0086")
        return replace(track, endpoint_user=bare, endpoint_is_number=True) if bare.isdecimal() else track

    return replace(
        session,
        recordings=tuple(as_number(track) for track in session.recordings),
        voicemails=tuple(
            replace(voicemail, endpoint_user=f"0086{voicemail.endpoint_user}", endpoint_is_number=False)
            for voicemail in session.voicemails
        ),
    )


def _odd_case_type(session: Session, _stream: random.Random) -> Session:
    def odd(name: str) -> str:
        return name[:1].upper() + name[1:]

    call = session.calls[0]
    legs = tuple(
        replace(
            leg,
            type=odd(leg.type),
            transfer_from_type=odd(leg.transfer_from_type),
            transfer_to_type=leg.transfer_to_type.lower(),
        )
        for leg in call.legs
    )
    return _with_call(session, replace(call, legs=legs))


def _http_url(session: Session, _stream: random.Random) -> Session:
    return replace(
        session,
        recordings=tuple(replace(track, url=track.url.replace("https:", "http:")) for track in session.recordings),
        voicemails=tuple(replace(mail, url=mail.url.replace("https:", "http:")) for mail in session.voicemails),
    )


def _custom_url(session: Session, _stream: random.Random) -> Session:
    def custom(track: Recording) -> str:
        return track.url.replace("recordings.example.com", "our-bucket.cos.example.com/archive")

    tracks = tuple(replace(track, custom_url=custom(track)) for track in session.recordings)
    return replace(session, recordings=tracks)


def _leg_ends_early(session: Session, stream: random.Random) -> Session:
    call = session.calls[0]
    if not call.legs:
        return session
    last = call.legs[-1]
    ended = max(last.answered, last.rang, last.ended - stream.randint(3, 20))
    return _with_call(session, replace(call, legs=(*call.legs[:-1], replace(last, ended=ended))))


def _bad_field(session: Session, stream: random.Random) -> Session:
    call = session.calls[0]
    name, value = stream.choice(_UNHOLDABLE)
    emptied = {"RingTimestamp": {"rang": 0}, "QueuedSkillGroupId": {"skill_group_id": 0}, "Uui": {"uui": ""}}[name]
    return _with_call(session, replace(call, unholdable={name: value}, **emptied))  # type: ignore[arg-type]


def _control_text(session: Session, _stream: random.Random) -> Session:
    # What becomes of NUL and of half a pair; `wire` writes those in place of it.
    return _with_call(session, replace(session.calls[0], user_remark="nul \ufffd and half \ufffd"))


# Corrections: each gives the call as it was first told, and as it is told later.

_Correction = Callable[[Session, random.Random], Session | None]


def _correction(session: Session, stream: random.Random) -> Session:
    """Tell of the call twice, differently."""
    correct = stream.choice(_CORRECTIONS)
    return correct(session, stream) or _correct_remark(session, stream)


def _correct_remark(session: Session, stream: random.Random) -> Session:
    call = session.calls[0]
    return replace(session, calls=(call, replace(call, user_remark=f"corrected {stream.randrange(10_000)}")))


def _correct_remark_to_nothing(session: Session, stream: random.Random) -> Session:
    first = replace(session.calls[0], user_remark=f"worth keeping {stream.randrange(10_000)}")
    return replace(session, calls=(first, replace(first, user_remark="", hung_up_by="system")))


def _correct_end(session: Session, stream: random.Random) -> Session:
    call = session.calls[0]
    ended = call.ended + stream.randint(1, 9)
    duration = ended - call.answered if call.answered else 0
    return replace(session, calls=(call, replace(call, ended=ended, duration=duration)))


def _correct_hung_up_by(session: Session, _stream: random.Random) -> Session:
    call = session.calls[0]
    return replace(session, calls=(call, replace(call, hung_up_by="seat" if call.hung_up_by == "user" else "user")))


def _correct_leg(session: Session, _stream: random.Random) -> Session | None:
    call = session.calls[0]
    if not call.legs:
        return None
    last = replace(call.legs[-1], skill_group_name=f"{call.legs[-1].skill_group_name} (renamed)", skill_group_id=0)
    return replace(session, calls=(call, replace(call, legs=(*call.legs[:-1], last))))


def _correct_seat_user(session: Session, _stream: random.Random) -> Session | None:
    """Name another human: nothing of the first one may be left in it."""
    call = session.calls[0]
    if call.seat_user is None:
        return None
    other = SeatUser(mail="late.shift@office.example.com", name="Late Shift", user_id="late.shift@office.example.com")
    return replace(session, calls=(call, replace(call, seat_user=other)))


def _correct_record_id(session: Session, stream: random.Random) -> Session | None:
    """Name another recording: what was pushed is then found by whose it is."""
    call = session.calls[0]
    shared = any(leg.record_id == call.record_id for leg in call.legs)
    if not call.record_id or shared or not call.customer:
        return None
    return replace(session, calls=(call, replace(call, record_id=draw_uuid(stream))))


def _correct_legs(session: Session, _stream: random.Random) -> Session | None:
    """Tell of one leg fewer: the set of legs is the winner's."""
    call = session.calls[0]
    if len(call.legs) < 2:
        return None
    return replace(session, calls=(call, replace(call, legs=call.legs[:-1])))


_CORRECTIONS: tuple[_Correction, ...] = (
    _correct_remark,
    _correct_remark_to_nothing,
    _correct_end,
    _correct_hung_up_by,
    _correct_leg,
    _correct_legs,
    _correct_seat_user,
    _correct_record_id,
)

_BENDERS: tuple[tuple[str, Callable[[Session, random.Random], Session]], ...] = (
    ("unknown_end_status", _unknown_end_status),
    ("leg_ends_early", _leg_ends_early),
    ("never_recorded", _never_recorded),
    ("epoch_record_id", _epoch_record_id),
    ("empty_record_id", _empty_record_id),
    ("call_type_missing", _call_type_missing),
    ("unknown_fields", _unknown_fields),
    ("lower_case_keys", _lower_case_keys),
    ("endpoint_number", _endpoint_number),
    ("odd_case_type", _odd_case_type),
    ("http_url", _http_url),
    ("custom_url", _custom_url),
    ("bad_field", _bad_field),
    ("control_text", _control_text),
    ("correction", _correction),
)
