"""The base of callweave's own shapes: strict, frozen, no unknown fields; times are aware UTC with milliseconds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

SdkAppId = Annotated[int, Field(ge=1, le=2**63 - 1)]
"""TCCC's application id, usable."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECONDS = tuple(f":{second:02d}" for second in range(60))
_FRACTIONS = tuple(f".{fraction:03d}Z" for fraction in range(1000))


class OwnModel(BaseModel):
    """A shape that callweave publishes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def instant_text(instant: datetime) -> str:
    """A time as callweave writes it in JSON: `2026-11-24T03:55:00.123Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def instant_text_of_ms(milliseconds: int) -> str:
    """The same of milliseconds since 1970, without the way over a datetime: documents hold dozens of times."""
    second = milliseconds // 1000
    return f"{_minute_text(second // 60)}{_SECONDS[second % 60]}{_FRACTIONS[milliseconds % 1000]}"


@lru_cache(4096)
def _minute_text(minute: int) -> str:
    return (_EPOCH + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M")


def instant_ms(instant: datetime) -> int:
    """Milliseconds since 1970."""
    return (instant - _EPOCH) // _MILLISECOND


def instant_of_ms(milliseconds: int) -> datetime:
    """Aware UTC of milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


Instant = Annotated[
    AwareDatetime,
    PlainSerializer(instant_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
"""A point in time, aware UTC; milliseconds in JSON."""


class Privacy(StrEnum):
    """What a value says of a person: what masking, erasing and access rules go by."""

    NONE = "none"
    PHONE = "phone number"
    MAIL = "e-mail address"
    NAME = "name"
    ENDPOINT = "phone number or e-mail address"
    AUDIO = "address of a voice recording"
    FREE_TEXT = "free text that may hold anything"


@dataclass(frozen=True, slots=True)
class Personal:
    """Metadata of a field: the class of personal data that it holds. A field without it holds none."""

    privacy: Privacy
