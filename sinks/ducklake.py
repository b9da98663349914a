"""The lakehouse: tables as Parquet files, a catalogue in Postgres or SQLite, many readers beside the one loader.

The rule: as in every warehouse that DuckDB writes (`sinks.duckdb_tables`), and no time is used to find a session's old
rows, because none of its times is certain to stay as it is.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import uuid4

import duckdb
import structlog

from sinks.ddl import META, OFFSETS
from sinks.duckdb_tables import DuckDbTables, duckdb_migration
from sinks.ducklake_address import LAKE, LakeAddress, fault_of
from sinks.ducklake_query import DuckLakeReader
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.migrations import inserted_note
from sinks.sink import (
    Batch,
    Compaction,
    Fault,
    Migration,
    QueryLimits,
    QueryResult,
    SinkUnavailableError,
    Written,
    utc_now,
)

log = structlog.get_logger(__name__)

SNAPSHOTS_KEPT: Final = "1 day"
"""How far back readers can travel, and how long a file that was replaced stays for those who still read it."""
COMMITS_BETWEEN_TIDYINGS: Final = 1_000
"""Also while records never cease to arrive: each commit adds a file to each table that it changes."""
_FILES_AT_ONCE: Final = 1_000
_REWRITTEN_WHEN_GONE: Final = 0.25
"""A file of which this share was replaced is written anew: until then readers skip its dead rows one by one."""
_REWRITE: Final = f"CALL ducklake_rewrite_data_files('{LAKE}', delete_threshold => {_REWRITTEN_WHEN_GONE})"
_MERGE: Final = f"CALL ducklake_merge_adjacent_files('{LAKE}', max_compacted_files => {_FILES_AT_ONCE})"
_EXPIRE: Final = f"CALL ducklake_expire_snapshots('{LAKE}', older_than => now() - INTERVAL '{SNAPSHOTS_KEPT}')"
_CLEAN: Final = f"CALL ducklake_cleanup_old_files('{LAKE}', older_than => now() - INTERVAL '{SNAPSHOTS_KEPT}')"
_SCRUB: Final = (
    f"CALL ducklake_flush_inlined_data('{LAKE}')",
    f"CALL ducklake_rewrite_data_files('{LAKE}', delete_threshold => 0)",
    f"CALL ducklake_merge_adjacent_files('{LAKE}')",
    f"CALL ducklake_expire_snapshots('{LAKE}', older_than => now())",
    f"CALL ducklake_cleanup_old_files('{LAKE}', cleanup_all => true)",
)
"""After erasing, nobody travels back: the files and snapshots that held the rows go at once."""
_UNLEARN: Final = (
    f"UPDATE __ducklake_metadata_{LAKE}.ducklake_table_column_stats SET min_value = NULL, max_value = NULL"  # noqa: S608
)
_WRITER_KEY: Final = "writer"
_CATALOGUE_SECONDS: Final = 30.0
_MIGRATION_CONFLICTS_MAX: Final = 3
"""A lake has no lock: of two that lay it out at once, one commits, and the other looks again."""
_SMALL_TABLES: Final = (META, OFFSETS)


class DuckLakeSink(DuckDbTables):
    """A lake."""

    name: ClassVar = "DuckLake"
    comments_on_columns_of: ClassVar = ()

    def __init__(
        self,
        address: LakeAddress,
        *,
        recording_deadline_seconds: int,
        may_migrate: bool = True,
        kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(
            recording_deadline_seconds=recording_deadline_seconds,
            may_migrate=may_migrate,
            kpi_rules=kpi_rules,
            clock=clock,
        )
        self._address = address
        self._reader: DuckLakeReader | None = None
        self._commits_since_tidying = 0

    def open(self) -> None:
        """Attach or create the lake; create or upgrade what is in it."""
        super().open()
        with self._in_our_words():
            self._prepare(self._connected())
        self._reader = self._reader or DuckLakeReader(self._address)

    def pending(self) -> Migration:
        """What opening would do to tables and views; a lake that is not there is not made."""
        if not self._address.is_made():
            return duckdb_migration(
                None,
                recording_deadline_seconds=self._deadline_seconds,
                kpi_rules=self._kpi_rules,
                comments_on_columns_of=self.comments_on_columns_of,
            )
        return super().pending()

    def migrate(self) -> Migration:
        """Do that, and record it, in one transaction; where another one was faster, see what is left to do."""
        for _ in range(_MIGRATION_CONFLICTS_MAX):
            try:
                return super().migrate()
            except SinkUnavailableError as exc:
                log.info("migration_repeated", reason=str(exc))
        return super().migrate()

    def write(self, batch: Batch) -> Written:
        """Land the batch in one transaction."""
        written = super().write(batch)
        self._commits_since_tidying += 1
        if self._commits_since_tidying >= COMMITS_BETWEEN_TIDYINGS:
            self.checkpoint()
        return written

    def checkpoint(self) -> None:
        """Merge small files, rewrite those with many dead rows, forget old snapshots."""
        self.compact()

    def compact(self) -> Compaction:
        """The same; what was done. A conflict with another writer postpones the rest."""
        self._commits_since_tidying = 0
        merged = made = 0
        for statement in (_REWRITE, _MERGE):
            for _, _, old_count, new_count in self._tidied(statement):
                merged, made = merged + old_count, made + new_count
        self._tidied(_EXPIRE)
        return Compaction(merged, made, len(self._tidied(_CLEAN)))

    def _scrub_disk(self) -> None:
        for statement in _SCRUB:
            self._tidied(statement)
        # What DuckLake says of a whole table is never narrowed: it keeps the extremes of what is long gone.
        with self._in_our_words():
            self._connected().execute(_UNLEARN)
        if self._address.kind == "sqlite":
            # Deleted rows, and the smallest and largest values of deleted files, stay in the catalogue's free pages.
            with closing(sqlite3.connect(self._address.catalogue, timeout=_CATALOGUE_SECONDS)) as catalogue:
                try:
                    catalogue.execute("VACUUM")
                except sqlite3.OperationalError as exc:
                    raise SinkUnavailableError(f"{self.name}: the catalogue is busy ({exc})") from exc

    def _tidied(self, statement: str) -> list[Any]:
        with self._in_our_words():
            try:
                return self._connected().execute(statement).fetchall()
            except duckdb.TransactionException as exc:
                log.debug("tidying_postponed", reason=self._address.plain(exc))
                return []

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT, from any thread, on what is committed."""
        reader = self._reader
        if reader is None:
            raise SinkUnavailableError("the warehouse is not open yet")
        return reader.query(sql, limits)

    def close(self) -> None:
        """Let go of the lake."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        super().close()

    def _open_database(self) -> duckdb.DuckDBPyConnection:
        return self._address.attached(read_only=False)

    def _prepare(self, writer: duckdb.DuckDBPyConnection) -> None:
        if writer.execute(f"FROM {META.name} WHERE key = '{_WRITER_KEY}'").fetchall():
            return
        for table in _SMALL_TABLES:
            # A row or two that every commit replaces: in the catalogue itself, not in a file each time.
            writer.execute(f"CALL {LAKE}.set_option('data_inlining_row_limit', 10000, table_name => '{table.name}')")
        self._claim(writer)

    def _claim(self, writer: duckdb.DuckDBPyConnection) -> None:
        # Two that only insert do not conflict in DuckLake, and before the first commit there are no offsets to delete.
        writer.execute(f"DELETE FROM {META.name} WHERE key = '{_WRITER_KEY}'")  # noqa: S608 - names of our own
        writer.execute(inserted_note(_WRITER_KEY, uuid4().hex))

    def _cursor(self, database: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        cursor = database.cursor()
        cursor.execute(f"USE {LAKE}")
        return cursor

    def _fault_of(self, exc: duckdb.Error) -> Fault:
        return fault_of(exc)

    def _said(self, exc: duckdb.Error) -> str:
        return self._address.plain(exc)
