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
    FOREIGN_APP = "FOREIGN_APP"
    PUSH_TOO_LARGE = "PUSH_TOO_LARGE"
    BOUND_EXCEEDED = "BOUND_EXCEEDED"
    SESSION_RETIRED = "SESSION_RETIRED"
    SINK_REJECTED = "SINK_REJECTED"


class ReplayOutcome(StrEnum):
    """What came of a replay; `replay_outcome` begins with it, and a detail may follow after a colon."""

    PUBLISHED = "PUBLISHED"
    """Its event is in the log again, and on its way to the warehouse."""
    KNOWN = "KNOWN"
    """Its session has this very receipt already: nothing was to be done."""
    LOADED = "LOADED"
    """Its document, or a newer one of its session, is in the warehouse."""
    FAILED_AGAIN = "FAILED_AGAIN"

    def because(self, detail: str) -> str:
        """The text of the column."""
        return f"{self.value}: {clean_text(detail)}" if detail else self.value


class DeadLetter(OwnModel):
    """One letter. Its id is a digest of stage, reason and raw, so a retried useless push is one row, seen twice.

    A record with `replayed_at` is the same letter, whole, so that compaction keeps it, with what came of a replay: no
    sighting. Without an outcome, it asks every loader to try its document again, and to write down what came of it.
    """

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
    replayed_at: Instant | None = None
    replay_outcome: str | None = None

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

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of the bytes was kept."""
        return len(self.raw) < self.raw_bytes_count

    @property
    def asks_the_loader(self) -> bool:
        """Whether this record asks for another try at loading."""
        return self.stage is Stage.LOAD and self.replayed_at is not None and self.replay_outcome is None

    def replayed(self, at: datetime, outcome: str | None, place: tuple[str, int, int]) -> Self:
        """The record that says what came of a replay. `place` is where the letter's first record stands."""
        topic, partition, offset = place
        first = {} if self.topic is not None else {"topic": topic, "partition": partition, "offset": offset}
        return self.model_copy(update={**first, "replayed_at": at, "replay_outcome": outcome})

    def encoded(self) -> bytes:
        """The Kafka value. What was never replayed says nothing about replays: older readers know no such fields."""
        unsaid = {"replayed_at", "replay_outcome"} if self.replayed_at is None else set[str]()
        return jsontext.encode(self.model_dump(mode="json", exclude=unsaid))


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
