"""Builders of session documents, as the worker publishes them, and of the Kafka values that carry them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas import jsontext
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.events import session_key
from schemas.reconcile import HourRecord
from schemas.session import FieldDisagreement, Leg, Recording, SessionDocument, Voicemail

APP = 1400000001
RECEIVED_AT = datetime(2026, 11, 24, 3, 55, 0, 123000, tzinfo=UTC)
"""When everything was received, unless a test says otherwise."""


def a_session(session_id: str = "s-1", **changes: Any) -> SessionDocument:
    """A session without a CDR, and what a test changes about it."""
    values: dict[str, Any] = {
        **_nothing(SessionDocument),
        "schema_version": 1,
        "sdk_app_id": APP,
        "session_id": session_id,
        "version": 1,
        "has_cdr": False,
        "leg_count": 0,
        "recordings_expected": 0,
        "recordings_received": 0,
        "recordings_missing": 0,
        "voicemail_count": 0,
        "first_received_at": RECEIVED_AT,
        "last_received_at": RECEIVED_AT,
        "legs": [],
        "recordings": [],
        "voicemails": [],
        "field_disagreements": [],
    }
    return SessionDocument(**{**values, **changes})


def a_call(session_id: str, end: datetime, source: str | None = "push", **changes: Any) -> SessionDocument:
    """A call of five minutes, known from there."""
    values = {"has_cdr": True, "source": source, "started_at": end - timedelta(minutes=5), "ended_at": end}
    return a_session(session_id, **{**values, **changes})


def a_leg(leg_sequence: int = 0, **changes: Any) -> Leg:
    """A leg of which nothing is known."""
    return Leg(**{**_nothing(Leg), "leg_sequence": leg_sequence, **changes})


def a_recording(recording_id: str = "r-1", **changes: Any) -> Recording:
    """A recording that is expected and has not come."""
    return Recording(**{**_nothing(Recording), "recording_id": recording_id, "is_expected": True, **changes})


def a_voicemail(voicemail_id: str = "v-1", **changes: Any) -> Voicemail:
    """A voicemail of which nothing is known."""
    return Voicemail(**{**_nothing(Voicemail), "voicemail_id": voicemail_id, **changes})


def a_disagreement(field: str = "EndStatusString", **changes: Any) -> FieldDisagreement:
    """A field that was pushed as `a` and that the API gives as `b`."""
    values: dict[str, Any] = {
        "field": field,
        "pushed_value": "a",
        "api_value": "b",
        "pushed_at": RECEIVED_AT,
        "api_asked_at": RECEIVED_AT,
    }
    return FieldDisagreement(**{**values, **changes})


def an_hour(start: datetime, **changes: Any) -> HourRecord:
    """An hour of the API that was read to its end, for the last time, two days later."""
    values: dict[str, Any] = {
        "sdk_app_id": APP,
        "window_start": start,
        "window_end": start + timedelta(hours=1),
        "asked_at": start + timedelta(days=2),
        "total_count": 0,
        "row_count": 0,
        "is_whole": True,
        "is_final": True,
        "buckets": {},
    }
    return HourRecord(**{**values, **changes})


def a_letter(raw: bytes = b"not json", **changes: Any) -> DeadLetter:
    """A push that was no JSON."""
    options: dict[str, Any] = {"raw": raw, "occurred_at": RECEIVED_AT, **changes}
    return DeadLetter.of(Stage.RECEIVE, Reason.UNDECODABLE, "not JSON", **options)


def session_record(document: SessionDocument, **state: Any) -> tuple[bytes, bytes]:
    """Key and value in the sessions topic."""
    return public_record(document.public(), **state)


def public_record(public: dict[str, Any], **state: Any) -> tuple[bytes, bytes]:
    """Key and value of a public document, which a test may have broken."""
    value = {"schema_version": 1, "version": public.get("version"), "session": public, "state": state}
    return session_key(public["sdk_app_id"], public["session_id"]), jsontext.encode(value)


def _nothing(model: Any) -> dict[str, None]:
    return dict.fromkeys(model.model_fields)
