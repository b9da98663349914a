"""Builders of normalized events, as the door would publish them."""

from datetime import UTC, datetime
from typing import Any

from schemas.canonical import canonical, digest
from schemas.events import WIRE_MODELS, ApiFact, EventKind, NormalizedEvent, Source
from schemas.models import instant_of_ms

APP = 1400000001
SESSION = "3f1c0a52-0d6e-4c6b-9a55-7a1d2c3b4e01"
KEY = f"{APP}:{SESSION}".encode()
START_MS = 1_700_000_000_000


def an_event(
    kind: str,
    payload: dict[str, Any],
    *,
    at: int = 0,
    push_id: str = "push-1",
    source: str = "push",
    fact: str | None = None,
) -> NormalizedEvent:
    """An event about the one session; `at`: milliseconds after the beginning of the test's time."""
    event_kind = EventKind(kind)
    whole = canonical(WIRE_MODELS[event_kind], {"SdkAppId": APP, "SessionId": SESSION, **payload})
    return NormalizedEvent(
        kind=event_kind,
        sdk_app_id=APP,
        session_id=SESSION,
        payload=whole,
        digest=digest(kind, source, fact, whole),
        source=Source(source),
        fact=ApiFact(fact) if fact else None,
        push_id=push_id,
        received_at=instant_of_ms(START_MS + at),
    )


def utc(seconds: int) -> datetime:
    """Aware UTC of a UNIX time."""
    return datetime.fromtimestamp(seconds, tz=UTC)
