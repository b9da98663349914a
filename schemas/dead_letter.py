"""A dead letter: a record that could not be used, kept whole, with what a person needs to decide about it."""

import base64
import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, Self

from pydantic import ValidationError

from schemas import jsontext
from schemas.canonical import clean_text
from schemas.models import Instant, OwnModel

DEAD_LETTER_SCHEMA_VERSION: Final = 1


class Stage(StrEnum):
    """Where a record stopped."""

    RECEIVE = "receive"
    ABSORB = "absorb"
    LOAD = "load"
    RECONCILE = "reconcile"


class Reason(StrEnum):
    """Why it stopped; free text goes to `detail`."""

    UNDECODABLE = "UNDECODABLE"
    SCHEMA_VIOLATION = "SCHEMA_VIOLATION"
    UNKNOWN_ACTION = "UNKNOWN_ACTION"
    UNKEYABLE = "UNKEYABLE"
    PUSH_TOO_LARGE = "PUSH_TOO_LARGE"
    BOUND_EXCEEDED = "BOUND_EXCEEDED"
    SESSION_RETIRED = "SESSION_RETIRED"
    SINK_REJECTED = "SINK_REJECTED"


class DeadLetter(OwnModel):
    """One letter. Its id is a digest of stage, reason and raw, so a retried useless push is one row, seen twice."""

    schema_version: Literal[1] = DEAD_LETTER_SCHEMA_VERSION
    dead_letter_id: str
    stage: Stage
    reason: Reason
    detail: str
    action: str | None = None
    headers: dict[str, str]
    received_at: Instant | None = None
    occurred_at: Instant
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    raw_base64: str
    raw_bytes_count: int

    @classmethod
    def of(  # noqa: PLR0913  (a letter has this many facts)
        cls,
        stage: Stage,
        reason: Reason,
        detail: str,
        *,
        raw: bytes,
        occurred_at: datetime,
        received_at: datetime | None = None,
        action: str | None = None,
        headers: dict[str, str] | None = None,
        origin: tuple[str, int, int] | None = None,
        raw_bytes_count: int | None = None,
    ) -> Self:
        """Write a letter. `origin` is (topic, partition, offset); `raw_bytes_count` where `raw` was cut short."""
        count = len(raw) if raw_bytes_count is None else raw_bytes_count
        topic, partition, offset = origin or (None, None, None)
        return cls(
            dead_letter_id=letter_id(stage, reason, raw, count),
            stage=stage,
            reason=reason,
            detail=clean_text(detail),
            action=None if action is None else clean_text(action),
            headers={clean_text(name): clean_text(value) for name, value in (headers or {}).items()},
            received_at=received_at,
            occurred_at=occurred_at,
            topic=topic,
            partition=partition,
            offset=offset,
            raw_base64=base64.b64encode(raw).decode(),
            raw_bytes_count=count,
        )

    @property
    def raw(self) -> bytes:
        """The bytes as they were received."""
        return base64.b64decode(self.raw_base64)

    def encoded(self) -> bytes:
        """The Kafka value."""
        return jsontext.encode(self.model_dump(mode="json"))


class NotALetterError(ValueError):
    """A Kafka value that is no dead letter."""


def decode_letter(value: bytes) -> DeadLetter:
    """Read a Kafka value of `tccc.dead_letters`."""
    try:
        return DeadLetter.model_validate(jsontext.decode(value), strict=False)
    except (jsontext.NotJsonError, ValidationError) as exc:
        raise NotALetterError(str(exc)) from exc


def letter_id(stage: Stage, reason: Reason, raw: bytes, raw_bytes_count: int) -> str:
    """Digest of stage, reason, raw and, where raw was cut short, its whole length."""
    identity = hashlib.blake2b(digest_size=16)
    identity.update(f"{stage}\n{reason}\n{raw_bytes_count}\n".encode())
    identity.update(raw)
    return identity.hexdigest()
