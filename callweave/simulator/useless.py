"""Pushes that nothing can be made of: each is answered ErrCode 0 and becomes one dead letter."""

import json
import random
from collections.abc import Callable
from typing import NamedTuple

from callweave.simulator.chance import draw_uuid
from callweave.simulator.facts import Session


class Useless(NamedTuple):
    """What is wrong with it, what TCCC would append to the address, and the bytes."""

    kind: str
    query: str
    raw: bytes


def make_useless(stream: random.Random, neighbour: Session) -> Useless:
    """Make one in the style of a neighbouring session's pushes; no two have the same bytes."""
    kind, make = stream.choice(_KINDS)
    nonce = draw_uuid(stream)
    query = f"action={stream.choice(('cdr', 'record'))}&version=1"
    made = make(neighbour.sdk_app_id, nonce)
    if kind == "unknown_action":
        query = f"action={stream.choice(('agentStatus', 'asr', 'CDRs'))}&version=1"
    return Useless(kind, query, made)


def make_im_push(stream: random.Random, neighbour: Session) -> Useless:
    """Make the push of a chat or video session, which other products of TCCC send to the same address."""
    action = stream.choice(("imcdr", "videoCdr"))
    started = neighbour.calls[0].started
    payload = {
        "SdkAppId": neighbour.sdk_app_id,
        "SessionId": draw_uuid(stream),
        "StartTimestamp": started,
        "AcceptTimestamp": 0,
        "EndedTimestamp": started + 15,
        "QueuedSkillGroupId": 2734,
        "QueuedSkillGroupName": "chat",
        "Duration": 15,
        "EndStatusString": "ok",
        "UserId": "visitor",
        "UserNickName": "小明",
        "SeatUser": None,
        "UserRemark": "",
        "ClientData": "eyJhIjoxfQ==",
    }
    return Useless(action, f"action={action}&version=1", json.dumps(payload, ensure_ascii=False).encode())


def _cdr_text(app: int, nonce: str) -> str:
    return json.dumps({"SdkAppId": app, "SessionId": nonce, "Caller": "0086", "EndStatusString": "ok", "Direction": 0})


def _broken_json(app: int, nonce: str) -> bytes:
    return _cdr_text(app, nonce)[:-7].encode()


def _not_a_number(app: int, nonce: str) -> bytes:
    return _cdr_text(app, nonce).replace('"Direction": 0', '"Direction": NaN').encode()


def _no_session_id(app: int, nonce: str) -> bytes:
    return json.dumps({"SdkAppId": app, "SessionId": "", "Caller": nonce, "EndStatusString": "ok"}).encode()


def _not_an_object(_app: int, nonce: str) -> bytes:
    return json.dumps([nonce]).encode()


def _only_text(_app: int, nonce: str) -> bytes:
    return json.dumps(nonce).encode()


def _invalid_utf8(app: int, nonce: str) -> bytes:
    return _cdr_text(app, nonce).encode().replace(b'"0086"', b'"\xff\xfe0086"')


def _no_sdk_app_id(_app: int, nonce: str) -> bytes:
    return _cdr_text(0, nonce).encode()


def _sdk_app_id_too_large(_app: int, nonce: str) -> bytes:
    return _cdr_text(2**63, nonce).encode()


def _sdk_app_id_is_no_number(app: int, nonce: str) -> bytes:
    return _cdr_text(app, nonce).replace(str(app), '"fourteen"').encode()


def _usable_otherwise(app: int, nonce: str) -> bytes:
    return _cdr_text(app, nonce).encode()


_KINDS: tuple[tuple[str, Callable[[int, str], bytes]], ...] = (
    ("broken_json", _broken_json),
    ("not_a_number", _not_a_number),
    ("no_session_id", _no_session_id),
    ("not_an_object", _not_an_object),
    ("only_text", _only_text),
    ("invalid_utf8", _invalid_utf8),
    ("no_sdk_app_id", _no_sdk_app_id),
    ("sdk_app_id_too_large", _sdk_app_id_too_large),
    ("sdk_app_id_is_no_number", _sdk_app_id_is_no_number),
    ("unknown_action", _usable_otherwise),
)
