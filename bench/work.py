"""The work that contestants do: sessions of one CDR and two recordings, far apart in time, 5 % delivered twice."""

import random
from typing import Any

import orjson

APP = 1400000001


def pushes(sessions: int, seed: int = 1) -> list[tuple[str, dict[str, Any]]]:
    """(action, body) in an order in which a session's pushes lie far apart."""
    chance = random.Random(seed)
    result: list[tuple[str, dict[str, Any]]] = []
    for number in range(sessions):
        result += _session(number)
    result += chance.sample(result, len(result) // 20)
    chance.shuffle(result)
    return result


def bodies(sessions: int, seed: int = 1) -> list[tuple[str, bytes]]:
    """The same as bytes."""
    return [(action, orjson.dumps(body)) for action, body in pushes(sessions, seed)]


def _session(number: int) -> list[tuple[str, dict[str, Any]]]:
    start = 1_700_000_000 + number
    session = f"{number:08x}-0d6e-4c6b-9a55-7a1d2c3b4e01"
    common = {"SdkAppId": APP, "SessionId": session}
    mail = f"agent{number % 50}@example.com"
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
        "ServeParticipants": [
            {
                "Mail": mail,
                "Phone": "",
                "RingTimestamp": start + 10,
                "AcceptTimestamp": start + 15,
                "EndedTimestamp": start + 75,
                "StartTimestamp": start + 10,
                "RecordId": f"{number:08x}-leg0",
                "Type": "staffSeat",
                "Sequence": 0,
                "SkillGroupId": 11,
                "SkillGroupPriority": 0,
                "EndStatusString": "ok",
            }
        ],
        "TelLocation": {"TelNumber": "0086139", "Country": "China", "Province": "Shanghai", "City": "", "Operator": ""},
        "Uui": f"order-{number}",
    }
    records = [
        {**common, "RecordId": f"{number:08x}-{end}", "Timestamp": start + 80, "EndpointUser": who, "RecordURL": url}
        for end, who, url in (
            ("root", cdr["Caller"], f"http://recorder.example/{number}-a.mp3"),
            ("leg0", mail, f"http://recorder.example/{number}-b.mp3"),
        )
    ]
    return [("cdr", cdr), ("record", records[0]), ("record", records[1])]
