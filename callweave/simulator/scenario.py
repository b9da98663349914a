"""Invents the calls of some days: who called, waited, talked, was passed on or gave up, and what was recorded.

The same seed, count and `now` give the same sessions, on any machine. Times are whole UNIX seconds, as TCCC's are.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from callweave.simulator.chance import chance, draw_uuid
from callweave.simulator.facts import (
    AUDIO_INBOUND,
    INTERNAL,
    Call,
    KeyPress,
    Leg,
    Recording,
    Session,
    TelLocation,
    Voicemail,
)
from callweave.simulator.office import Agent, Office, SkillGroup, draw_customer, open_offices

DAY_SECONDS = 86_400
_QUIET_SECONDS = 1_800  # the youngest call has ended before this, so that its recordings may have been made
_LONGEST_SECONDS = 3_600
_SHARED_ID_EVERY = 9  # each so-manieth session of the second SdkAppId reuses a SessionId of the first

_OUTBOUND_FAILURES = (
    "notAnswer",
    "busy",
    "numberNotExist",
    "powerOff",
    "userReject",
    "outOfCredit",
    "notInService",
    "callerCancelWhileRing",
    "carrierBlocked",
    "voiceMailReached",
)


def make_sessions(*, seed: int, count: int, now: int, days: int = 3) -> tuple[Session, ...]:
    """Invent `count` sessions of the last `days` days before `now`, in the order in which they started."""
    offices = open_offices(seed)
    stream = chance(seed, "sessions")
    ids = chance(seed, "ids", now, count)
    customers = [draw_customer(stream) for _ in range(max(20, count // 2))]
    starts = sorted(_draw_start(stream, now=now, days=days) for _ in range(count))
    sessions: list[Session] = []
    shareable: list[str] = []
    of_second_app = 0
    for start in starts:
        office = stream.choices(offices, (70, 30))[0]
        number, location = stream.choice(customers)
        desk = _Desk(stream, ids, office, start, number, location)
        session_id = draw_uuid(ids)
        if office is offices[0]:
            shareable.append(session_id)
        else:
            of_second_app += 1
            if of_second_app % _SHARED_ID_EVERY == 2 and shareable:
                session_id = shareable.pop()
        sessions.append(_make_session(desk, session_id))
    return tuple(sessions)


@dataclass(slots=True)
class _Desk:
    """What one call is made with."""

    stream: random.Random
    ids: random.Random
    office: Office
    start: int
    customer: str
    location: TelLocation

    def maybe(self, share: float) -> bool:
        return self.stream.random() < share

    def seconds(self, low: int, high: int) -> int:
        return self.stream.randint(low, high)

    def record_id(self) -> str:
        return draw_uuid(self.ids)

    def line(self) -> str:
        return self.stream.choice(self.office.lines)

    def group(self) -> SkillGroup:
        return self.stream.choice(self.office.groups)

    def talk_seconds(self) -> int:
        return max(3, min(2_400, round(self.stream.lognormvariate(4.9, 0.8))))

    def wait_seconds(self) -> int:
        """Four of five are served within twenty seconds, some wait for minutes."""
        mean = 9 if self.maybe(0.8) else 70
        return min(600, round(self.stream.expovariate(1 / mean)))


def _draw_start(stream: random.Random, *, now: int, days: int) -> int:
    earliest = now - days * DAY_SECONDS
    latest = now - _QUIET_SECONDS - _LONGEST_SECONDS
    while True:
        start = stream.randint(earliest, latest)
        hour_in_china = (start // 3_600 + 8) % 24
        weight = 1.0 if hour_in_china in {9, 10, 11, 14, 15, 16} else 0.6 if 8 <= hour_in_china <= 19 else 0.08
        if stream.random() < weight:
            return start


def _make_session(desk: _Desk, session_id: str) -> Session:
    makers, weights = zip(*_KINDS, strict=True)
    make: Callable[[_Desk], Call] = desk.stream.choices(makers, weights)[0]
    call = make(desk)
    folder = f"{desk.office.sdk_app_id}/{session_id}"
    return Session(
        sdk_app_id=desk.office.sdk_app_id,
        session_id=session_id,
        calls=(call,),
        recordings=_record(desk, call, folder),
        voicemails=_leave_voicemails(desk, call, folder),
    )


# Inbound


def _inbound(desk: _Desk) -> Call:
    """Give a call that has reached the line and nothing more; what follows replaces members of it."""
    keys = tuple(
        KeyPress(str(desk.seconds(1, 4)), desk.stream.choice(("orders", "returns", "")))
        for _ in range(desk.seconds(0, 2))
    )
    return Call(
        caller=desk.customer,
        callee=desk.line(),
        direction=0,
        call_type=2,
        started=desk.start,
        ended=desk.start,
        end_status="ok",
        ivr_keys=tuple(press.key for press in keys),
        ivr_keys_ex=keys,
        caller_location=f"{desk.location.province} {desk.location.city}" if desk.maybe(0.5) else "",
        tel_location=desk.location,
        user_remark=desk.stream.choice(("", "", "", "VIP", "回访", f"*****{desk.customer[-4:]}")),
    )


def _queue(desk: _Desk, call: Call, group: SkillGroup) -> Call:
    ivr_seconds = desk.seconds(0, 40)
    return replace(
        call,
        ivr_seconds=ivr_seconds,
        queued=call.started + ivr_seconds,
        skill_group_id=group.id,
        skill_group_name=group.name,
    )


def _ring(desk: _Desk, agent: Agent, group: SkillGroup, *, sequence: int, at: int) -> Leg:
    return Leg(
        sequence=sequence,
        mail=agent.seat.mail,
        phone=agent.seat.phone,
        type=agent.type,
        started=at,
        rang=at,
        skill_group_id=group.id,
        skill_group_name=group.name,
        skill_group_priority=desk.stream.choice((0, 0, 0, 1, 5)),
    )


def _refuse(desk: _Desk, agent: Agent, group: SkillGroup, *, sequence: int, at: int) -> Leg:
    """Ring an agent who does not answer; TCCC sometimes names a recording of it, which never comes."""
    return replace(
        _ring(desk, agent, group, sequence=sequence, at=at),
        ended=at + desk.seconds(15, 20),
        end_status="seatGiveUp",
        record_id=desk.record_id() if desk.maybe(0.3) else "",
    )


def _answer(desk: _Desk, leg: Leg) -> Leg:
    answered = leg.rang + desk.seconds(0, 9)
    return replace(leg, answered=answered, ended=answered + desk.talk_seconds(), record_id=desk.record_id())


def _finish(desk: _Desk, call: Call, legs: list[Leg], agent: Agent, *, with_survey: bool = False) -> Call:
    """Close an answered call: its times follow from its legs."""
    answered_leg = next(leg for leg in legs if leg.answered)
    answered = answered_leg.answered + desk.seconds(0, 1)
    ended = max(legs[-1].ended, answered + 1)
    survey: tuple[KeyPress, ...] = ()
    if with_survey:
        ended += desk.seconds(3, 15)
        key = desk.stream.choice(("1", "2", "3", "5", "5", "noInput"))
        survey = (KeyPress(key, "satisfied" if key == "5" else ""),)
    for leg in legs:
        if leg.mail:
            desk.office.occupy(leg.mail, until=leg.ended)
    return replace(
        call,
        rang=legs[0].rang,
        answered=answered,
        ended=ended,
        duration=ended - answered,
        hung_up_by=desk.stream.choices(("user", "seat", "system"), (60, 37, 3))[0],
        record_id=desk.record_id(),
        legs=tuple(legs),
        seat_user=agent.seat,
        post_ivr_keys=survey,
    )


def _inbound_answered(desk: _Desk) -> Call:
    group = desk.group()
    call = _queue(desk, _inbound(desk), group)
    rings_at = call.queued + desk.wait_seconds()
    agent = desk.office.pick_agent(desk.stream, group=group, at=rings_at)
    leg = _answer(desk, _ring(desk, agent, group, sequence=0, at=rings_at))
    return _finish(desk, call, [leg], agent, with_survey=desk.maybe(0.35))


def _inbound_after_refusals(desk: _Desk) -> Call:
    group = desk.group()
    call = _queue(desk, _inbound(desk), group)
    legs: list[Leg] = []
    rings_at = call.queued + desk.wait_seconds()
    mail = ""
    for sequence in range(desk.seconds(1, 2)):
        agent = desk.office.pick_agent(desk.stream, group=group, at=rings_at, other_than=mail)
        legs.append(_refuse(desk, agent, group, sequence=sequence, at=rings_at))
        mail = agent.seat.mail
        rings_at = legs[-1].ended + 1
    agent = desk.office.pick_agent(desk.stream, group=group, at=rings_at, other_than=mail)
    legs.append(_answer(desk, _ring(desk, agent, group, sequence=len(legs), at=rings_at)))
    return _finish(desk, call, legs, agent, with_survey=desk.maybe(0.2))


def _inbound_transferred(desk: _Desk) -> Call:
    """Pass a call on once or twice; sometimes back to the first agent, sometimes to an outside line."""
    group = desk.group()
    call = _queue(desk, _inbound(desk), group)
    rings_at = call.queued + desk.wait_seconds()
    first = agent = desk.office.pick_agent(desk.stream, group=group, at=rings_at)
    legs = [_answer(desk, _ring(desk, agent, group, sequence=0, at=rings_at))]
    for sequence in range(1, 1 + desk.seconds(1, 2)):
        rings_at = legs[-1].ended + 1
        if desk.maybe(0.2):
            legs[-1], leg = _pass_outside(desk, legs[-1], at=rings_at)
            legs.append(replace(leg, sequence=sequence))
            break
        back = agent.seat.mail != first.seat.mail and desk.maybe(0.5)
        group = desk.group()
        agent = (
            first if back else desk.office.pick_agent(desk.stream, group=group, at=rings_at, other_than=agent.seat.mail)
        )
        next_leg = _answer(desk, _ring(desk, agent, group, sequence=sequence, at=rings_at))
        last = legs[-1]
        legs[-1] = replace(last, end_status="seatForward", transfer_to=agent.seat.mail, transfer_to_type=agent.type)
        legs.append(replace(next_leg, transfer_from=last.mail, transfer_from_type=last.type))
    return _finish(desk, call, legs, agent, with_survey=desk.maybe(0.2))


def _pass_outside(desk: _Desk, last: Leg, *, at: int) -> tuple[Leg, Leg]:
    outside = f"0086133{desk.stream.randrange(10**8):08d}"
    leg = Leg(
        sequence=0,
        phone=outside,
        type="outboundSeat",
        started=at,
        rang=at + 2,
        transfer_from=last.mail,
        transfer_from_type=last.type,
    )
    handed = replace(last, end_status="outboundForward", transfer_to=outside, transfer_to_type="outboundSeat")
    return handed, _answer(desk, leg)


def _waiting_give_up(desk: _Desk) -> Call:
    call = _queue(desk, _inbound(desk), desk.group())
    ended = call.queued + desk.stream.choice((desk.seconds(0, 5), desk.seconds(6, 240)))
    return replace(call, ended=ended, end_status="waitingGiveUp", hung_up_by="user")


def _ringing_give_up(desk: _Desk) -> Call:
    group = desk.group()
    call = _queue(desk, _inbound(desk), group)
    rings_at = call.queued + desk.wait_seconds()
    agent = desk.office.pick_agent(desk.stream, group=group, at=rings_at)
    ended = rings_at + desk.seconds(1, 14)
    leg = replace(
        _ring(desk, agent, group, sequence=0, at=rings_at),
        ended=ended,
        end_status="ringingGiveUp",
        record_id=desk.record_id() if desk.maybe(0.3) else "",
    )
    return replace(
        call,
        rang=rings_at,
        ended=ended,
        end_status="ringingGiveUp",
        hung_up_by="user",
        legs=(leg,),
        seat_user=agent.seat if desk.maybe(0.5) else None,
    )


def _ends_in_ivr(status: str) -> Callable[[_Desk], Call]:
    def make(desk: _Desk) -> Call:
        seconds = desk.seconds(2, 90)
        hung_up_by = "user" if status == "ivrGiveUp" else "system"
        return replace(
            _inbound(desk), ended=desk.start + seconds, ivr_seconds=seconds, end_status=status, hung_up_by=hung_up_by
        )

    return make


def _no_seat_online(desk: _Desk) -> Call:
    call = _queue(desk, _inbound(desk), desk.group())
    return replace(call, ended=call.queued + desk.seconds(0, 60), end_status="noSeatOnline", hung_up_by="user")


def _audio_inbound(desk: _Desk) -> Call:
    """Come in over the internet: the caller has an id, no number."""
    call = _inbound_answered(desk)
    caller = f"visitor-{desk.ids.getrandbits(48):012x}"
    return replace(call, caller=caller, call_type=AUDIO_INBOUND, tel_location=None, caller_location="")


# Outbound


def _outbound(desk: _Desk) -> tuple[Call, Agent, Leg]:
    """Give a call that an agent has dialled; the agent's own leg is taken at once, as TCCC shows it."""
    group = desk.group()
    agent = desk.office.pick_agent(desk.stream, group=group, at=desk.start)
    call = Call(
        caller=desk.line(),
        callee=desk.customer,
        direction=1,
        call_type=1,
        started=desk.start,
        ended=desk.start,
        end_status="ok",
        seat_user=agent.seat,
        skill_group_id=group.id,
        skill_group_name=group.name,
        tel_location=desk.location,
        user_remark=desk.stream.choice(("", "", "call back", f"*****{desk.customer[-4:]}")),
        uui=f"order-{desk.seconds(1, 99_999)}" if desk.maybe(0.4) else "",
    )
    leg = replace(
        _ring(desk, agent, group, sequence=0, at=desk.start), answered=desk.start + 1, record_id=desk.record_id()
    )
    return call, agent, leg


def _outbound_answered(desk: _Desk) -> Call:
    call, agent, leg = _outbound(desk)
    rang = desk.start + desk.seconds(2, 6)
    answered = rang + desk.seconds(1, 20)
    ended = answered + desk.talk_seconds()
    desk.office.occupy(agent.seat.mail, until=ended)
    return replace(
        call,
        rang=rang,
        answered=answered,
        ended=ended,
        duration=ended - answered,
        hung_up_by=desk.stream.choice(("user", "seat")),
        record_id=desk.record_id(),
        legs=(replace(leg, ended=ended),),
    )


def _outbound_failed(desk: _Desk) -> Call:
    call, _, leg = _outbound(desk)
    status = desk.stream.choice(_OUTBOUND_FAILURES)
    rang = desk.start + desk.seconds(2, 6) if status != "numberNotExist" else 0
    ended = desk.start + desk.seconds(7, 50)
    return replace(
        call,
        rang=rang,
        ended=ended,
        end_status=status,
        hung_up_by=desk.stream.choice(("seat", "system")),
        record_id=desk.record_id() if desk.maybe(0.6) else "",
        legs=(replace(leg, ended=ended),),
    )


def _predictive(desk: _Desk) -> Call:
    """Dial for a campaign: nobody is on the line until the customer answers, and sometimes not even then."""
    group = desk.group()
    rang = desk.start + desk.seconds(1, 5)
    call = Call(
        caller=desk.line(),
        callee=desk.customer,
        direction=1,
        call_type=5,
        started=desk.start,
        rang=rang,
        ended=rang + desk.seconds(5, 45),
        end_status=desk.stream.choice(_OUTBOUND_FAILURES),
        hung_up_by="system",
        skill_group_id=group.id,
        skill_group_name=group.name,
        tel_location=desk.location,
        uui=f"campaign-{desk.seconds(1, 9)}",
    )
    if desk.maybe(0.55):
        return call
    answered = rang + desk.seconds(2, 20)
    answered_call = replace(call, answered=answered, end_status="ok", hung_up_by="user", record_id=desk.record_id())
    if desk.maybe(0.08):
        ended = answered + desk.seconds(2, 8)
        return replace(answered_call, ended=ended, duration=ended - answered)
    agent = desk.office.pick_agent(desk.stream, group=group, at=answered)
    leg = _answer(desk, _ring(desk, agent, group, sequence=0, at=answered))
    desk.office.occupy(agent.seat.mail, until=leg.ended)
    return replace(answered_call, ended=leg.ended, duration=leg.ended - answered, legs=(leg,), seat_user=agent.seat)


def _internal(desk: _Desk) -> Call:
    """Let one agent call another."""
    group = desk.group()
    caller = desk.office.pick_agent(desk.stream, group=group, at=desk.start)
    callee = desk.office.pick_agent(desk.stream, group=group, at=desk.start, other_than=caller.seat.mail)
    leg = _answer(desk, _ring(desk, callee, group, sequence=0, at=desk.start + 1))
    return Call(
        caller=caller.seat.mail,
        callee=callee.seat.mail,
        direction=1,
        call_type=INTERNAL,
        started=desk.start,
        rang=leg.rang,
        answered=leg.answered,
        ended=leg.ended,
        duration=leg.ended - leg.answered,
        end_status="ok",
        hung_up_by=desk.stream.choice(("user", "seat")),
        skill_group_id=group.id,
        skill_group_name=group.name,
        record_id=desk.record_id(),
        seat_user=callee.seat,
        legs=(leg,),
    )


_KINDS: tuple[tuple[Callable[[_Desk], Call], float], ...] = (
    (_inbound_answered, 34),
    (_inbound_after_refusals, 7),
    (_inbound_transferred, 9),
    (_waiting_give_up, 6),
    (_ringing_give_up, 3),
    (_ends_in_ivr("ivrGiveUp"), 3),
    (_ends_in_ivr("ivrEnd"), 4),
    (_ends_in_ivr("notWorkTime"), 4),
    (_ends_in_ivr("blackList"), 0.5),
    (_no_seat_online, 4),
    (_audio_inbound, 2.5),
    (_outbound_answered, 9),
    (_outbound_failed, 6),
    (_predictive, 6),
    (_internal, 2),
)


# What is recorded


def _record(desk: _Desk, call: Call, folder: str) -> tuple[Recording, ...]:
    """Make a recording for the root's name and each answered leg's; unanswered legs are named and never come."""
    tracks: list[tuple[str, str, int]] = []
    if call.record_id:
        tracks.append((call.record_id, call.customer or call.caller, call.ended))
    tracks += [(leg.record_id, leg.mail or leg.phone, leg.ended) for leg in call.legs if leg.record_id and leg.answered]
    used: set[tuple[str, int]] = set()
    recordings = []
    for place, (record_id, endpoint_user, ended) in enumerate(tracks):
        made_at = ended + desk.seconds(1, 30)
        while (endpoint_user, made_at) in used:
            made_at += 1
        used.add((endpoint_user, made_at))
        url = f"https://recordings.example.com/{folder}/{place}-{made_at}.mp3"
        recordings.append(Recording(record_id=record_id, endpoint_user=endpoint_user, timestamp=made_at, url=url))
    return tuple(recordings)


def _leave_voicemails(desk: _Desk, call: Call, folder: str) -> tuple[Voicemail, ...]:
    if call.end_status not in {"noSeatOnline", "notWorkTime", "waitingGiveUp"} or call.call_type != 2:
        return ()
    count = desk.stream.choices((0, 1, 2), (40, 50, 10) if call.end_status != "waitingGiveUp" else (95, 5, 0))[0]
    return tuple(
        Voicemail(
            endpoint_user=call.caller.removeprefix("0086"),
            timestamp=call.ended + 5 + 40 * place,
            url=f"https://voicemails.example.com/{folder}/{place}.mp3",
        )
        for place in range(count)
    )
