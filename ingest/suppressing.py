"""A push log that keeps nothing of erased people: what is left of an entry is appended, the rest is nowhere.

The rule: who does not know the list appends nothing. Around Kafka, an entry that waited in the spool is looked at again
when it leaves it; around the spool, nothing of an erased person reaches the disk.
"""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter

from ingest.push_log import BatchPushLog, LogEntry, LogUnavailable, PushLog, Stored
from schemas import jsontext
from schemas import metrics as listed
from schemas.suppression import Suppressions

_UNKNOWN = "the suppression list is not known yet"


class SuppressionMetrics:
    """How often somebody who is erased was pushed again."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reduced = Counter(**listed.PUSHES_SUPPRESSED.arguments, registry=registry)


def suppressed(entry: LogEntry, suppressions: Suppressions) -> LogEntry:
    """What may be stored of an entry; the entry itself where it speaks of nobody who is erased."""
    if not suppressions:
        return entry
    event = None if entry.event is None else suppressions.event(entry.event)
    is_reduced = event is not entry.event
    letters = tuple(
        suppressions.blanked(letter) if is_reduced else suppressions.letter(letter) for letter in entry.letters
    )
    if event is entry.event and all(left is letter for left, letter in zip(letters, entry.letters, strict=True)):
        return entry
    if event is None:
        return LogEntry(None, b"", letters)
    # The body as it was received goes too: what is left of the event is all that a later letter may quote.
    return LogEntry(event, jsontext.encode(event.payload), letters)


class SuppressingPushLog:
    """A BatchPushLog around another."""

    def __init__(self, inner: BatchPushLog, known: Callable[[], Suppressions | None]) -> None:
        self._inner = inner
        self._known = known

    async def start(self) -> None:
        """Begin to reach for the log."""
        await self._inner.start()

    async def append(self, entry: LogEntry) -> None:
        """Append what may be stored of an entry; LogUnavailable while the list is not known."""
        await self._inner.append(suppressed(entry, self._list()))

    async def append_all(self, entries: Sequence[LogEntry]) -> None:
        """The same of many."""
        suppressions = self._list()
        await self._inner.append_all([suppressed(entry, suppressions) for entry in entries])

    async def append_each(self, entries: Sequence[LogEntry], stored: Stored) -> None:
        """The same of many that have nothing to do with each other."""
        suppressions = self._list()
        await self._inner.append_each([suppressed(entry, suppressions) for entry in entries], stored)

    def unready(self) -> str | None:
        """Why nothing can be stored just now."""
        return self._inner.unready() or (_UNKNOWN if self._known() is None else None)

    async def close(self) -> None:
        """Let go of the log."""
        await self._inner.close()

    def _list(self) -> Suppressions:
        suppressions = self._known()
        if suppressions is None:
            raise LogUnavailable(_UNKNOWN)
        return suppressions


class SuppressingDoor:
    """A PushLog around the spool: while the list is not known, entries pass, for they are looked at again behind it."""

    def __init__(self, inner: PushLog, known: Callable[[], Suppressions | None], metrics: SuppressionMetrics) -> None:
        self._inner = inner
        self._known = known
        self._metrics = metrics

    async def start(self) -> None:
        """Begin to reach for the log."""
        await self._inner.start()

    async def append(self, entry: LogEntry) -> None:
        """Append what may be stored of an entry."""
        suppressions = self._known()
        if suppressions:
            left = suppressed(entry, suppressions)
            if left is not entry:
                self._metrics.reduced.inc()
            entry = left
        await self._inner.append(entry)

    def unready(self) -> str | None:
        """Why nothing can be stored just now."""
        return self._inner.unready()

    async def close(self) -> None:
        """Let go of the log."""
        await self._inner.close()
