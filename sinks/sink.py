"""What the loader asks of a warehouse: values in, values out, and the few ways in which it may fail.

The one rule: a batch lands whole (rows, letters and offsets in one transaction) or not at all; where there are no
transactions, its offsets land last, and what is there of it is written again without a trace. Synchronous on purpose:
warehouse drivers block, so the loader calls a sink from one thread of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:  # who only reads, or asks a loader, never loads pyarrow (40 MB)
    import pyarrow as pa

    from sinks.letters import LetterRow
    from sinks.rows import SessionKey, SessionRows


class LogPartition(NamedTuple):
    """One partition of a Kafka topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes. `offsets` is stored only where `expected` (None: nothing) is what stands there."""

    sessions: "SessionRows"
    letters: "Sequence[LetterRow]"
    offsets: Mapping[LogPartition, int]
    expected: Mapping[LogPartition, int | None]
    keyed: "Mapping[str, pa.Table]" = field(default_factory=dict)
    """Rows of `sinks.keyed`, by table: at most one a key. What stands there with a later `asked_at` stays."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a batch: the sessions that were replaced; the others were older than what stood there."""

    applied: "frozenset[SessionKey]"
    stale_count: int
    letter_count: int


NOTHING_NEW = Written(frozenset(), 0, 0)


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """How much a read-only query may cost."""

    rows_max: int = 10_000
    seconds_max: float = 30.0


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows of a query; JSON columns are text, times are aware UTC. `truncated`: there were more rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool


class Fault(Enum):
    """What a driver's error means: each sink maps its driver's codes to these in one function."""

    TRANSIENT = auto()
    """The warehouse is away, busy or full: the same batch may land later."""
    DATA = auto()
    """The warehouse refuses a value: some row of the batch will never land."""
    BROKEN = auto()
    """Our program or the set-up is wrong: a person has to look."""


class SinkUnavailableError(Exception):
    """The warehouse cannot take the batch now. Whatever of it landed does no harm: try the same batch again."""


class RowsRejectedError(Exception):
    """The warehouse will never take these sessions; nothing of the batch landed. The values say why."""

    def __init__(self, sessions: "Mapping[SessionKey, str]") -> None:
        self.sessions = dict(sessions)
        # Not what it said: that may quote a value, and an error's message may reach a log.
        super().__init__(f"the warehouse refused {len(self.sessions)} sessions")


class LettersRejectedError(Exception):
    """The warehouse refuses a dead letter. There is no letter about a letter, so this halts."""


class FencedError(Exception):
    """Another loader moved the stored offsets: this one must not write any more."""

    def __init__(self, there: Mapping[LogPartition, int | None]) -> None:
        places = ", ".join(f"{part.topic}[{part.partition}] at {offset}" for part, offset in sorted(there.items()))
        super().__init__(
            f"another loader writes into this warehouse, or it lost its last commits: {places} stand there, which this "
            "loader did not leave. It wrote nothing since, so nothing is double. A warehouse has one loader: stop one "
            "of them; then start this role again if it is the one to stay, and it goes on from what stands there"
        )


class MisconfiguredError(Exception):
    """The set-up cannot work; the message is one sentence: what, where, what to do."""


class QueryRefusedError(Exception):
    """The query is none that may be run, or the warehouse refused it. The message says why."""


class QueryTooSlowError(QueryRefusedError):
    """The query took longer than its limit and was stopped."""


@dataclass(frozen=True, slots=True)
class Migration:
    """Statements in their order, none where nothing is to be done; then the notes that tell that they were run."""

    statements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    opening: tuple[str, ...] = ()
    """Before the statements and, in `closing`, after the notes: the lock, and the transaction that holds them all."""
    closing: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.statements)

    @property
    def script(self) -> str:
        """Everything that is run, for a DBA's own client; empty where nothing is."""
        if not self.is_needed:
            return ""
        return script_of((*self.opening, *self.statements, *self.notes, *self.closing))

    @property
    def summary(self) -> str:
        """How much of what it is."""
        counts = {
            "creates {} table{}": _count(self.statements, "CREATE TABLE"),
            "adds {} column{}": _count(self.statements, "ALTER TABLE"),
            "makes {} view{} anew": _count(self.statements, "CREATE OR REPLACE VIEW", "DO "),
            "writes {} comment{}": _count(self.statements, "COMMENT"),
            "writes {} file{} of views anew": _count(self.statements, "-- current"),
        }
        said = [words.format(count, "s" if count > 1 else "") for words, count in counts.items() if count]
        return ", ".join(said) or "changes nothing"


def script_of(statements: Sequence[str]) -> str:
    """Statements as one text."""
    return "".join(f"{statement};\n" for statement in statements)


def _count(statements: Sequence[str], *beginnings: str) -> int:
    return sum(statement.startswith(beginnings) for statement in statements)


class Reader(Protocol):
    """Somebody who answers read-only queries; callable from any thread, at any time after opening."""

    def query(self, sql: str, limits: QueryLimits = ...) -> QueryResult:
        """Run exactly one SELECT, unable to write, within the limits."""

    def close(self) -> None:
        """Release the warehouse. Closing twice equals closing once."""


class Sink(Reader, Protocol):
    """One warehouse. All but `query` is called from one thread; every method may raise SinkUnavailableError."""

    def open(self) -> None:
        """Connect; create or upgrade tables and views, or, where that is not allowed, raise MisconfiguredError if they
        are not as they must be. Opening twice equals opening once.
        """

    def pending(self) -> Migration:
        """What opening would do to tables and views. Changes nothing, and makes no warehouse where none is."""

    def migrate(self) -> Migration:
        """Do that, and record it in the warehouse; what was done. Two that do it at once do no harm."""

    def offsets(self) -> dict[LogPartition, int]:
        """The next offset of every partition, as stored beside the rows."""

    def write(self, batch: Batch) -> Written:
        """Land the batch. A batch whose offsets stand there already is done; writing it again changes nothing."""

    def forget(self, sessions: "Sequence[SessionKey]", letters: Sequence[str]) -> None:
        """Remove these letters, and every stored row of these sessions without the mark `PSEUDONYMISED`, from the disk.

        Of a session with a marked row, that stays, and what it replaced goes. Forgetting twice equals forgetting once.
        """

    def checkpoint(self) -> None:
        """Housekeeping that is better done while nothing arrives."""


PSEUDONYMISED: Final = "pseudonymised"
"""In `sessions.erasure`: the row says nothing of a person any more."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """Files merged, files that they became, replaced files removed; and whether there is more to do."""

    merged_count: int = 0
    files_made: int = 0
    removed_count: int = 0
    has_more: bool = False

    def and_then(self, later: "Compaction") -> "Compaction":
        """Both, as one."""
        return Compaction(
            self.merged_count + later.merged_count,
            self.files_made + later.files_made,
            self.removed_count + later.removed_count,
            later.has_more,
        )


@runtime_checkable
class Compacting(Protocol):
    """A warehouse that is made of files, of which there can be too many."""

    def compact(self) -> Compaction:
        """Merge some, within bounds. The rows stay the same at every moment."""


def utc_now() -> datetime:
    """The clock of a sink, unless it is given another."""
    return datetime.now(UTC)
