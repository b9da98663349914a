"""Which hours to ask for, and when: pure planning over what the progress topic says was read.

An hour is read while it lasts (up to now - lag), once it is over, and again later: calls that began in it end up to
`overlap` later, and recordings, transcripts and remarks change after the call (protocol.md e.2). Then it is final.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)
API_REACHES_BACK: Final = timedelta(days=180)
_MARGIN = timedelta(minutes=10)
"""An hour at the edge of what the API tells is not asked for: it would be refused by the time of its last page."""


@dataclass(frozen=True, slots=True, order=True)
class Hour:
    """One hour of one application; `epoch` is its number since 1970."""

    epoch: int
    sdk_app_id: int

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return datetime.fromtimestamp(self.epoch * 3600, tz=UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.start + HOUR


@dataclass(frozen=True, slots=True)
class Asked:
    """When an hour was last read to its end, how far into it, and whether that settled it."""

    asked_at: datetime
    until: datetime
    is_final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How far behind now, how long after the call; and how often, while an hour lasts (`interval`)."""

    lag: timedelta = timedelta(minutes=10)
    overlap: timedelta = timedelta(hours=6)
    interval: timedelta = timedelta(minutes=5)
    absent_after: timedelta = timedelta(hours=24)

    @property
    def steps(self) -> tuple[timedelta, ...]:
        """How long after an hour is over it is read, again and again; the last reading is final."""
        ages = (
            timedelta(0),
            timedelta(minutes=5),
            timedelta(minutes=30),
            timedelta(hours=2),
            self.overlap,
            self.overlap + timedelta(hours=2),
            self.overlap + max(timedelta(hours=24), self.absent_after),
        )
        return tuple(sorted({self.lag + age for age in ages}))

    def until(self, hour: Hour, now: datetime) -> datetime:
        """How far into an hour there is something to read, in whole seconds."""
        return min(hour.end, datetime.fromtimestamp(math.floor((now - self.lag).timestamp()), tz=UTC))

    def settles(self, hour: Hour, asked_at: datetime) -> bool:
        """Whether a reading at that moment is the last one."""
        return asked_at >= hour.end + self.steps[-1]


def is_due(hour: Hour, asked: Asked | None, timing: Timing, now: datetime) -> bool:
    """Say whether an hour should be read now."""
    if timing.until(hour, now) <= hour.start:
        return False
    if asked is None:
        return True
    if asked.is_final:
        return False
    if asked.until < hour.end:
        return now - asked.asked_at >= timing.interval
    last_step = hour.end + timing.steps[-1]
    if asked.asked_at >= last_step:  # its count would not stand still; it is left alone for a while
        return now - asked.asked_at >= HOUR
    return any(asked.asked_at < hour.end + step <= now for step in timing.steps)


def hours_between(sdk_app_id: int, first: datetime, last: datetime, now: datetime) -> Iterator[Hour]:
    """The hours that a span touches, newest first, as far back as the API tells."""
    first = max(first, now - API_REACHES_BACK + _MARGIN + HOUR)
    newest = math.ceil(min(last, now).timestamp() / 3600) - 1
    oldest = math.floor(first.timestamp() / 3600)
    return (Hour(epoch, sdk_app_id) for epoch in range(newest, oldest - 1, -1))


def unsettled_hours(
    sdk_app_id: int, known: Mapping[Hour, Asked], first: datetime, last: datetime, *, timing: Timing, now: datetime
) -> list[Hour]:
    """The hours of a span that are not final: what is left of a back-fill that was interrupted.

    An hour that began less than the lag ago has nothing to read yet, and the API refuses a span that ends before it.
    """
    hours = [hour for hour in hours_between(sdk_app_id, first, last, now) if timing.until(hour, now) > hour.start]
    return [hour for hour in hours if hour not in known or not known[hour].is_final]


def due_hours(
    sdk_app_id: int, known: Mapping[Hour, Asked], *, back_fill: timedelta, timing: Timing, now: datetime
) -> Iterator[Hour]:
    """What continuous mode reads, newest first: the back-fill, what nobody asked for meanwhile, what is not final."""
    theirs = [hour for hour in known if hour.sdk_app_id == sdk_app_id]
    begin = now - back_fill
    if theirs:
        begin = min(begin, max(theirs).start)  # nobody has asked since then
    hours = set(hours_between(sdk_app_id, begin, now, now))
    hours |= {hour for hour in theirs if not known[hour].is_final and hour.start > now - API_REACHES_BACK + _MARGIN}
    return (hour for hour in sorted(hours, reverse=True) if is_due(hour, known.get(hour), timing, now))
