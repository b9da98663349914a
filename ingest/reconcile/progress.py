"""What was read of the API, hour by hour: the newest records of the topic `reconcile`, in memory.

It remembers nothing of what pushes brought; its digests are of what the API said, so that the same is not said twice.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ingest.reconcile.windows import Asked, Hour
from schemas.events import NormalizedEvent
from schemas.reconcile import HourRecord

BUCKETS: Final = 64
"""What changed is found by buckets of sessions, so that one remark that changed does not repeat a whole hour."""

_DIGEST_BYTES = 8


@dataclass(slots=True)
class Progress:
    """The newest record of each hour."""

    asked: dict[Hour, Asked] = field(default_factory=dict)
    _buckets: dict[Hour, dict[str, str]] = field(default_factory=dict)

    def take(self, record: HourRecord) -> None:
        """Note a record."""
        hour = Hour(record.epoch, record.sdk_app_id)
        self.asked[hour] = Asked(record.asked_at, record.window_end, record.is_final)
        self._buckets[hour] = record.buckets

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


def _bucket_of(session_id: str) -> str:
    return f"{hashlib.blake2b(session_id.encode(), digest_size=1).digest()[0] % BUCKETS:02x}"


def _digest_of(events: Iterable[NormalizedEvent]) -> str:
    said = "".join(sorted(event.digest for event in events))
    return hashlib.blake2b(said.encode(), digest_size=_DIGEST_BYTES).hexdigest()
