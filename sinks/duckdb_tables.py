"""What a warehouse that DuckDB writes has in common, be its tables in a file or in a lake: layout, batches, refusals.

The rule: winners are decided first, then their old rows go and their new ones come, and the offsets move, in one
transaction. Delete and insert with Arrow staging are what was measured to be fast.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import ClassVar, Final

import duckdb
import pyarrow as pa

from schemas.columns import CHILDREN, COLUMNED_VIEWS, DEAD_LETTERS, SESSION_TABLES, SESSIONS, Table
from sinks import ddl
from sinks.ddl import META, OFFSETS, names, quoted
from sinks.keyed import ASKED_TABLES, added, replaced
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.letters import letter_table
from sinks.migrations import (
    Ask,
    Found,
    Wanted,
    layout_notes,
    plan,
    record,
    refuse_to_begin,
    replaced_notes,
)
from sinks.refused import refused
from sinks.rows import STAMPED, SessionKey, SessionRows
from sinks.sink import (
    NOTHING_NEW,
    PSEUDONYMISED,
    Batch,
    Fault,
    FencedError,
    LettersRejectedError,
    LogPartition,
    Migration,
    RowsRejectedError,
    SinkUnavailableError,
    Written,
    utc_now,
)

# With a million sessions, reading tables is what a batch waits for: each once, and of each no more than keys. Digests
# are the dearest column to read, and hardly ever asked: versions grow.
_STANDING: Final = """
CREATE OR REPLACE TEMP TABLE standing AS
SELECT s.rowid AS place, b.sdk_app_id, b.session_id,
    CASE WHEN b.version <> s.version THEN b.version > s.version END AS is_older
FROM batch_sessions AS b
INNER JOIN sessions AS s ON s.sdk_app_id = b.sdk_app_id AND s.session_id = b.session_id
"""
_OF_EQUAL_VERSION: Final = """
UPDATE standing AS t SET is_older = b.document_digest > s.document_digest
FROM batch_sessions AS b, sessions AS s
WHERE t.is_older IS NULL AND b.sdk_app_id = t.sdk_app_id AND b.session_id = t.session_id AND s.rowid = t.place
"""
_VERDICTS: Final = "SELECT is_older, sdk_app_id, session_id FROM standing"
_PARENTS_GONE: Final = "DELETE FROM sessions WHERE rowid IN (SELECT place FROM standing WHERE is_older)"
_CHILDREN_GONE: Final = tuple(
    f"DELETE FROM {child.name} AS c USING standing AS s "  # noqa: S608 - names of our own
    "WHERE s.is_older AND s.sdk_app_id = c.sdk_app_id AND s.session_id = c.session_id"
    for child in CHILDREN
)
_NEW: Final = (
    "ANTI JOIN (FROM standing WHERE NOT is_older) AS s ON s.sdk_app_id = b.sdk_app_id AND s.session_id = b.session_id"
)
_OFFSETS_GONE: Final = """
DELETE FROM callweave_offsets AS o
USING batch_offsets AS b WHERE b.topic = o.topic AND b."partition" = o."partition"
"""
_GONE: Final = "(sdk_app_id, session_id) IN (SELECT (sdk_app_id, session_id) FROM gone)"
_FORGET: Final = (
    f"DELETE FROM sessions WHERE {_GONE} AND erasure IS DISTINCT FROM '{PSEUDONYMISED}'",  # noqa: S608
    *(
        f"DELETE FROM {child.name} WHERE {_GONE} "  # noqa: S608 - names of our own
        "AND (sdk_app_id, session_id) NOT IN (SELECT (sdk_app_id, session_id) FROM sessions)"
        for child in CHILDREN
    ),
    f"DELETE FROM recording_files WHERE {_GONE}",  # noqa: S608 - names of our own
    "DELETE FROM dead_letters WHERE dead_letter_id IN (SELECT dead_letter_id FROM gone_letters)",
)


class DuckDbTables(ABC):
    """Tables in DuckDB's current catalogue; where that is, the heirs say."""

    name: ClassVar[str]
    """As messages call it."""
    # Each comment writes its view anew, long as it is; what the numbers mean stands in kpi_definitions too.
    comments_on_columns_of: ClassVar[tuple[Table, ...]] = COLUMNED_VIEWS

    def __init__(
        self,
        *,
        recording_deadline_seconds: int,
        may_migrate: bool = True,
        kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._deadline_seconds = recording_deadline_seconds
        self._kpi_rules = kpi_rules
        self._may_migrate = may_migrate
        self._clock = clock
        self._database: duckdb.DuckDBPyConnection | None = None
        self._writer: duckdb.DuckDBPyConnection | None = None

    def open(self) -> None:
        """Open or create the warehouse; create or upgrade what is in it, or refuse to."""
        if self._may_migrate:
            self.migrate()
        else:
            refuse_to_begin(self.pending(), f"the {self.name} warehouse")
            self._connected()

    def pending(self) -> Migration:
        """What opening would do to tables and views."""
        writer = self._connected()
        with self._in_our_words():
            return self._planned(writer)

    def migrate(self) -> Migration:
        """Do that, and record it, in one transaction."""
        writer = self._connected()
        with self._in_our_words(), _transaction(writer):
            migration = self._planned(writer)
            for statement in (*migration.statements, *migration.notes):
                writer.execute(statement)
        return migration

    def offsets(self) -> dict[LogPartition, int]:
        """The stored offsets."""
        with self._in_our_words():
            return _stored_offsets(self._connected())

    def write(self, batch: Batch) -> Written:
        """Land the batch in one transaction."""
        try:
            return self._write(batch)
        except duckdb.Error as exc:
            if self._fault_of(exc) is Fault.DATA:
                raise self._refusal(batch, exc) from exc
            raise self._translated(exc) from exc

    def forget(self, sessions: Sequence[SessionKey], letters: Sequence[str]) -> None:
        """Delete in one transaction; then make the disk forget too, as far as the heirs can."""
        writer = self._connected()
        with self._in_our_words():
            writer.register("gone", _gone_table(sessions))
            writer.register("gone_letters", pa.table({"dead_letter_id": pa.array(letters, pa.string())}))
            try:
                with _transaction(writer):
                    for statement in _FORGET:
                        writer.execute(statement)
            finally:
                for name in ("gone", "gone_letters"):
                    with contextlib.suppress(duckdb.Error):
                        writer.unregister(name)
        self._scrub_disk()

    def _scrub_disk(self) -> None:
        """Let nothing of what was deleted lie on the disk for longer than it must."""
        self.checkpoint()

    @abstractmethod
    def checkpoint(self) -> None:
        """Housekeeping that is better done while nothing arrives."""

    def close(self) -> None:
        """Let go of the warehouse."""
        self._drop()

    def _claim(self, writer: duckdb.DuckDBPyConnection) -> None:  # noqa: B027 - a file has no second writer
        """Make sure that of two writers that are here at the same time one fails to commit."""

    @abstractmethod
    def _open_database(self) -> duckdb.DuckDBPyConnection:
        """The database's first connection. It executes nothing more, so that others can branch off it at any time."""

    @abstractmethod
    def _fault_of(self, exc: duckdb.Error) -> Fault:
        """What an error means to the loader, by its class."""

    def _cursor(self, database: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """A connection that sees the warehouse under plain names."""
        return database.cursor()

    def _said(self, exc: duckdb.Error) -> str:
        """What an error says, without secrets."""
        return str(exc)

    def _connected(self) -> duckdb.DuckDBPyConnection:
        if self._writer is None:
            self._database = self._open_database()
            self._writer = self._cursor(self._database)
        return self._writer

    def _drop(self) -> None:
        for connection in (self._writer, self._database):
            if connection is not None:
                with contextlib.suppress(duckdb.Error):
                    connection.close()
        self._writer = self._database = None

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as exc:
            raise self._translated(exc) from exc

    def _translated(self, exc: duckdb.Error) -> Exception:
        if self._fault_of(exc) is Fault.TRANSIENT:
            self._drop()
            return SinkUnavailableError(f"{self.name}: {self._said(exc)}")
        return exc

    def _planned(self, writer: duckdb.DuckDBPyConnection) -> Migration:
        return duckdb_migration(
            lambda sql: writer.execute(sql).fetchall(),
            recording_deadline_seconds=self._deadline_seconds,
            kpi_rules=self._kpi_rules,
            comments_on_columns_of=self.comments_on_columns_of,
        )

    def _write(self, batch: Batch) -> Written:
        writer = self._connected()
        with _staged(writer, batch), _transaction(writer):
            if not self._may_move(writer, batch):
                return NOTHING_NEW
            self._claim(writer)
            now = self._commit_time(writer)
            applied = _replace_sessions(writer, batch.sessions, now)
            _count_letters(writer, batch)
            _replace_keyed(writer, batch, now)
            _move_offsets(writer, batch, now)
        return Written(applied, len(batch.sessions) - len(applied), len(batch.letters))

    def _may_move(self, writer: duckdb.DuckDBPyConnection, batch: Batch) -> bool:
        stored = _stored_offsets(writer)
        there = {partition: stored.get(partition) for partition in batch.offsets}
        if there == {partition: batch.expected[partition] for partition in batch.offsets}:
            return True
        # The commit of an earlier attempt succeeded although its answer was lost: the rows came with the offsets.
        if there == dict(batch.offsets):
            return False
        raise FencedError(there)

    def _commit_time(self, writer: duckdb.DuckDBPyConnection) -> datetime:
        # Never backwards, whatever the clock does: incremental models take loaded_at for their watermark.
        latest = writer.execute("SELECT epoch_us(max(updated_at)) FROM callweave_offsets").fetchone()
        now = self._clock()
        if latest is None or latest[0] is None:
            return now
        return max(now, _EPOCH + timedelta(microseconds=latest[0] + 1))

    def _refusal(self, batch: Batch, exc: duckdb.Error) -> Exception:
        found = refused(len(batch.sessions), lambda start, stop: self._try_alone(batch.sessions.slice(start, stop)))
        if found:
            return RowsRejectedError({batch.sessions.keys[position]: reason for position, reason in found.items()})
        return (
            LettersRejectedError(f"{self.name} refuses a dead letter: {type(exc).__name__}") if batch.letters else exc
        )

    def _try_alone(self, sessions: SessionRows) -> str | None:
        writer = self._connected()
        try:
            with _staged(writer, Batch(sessions, (), {}, {})), _transaction(writer, keep=False):
                _replace_sessions(writer, sessions, self._clock())
        except duckdb.Error as exc:
            if self._fault_of(exc) is Fault.DATA:
                return self._said(exc)
            raise self._translated(exc) from exc
        return None


def _gone_table(sessions: Sequence[SessionKey]) -> pa.Table:
    return pa.table(
        {
            "sdk_app_id": pa.array([key.sdk_app_id for key in sessions], pa.int64()),
            "session_id": pa.array([key.session_id for key in sessions], pa.string()),
        }
    )


def duckdb_migration(
    ask: Ask | None,
    *,
    recording_deadline_seconds: int,
    kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
    comments_on_columns_of: tuple[Table, ...] = COLUMNED_VIEWS,
) -> Migration:
    """What brings tables of DuckDB's to this program's layout; without somebody to ask, those of a new warehouse."""
    found = _found(ask) if ask is not None else Found({}, {})
    selects = {
        name: ddl.view(name, recording_deadline_seconds=recording_deadline_seconds, kpi_rules=kpi_rules)
        for name in ddl.VIEWS
    }
    wanted = Wanted(
        ddl.upgrade(ddl.DUCKDB, found.catalogue),
        {name: f"CREATE OR REPLACE VIEW {quoted(name)} AS {select}" for name, select in selects.items()},
        ddl.comments(comments_on_columns_of),
        ddl.layout_digest(ddl.DUCKDB, recording_deadline_seconds=recording_deadline_seconds, kpi_rules=kpi_rules),
    )
    statements = plan(found, wanted)
    if not statements:
        return Migration()
    notes = [*replaced_notes(layout_notes(found, wanted)), record(statements, wanted.digest, now="now()")]
    return Migration(statements, tuple(notes), ("BEGIN TRANSACTION",), ("COMMIT",))


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@contextmanager
def _transaction(writer: duckdb.DuckDBPyConnection, *, keep: bool = True) -> Iterator[None]:
    writer.execute("BEGIN TRANSACTION")
    try:
        yield
        writer.execute("COMMIT" if keep else "ROLLBACK")
    except BaseException:
        # After some faults DuckDB has rolled back already, and says so.
        with contextlib.suppress(duckdb.Error):
            writer.execute("ROLLBACK")
        raise


@contextmanager
def _staged(writer: duckdb.DuckDBPyConnection, batch: Batch) -> Iterator[None]:
    tables = {**batch.sessions.tables, **batch.keyed}
    if batch.letters:
        tables[DEAD_LETTERS.name] = letter_table(batch.letters)
    if batch.offsets:
        tables["offsets"] = pa.table(
            {
                "topic": [topic for topic, _ in batch.offsets],
                "partition": [partition for _, partition in batch.offsets],
                "next_offset": list(batch.offsets.values()),
            }
        )
    for name, table in tables.items():
        writer.register(f"batch_{name}", table)
    try:
        yield
    finally:
        for name in tables:
            with contextlib.suppress(duckdb.Error):
                writer.unregister(f"batch_{name}")


def _replace_sessions(writer: duckdb.DuckDBPyConnection, sessions: SessionRows, now: datetime) -> frozenset[SessionKey]:
    if not len(sessions):
        return frozenset()
    writer.execute(_STANDING)
    verdicts = writer.execute(_VERDICTS).fetchall()
    if any(is_older is None for is_older, _, _ in verdicts):
        verdicts = writer.execute(_OF_EQUAL_VERSION).execute(_VERDICTS).fetchall()
    newest = {SessionKey(app, session) for is_older, app, session in verdicts if not is_older}
    if len(verdicts) > len(newest):
        for statement in (_PARENTS_GONE, *_CHILDREN_GONE):
            writer.execute(statement)
    for table in SESSION_TABLES:
        if len(newest) == len(sessions) or not sessions.tables[table.name].num_rows:
            continue
        columns = [name for name in table.column_names if name != STAMPED]
        stamp, parameters = (f", {quoted(STAMPED)}", [now]) if table is SESSIONS else ("", [])
        writer.execute(
            f"INSERT INTO {table.name} ({names(columns)}{stamp}) "  # noqa: S608 - names of our own
            f"SELECT {names(columns, 'b.')}{', ?' if parameters else ''} FROM batch_{table.name} AS b "
            # Hardly ever is a document stale, and a join that keeps everything is not free.
            f"{_NEW if newest else ''}",
            parameters,
        )
    return frozenset(sessions.keys) - newest


def _count_letters(writer: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    if batch.letters:
        writer.execute(ddl.LETTERS_KNOWN)
        writer.execute(ddl.letters_new())


def _replace_keyed(writer: duckdb.DuckDBPyConnection, batch: Batch, now: datetime) -> None:
    for name in batch.keyed:
        writer.execute(replaced(ASKED_TABLES[name]))
        writer.execute(added(ASKED_TABLES[name], "?"), [now])


def _move_offsets(writer: duckdb.DuckDBPyConnection, batch: Batch, now: datetime) -> None:
    if batch.offsets:
        columns = names(OFFSETS.column_names)
        writer.execute(_OFFSETS_GONE)
        writer.execute(
            f"INSERT INTO callweave_offsets ({columns}) "  # noqa: S608 - names of our own
            'SELECT topic, "partition", next_offset, ? FROM batch_offsets',
            [now],
        )


def _stored_offsets(writer: duckdb.DuckDBPyConnection) -> dict[LogPartition, int]:
    rows = writer.execute('SELECT topic, "partition", next_offset FROM callweave_offsets').fetchall()
    return {LogPartition(topic, partition): next_offset for topic, partition, next_offset in rows}


def _found(ask: Ask) -> Found:
    catalogue: dict[str, dict[str, str]] = {}
    for table, column, kind in ask(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'main' AND table_catalog = current_database()"
    ):
        catalogue.setdefault(table, {})[column] = kind
    meta: dict[str, str] = {}
    if META.name in catalogue:
        meta = {key: str(value) for key, value in ask("SELECT key, value FROM callweave_meta")}
    return Found(catalogue, meta)
