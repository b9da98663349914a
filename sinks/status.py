"""What the loader tells of itself: ready or why not, how far it is, how fresh the rows were."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sinks.sink import LogPartition

_SAMPLES_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """`next_offset`: the first record not in the warehouse; `end_offset`: where the log ends, if known."""

    partition: LogPartition
    next_offset: int
    end_offset: int | None

    @property
    def lag(self) -> int:
        """Records that are not in the warehouse yet, as far as known."""
        return 0 if self.end_offset is None else max(0, self.end_offset - self.next_offset)


@dataclass(frozen=True, slots=True)
class LoaderStatus:
    """One moment. Counts are since the start; freshness is over the latest applied sessions, None before the first."""

    ready: bool
    reason: str | None
    partitions: tuple[PartitionStatus, ...]
    last_commit_at: datetime | None
    sessions_applied: int
    sessions_stale: int
    letters_loaded: int
    dead_lettered: int
    freshness_p50_seconds: float | None
    freshness_p95_seconds: float | None

    @property
    def lag(self) -> int:
        """Records that are not in the warehouse yet, of all partitions."""
        return sum(partition.lag for partition in self.partitions)


class FreshnessWindow:
    """The freshness of the latest applied sessions."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=_SAMPLES_MAX)

    def add(self, samples: Iterable[float]) -> None:
        """Remember more samples; the oldest fall out."""
        self._samples.extend(samples)

    def percentile(self, share: float) -> float | None:
        """The sample that `share` of all do not exceed."""
        if not self._samples:
            return None
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
