"""The log that a push must be in before TCCC hears ErrCode 0 (architecture.md law 1): the door's only way inwards.

`ingest.kafka_log` is the one over Kafka. `ingest.spool` is another around it: it takes what that one refuses, answers
once its own disk has it, and appends it later.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from schemas.dead_letter import DeadLetter
from schemas.events import NormalizedEvent


class LogUnavailable(Exception):  # noqa: N818  (named for the state of the log, which is nobody's error)
    """Nothing promises that the push is stored; the message says why, and what to do. TCCC is told to push again."""


class LogRefused(LogUnavailable):
    """The log is there, and will not take this entry as long as it is set up as it is."""


Stored = Callable[[int], None]
"""Told the place of one of several entries, as soon as that one is durable."""


class LogEntry(NamedTuple):
    """What is stored of one push: an event with the body as received, letters, or both; its trace, if there is one."""

    event: NormalizedEvent | None
    raw: bytes
    letters: tuple[DeadLetter, ...] = ()
    trace: bytes | None = None


class PushLog(Protocol):
    """Stores entries durably."""

    async def start(self) -> None:
        """Begin to reach for the log, and return at once: it may be away for now."""
        ...

    async def append(self, entry: LogEntry) -> None:
        """Return once all of the entry is durable; raise LogUnavailable where that is not certain.

        After LogUnavailable, some or all of it may be stored all the same: who appends it again repeats it at most.
        """
        ...

    def unready(self) -> str | None:
        """Why nothing can be stored just now; None where all is well."""
        ...

    async def close(self) -> None:
        """Let go of the log. What was appended is stored, so nothing waits here."""
        ...


class BatchPushLog(PushLog, Protocol):
    """A log that also takes many entries at once."""

    async def append_all(self, entries: Sequence[LogEntry]) -> None:
        """Append in this order, as `append` does; LogRefused where one of several was refused, whichever it is."""
        ...

    async def append_each(self, entries: Sequence[LogEntry], stored: Stored) -> None:
        """Append each as `append` does, all at once: LogUnavailable where that is not certain of one of them.

        What `stored` was told of is durable all the same; of the rest nothing is known.
        """
        ...
