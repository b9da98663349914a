"""The one thread that reads and writes the spool's file, so that its fsyncs never hold up the door.

The rule: whatever waits when a commit ends goes into the next one, so many pushes share one fsync; nobody is told that
his entry is stored before its commit is. A sick disk refuses at once, and is tried again.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import structlog

from ingest.push_log import LogUnavailable
from ingest.spool_file import (
    SpooledRow,
    SpoolFile,
    SpoolGoneError,
    SpoolSickError,
    SpoolTakenError,
    Standing,
    StoredRow,
)
from ingest.spool_metrics import SpoolMetrics

_JOBS_MAX = 1024
"""Jobs of one round; a commit of so many entries is still a matter of milliseconds."""

_REOPEN_SECONDS = 0.5
"""How often a sick disk is tried: TCCC's own retries should find it well again."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Job:
    """One thing to do, and who waits for it."""

    done: asyncio.Future[Any]
    rows: Sequence[SpooledRow] = ()
    gone: Sequence[StoredRow] = ()
    ask: Callable[[SpoolFile], Any] | None = None
    shows_health: bool = False
    is_last: bool = False


class SpoolThread:
    """Runs the file. What it says of itself (`reason`, counts) may be read from the event loop at any time."""

    def __init__(self, file: SpoolFile, *, bytes_max: int, metrics: SpoolMetrics) -> None:
        self._file = file
        self._metrics = metrics
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._next_opening = 0.0
        self._opening = 0
        self.bytes_max = bytes_max
        self.entries = 0
        self.bytes_count = 0
        self.oldest_received_ms: int | None = None
        self.reason: str | None = "the spool is being opened"

    @property
    def files_set_aside(self) -> int:
        """Damaged files that lie in the directory."""
        return self._file.files_set_aside

    def own(self) -> None:
        """Take the directory, if it can be had; SpoolTakenError where another receiver has it."""
        try:
            self._file.own()
        except SpoolSickError as exc:
            self._is_sick(exc)

    def start(self) -> None:
        """Own the directory and begin to open its file."""
        self.own()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    async def append(self, row: SpooledRow) -> None:
        """Return once the entry is fsynced; LogUnavailable where the spool is full or sick."""
        await self._do(_Job(self._future(), rows=(row,)))

    async def remove(self, gone: Sequence[StoredRow]) -> None:
        """Delete what Kafka acknowledged."""
        await self._do(_Job(self._future(), gone=gone))

    async def read(self, *, after: int, entries_max: int, bytes_max: int) -> list[StoredRow]:
        """The next entries behind an id."""
        job = _Job(self._future(), ask=lambda f: f.read(after=after, entries_max=entries_max, bytes_max=bytes_max))
        found: list[StoredRow] = await self._do(job)
        return found

    async def beat(self) -> None:
        """Try whether the disk takes a fsynced write."""
        await self._do(_Job(self._future(), ask=lambda file: file.beat(), shows_health=True))

    async def shrink(self) -> None:
        """Give the disk of an empty spool back."""
        await self._do(_Job(self._future(), ask=lambda file: file.shrink() if not self.entries else None))

    async def close(self) -> None:
        """Finish what waits, and close the file."""
        thread, self._thread = self._thread, None
        self.reason = "the spool is closed"
        if thread is not None:
            last = _Job(self._future(), is_last=True)
            self._jobs.put(last)
            await last.done

    def _future(self) -> asyncio.Future[Any]:
        if self._loop is None:
            raise LogUnavailable("the spool was not started")
        return self._loop.create_future()

    async def _do(self, job: _Job) -> Any:
        if self._thread is None:
            raise LogUnavailable("the spool is closed")
        self._jobs.put(job)
        return await job.done

    def _run(self) -> None:
        self._open()
        is_last = False
        while not is_last:
            jobs = self._waiting()
            is_last = any(job.is_last for job in jobs)
            try:
                self._work(jobs)
            except Exception as exc:  # noqa: BLE001  (a thread that ends leaves everybody waiting for ever)
                _log.error("spool_failed", error=type(exc).__name__)
                self._fail(jobs, f"the spool failed: {type(exc).__name__}")
        self._file.close()
        self._settle([job for job in jobs if job.is_last])

    def _work(self, jobs: list[_Job]) -> None:
        self._open_if_due()
        writes = [job for job in jobs if job.rows or job.gone]
        if writes:
            self._commit(writes)
        for job in jobs:
            if job.ask is not None:
                self._answer(job)

    def _waiting(self) -> list[_Job]:
        jobs = [self._jobs.get()]
        while len(jobs) < _JOBS_MAX:
            try:
                jobs.append(self._jobs.get_nowait())
            except Empty:
                break
        return jobs

    def _commit(self, jobs: list[_Job]) -> None:
        """One commit for everybody who waits; those whom the bound leaves out are told first."""
        accepted: list[_Job] = []
        size = 0
        for job in jobs:
            wanted = sum(row.size for row in job.rows)
            if job.rows and self.bytes_count + size + wanted > self.bytes_max:
                self._fail([job], f"the spool is full: {self.bytes_count} of {self.bytes_max} bytes are taken")
            else:
                accepted.append(job)
                size += wanted
        # Twice: a damaged file is replaced by another, and so is one that was taken away.
        is_written = not accepted or self._written(accepted, size)
        is_written = is_written or (self._open_if_due() and self._written(accepted, size))
        if not is_written:
            self._fail(accepted, str(self.reason))

    def _written(self, jobs: list[_Job], size: int) -> bool:
        """Commit, and tell who waited; False where nothing of it is certain, and nobody was told."""
        if not self._file.is_open:
            return False
        rows = [row for job in jobs for row in job.rows]
        gone = [stored for job in jobs for stored in job.gone if stored.opening == self._file.opening]
        begun = time.perf_counter()
        try:
            self._file.write(rows, gone)
            self.oldest_received_ms = self._file.oldest_received_ms()
        except SpoolSickError as exc:
            self._is_sick(exc)
            return False
        self.entries += len(rows) - len(gone)
        self.bytes_count += size - sum(stored.bytes_count for stored in gone)
        if self.oldest_received_ms is None:
            self.entries = self.bytes_count = 0
        self._is_well()
        self._metrics.commit_seconds.observe(time.perf_counter() - begun)
        self._metrics.commit_entries.observe(len(rows))
        self._settle(jobs)
        return True

    def _answer(self, job: _Job) -> None:
        assert job.ask is not None
        if not self._file.is_open:
            self._fail([job], str(self.reason))
            return
        try:
            answer = job.ask(self._file)
        except SpoolSickError as exc:
            self._is_sick(exc)
            self._fail([job], f"the spool cannot be used: {exc}")
        else:
            if job.shows_health:
                self._is_well()
            self._settle([job], answer)

    def _open_if_due(self) -> bool:
        """Open a file that is not open, unless that was tried a moment ago; say whether it is open now."""
        if not self._file.is_open and time.monotonic() >= self._next_opening:
            self._open()
        return self._file.is_open

    def _open(self) -> None:
        """Open the file, or open it again after an illness; one that still is sick is left for a while."""
        self._next_opening = time.monotonic() + _REOPEN_SECONDS
        try:
            standing = self._file.open()
            self._file.beat()
        except (SpoolSickError, SpoolTakenError) as exc:
            self._is_sick(exc)
            return
        self._count(standing)
        self._is_well()

    def _is_well(self) -> None:
        if self.reason is not None:
            _log.info("spool_available", entries=self.entries, bytes=self.bytes_count)
        self.reason = None

    def _count(self, standing: Standing) -> None:
        self._opening = self._file.opening
        self.entries, self.bytes_count = standing.entries, standing.bytes_count
        self.oldest_received_ms = standing.oldest_received_ms

    def _is_sick(self, error: Exception) -> None:
        """Note why nothing can be spooled; or count anew, where a damaged file has been replaced by another."""
        if self._file.is_open and self._file.opening != self._opening:
            self._count(self._file.standing())
            return
        if isinstance(error, SpoolGoneError):
            self._next_opening = 0.0
        reason = f"the spool in {self._file.directory} cannot be used: {error}"
        if reason != self.reason:
            _log.error("spool_unavailable", reason=str(error), directory=str(self._file.directory))
        self.reason = reason

    def _settle(self, jobs: Sequence[_Job], answer: Any = None) -> None:
        self._tell(jobs, lambda done: done.set_result(answer))

    def _fail(self, jobs: Sequence[_Job], reason: str) -> None:
        self._tell(jobs, lambda done: done.set_exception(LogUnavailable(reason)))

    def _tell(self, jobs: Sequence[_Job], word: Callable[[asyncio.Future[Any]], None]) -> None:
        """Wake all who wait with one call into their loop."""

        def tell() -> None:
            for job in jobs:
                if not job.done.done():  # nobody waits any more for one that was cancelled
                    word(job.done)

        assert self._loop is not None
        # A loop that is gone has nobody who could be told; what was committed stays.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(tell)
