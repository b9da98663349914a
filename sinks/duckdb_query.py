"""Read-only queries on DuckDB: one SELECT, in a read-only transaction, stopped when it takes too long.

The rule: what a query can reach is decided by the database's configuration (`LOCKED_DOWN`), which no statement can
change back: no files, no network, no variables of this process.
"""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from sinks.sink import QueryLimits, QueryRefusedError, QueryResult, QueryTooSlowError, SinkUnavailableError

CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
LOCKED_DOWN: Final = (
    "SET GLOBAL TimeZone = 'UTC'",
    "SET GLOBAL enable_external_access = false",
    "SET GLOBAL lock_configuration = true",
)
_INTERRUPT_AGAIN_SECONDS: Final = 0.05


class DuckDbReader:
    """A DuckDB file opened for reading only, for when no loader has it open."""

    def __init__(self, path: Path) -> None:
        self._database = connect(path, read_only=True)

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT within the limits."""
        with closing(self._database.cursor()) as cursor:
            return run_query(cursor, sql, limits)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def connect(path: Path | None, *, read_only: bool = False, **config: str) -> duckdb.DuckDBPyConnection:
    """Open a file (None: memory) and lock its configuration."""
    if read_only and path is not None and not path.exists():
        raise SinkUnavailableError(f"there is no warehouse at {path} yet: the loader creates it when it first runs")
    try:
        database = duckdb.connect(path or ":memory:", read_only=read_only, config={**CONFIG, **config})
    except duckdb.Error as exc:
        raise SinkUnavailableError(_cannot_open(path, exc)) from exc
    for statement in LOCKED_DOWN:
        database.execute(statement)
    return database


def run_query(cursor: duckdb.DuckDBPyConnection, sql: str, limits: QueryLimits) -> QueryResult:
    """Run one SELECT on a connection of its own."""
    statement = _the_select(sql)
    with _deadline(cursor, limits.seconds_max) as expired:
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            reader = cursor.execute(statement).to_arrow_reader(min(limits.rows_max + 1, 2_048))
            columns, rows = _rows(reader, limits.rows_max + 1)
        except (duckdb.Error, pa.ArrowException) as exc:
            # Arrow wraps what DuckDB raises while rows are fetched, so the clock tells which query was stopped.
            if expired.is_set():
                raise QueryTooSlowError(f"the query took longer than {limits.seconds_max:g} s and was stopped") from exc
            raise QueryRefusedError(str(exc)) from exc
    return QueryResult(columns, rows[: limits.rows_max], truncated=len(rows) > limits.rows_max)


def _the_select(sql: str) -> duckdb.Statement:
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as exc:
        raise QueryRefusedError(str(exc)) from exc
    if len(statements) != 1:
        raise QueryRefusedError(f"exactly one SELECT can be run at a time, not {len(statements)} statements")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise QueryRefusedError(f"only SELECT can be run here, not {statements[0].type.name}")
    return statements[0]


@contextmanager
def _deadline(cursor: duckdb.DuckDBPyConnection, seconds_max: float) -> Iterator[threading.Event]:
    done, expired = threading.Event(), threading.Event()

    def watch() -> None:
        if done.wait(seconds_max):
            return
        expired.set()
        # Again and again: an interruption between two statements is forgotten by the next.
        while not done.wait(_INTERRUPT_AGAIN_SECONDS):
            cursor.interrupt()

    watcher = threading.Thread(target=watch, name="query deadline", daemon=True)
    watcher.start()
    try:
        yield expired
    finally:
        done.set()
        watcher.join()


def _rows(reader: pa.RecordBatchReader, count_max: int) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    rows: list[tuple[Any, ...]] = []
    for batch in reader:
        rows += zip(*(_cells(column) for column in batch.columns), strict=True)
        if len(rows) >= count_max:
            break
    return tuple(reader.schema.names), rows[:count_max]


def _cells(column: pa.Array) -> list[Any]:
    # By way of Arrow, because DuckDB itself needs pytz to hand out times, and without a zone database on the machine.
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        naive = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.timestamp("us"))
        return [None if value is None else value.replace(tzinfo=UTC) for value in naive.to_pylist()]
    if pa.types.is_decimal(column.type) and column.type.scale == 0:
        return [int(value) if isinstance(value, Decimal) else value for value in column.to_pylist()]
    return list(column.to_pylist())


def _cannot_open(path: Path | None, exc: duckdb.Error) -> str:
    reason = str(exc).partition(" See also")[0]
    if "Could not set lock" in reason:
        # DuckDB has no code of its own for this; its message names the other process.
        return f"{reason} A DuckDB file belongs to one process: stop that one, or ask it through its admin port"
    return f"the DuckDB file {path} cannot be opened: {reason}"
