"""Stalls: input waits, nothing that we depend on is away, and still nothing moves. That is for liveness.

The rule: an alarm needs proof. A broker or a warehouse that is away is a matter of readiness, restoring that goes on is
progress, and a process that was itself suspended has not looked: each starts the count anew.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from callweave.kafka import admin_client, end_offsets, group_offsets, plain_consumer
from callweave.settings import Settings
from schemas.topics import EVENT_TOPICS

if TYPE_CHECKING:  # the worker has no use for a warehouse's libraries, nor the loader for Faust
    from sinks.status import LoaderStatus
    from streams.worker import Worker

log = structlog.get_logger(__name__)

LOOKS_IN_A_STALL = 10
"""How often one looks within the longest time without progress."""
SLEPT_INTERVALS = 3
"""Who looks so many intervals late was suspended, and knows nothing about the time between."""
LOOK_SECONDS_MAX = 15.0
"""A broker that takes longer to answer counts as away."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is, and how much waits before it."""

    position: int
    waiting: int


class StallWatch:
    """Remembers since when each thing has stood still with input waiting."""

    def __init__(self, seconds_max: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval_seconds = seconds_max / LOOKS_IN_A_STALL
        self._seconds_max = seconds_max
        self._clock = clock
        self._known: dict[str, Progress] = {}
        self._still_since: dict[str, float] = {}
        self._looked_at: float | None = None

    def observe(self, progress: Mapping[str, Progress]) -> None:
        """What is seen now; None of it counts as still before it is seen twice."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at > SLEPT_INTERVALS * self.interval_seconds:
            self.excuse()
        self._looked_at = now
        for name, seen in progress.items():
            known = self._known.get(name)
            if known is None or known.position != seen.position or not seen.waiting:
                self._still_since[name] = now
        self._known = dict(progress)
        self._still_since = {name: since for name, since in self._still_since.items() if name in progress}

    def excuse(self) -> None:
        """Something that we depend on is away: whatever stands still does so for that reason."""
        self._known = {}
        self._still_since = {}
        self._looked_at = self._clock()

    def stalled_because(self) -> str | None:
        """The sentence; None while all is well."""
        if self._looked_at is None:
            return None
        for name, since in self._still_since.items():
            still = self._looked_at - since
            if still >= self._seconds_max:
                return (
                    f"{name} has made no progress for {still:.0f} s although Kafka answers and "
                    f"{self._known[name].waiting} records wait: restart this role"
                )
        return None


async def watch_worker(watch: StallWatch, worker: "Worker", settings: Settings) -> None:
    """Compare what the group has committed with where the log ends, for the partitions that are ours."""
    while True:
        await asyncio.sleep(watch.interval_seconds)
        try:
            watch.observe(await _worker_progress(worker, settings))
        except Exception as exc:  # noqa: BLE001  (aiokafka's clients fail in many types; a watch that died would watch nothing)
            log.warning("stall_watch_blind", problem=type(exc).__name__)
            watch.excuse()
        _tell(watch)


async def watch_loader(watch: StallWatch, status: "Callable[[], LoaderStatus]") -> None:
    """Compare what stands in the warehouse with where the log ends, while the loader has nothing to complain about."""
    while True:
        await asyncio.sleep(watch.interval_seconds)
        seen = status()
        if seen.reason is None:
            watch.observe(
                {
                    f"partition {entry.partition.partition} of {entry.partition.topic}": Progress(
                        entry.next_offset, entry.lag
                    )
                    for entry in seen.partitions
                }
            )
        else:
            watch.excuse()
        _tell(watch)


async def _worker_progress(worker: "Worker", settings: Settings) -> dict[str, Progress]:
    prefix = settings.kafka.topic_prefix
    names = [topic.name(prefix) for topic in EVENT_TOPICS]
    async with asyncio.timeout(LOOK_SECONDS_MAX), admin_client(settings) as admin:
        async with plain_consumer(settings) as consumer:
            ends = await end_offsets(admin, consumer, names)
        committed = await group_offsets(admin, worker.options.group_id)
    restoring = worker.restoring_remaining
    if restoring is not None:
        # Input that waits behind restoring is not stalled; restoring itself may be.
        return {"restoring": Progress(-restoring, restoring)}
    ours = worker.source_partitions()
    return {
        f"partition {partition} of {topic}": Progress(
            committed.get((topic, partition), 0), end - committed.get((topic, partition), 0)
        )
        for (topic, partition), end in ends.items()
        if (topic, partition) in ours
    }


def _tell(watch: StallWatch) -> None:
    reason = watch.stalled_because()
    if reason is not None:
        log.error("partition_stalled", reason=reason)
