"""A copy of an embedded warehouse for readers of other processes: published whole, by renaming, every so often.

The rule: a reader sees a copy that was consistent when it was made, and never half of one. A copy that cannot be made
costs nothing but freshness: it is told, and tried again.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol, runtime_checkable

import structlog

from sinks.sink import SinkUnavailableError

log = structlog.get_logger(__name__)


@runtime_checkable
class Embedded(Protocol):
    """A warehouse that is one file of one process."""

    def settled_file(self) -> Path | None:
        """The file with everything committed in it, nothing beside it; None where that cannot be had just now.

        It stays so until the next `write`. Called from the thread that writes.
        """


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A published copy."""

    path: Path
    bytes_count: int
    seconds: float


class SnapshotError(Exception):
    """No copy could be published; the message says why. The one from before stands."""


@dataclass(slots=True)
class Snapshots:
    """When to publish, and how. Every `every_seconds` while something was written; 0: only when asked."""

    warehouse: Embedded
    path: Path
    every_seconds: float
    clock: Callable[[], float] = monotonic
    published_at: float | None = None
    has_news: bool = True
    """Also at the start: what an earlier process wrote may not have been published."""

    def note_write(self) -> None:
        """Something was committed."""
        self.has_news = True

    def is_due(self) -> bool:
        """Whether a copy should be made now."""
        if not self.every_seconds or not self.has_news:
            return False
        return self.published_at is None or self.clock() - self.published_at >= self.every_seconds

    def publish(self) -> Snapshot:
        """Copy and rename; raise SnapshotError where that fails."""
        begun = self.clock()
        self.published_at = begun  # also of one that fails: the next one comes after the same pause
        try:
            source = self.warehouse.settled_file()
            if source is None:
                raise SnapshotError("a query holds an older state of the warehouse: try again when it has ended")
            bytes_count = publish_copy(source, self.path)
        except (OSError, SinkUnavailableError) as exc:
            raise SnapshotError(f"no copy could be published at {self.path}: {exc}") from exc
        self.has_news = False
        snapshot = Snapshot(self.path, bytes_count, self.clock() - begun)
        log.info("snapshot_published", bytes=bytes_count, seconds=round(snapshot.seconds, 3))
        return snapshot


def publish_copy(source: Path, target: Path) -> int:
    """Copy a file beside `target`, fsync, and rename; the bytes of the copy. Nothing is left behind by a failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, temporary)
        with temporary.open("rb+") as copy:
            os.fsync(copy.fileno())
        temporary.chmod(source.stat().st_mode & 0o777)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target.stat().st_size
