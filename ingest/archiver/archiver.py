"""The loops of the archiver: notices become files that are waited for, files are fetched, and old ones are deleted.

The rule: first the file, then the record that says where it is, then the position. Dying at any point costs repeats;
the same content is kept once, so a repeat changes nothing.
"""

import asyncio
import contextlib
import hashlib
import heapq
import random
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from ingest.archiver.download import DownloadError, Fetched, Remedy, discard
from ingest.archiver.feed import Feed
from ingest.archiver.fresh import Answer
from ingest.archiver.metrics import ArchiverMetrics
from ingest.archiver.shelf import SessionKey, Shelf, changes, file_key
from ingest.archiver.store import Archive, StoreError, StoreFullError
from ingest.archiver.wanted import FileKey, NotASessionError, wanted_session
from ingest.kafka_publisher import Record
from ingest.reconcile.publishing import PatientPublisher
from ingest.reconcile.working import run_until
from schemas.archive import FileStatus, RecordingFile
from schemas.models import instant_ms, instant_of_ms
from schemas.topics import RECORDING_FILES

LOOK_SECONDS: Final = 0.2
TIDY_SECONDS: Final = 3600.0
SHOW_SECONDS: Final = 30.0
VENDOR_KEEPS: Final = timedelta(days=90)
"""TCCC keeps recordings three months (protocol.md a.3)."""

VANISHING: Final = timedelta(days=14)
_JITTER: Final = 0.2
_LOCKS: Final = 64

log = structlog.stdlib.get_logger(__name__)


class Fetcher(Protocol):
    """Gives the file behind an address."""

    async def fetch(self, address: str, part: Path) -> Fetched:
        """Raises DownloadError."""
        ...


class Fresh(Protocol):
    """Gives addresses that are good now."""

    async def of(self, record: RecordingFile) -> Answer:
        """Ask for one file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiverOptions:
    """docs/settings.md has the same names."""

    topic_prefix: str = "tccc."
    partial_dir: Path
    delay: timedelta = timedelta(seconds=60)
    concurrency: int = 8
    free_bytes_min: int = 1024**3
    retry_seconds_first: float = 30.0
    retry_seconds_max: float = 6 * 3600.0
    retry: timedelta = timedelta(days=14)
    keep: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one try says of a file."""

    fetched: Fetched | None = None
    fetched_from: str | None = None
    problem: str | None = None
    remedy: Remedy = Remedy.AGAIN
    is_absent: bool = False
    wait_seconds: float = 0.0


class Archiver:
    """Makes of notices files that are kept. Everything that it is given belongs to whoever made it."""

    def __init__(  # noqa: PLR0913  (the collaborators, by name)
        self,
        options: ArchiverOptions,
        *,
        feed: Feed,
        fetcher: Fetcher,
        fresh: Fresh,
        archive: Archive,
        publisher: PatientPublisher,
        shelf: Shelf,
        metrics: ArchiverMetrics,
        now: Callable[[], datetime],
    ) -> None:
        self._options = options
        self._feed = feed
        self._fetcher = fetcher
        self._fresh = fresh
        self._archive = archive
        self._publisher = publisher
        self._shelf = shelf
        self._metrics = metrics
        self._now = now
        self._queue: list[tuple[datetime, int, SessionKey, FileKey]] = []
        self._places = count()
        self._in_flight: set[tuple[SessionKey, FileKey]] = set()
        self._locks = [asyncio.Lock() for _ in range(_LOCKS)]
        self._problem: str | None = None
        for record in shelf.all_files():
            self._enqueue(record)

    def degraded_because(self) -> str | None:
        """What is not archived just now, and why; None when all goes on."""
        return "; ".join(filter(None, (self._publisher.problem, self._problem))) or None

    async def run(self, stop: asyncio.Event) -> None:
        """Fetch what comes, for ever."""
        await run_until(
            stop,
            [
                self._listening(stop),
                *(self._fetching(stop) for _ in range(self._options.concurrency)),
                self._every(stop, TIDY_SECONDS, self.tidy),
                self._every(stop, SHOW_SECONDS, self._show),
            ],
        )

    async def run_once(self) -> None:
        """Take in all that is there now, and try everything that is due."""
        while await self.listen():
            pass
        while (record := self._take()) is not None:
            await self._fetch(record)

    # Notices

    async def listen(self) -> int:
        """Take in the documents that came; how many they were."""
        values = await self._feed.poll()
        for value in values:
            try:
                wanted = wanted_session(value)
            except NotASessionError as exc:
                log.warning("session_unusable", problem=str(exc))
                continue
            session = wanted.sdk_app_id, wanted.session_id
            known = self._shelf.files_of(session)
            if wanted.is_erased:
                await self._forget([one for one in known.values() if one.status != "erased"], "erased")
                continue
            await self._publish(changes(known, wanted, now=self._moment(), delay=self._options.delay))
        if values:
            await self._feed.commit()
        return len(values)

    async def _listening(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.listen()
            await asyncio.sleep(0)

    # Files

    async def _fetching(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            record = self._take() if self._has_space() else None
            if record is None:
                await _wait(stop, LOOK_SECONDS)
            else:
                await self._fetch(record)

    def _enqueue(self, record: RecordingFile) -> None:
        if record.status == "waiting" and record.next_attempt_at is not None:
            session = record.sdk_app_id, record.session_id
            heapq.heappush(self._queue, (record.next_attempt_at, next(self._places), session, file_key(record)))

    def _take(self) -> RecordingFile | None:
        """The file that is due first, if one is due. What was said of it since it was put here counts."""
        while self._queue and self._queue[0][0] <= self._now():
            due, _, session, key = heapq.heappop(self._queue)
            record = self._shelf.file(session, key)
            is_due = record is not None and record.status == "waiting" and record.next_attempt_at == due
            if record is not None and is_due and (session, key) not in self._in_flight:
                self._in_flight.add((session, key))
                return record
        return None

    async def _fetch(self, record: RecordingFile) -> None:
        session, key = (record.sdk_app_id, record.session_id), file_key(record)
        part = self._part_of(record)
        try:
            asked_at = self._moment()
            outcome = await self._try(record, part)
            if self._shelf.file(session, key) != record:
                # It was named, replaced or erased meanwhile: what came counts for nothing.
                discard(part)
                return
            await self._settle(record, outcome, asked_at)
        finally:
            self._in_flight.discard((session, key))

    async def _try(self, record: RecordingFile, part: Path) -> _Outcome:
        """Go through the addresses until one gives the file."""
        outcome = _Outcome(problem="no address is known", remedy=Remedy.ANOTHER_ADDRESS)
        for column in ("url", "custom_url"):
            if column in record.addresses:
                outcome = await self._try_address(record.addresses[column], column, part)
                if outcome.remedy is not Remedy.ANOTHER_ADDRESS:
                    return outcome
        answer = await self._fresh.of(record)
        for address in answer.addresses:
            outcome = await self._try_address(address, "api", part)
            if outcome.remedy is not Remedy.ANOTHER_ADDRESS:
                return outcome
        is_absent = answer.is_known and not answer.addresses
        return _Outcome(
            problem=answer.problem or outcome.problem,
            remedy=Remedy.ANOTHER_ADDRESS,
            is_absent=is_absent,
            wait_seconds=outcome.wait_seconds,
        )

    async def _try_address(self, address: str, column: str, part: Path) -> _Outcome:
        try:
            fetched = await self._fetcher.fetch(address, part)
        except DownloadError as exc:
            return _Outcome(problem=exc.problem, remedy=exc.remedy, wait_seconds=exc.wait_seconds)
        return _Outcome(fetched, column)

    async def _settle(self, record: RecordingFile, outcome: _Outcome, asked_at: datetime) -> None:
        if outcome.fetched is None:
            await self._publish([self._after_failure(record, outcome, asked_at)])
            self._metrics.failed.inc()
            return
        fetched = outcome.fetched
        try:
            async with self._lock_of(fetched.sha256):
                await self._keep(record, fetched, outcome.fetched_from, asked_at)
        except StoreError as exc:
            self._problem = str(exc)
            log.warning("archive_refuses", problem=str(exc))
            remedy = Remedy.SPACE if isinstance(exc, StoreFullError) else Remedy.AGAIN
            await self._publish([self._after_failure(record, _Outcome(problem=str(exc), remedy=remedy), asked_at)])
            self._metrics.failed.inc()
            return
        discard(fetched.path)
        self._metrics.stored.inc()
        self._metrics.bytes.inc(fetched.size_bytes)

    async def _keep(
        self, record: RecordingFile, fetched: Fetched, fetched_from: str | None, asked_at: datetime
    ) -> None:
        path = await asyncio.to_thread(self._archive.put, fetched.path, fetched.sha256, fetched.audio.suffix)
        self._problem = None
        stored: dict[str, Any] = {
            "asked_at": asked_at, "status": "stored", "problem": None, "path": path, "sha256": fetched.sha256,
            "size_bytes": fetched.size_bytes, "content_type": fetched.audio.content_type,
            "duration_seconds": fetched.audio.duration_seconds, "fetched_from": fetched_from,
            "attempts_count": record.attempts_count + 1, "next_attempt_at": None, "stored_at": self._moment(),
            "addresses": {},
        }  # fmt: skip
        await self._publish([record.model_copy(update=stored)])

    def _after_failure(self, record: RecordingFile, outcome: _Outcome, asked_at: datetime) -> RecordingFile:
        """The record after a try that gave nothing: when the next one is, or that there is none."""
        now = self._moment()
        attempts = record.attempts_count + 1
        status: FileStatus = "waiting"
        if outcome.remedy is Remedy.NOTHING:
            status = "refused"
        elif outcome.remedy is not Remedy.SPACE and now > record.first_seen_at + self._options.retry:
            status = "absent" if outcome.is_absent else "lost"
        pause = min(
            self._options.retry_seconds_max, self._options.retry_seconds_first * 2.0 ** min(attempts - 1, 30)
        ) * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  (no secret)
        due = now + timedelta(seconds=max(pause, outcome.wait_seconds))
        if status != "waiting":
            log.warning("file_given_up", status=status, problem=outcome.problem, attempts=attempts)
        return record.model_copy(
            update={
                "asked_at": asked_at,
                "status": status,
                "problem": outcome.problem,
                "attempts_count": attempts,
                "next_attempt_at": _whole_ms(due) if status == "waiting" else None,
                "addresses": record.addresses if status == "waiting" else {},
            }
        )

    # Keeping and deleting

    async def tidy(self) -> None:
        """Delete what was kept long enough and is not held."""
        if self._options.keep is None:
            return
        limit = self._now() - self._options.keep
        old = [
            one
            for one in self._shelf.all_files()
            if one.status == "stored"
            and one.stored_at is not None
            and one.stored_at < limit
            and not self._shelf.is_held((one.sdk_app_id, one.session_id))
        ]
        await self._forget(old, "deleted")

    async def _forget(self, records: Sequence[RecordingFile], status: FileStatus) -> None:
        """Take files out of the archive, and say so. A file that other rows have too stays for them."""
        for record in records:
            discard(self._part_of(record))
            async with self._lock_of(record.sha256 or ""):
                if record.path is not None and self._shelf.copies_of(record.path) < 2:
                    try:
                        await asyncio.to_thread(self._archive.delete, record.path)
                    except StoreError as exc:
                        self._problem = str(exc)
                        log.warning("archive_refuses", problem=str(exc))
                        continue
                now = self._moment()
                gone: dict[str, Any] = {
                    "asked_at": now, "status": status, "problem": None, "path": None, "deleted_at": now,
                    "next_attempt_at": None, "addresses": {}, "address_digest": "", "names": (),
                }  # fmt: skip
                await self._publish([record.model_copy(update=gone)])

    def _lock_of(self, sha256: str) -> asyncio.Lock:
        """Who keeps and who deletes the same content take turns."""
        return self._locks[zlib.crc32(sha256.encode()) % len(self._locks)]

    # The rest

    def _has_space(self) -> bool:
        """Whether the disks have room for what is fetched next."""
        self._options.partial_dir.mkdir(parents=True, exist_ok=True)
        folders = [self._options.partial_dir, self._archive.folder]
        for folder in folders:
            if folder is not None and folder.exists() and shutil.disk_usage(folder).free < self._options.free_bytes_min:
                self._problem = f"less than {self._options.free_bytes_min} bytes are free: nothing is fetched"
                return False
        if self._problem is not None and self._problem.startswith("less than"):
            self._problem = None
        return True

    def _part_of(self, record: RecordingFile) -> Path:
        name = hashlib.blake2b(record.key, digest_size=16).hexdigest()
        return self._options.partial_dir / f"{name}.part"

    async def _publish(self, records: Iterable[RecordingFile]) -> None:
        """Return once all of them are acknowledged; then they are known."""
        told = list(records)
        if not told:
            return
        topic = RECORDING_FILES.name(self._options.topic_prefix)
        await self._publisher.publish([Record(topic, one.key, one.encoded()) for one in told])
        self._shelf.take(told)
        for record in told:
            self._enqueue(record)
        self._metrics.show(self._shelf.statuses)

    async def _show(self) -> None:
        """Count what may vanish, and how long the oldest has been waited for."""
        now = self._now()
        waiting = [one for one in self._shelf.all_files() if one.status in ("waiting", "lost")]
        self._metrics.vanishing.set(
            sum((one.generated_at or one.first_seen_at) + VENDOR_KEEPS - VANISHING < now for one in waiting)
        )
        seen = [one.first_seen_at for one in waiting if one.status == "waiting"]
        self._metrics.oldest_waiting.set((now - min(seen)).total_seconds() if seen else 0)

    async def _every(self, stop: asyncio.Event, seconds: float, do: Callable[[], Any]) -> None:
        while not stop.is_set():
            await do()
            await _wait(stop, seconds)

    def _moment(self) -> datetime:
        """Now, in the whole milliseconds that a record holds."""
        return _whole_ms(self._now())


def _whole_ms(moment: datetime) -> datetime:
    return instant_of_ms(instant_ms(moment))


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
