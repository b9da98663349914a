"""The work that contestants do: calls of one CDR and two recordings, every eighth transferred (a leg and a recording
more), the pushes of a call far apart in time, 5 % delivered twice.
"""

import random
from datetime import UTC, datetime
from typing import Any

import orjson

from ingest.normalize import ReceivedPush, normalize
from schemas.events import NormalizedEvent

APP = 1400000001


def pushes(sessions: int, seed: int = 1, *, first: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """(action, body) in an order in which a session's pushes lie far apart."""
    chance = random.Random(seed)
    result: list[tuple[str, dict[str, Any]]] = []
    for number in range(first, first + sessions):
        result += session(number)
    result += chance.sample(result, len(result) // 20)
    chance.shuffle(result)
    return result


def bodies(sessions: int, seed: int = 1, *, first: int = 0) -> list[tuple[str, bytes]]:
    """The same as bytes."""
    return [(action, orjson.dumps(body)) for action, body in pushes(sessions, seed, first=first)]


def event_of(action: str, body: bytes, push_id: str) -> NormalizedEvent:
    """The event that the door makes of a push."""
    push = ReceivedPush.of(body, headers={"X-TCCC-PUSH-UUID": push_id}, action=action, received_at=datetime.now(UTC))
    event = normalize(push).event
    assert event is not None
    return event


def session(number: int) -> list[tuple[str, dict[str, Any]]]:
    """The pushes of one call, in the order in which they come."""
    start = 1_700_000_000 + number
    session_id = f"{number:08x}-0d6e-4c6b-9a55-7a1d2c3b4e01"
    common = {"SdkAppId": APP, "SessionId": session_id}
    legs = _legs(number, start)
    mail = legs[-1]["Mail"]
    cdr = {
        **common,
        "Caller": f"0086139{number % 10**8:08d}",
        "Callee": "008602155500100",
        "Direction": 0,
        "CallType": 2,
        "Duration": 60,
        "IVRDuration": 5,
        "StartTimestamp": start,
        "QueuedTimestamp": start + 5,
        "RingTimestamp": start + 10,
        "AcceptTimestamp": start + 15,
        "EndedTimestamp": start + 75,
        "SeatUser": {"Mail": mail, "Name": "Agent", "UserId": mail, "StaffNumber": "7", "SkillGroupNameList": ["a"]},
        "EndStatusString": "ok",
        "HungUpSide": "user",
        "IVRKeyPressed": None,
        "QueuedSkillGroupId": 11,
        "QueuedSkillGroupName": "service",
        "RecordId": f"{number:08x}-root",
        "ServeParticipants": legs,
        "TelLocation": {"TelNumber": "0086139", "Country": "China", "Province": "Shanghai", "City": "", "Operator": ""},
        "Uui": f"order-{number}",
    }
    ends = [("root", cdr["Caller"]), *((f"leg{leg['Sequence']}", leg["Mail"]) for leg in legs)]
    records = [
        {
            **common,
            "RecordId": f"{number:08x}-{end}",
            "Timestamp": start + 80,
            "EndpointUser": who,
            "RecordURL": f"http://recorder.example/{number}-{end}.mp3",
        }
        for end, who in ends
    ]
    return [("cdr", cdr), *(("record", record) for record in records)]


def _legs(number: int, start: int) -> list[dict[str, Any]]:
    """One agent; every eighth call was transferred to a second one."""
    count = 2 if number % 8 == 0 else 1
    agents = [f"agent{(number + leg) % 50}@example.com" for leg in range(count)]
    return [
        {
            "Mail": agents[leg],
            "Phone": "",
            "RingTimestamp": start + 10 + 30 * leg,
            "AcceptTimestamp": start + 15 + 30 * leg,
            "EndedTimestamp": start + 75 if leg == count - 1 else start + 40,
            "StartTimestamp": start + 10 + 30 * leg,
            "RecordId": f"{number:08x}-leg{leg}",
            "Type": "staffSeat",
            "TransferFrom": agents[0] if leg else "",
            "TransferFromType": "staffSeat" if leg else "",
            "TransferTo": agents[1] if leg < count - 1 else "",
            "TransferToType": "staffSeat" if leg < count - 1 else "",
            "Sequence": leg,
            "SkillGroupId": 11,
            "SkillGroupPriority": 0,
            "EndStatusString": "ok",
        }
        for leg in range(count)
    ]
