"""The embedded warehouse: one DuckDB file, written by this process alone (`sinks.duckdb_tables` writes it).

The rule: checkpoints are rare, and made when nothing arrives.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final

import duckdb
import structlog

from sinks.ddl import literal
from sinks.duckdb_query import connect, run_query
from sinks.duckdb_tables import DuckDbTables, duckdb_migration
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.sink import Fault, Migration, QueryLimits, QueryResult, SinkUnavailableError, utc_now

log = structlog.get_logger(__name__)

STORAGE_VERSION: Final = "v1.5.0"
"""Of new files: DuckDB 1.5 and 2 both open it."""
CHECKPOINT_THRESHOLD: Final = "256MB"
"""DuckDB's own 16 MB cost up to 4.6 times the throughput, in pauses of seconds; we checkpoint when idle instead."""

_TRANSIENT: Final = (
    duckdb.IOException,  # disk full, file gone
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
    duckdb.InterruptException,
    duckdb.ConnectionException,
    duckdb.FatalException,  # the database has to be opened again, which is what we do after every transient fault
    duckdb.InternalException,
)
_DATA: Final = (duckdb.DataError, duckdb.ConstraintException, duckdb.InvalidInputException)


def fault_of(exc: duckdb.Error) -> Fault:
    """What a DuckDB error means to the loader, by its class."""
    if isinstance(exc, _TRANSIENT):
        return Fault.TRANSIENT
    return Fault.DATA if isinstance(exc, _DATA) else Fault.BROKEN


class _Gate:
    """Many at a time, or one alone."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Beside others, and not beside somebody who wants to be alone."""
        with self._condition:
            self._count += 1
        try:
            yield
        finally:
            with self._condition:
                self._count -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Once the others are gone; new ones wait."""
        with self._condition:
            self._condition.wait_for(lambda: self._count == 0)
            yield


class DuckDbSink(DuckDbTables):
    """A DuckDB file (None: in memory)."""

    name: ClassVar = "DuckDB"

    def __init__(
        self,
        path: Path | None,
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
        self._path = path
        self._gate = _Gate()
        self._is_laid_out = False

    def open(self) -> None:
        """Open or create the file; nobody reads it before its tables and views are there."""
        super().open()
        self._is_laid_out = True

    def pending(self) -> Migration:
        """What opening would do to tables and views; a file that is not there is not made."""
        if self._path is not None and not self._path.exists():
            return duckdb_migration(None, recording_deadline_seconds=self._deadline_seconds, kpi_rules=self._kpi_rules)
        return super().pending()

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file; skipped while a query holds an older state."""
        with self._in_our_words():
            try:
                self._connected().execute("CHECKPOINT")
            except duckdb.TransactionException as exc:
                log.debug("checkpoint_postponed", reason=str(exc))

    def settled_file(self) -> Path | None:
        """The file once its write-ahead log is folded in; None while a query holds an older state, or in memory."""
        self.checkpoint()
        if self._path is None or self._path.with_name(f"{self._path.name}.wal").exists():
            return None
        return self._path

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT, from any thread, on a connection of its own."""
        with self._gate.shared():
            database = self._database
            if database is None or not self._is_laid_out:
                raise SinkUnavailableError("the warehouse is not open yet")
            with closing(database.cursor()) as cursor:
                return run_query(cursor, sql, limits)

    def _scrub_disk(self) -> None:
        """Write the file anew: deleted rows stay in their blocks, and free blocks keep what they held.

        While no query runs: a database that is still open under the file's name would be opened again, not the new one.
        """
        if self._path is None:
            return
        scrubbed = self._path.with_name(f"{self._path.name}.scrubbed")
        with self._gate.alone():
            self.checkpoint()
            self._drop()
            scrubbed.unlink(missing_ok=True)
            with closing(duckdb.connect()) as copying:
                copying.execute(f"ATTACH {literal(str(self._path))} AS old (READ_ONLY)")
                copying.execute(f"ATTACH {literal(str(scrubbed))} AS new (STORAGE_VERSION '{STORAGE_VERSION}')")
                copying.execute("COPY FROM DATABASE old TO new")
            with scrubbed.open("rb+") as file:
                os.fsync(file.fileno())
            scrubbed.replace(self._path)
            self._connected()

    def close(self) -> None:
        """Checkpoint and let go of the file."""
        self._is_laid_out = False
        if self._writer is not None:
            # What a checkpoint cannot do now, the next opening does from the write-ahead log.
            with contextlib.suppress(duckdb.Error):
                self._writer.execute("CHECKPOINT")
        self._drop()

    def _connected(self) -> duckdb.DuckDBPyConnection:
        if self._writer is None:
            self._database = connect(
                self._path, storage_compatibility_version=STORAGE_VERSION, checkpoint_threshold=CHECKPOINT_THRESHOLD
            )
            # The database's first connection executes nothing, so that queries can branch off it at any time.
            self._writer = self._database.cursor()
        return self._writer

    def _open_database(self) -> duckdb.DuckDBPyConnection:
        return connect(
            self._path, storage_compatibility_version=STORAGE_VERSION, checkpoint_threshold=CHECKPOINT_THRESHOLD
        )

    def _fault_of(self, exc: duckdb.Error) -> Fault:
        return fault_of(exc)
