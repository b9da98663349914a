"""The push log of the door: Kafka, and a spool on this machine's disk for the time that Kafka is away or slow.

    append:  Kafka acknowledges in time  →  stored          drainer:  oldest entries  →  Kafka acknowledges  →  delete
             else fsynced in the spool   →  stored
             else                        →  LogUnavailable

The rule: an entry leaves the spool only after Kafka acknowledged it, so it may reach Kafka twice and is never lost; the
fold absorbs the repeat, whose push id and `received_at` are the same. What a lost disk loses is what is in the spool.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from ingest.push_log import BatchPushLog, LogEntry, LogRefused, LogUnavailable
from ingest.spool_entry import to_entry, to_row
from ingest.spool_file import SpoolFile, StoredRow
from ingest.spool_metrics import SpoolMetrics
from ingest.spool_thread import SpoolThread
from ingest.together import Together
from schemas import metrics as listed

_BATCH_ENTRIES = 200
_BATCH_BYTES = 4 * 1024 * 1024
_RETRY_SECONDS_FIRST = 0.1
_RETRY_SECONDS_MAX = 2.0
_LOOK_SECONDS = 1.0
"""How often a spool with nothing to do looks at its disk and its age."""

_FULL_ROOM_BYTES = 64 * 1024

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolOptions:
    """How the spool is set up; docs/settings.md has the same names."""

    directory: Path
    bytes_max: int = 1024**3
    wait_seconds_max: float = 1.0
    age_alarm_seconds: float = 300.0
    close_seconds_max: float = 45.0


class _Moved(Enum):
    """What one step of the drainer did."""

    SOME = "moved some entries"
    NOTHING = "there was nothing to move"
    STUCK = "Kafka does not take them for now"


class SpoolingPushLog:
    """A PushLog around the one over Kafka."""

    def __init__(
        self, kafka: BatchPushLog, options: SpoolOptions, clock: Callable[[], datetime], registry: CollectorRegistry
    ) -> None:
        self._kafka = kafka
        self._options = options
        self._clock = clock
        self._metrics = SpoolMetrics(registry)
        self._thread = SpoolThread(SpoolFile(options.directory), bytes_max=options.bytes_max, metrics=self._metrics)
        self._together = Together(kafka, wait_seconds_max=options.wait_seconds_max)
        self._distrusted_because: str | None = None
        self._woken = asyncio.Event()
        self._closing = False
        self._drainer: asyncio.Task[None] | None = None
        self._after = 0  # entries up to here that are still there are held back: Kafka refuses them as it is set up
        self._held = self._held_in_pass = 0
        self._refusal = ""
        self._gone: list[StoredRow] = []  # acknowledged by Kafka, and still in the file
        self._is_old = False
        self._watch()

    def own(self) -> None:
        """Take the spool's directory before anything else is done; SpoolTakenError where another receiver has it."""
        self._thread.own()

    async def start(self) -> None:
        """Own the spool, reach for Kafka, and begin to drain; SpoolTakenError where another receiver has the spool."""
        assert self._drainer is None, "the spool was started twice"
        self._thread.start()
        await self._kafka.start()
        self._drainer = asyncio.create_task(self._keep_draining())

    async def append(self, entry: LogEntry) -> None:
        """Return once Kafka or the spool has the entry; LogUnavailable where neither took it."""
        if self._kafka_problem() is not None:
            try:
                await self._spool(entry)
            except LogUnavailable as exc:
                # The last hope: Kafka may be back, and nothing in the spool to find that out with.
                await self._append_to_kafka(entry, spool_problem=str(exc))
            return
        try:
            await self._together.append(entry)
        except (LogUnavailable, TimeoutError) as exc:
            # Whether Kafka has it after all is not known; then it will have it twice.
            self._distrust(exc)
            try:
                await self._spool(entry)
            except LogUnavailable as also:
                raise LogUnavailable(f"{self._distrusted_because}; {also}") from exc

    def unready(self) -> str | None:
        """Why nothing can be stored just now: neither Kafka nor the spool would take it."""
        kafka, spool = self._kafka_problem(), self._spool_problem()
        return None if kafka is None or spool is None else f"{kafka}; {spool}"

    def degraded(self) -> str | None:
        """What a person should know though pushes are welcome; None where all is well."""
        kafka = self._kafka_problem()
        found = [] if kafka is None else [f"{kafka}: pushes go to the spool"]
        found += filter(None, [self._spool_problem()])
        if self._thread.entries:
            found.append(
                f"{self._thread.entries} pushes ({self._thread.bytes_count} bytes) wait in the spool,"
                f" the oldest for {self._age_seconds():.0f} s"
            )
        if self._held:
            found.append(f"Kafka refuses {self._held} of them as its topics are set up: {self._refusal}")
        if self._thread.files_set_aside:
            found.append(
                f"{self._thread.files_set_aside} damaged spool files were set aside in {self._options.directory}:"
                " when their calls are accounted for, remove them"
            )
        return "; ".join(found) or None

    async def close(self) -> None:
        """Drain as long as Kafka takes it, within bounds; what stays in the spool is there at the next start."""
        self._closing = True
        self._woken.set()
        drainer, self._drainer = self._drainer, None
        if drainer is not None:
            done, _ = await asyncio.wait([drainer], timeout=self._options.close_seconds_max)
            if not done:
                drainer.cancel()
                await asyncio.wait([drainer])
        with suppress(LogUnavailable):
            await self._thread.close()
        if self._thread.entries:
            _log.warning("spool_kept", entries=self._thread.entries, advice="they go to Kafka after the next start")
        await self._together.ended()
        await self._kafka.close()

    async def _spool(self, entry: LogEntry) -> None:
        await self._thread.append(to_row(entry))
        self._metrics.spooled.inc()
        self._woken.set()

    async def _append_to_kafka(self, entry: LogEntry, *, spool_problem: str) -> None:
        try:
            async with asyncio.timeout(self._options.wait_seconds_max):
                await self._kafka.append(entry)
        except (LogUnavailable, TimeoutError) as exc:
            self._distrust(exc)
            raise LogUnavailable(f"{self._distrusted_because}; {spool_problem}") from exc
        self._trust()

    def _kafka_problem(self) -> str | None:
        return self._kafka.unready() or self._distrusted_because

    def _spool_problem(self) -> str | None:
        if self._thread.reason is not None:
            return self._thread.reason
        room = self._thread.bytes_max - self._thread.bytes_count
        is_full = room < min(_FULL_ROOM_BYTES, self._thread.bytes_max // 16)
        return f"the spool is full: {self._thread.bytes_count} of {self._thread.bytes_max} bytes" if is_full else None

    def _distrust(self, error: Exception) -> None:
        """From now on pushes go to the spool without waiting, until the drainer gets something through."""
        slow = f"Kafka did not acknowledge within {self._options.wait_seconds_max:g} s"
        reason = slow if isinstance(error, TimeoutError) else str(error)
        if self._distrusted_because is None:
            _log.warning("spooling_begun", reason=reason)
        self._distrusted_because = reason
        self._woken.set()

    def _trust(self) -> None:
        if self._distrusted_because is not None:
            _log.info("spooling_ended", entries_left=self._thread.entries)
        self._distrusted_because = None

    async def _keep_draining(self) -> None:
        """Move what is in the spool to Kafka for as long as this log is open, and longer where Kafka takes it."""
        retry_seconds = _RETRY_SECONDS_FIRST
        while True:
            self._woken.clear()
            moved = await self._step()
            self._look_at_age()
            if moved is _Moved.SOME:
                retry_seconds = _RETRY_SECONDS_FIRST
                continue
            if self._closing:
                return
            if moved is _Moved.STUCK:
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, _RETRY_SECONDS_MAX)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._woken.wait()

    async def _step(self) -> _Moved:
        try:
            return await self._move()
        except LogUnavailable:
            return _Moved.STUCK  # whoever refused has said why
        except Exception as exc:  # noqa: BLE001  (a drainer that ends is a spool that fills in silence)
            _log.error("spool_drain_failed", error=type(exc).__name__)
            return _Moved.STUCK

    async def _move(self) -> _Moved:
        """Move the next entries, if Kafka can be had."""
        if self._thread.reason is not None:
            await self._thread.beat()
        if self._kafka.unready() is not None:
            return _Moved.STUCK
        found = await self._thread.read(after=self._after, entries_max=_BATCH_ENTRIES, bytes_max=_BATCH_BYTES)
        if not found:
            return await self._end_of_pass()
        acknowledged = await self._acknowledged(found)
        self._gone += [stored.without_body() for stored in acknowledged]
        self._metrics.drained.inc(len(acknowledged))
        self._after = found[-1].id
        if acknowledged:
            self._trust()
        # A disk that is too full to delete is no reason to stop, nor to send anything twice.
        with suppress(LogUnavailable):
            await self._remove_gone()
        return _Moved.SOME

    async def _remove_gone(self) -> None:
        if self._gone:
            await self._thread.remove(self._gone)
            self._gone = []

    async def _end_of_pass(self) -> _Moved:
        await self._remove_gone()
        was_from_the_start, self._after = self._after == 0, 0
        was_held, self._held, self._held_in_pass = self._held, self._held_in_pass, 0
        if self._held:
            if self._held != was_held:
                advice = "set the topics right: `callweave topics check`; they are tried again and again"
                _log.error("spool_entries_refused", entries=self._held, reason=self._refusal, advice=advice)
            return _Moved.STUCK
        if not was_from_the_start:
            return _Moved.SOME  # some may have come meanwhile
        self._trust()
        await self._thread.shrink()
        return _Moved.NOTHING

    async def _acknowledged(self, found: Sequence[StoredRow]) -> list[StoredRow]:
        """Give entries to Kafka in their order; those that it has now. One that it refuses holds up nobody else."""
        entries = await asyncio.to_thread(lambda: [to_entry(stored, self._clock()) for stored in found])
        try:
            await self._kafka.append_all(entries)
        except LogRefused as exc:
            if len(found) == 1:
                self._held_in_pass += 1
                self._refusal = str(exc)
                return []
            return [stored for one in found for stored in await self._acknowledged([one])]
        except LogUnavailable as exc:
            self._distrust(exc)
            raise
        return list(found)

    def _age_seconds(self) -> float:
        oldest = self._thread.oldest_received_ms
        return 0.0 if oldest is None else max(0.0, self._clock().timestamp() - oldest / 1000)

    def _look_at_age(self) -> None:
        was_old, self._is_old = self._is_old, self._age_seconds() > self._options.age_alarm_seconds
        if self._is_old and not was_old:
            _log.error(
                "spool_is_old",
                oldest_age_seconds=round(self._age_seconds()),
                entries=self._thread.entries,
                reason=self._kafka_problem(),
                advice="bring Kafka back before the spool is full or its disk is lost",
            )

    def _watch(self) -> None:
        thread, watch = self._thread, self._metrics.watch
        watch(listed.SPOOL_ENTRIES, lambda: thread.entries)
        watch(listed.SPOOL_BYTES, lambda: thread.bytes_count)
        watch(listed.SPOOL_BYTES_MAX, lambda: thread.bytes_max)
        watch(listed.SPOOL_OLDEST_AGE, self._age_seconds)
        watch(listed.SPOOL_IS_OLD, lambda: float(self._is_old))
        watch(listed.SPOOL_IS_UNAVAILABLE, lambda: float(thread.reason is not None))
        watch(listed.SPOOL_IS_IN_USE, lambda: float(self._kafka_problem() is not None))
        watch(listed.SPOOL_REFUSED, lambda: self._held)
        watch(listed.SPOOL_SET_ASIDE, lambda: thread.files_set_aside)
