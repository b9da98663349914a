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
from typing import BinaryIO, Final, Protocol, runtime_checkable

import structlog

from sinks.sink import SinkUnavailableError

_COPIED_AT_ONCE: Final = 8 * 1024 * 1024

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
    source: "_HeldFile | None" = None

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
            if self.source is None or not self.source.is_still(source):
                self.source = _HeldFile.of(source)
            bytes_count = _publish(self.source.reader(), self.source.mode, self.path)
        except (OSError, SinkUnavailableError) as exc:
            raise SnapshotError(f"no copy could be published at {self.path}: {exc}") from exc
        self.has_news = False
        snapshot = Snapshot(self.path, bytes_count, self.clock() - begun)
        log.info("snapshot_published", bytes=bytes_count, seconds=round(snapshot.seconds, 3))
        return snapshot


@dataclass(frozen=True, slots=True)
class _HeldFile:
    """A file that is opened once, and closed with the process.

    Closing any descriptor of a file lets go of every lock that this process has on it (POSIX), DuckDB's own among them:
    another process could then write into the warehouse beside us.
    """

    descriptor: int
    identity: tuple[int, int]
    mode: int

    @classmethod
    def of(cls, path: Path) -> "_HeldFile":
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stat = os.fstat(descriptor)
        return cls(descriptor, (stat.st_dev, stat.st_ino), stat.st_mode & 0o777)

    def is_still(self, path: Path) -> bool:
        """Whether the file has not been replaced by another one."""
        stat = path.stat()
        return (stat.st_dev, stat.st_ino) == self.identity

    def reader(self) -> BinaryIO:
        """It, from its beginning."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return os.fdopen(self.descriptor, "rb", buffering=0, closefd=False)


def publish_copy(source: Path, target: Path) -> int:
    """Copy a file that no database of this process has open; the bytes of the copy."""
    with source.open("rb") as reader:
        return _publish(reader, source.stat().st_mode & 0o777, target)


def _publish(source: BinaryIO, mode: int, target: Path) -> int:
    """Copy beside `target`, fsync, and rename; the bytes of the copy. Nothing is left behind by a failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as copy:
            shutil.copyfileobj(source, copy, _COPIED_AT_ONCE)
            copy.flush()
            os.fsync(copy.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target.stat().st_size
