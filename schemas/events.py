"""The normalized event: what the door and reconcile publish to `tccc.cdr`, `tccc.record` and `tccc.voicemail`.

One event is one receipt of one report. The body as it was received travels beside it, in a record header.
"""

from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import ValidationError

from schemas import jsontext
from schemas.canonical import digest
from schemas.models import Instant, OwnModel, SdkAppId, instant_text
from schemas.topics import CDR, RECORD, VOICEMAIL, Topic
from schemas.wire import CdrPush, Push, RecordPush, VoicemailPush

EVENT_SCHEMA_VERSION: Final = 1

RAW_HEADER = "callweave-raw"
"""Kafka record header: the body as received, before any decoding. A later dead letter of this event needs it."""


PUSH_ID_HEADER = "X-TCCC-PUSH-UUID"
"""TCCC's header with the id of a push; a dead letter keeps it, so that a replay is the same receipt."""


class EventKind(StrEnum):
    """What a report is about; also TCCC's `action`."""

    CDR = "cdr"
    RECORD = "record"
    VOICEMAIL = "voicemail"


class Source(StrEnum):
    """How a report came: pushed by TCCC, or learnt from its API."""

    PUSH = "push"
    API = "api"


class ApiFact(StrEnum):
    """What the API says of a recording that a CDR names, or of voicemails; never in a push."""

    PRESENT = "present"
    ABSENT = "absent"


WIRE_MODELS: dict[EventKind, type[Push]] = {
    EventKind.CDR: CdrPush,
    EventKind.RECORD: RecordPush,
    EventKind.VOICEMAIL: VoicemailPush,
}
TOPIC_OF: dict[EventKind, Topic] = {
    EventKind.CDR: CDR,
    EventKind.RECORD: RECORD,
    EventKind.VOICEMAIL: VOICEMAIL,
}


class NormalizedEvent(OwnModel):
    """One receipt of one report. `payload` is canonical; `digest` identifies it together with kind, source and fact."""

    schema_version: Literal[1] = EVENT_SCHEMA_VERSION
    kind: EventKind
    sdk_app_id: SdkAppId
    session_id: str
    payload: dict[str, Any]
    digest: str
    source: Source = Source.PUSH
    fact: ApiFact | None = None
    push_id: str
    received_at: Instant

    @property
    def key(self) -> bytes:
        """The Kafka key of everything about this session."""
        return session_key(self.sdk_app_id, self.session_id)

    def encoded(self) -> bytes:
        """The Kafka value: `model_dump(mode="json")`, without the way over pydantic, for every push passes here."""
        return jsontext.encode(
            {
                "schema_version": self.schema_version,
                "kind": self.kind,
                "sdk_app_id": self.sdk_app_id,
                "session_id": self.session_id,
                "payload": self.payload,
                "digest": self.digest,
                "source": self.source,
                "fact": self.fact,
                "push_id": self.push_id,
                "received_at": instant_text(self.received_at),
            }
        )


class NotAnEventError(ValueError):
    """A Kafka value that is no normalized event. The message says why."""


def decode_event(key: bytes | None, value: bytes | None) -> NormalizedEvent:
    """Read a Kafka record; raise NotAnEventError for anything but a whole event with its own digest and key."""
    try:
        event = NormalizedEvent.model_validate(jsontext.decode(value or b""), strict=False)
    except jsontext.NotJsonError as exc:
        raise NotAnEventError(str(exc)) from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the event"
        raise NotAnEventError(f"{where}: {first['msg']}") from exc
    if event.digest != digest(event.kind, event.source, event.fact, event.payload):
        raise NotAnEventError("the digest is not that of the payload")
    if event.key != key:
        raise NotAnEventError("the record's key is not that of its session")
    return event


def session_key(sdk_app_id: int, session_id: str) -> bytes:
    """The Kafka key: `<SdkAppId>:<SessionId>` in UTF-8 (contract.md part 4)."""
    return f"{sdk_app_id}:{session_id}".encode()


def parse_session_key(key: bytes) -> tuple[int, str]:
    """The two parts of a Kafka key."""
    app, _, session = key.decode().partition(":")
    return int(app), session
