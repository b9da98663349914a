"""A door as the receiver builds it, with a log in memory, a clock that a test winds, and a registry of its own."""

from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from ingest.guard import Access
from ingest.habits import Habits
from ingest.masking import Masks
from ingest.metrics import ReceiverMetrics
from ingest.push_log import PushLog
from ingest.receiver import Door, ReceiverOptions
from ingest.watch import PushWatch, Recorder

NOW = datetime(2026, 11, 24, 3, 55, 0, 123456, tzinfo=UTC)


def a_door(
    log: PushLog,
    registry: CollectorRegistry,
    *,
    options: ReceiverOptions | None = None,
    access: Access | None = None,
    clock: Callable[[], datetime] = lambda: NOW,
    recorder: Recorder | None = None,
) -> Door:
    """A door with one visible difference."""
    watch = PushWatch(Habits(registry), Masks(b"k" * 32), recorder=recorder)
    return Door(options or ReceiverOptions(port=0), access or Access(), log, clock, ReceiverMetrics(registry), watch)
