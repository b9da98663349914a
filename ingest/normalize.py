"""One push to what is stored of it: an event, dead letters, or both; and what TCCC is told. Pure.

The rule: any bytes give an event or a letter, never neither, never an exception. Both go to the push log in one go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self, TypeGuard

from ingest.action import kind_of
from ingest.body import Unopened, open_body
from ingest.headers import CONTENT_ENCODING, PUSH_UUID, blanked, header_of, without_credentials
from ingest.limits import DoorLimits
from ingest.shape import is_too_deep, is_too_wide
from schemas import jsontext
from schemas.canonical import INT64_MAX, Defect, TooDeepError, canonical, clean_text, digest, survey
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.events import WIRE_MODELS, EventKind, NormalizedEvent, Source
from schemas.suppression import ERASED_FIELD
from schemas.topics import MESSAGE_BYTES_MAX
from schemas.wire import WireModel

BODY_BYTES_MAX = 1024 * 1024
"""The default limit of a body, as received and as decompressed."""

PUSH_ID_CHARACTERS_MAX = 128
TOO_LARGE_KEPT_BYTES = 64 * 1024
"""How much of a body over the limit a letter keeps."""

_DEFAULT_LIMITS = DoorLimits()
_DEFECTS_NAMED_MAX = 50
_EVENT_BYTES_MAX = MESSAGE_BYTES_MAX - 64 * 1024
_GROWTH_MAX = 4
"""What a canonical form can be longer than its text: `{"Key":9e39}` becomes forty digits."""


class ReceivedPush(NamedTuple):
    """One authentic push, as it was received at `received_at` (aware UTC, whole milliseconds)."""

    raw: bytes
    headers: Mapping[str, str]
    action: str | None
    push_id: str | None
    received_at: datetime
    content_encoding: str | None = None

    @classmethod
    def of(cls, raw: bytes, *, headers: Mapping[str, str], action: str | None, received_at: datetime) -> Self:
        """A push whose id and encoding stand in its headers; also what a replayed letter is read with."""
        return cls(
            raw=raw,
            headers=headers,
            action=action,
            push_id=_push_id(header_of(headers, PUSH_UUID)),
            received_at=received_at,
            content_encoding=header_of(headers, CONTENT_ENCODING),
        )


class Normalized(NamedTuple):
    """What is stored of a push, and what its ErrMsg says: nothing, where the event could be used."""

    event: NormalizedEvent | None
    letters: tuple[DeadLetter, ...]
    message: str
    unknown_field_count: int = 0


@dataclass(frozen=True, slots=True)
class _Useless:
    reason: Reason
    detail: str


def normalize(
    push: ReceivedPush, *, body_bytes_max: int = BODY_BYTES_MAX, limits: DoorLimits = _DEFAULT_LIMITS
) -> Normalized:
    """Bring a push to its canonical form. A field that no warehouse can hold costs a letter, not the event."""
    payload = _decoded(push, body_bytes_max, limits)
    outcome = payload if isinstance(payload, _Useless) else _event(push, payload)
    if isinstance(outcome, _Useless):
        return Normalized(None, (_letter(push, outcome),), clean_text(outcome.detail))
    event, model = outcome
    if not _fits_the_log(event, push, body_bytes_max):
        useless = _Useless(Reason.BOUND_EXCEEDED, "its normalized form and its body do not fit one Kafka message")
        return Normalized(None, (_letter(push, useless),), useless.detail)
    found = survey(model, event.payload)
    letters = (_letter(push, _Useless(Reason.SCHEMA_VIOLATION, _named(found.defects))),) if found.defects else ()
    # Fields that TCCC sends and `schemas.wire` does not know are kept, and counted (law 11).
    return Normalized(event, letters, "", found.unknown_count)


def too_large(push: ReceivedPush, *, bytes_count: int, bytes_max: int) -> DeadLetter:
    """The letter of a body over the limit: `push.raw` is its beginning, `bytes_count` its whole length."""
    detail = f"{bytes_count} bytes, more than the limit of {bytes_max}; the first {len(push.raw)} are kept"
    return _letter(push, _Useless(Reason.PUSH_TOO_LARGE, detail), bytes_count)


def foreign(push: ReceivedPush, why: str) -> DeadLetter:
    """The letter of a push whose body names an account that its sender may not push for."""
    return _letter(push, _Useless(Reason.FOREIGN_APP, why))


def _decoded(push: ReceivedPush, body_bytes_max: int, limits: DoorLimits) -> dict[str, Any] | _Useless:
    body = open_body(push.raw, push.content_encoding, bytes_max=body_bytes_max)
    if isinstance(body, Unopened):
        return _Useless(Reason.UNDECODABLE, body.detail)
    try:
        payload = jsontext.decode(body)
    except jsontext.NotJsonError as exc:
        claimed = push.content_encoding
        return _Useless(Reason.UNDECODABLE, f"{exc} (Content-Encoding: {claimed[:50]})" if claimed else str(exc))
    if not isinstance(payload, dict):
        return _Useless(Reason.SCHEMA_VIOLATION, "the body is JSON, but no object")
    if is_too_wide(payload, body, values_max=limits.json_values_max):
        return _Useless(Reason.BOUND_EXCEEDED, f"more than {limits.json_values_max} members and items")
    if is_too_deep(payload, body, depth_max=limits.json_depth_max):
        return _Useless(Reason.SCHEMA_VIOLATION, f"nested deeper than {limits.json_depth_max} levels")
    return payload


def _event(push: ReceivedPush, decoded: dict[str, Any]) -> tuple[NormalizedEvent, type[WireModel]] | _Useless:
    try:
        kind = kind_of(push.action, decoded)
        if not isinstance(kind, EventKind):
            return _Useless(Reason.UNKNOWN_ACTION, kind)
        payload = canonical(WIRE_MODELS[kind], decoded)
    except TooDeepError as exc:
        return _Useless(Reason.SCHEMA_VIOLATION, str(exc))
    payload.pop(ERASED_FIELD, None)  # nobody but `callweave erase` says that a session is erased
    app, session = payload.get("SdkAppId"), payload.get("SessionId")
    if not _is_usable_app(app):
        return _Useless(Reason.UNKEYABLE, "no usable SdkAppId: it must be a number from 1 to 2^63 - 1")
    if not isinstance(session, str):
        return _Useless(Reason.UNKEYABLE, "no usable SessionId: it must be a filled text or a number")
    identity = digest(kind, Source.PUSH, None, payload)
    event = NormalizedEvent(
        kind=kind,
        sdk_app_id=app,
        session_id=session,
        payload=payload,
        digest=identity,
        push_id=push.push_id or f"content:{identity}",
        received_at=push.received_at,
    )
    return event, WIRE_MODELS[kind]


def _is_usable_app(app: object) -> TypeGuard[int]:
    return isinstance(app, int) and not isinstance(app, bool) and 1 <= app <= INT64_MAX


def _fits_the_log(event: NormalizedEvent, push: ReceivedPush, body_bytes_max: int) -> bool:
    """Say whether an event and its raw body fit one Kafka message. At the default limit of a body, all do."""
    if _GROWTH_MAX * body_bytes_max + len(push.raw) <= _EVENT_BYTES_MAX:
        return True
    return len(event.encoded()) + len(push.raw) <= _EVENT_BYTES_MAX


def _named(defects: list[Defect]) -> str:
    named = [f"{defect.path} {defect.problem}" for defect in defects[:_DEFECTS_NAMED_MAX]]
    more = len(defects) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")


def _letter(push: ReceivedPush, useless: _Useless, bytes_count: int | None = None) -> DeadLetter:
    return DeadLetter.of(
        Stage.RECEIVE,
        useless.reason,
        useless.detail,
        raw=push.raw,
        occurred_at=push.received_at,
        received_at=push.received_at,
        action=None if push.action is None else blanked(push.action),
        headers=without_credentials(push.headers),
        raw_bytes_count=bytes_count,
    )


def _push_id(header: str | None) -> str | None:
    """TCCC's id of a push: opaque, storable, bounded; None where it sent none."""
    if header is None:
        return None
    return clean_text(header.strip()[:PUSH_ID_CHARACTERS_MAX]) or None
