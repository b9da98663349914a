"""What was read of the API, hour by hour, as it stands in the compacted topic `reconcile` and in memory.

A record is written only after everything of its hour is acknowledged: a process that dies before reads the hour again.
It remembers nothing of what pushes brought; its digests are of what the API said, so that the same is not said twice.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from pydantic import Field, ValidationError

from ingest.reconcile.windows import Asked, Hour
from schemas import jsontext
from schemas.events import NormalizedEvent
from schemas.models import Instant, OwnModel

BUCKETS: Final = 64
"""What changed is found by buckets of sessions, so that one remark that changed does not repeat a whole hour."""

_DIGEST_BYTES = 8


class HourRecord(OwnModel):
    """The value of one record. Readers outside may rely on all of it but `buckets`."""

    schema_version: Literal[1] = 1
    sdk_app_id: int
    window_start: Instant
    window_end: Instant = Field(description="How far the hour was read; short of its end while it lasts")
    asked_at: Instant = Field(description="The moment before its first page was asked for")
    total_count: int = Field(description="TotalCount, as the API gave it")
    row_count: int = Field(description="Sessions that came")
    is_whole: bool = Field(description="The count stood still, and as many sessions came")
    is_final: bool = Field(description="It is not read again by itself")
    buckets: dict[str, str]

    @property
    def hour(self) -> Hour:
        """The hour that it tells of."""
        return Hour(int(self.window_start.timestamp()) // 3600, self.sdk_app_id)

    @property
    def key(self) -> bytes:
        """`<SdkAppId>:<hours since 1970>`."""
        return f"{self.sdk_app_id}:{self.hour.epoch}".encode()

    def encoded(self) -> bytes:
        """The Kafka value."""
        return jsontext.encode(self.model_dump(mode="json"))


@dataclass(slots=True)
class Progress:
    """The newest record of each hour."""

    asked: dict[Hour, Asked] = field(default_factory=dict)
    _buckets: dict[Hour, dict[str, str]] = field(default_factory=dict)

    def take(self, record: HourRecord) -> None:
        """Note a record."""
        self.asked[record.hour] = Asked(record.asked_at, record.window_end, record.is_final)
        self._buckets[record.hour] = record.buckets

    def forget_before(self, moment: datetime) -> None:
        """Drop hours that the API tells nothing of any more."""
        for hour in [hour for hour in self.asked if hour.end < moment]:
            del self.asked[hour], self._buckets[hour]

    def news(self, hour: Hour, events: Iterable[NormalizedEvent]) -> tuple[list[NormalizedEvent], dict[str, str]]:
        """Events of buckets that do not say what they said when the hour was last read, and what all say now."""
        by_bucket: dict[str, list[NormalizedEvent]] = defaultdict(list)
        for event in events:
            by_bucket[_bucket_of(event.session_id)].append(event)
        buckets = {bucket: _digest_of(members) for bucket, members in sorted(by_bucket.items())}
        known: Mapping[str, str] = self._buckets.get(hour, {})
        changed = [bucket for bucket, said in buckets.items() if known.get(bucket) != said]
        return [event for bucket in changed for event in by_bucket[bucket]], buckets


def decode_hour(value: bytes | None) -> HourRecord | None:
    """Read a record; None for anything that is none, which costs only that its hour is read again."""
    try:
        return HourRecord.model_validate(jsontext.decode(value or b""), strict=False)
    except (jsontext.NotJsonError, ValidationError):
        return None


def _bucket_of(session_id: str) -> str:
    return f"{hashlib.blake2b(session_id.encode(), digest_size=1).digest()[0] % BUCKETS:02x}"


def _digest_of(events: Iterable[NormalizedEvent]) -> str:
    said = "".join(sorted(event.digest for event in events))
    return hashlib.blake2b(said.encode(), digest_size=_DIGEST_BYTES).hexdigest()
