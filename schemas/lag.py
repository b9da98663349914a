"""For how long the first record that nobody has read yet may have waited, from what a reader knows anyway. Pure.

The rule: the answer is never too small once something was read. The first unread record is not older than the last
read one, nor than the last moment at which nothing waited.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Place = TypeVar("Place", bound=Hashable)


@dataclass(slots=True)
class LagWatch(Generic[Place]):
    """Remembers two times a place (a partition). All times are UNIX seconds."""

    read_to: dict[Place, float] = field(default_factory=dict)
    even_at: dict[Place, float] = field(default_factory=dict)
    seen_at: dict[Place, float] = field(default_factory=dict)

    def note_read(self, read: Mapping[Place, float]) -> None:
        """The time of the last record that was read, of each place that something was read of."""
        self.read_to.update(read)

    def seconds(self, place: Place, *, waiting: int, now: float) -> float:
        """How long the first of the waiting records has waited at most; 0 where none waits."""
        if waiting <= 0:
            self.even_at[place] = now
            return 0.0
        known = [times[place] for times in (self.read_to, self.even_at) if place in times]
        # Before anything was read nobody knows better than since when we have seen that something waits.
        since = max(known) if known else self.seen_at.setdefault(place, now)
        return max(0.0, now - since)
