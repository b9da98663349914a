"""The server warehouse: Postgres 15 and newer, through psycopg.

The rule: parents first. Their row locks, and for new ones their primary key, decide which of two writers has the newer
document; only the winner touches children. Rows, letters and offsets are one transaction.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import psycopg
import pyarrow as pa

from schemas.columns import CHILDREN, DEAD_LETTERS, SESSION_TABLES, SESSIONS, Table
from sinks import ddl
from sinks.copy_text import copy_text
from sinks.ddl import META, OFFSETS, names, quoted
from sinks.keyed import ASKED_TABLES, added, replaced
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.letters import LetterRow, letter_table
from sinks.migrations import (
    Found,
    Wanted,
    layout_notes,
    plan,
    record,
    refuse_to_begin,
    replaced_notes,
)
from sinks.postgres_query import PostgresReader
from sinks.postgres_session import Address, fault_of
from sinks.refused import refused
from sinks.rows import STAMPED, SessionKey, SessionRows, stamped
from sinks.sink import (
    NOTHING_NEW,
    PSEUDONYMISED,
    Batch,
    Fault,
    FencedError,
    LettersRejectedError,
    LogPartition,
    Migration,
    MisconfiguredError,
    QueryLimits,
    QueryResult,
    RowsRejectedError,
    SinkUnavailableError,
    Written,
    utc_now,
)

# Of the writing connection. A lock that is not to be had, or a loader that was cut off while it held some, must not
# stand in the way for longer than this. And a batch is looked up in a table by its primary key, whatever the planner,
# which knows nothing of a temporary table, thinks of reading it whole.
_WRITER_SETTINGS: Final = (
    "SET lock_timeout = '10s'; SET statement_timeout = '300s'; SET idle_in_transaction_session_timeout = '60s'; "
    "SET enable_hashjoin = off; SET enable_mergejoin = off"
)
_LAYOUT_LOCK: Final = "SELECT pg_advisory_xact_lock(7301455120411)"
"""Two that lay out a database at once do it one after the other, and the second finds nothing left to do."""
_WRITERS_LOCK: Final = b"SELECT pg_advisory_xact_lock(7301455120412)"
"""Of those who replace sessions one at a time: who waits for a row that is taken out and copied anew finds none."""
_INSUFFICIENT_PRIVILEGE: Final = "42501"
_DEPENDENT_OBJECTS: Final = "2BP01"
_RANKED: Final = ("sdk_app_id", "session_id", "version", "document_digest")
_RANKS: Final = Table(
    SESSIONS.name,
    "What orders the documents of a batch",
    SESSIONS.key,
    tuple(column for column in SESSIONS.columns if column.name in _RANKED),
)
_STANDING: Final = """
CREATE TEMPORARY TABLE standing (sdk_app_id bigint, session_id text, is_older boolean) ON COMMIT DELETE ROWS
"""
# COLLATE "C": digests are ordered by their bytes, as everywhere else, and not as the server's language has it.
_LOCK_STANDING: Final = b"""
WITH locked AS (
    SELECT s.sdk_app_id, s.session_id,
        (s.version, s.document_digest COLLATE "C") < (b.version, b.document_digest COLLATE "C") AS is_older
    FROM batch_sessions AS b INNER JOIN sessions AS s USING (sdk_app_id, session_id)
    ORDER BY s.sdk_app_id, s.session_id
    FOR UPDATE OF s
)
INSERT INTO standing SELECT * FROM locked
"""
_ATTEMPTS_MAX: Final = 5
SESSION_INDEXES: Final = {
    # A day of calls.
    "sessions_started_at": ("started_at",),
    # A caller's next call, and finding calls by number.
    "sessions_customer_number": ("customer_number", "started_at"),
}
"""Beside the primary keys: their columns, by name."""
_INDEXES: Final = {
    name: f"CREATE INDEX IF NOT EXISTS {name} ON sessions ({', '.join(columns)})"
    for name, columns in SESSION_INDEXES.items()
}


class PostgresSink:
    """A Postgres database, schema public."""

    def __init__(
        self,
        url: str,
        *,
        recording_deadline_seconds: int,
        may_migrate: bool = True,
        kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._address = Address(url)
        self._deadline_seconds = recording_deadline_seconds
        self._kpi_rules = kpi_rules
        self._may_migrate = may_migrate
        self._clock = clock
        self._reader = PostgresReader(self._address)
        self._connection: psycopg.Connection | None = None

    def open(self) -> None:
        """Connect; create or upgrade what is in the database, or refuse to."""
        if self._may_migrate:
            self.migrate()
        else:
            refuse_to_begin(self.pending(), self._address)
            with self._in_our_words():
                self._connected()

    def pending(self) -> Migration:
        """What opening would do to tables and views. Needs no more than reading."""
        with self._in_our_words(), self._in_a_dbas_words(), self._address.connect() as connection:
            return _planned(connection, self._deadline_seconds, self._kpi_rules)

    def migrate(self) -> Migration:
        """Do that, and record it, in one transaction under a lock."""
        with self._in_our_words(), self._in_a_dbas_words():
            connection = self._connected()
            with connection.transaction():
                connection.execute(_LAYOUT_LOCK.encode())
                migration = _planned(connection, self._deadline_seconds, self._kpi_rules)
                for statement in (*migration.statements, *migration.notes):
                    connection.execute(statement.encode())
            return migration

    def offsets(self) -> dict[LogPartition, int]:
        """The stored offsets."""
        with self._in_our_words():
            return _stored_offsets(self._connected())

    def write(self, batch: Batch) -> Written:
        """Land the batch in one transaction."""
        with self._in_our_words():
            try:
                return self._write(self._connected(), batch)
            except psycopg.Error as exc:
                if fault_of(exc) is Fault.DATA:
                    raise self._refusal(batch, exc) from exc
                raise

    def forget(self, sessions: Sequence[SessionKey], letters: Sequence[str]) -> None:
        """Delete in one transaction; then vacuum, so that the pages are written over."""
        gone = [[key.sdk_app_id for key in sessions], [key.session_id for key in sessions]]
        with self._in_our_words():
            connection = self._connected()
            with connection.transaction():
                connection.execute(_FORGET_SESSIONS, [*gone, PSEUDONYMISED])
                for child in CHILDREN:
                    connection.execute(_forget_children(child), gone)
                connection.execute(_FORGET_FILES, gone)
                connection.execute(b"DELETE FROM dead_letters WHERE dead_letter_id = ANY(%s)", [list(letters)])
            for table in (*SESSION_TABLES, DEAD_LETTERS):
                connection.execute(f"VACUUM {table.name}".encode())

    def checkpoint(self) -> None:
        """Postgres keeps house by itself."""

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT, from any thread, on a connection of its own."""
        return self._reader.query(sql, limits)

    def close(self) -> None:
        """Close the writing connection."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = self._address.connect()
            # A plan that is kept is one for the size that a table had: a fresh one costs less than a wrong one.
            connection.prepare_threshold = None
            connection.execute(_WRITER_SETTINGS)
            for table in (_RANKS, DEAD_LETTERS, *ASKED_TABLES.values()):
                connection.execute(_staging_table(table).encode())
            connection.execute(_STANDING)
            self._connection = connection
        return self._connection

    @contextmanager
    def _in_a_dbas_words(self) -> Iterator[None]:
        """Say what a person has to do about what the role may not, or about views that stand on ours."""
        try:
            yield
        except psycopg.Error as exc:
            if exc.sqlstate == _INSUFFICIENT_PRIVILEGE:
                raise MisconfiguredError(
                    f"{self._address}: {self._address.plain(exc)}: let a role that may CREATE in schema public run "
                    "`callweave warehouse apply`, or hand a DBA what `callweave warehouse apply --dry-run` prints; "
                    "the role of WAREHOUSE__URL needs SELECT, INSERT, UPDATE and DELETE on the tables, SELECT on the "
                    "views, and TEMPORARY on the database"
                ) from exc
            if exc.sqlstate == _DEPENDENT_OBJECTS:
                raise MisconfiguredError(
                    "a view of callweave's has other columns now, but views that are not callweave's are built on it: "
                    f"drop those, start the loader, and make them again ({self._address.plain(exc)})"
                ) from exc
            raise

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            with self._address.in_our_words():
                yield
        except SinkUnavailableError:
            # Whatever state the connection is in: the next attempt begins with a new one.
            self.close()
            raise

    def _write(self, connection: psycopg.Connection, batch: Batch) -> Written:
        try:
            with connection.transaction():
                now = self._commit_time(connection)
                # First, because it makes a second loader of the same partitions wait here rather than work in vain.
                _move_offsets(connection, batch, now)
                applied = _replace_sessions(connection, batch.sessions, now)
                _count_letters(connection, batch.letters)
                _replace_keyed(connection, batch, now)
        except _NotExpectedError:
            stored = _stored_offsets(connection)
            there = {partition: stored.get(partition) for partition in batch.offsets}
            if there == dict(batch.offsets):
                # An earlier attempt's commit succeeded although its answer was lost: the rows came with the offsets.
                return NOTHING_NEW
            raise FencedError(there) from None
        return Written(applied, len(batch.sessions) - len(applied), len(batch.letters))

    def _commit_time(self, connection: psycopg.Connection) -> datetime:
        # Never backwards, whatever the clock does: incremental models take loaded_at for their watermark.
        row = connection.execute("SELECT max(updated_at) FROM callweave_offsets").fetchone()
        now = self._clock()
        return now if row is None or row[0] is None else max(now, row[0] + timedelta(microseconds=1))

    def _refusal(self, batch: Batch, exc: psycopg.Error) -> Exception:
        found = refused(len(batch.sessions), lambda start, stop: self._try_alone(batch.sessions.slice(start, stop)))
        if found:
            return RowsRejectedError({batch.sessions.keys[position]: reason for position, reason in found.items()})
        if not batch.letters:
            return exc
        return LettersRejectedError(f"Postgres refuses a dead letter: {exc.sqlstate} ({type(exc).__name__})")

    def _try_alone(self, sessions: SessionRows) -> str | None:
        try:
            with self._connected().transaction(force_rollback=True):
                _replace_sessions(self._connected(), sessions, self._clock())
        except psycopg.Error as exc:
            if fault_of(exc) is Fault.DATA:
                # Of what the server says, the first line; the others may quote whole rows.
                return f"{exc.sqlstate}: {exc.diag.message_primary}"
            raise
        return None


class _NotExpectedError(Exception):
    """The stored offsets are not the expected ones."""


def _staging_table(table: Table) -> str:
    lines = ", ".join(
        f"{quoted(column.name)} {ddl.POSTGRES.types[column.type]}" for column in table.columns if column.name != STAMPED
    )
    return f"CREATE TEMPORARY TABLE batch_{table.name} ({lines}) ON COMMIT DELETE ROWS"


def _replace_sessions(connection: psycopg.Connection, sessions: SessionRows, now: datetime) -> frozenset[SessionKey]:
    if not len(sessions):
        return frozenset()
    connection.execute(_WRITERS_LOCK)
    for _ in range(_ATTEMPTS_MAX):
        try:
            with connection.transaction():
                return _replaced(connection, sessions, now)
        except psycopg.errors.UniqueViolation as exc:
            if exc.diag.table_name != SESSIONS.name:
                raise  # a document with two children of one key
            # Somebody without that lock (an older callweave) brought one of them meanwhile: it stands there now.
    raise SinkUnavailableError("Postgres: another writer brings the same new sessions again and again")


def _replaced(connection: psycopg.Connection, sessions: SessionRows, now: datetime) -> frozenset[SessionKey]:
    """Take out what is older, then copy straight into the tables: nearly all of a batch is new, or newer."""
    ranks = sessions.tables[SESSIONS.name].select(_RANKED)
    _copy(connection, f"batch_{SESSIONS.name}", ranks)
    if connection.execute(_LOCK_STANDING).rowcount:
        newest = connection.execute("SELECT sdk_app_id, session_id FROM standing WHERE NOT is_older").fetchall()
        sessions = sessions.without({SessionKey(app, session) for app, session in newest})
        for table in SESSION_TABLES:
            connection.execute(
                f"DELETE FROM {table.name} AS t USING standing AS s WHERE s.is_older "  # noqa: S608 - names of our own
                "AND t.sdk_app_id = s.sdk_app_id AND t.session_id = s.session_id".encode()
            )
    for name, rows in sessions.tables.items():
        _copy(connection, name, stamped(rows, now) if name == SESSIONS.name else rows)
    return frozenset(sessions.keys)


def _copy(connection: psycopg.Connection, name: str, rows: pa.Table) -> None:
    if not rows.num_rows:
        return
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {name} ({names(rows.column_names)}) FROM STDIN".encode()) as copy,
    ):
        copy.write(copy_text(rows))


_GONE: Final = "(sdk_app_id, session_id) IN (SELECT * FROM unnest(%s::bigint[], %s::text[]))"
_FORGET_SESSIONS: Final = (
    f"DELETE FROM sessions WHERE {_GONE} AND erasure IS DISTINCT FROM %s".encode()  # noqa: S608 - names of our own
)


_FORGET_FILES: Final = f"DELETE FROM recording_files WHERE {_GONE}".encode()  # noqa: S608 - names of our own


def _forget_children(child: Table) -> bytes:
    return (
        f"DELETE FROM {child.name} AS c WHERE {_GONE} AND NOT EXISTS (SELECT 1 FROM sessions AS s "  # noqa: S608
        "WHERE s.sdk_app_id = c.sdk_app_id AND s.session_id = c.session_id)"
    ).encode()


def _count_letters(connection: psycopg.Connection, letters: Sequence[LetterRow]) -> None:
    if not letters:
        return
    _copy(connection, f"batch_{DEAD_LETTERS.name}", letter_table(letters))
    connection.execute(ddl.LETTERS_KNOWN.encode())
    connection.execute(ddl.letters_new().encode())


def _replace_keyed(connection: psycopg.Connection, batch: Batch, now: datetime) -> None:
    for name, rows in batch.keyed.items():
        _copy(connection, f"batch_{name}", rows)
        connection.execute(replaced(ASKED_TABLES[name]).encode())
        connection.execute(added(ASKED_TABLES[name], "%s").encode(), [now])


def _move_offsets(connection: psycopg.Connection, batch: Batch, now: datetime) -> None:
    for (topic, partition), next_offset in sorted(batch.offsets.items()):
        expected = batch.expected[LogPartition(topic, partition)]
        if expected is None:
            moved = connection.execute(
                'INSERT INTO callweave_offsets (topic, "partition", next_offset, updated_at) '
                "VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [topic, partition, next_offset, now],
            )
        else:
            moved = connection.execute(
                "UPDATE callweave_offsets SET next_offset = %s, updated_at = %s "
                'WHERE topic = %s AND "partition" = %s AND next_offset = %s',
                [next_offset, now, topic, partition, expected],
            )
        if moved.rowcount != 1:
            raise _NotExpectedError


def _stored_offsets(connection: psycopg.Connection) -> dict[LogPartition, int]:
    rows = connection.execute(f"SELECT {names(OFFSETS.column_names[:3])} FROM callweave_offsets".encode())  # noqa: S608
    return {LogPartition(topic, partition): next_offset for topic, partition, next_offset in rows.fetchall()}


def _planned(
    connection: psycopg.Connection, recording_deadline_seconds: int, kpi_rules: Sequence[KpiRules]
) -> Migration:
    found = _found(connection)
    selects = {
        name: ddl.view(
            name,
            recording_deadline_seconds=recording_deadline_seconds,
            dialect=ddl.POSTGRES.name,
            kpi_rules=kpi_rules,
        )
        for name in ddl.VIEWS
    }
    wanted = Wanted(
        [
            *ddl.upgrade(ddl.POSTGRES, found.catalogue),
            *(statement for name, statement in _INDEXES.items() if name not in found.catalogue),
        ],
        {
            name: _view_replaced(name, select) if name in found.catalogue else f"CREATE VIEW {quoted(name)} AS {select}"
            for name, select in selects.items()
        },
        ddl.comments(),
        ddl.layout_digest(ddl.POSTGRES, recording_deadline_seconds=recording_deadline_seconds, kpi_rules=kpi_rules),
    )
    statements = plan(found, wanted)
    if not statements:
        return Migration()
    notes = [*replaced_notes(layout_notes(found, wanted)), record(statements, wanted.digest, now="now()")]
    return Migration(statements, tuple(notes), ("BEGIN", _LAYOUT_LOCK), ("COMMIT",))


def _view_replaced(name: str, select: str) -> str:
    # A view whose columns moved cannot be replaced, only made anew, with those of ours that are built on it: they come
    # after it. Grants on a view that is dropped go with it.
    later = ddl.VIEWS[ddl.VIEWS.index(name) :]
    return (
        f"DO $do$ DECLARE made text := $view$VIEW {quoted(name)} AS {select}\n$view$; BEGIN\n"
        "EXECUTE 'CREATE OR REPLACE ' || made;\n"
        f"EXCEPTION WHEN invalid_table_definition THEN DROP VIEW IF EXISTS {names(later)};\n"
        "EXECUTE 'CREATE ' || made; END $do$"
    )


def _found(connection: psycopg.Connection) -> Found:
    # The catalogue itself: what information_schema shows depends on the role's rights.
    rows = connection.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_class AS c "
        "INNER JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'i')"
    )
    catalogue: dict[str, dict[str, str]] = {}
    for table, column, kind in rows.fetchall():
        catalogue.setdefault(table, {})[column] = kind
    meta: dict[str, str] = {}
    if META.name in catalogue:
        meta = dict(connection.execute('SELECT "key", "value" FROM callweave_meta').fetchall())
    return Found(catalogue, meta)
