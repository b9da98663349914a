"""What was read of TCCC's API, an hour of one application at a time: the records of the compacted topic `reconcile`.

A record is published only after everything of its hour is acknowledged. Readers may rely on all of it but `buckets`.
"""

from datetime import datetime
from typing import Final, Literal

from pydantic import Field, ValidationError

from schemas import jsontext
from schemas.models import Instant, OwnModel, SdkAppId

RECONCILE_SCHEMA_VERSION: Final = 1


class HourRecord(OwnModel):
    """One hour of one application, as it was last read to its end."""

    schema_version: Literal[1] = RECONCILE_SCHEMA_VERSION
    sdk_app_id: SdkAppId
    window_start: Instant = Field(description="The first moment of the hour")
    window_end: Instant = Field(description="How far the hour was read; short of its end while it lasts")
    asked_at: Instant = Field(description="The moment before its first page was asked for")
    total_count: int = Field(description="TotalCount, as the API gave it")
    row_count: int = Field(description="Sessions that came")
    unusable_count: int = Field(default=0, description="Rows that are in no table, but dead letters of stage reconcile")
    is_whole: bool = Field(description="The count stood still, and as many sessions came")
    is_final: bool = Field(description="It is not read again by itself")
    buckets: dict[str, str] = Field(description="What was said, in digests; callweave's own")

    @property
    def epoch(self) -> int:
        """The hour's number since 1970."""
        return hour_epoch(self.window_start)

    @property
    def key(self) -> bytes:
        """The Kafka key: `<SdkAppId>:<hours since 1970>`."""
        return f"{self.sdk_app_id}:{self.epoch}".encode()

    def encoded(self) -> bytes:
        """The Kafka value."""
        return jsontext.encode(self.model_dump(mode="json"))


def decode_hour(value: bytes | None) -> HourRecord | None:
    """Read a record; None for anything that is none, which costs only that its hour is read again."""
    try:
        return HourRecord.model_validate(jsontext.decode(value or b""), strict=False)
    except (jsontext.NotJsonError, ValidationError):
        return None


def hour_epoch(moment: datetime) -> int:
    """The number since 1970 of the hour that a moment is in."""
    return int(moment.timestamp()) // 3600
