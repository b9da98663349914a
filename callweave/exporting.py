"""`callweave export`: a day of every table as Parquet or CSV files, for whoever has no access to the warehouse.

The rule: a file appears whole, and the manifest last, with the rows and the digest of each; a folder without one is no
export. A session's rows are those of one moment: an hour that changed while it was read is read again.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from os import fsync, getpid
from pathlib import Path
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from callweave import __version__
from callweave.export_format import Format
from callweave.reading import json_cell
from callweave.runtime import Runtime
from callweave.settings import Settings
from callweave.snapshots import publish_snapshot
from schemas.columns import (
    CHILDREN,
    DEAD_LETTERS,
    KEYED_TABLES,
    RECONCILE_WINDOWS,
    SESSIONS,
    TABLES,
    Column,
    ColumnType,
    Table,
)
from sinks.duckdb_query import DuckDbReader
from sinks.rows import ARROW_TYPES
from sinks.sink import QueryLimits, QueryRefusedError, QueryResult, Reader, SinkUnavailableError
from sinks.warehouse import Spelling, open_reader, spelling_of

ROWS_AT_ONCE: Final = 100_000
SECONDS_MAX: Final = 300.0
READINGS_MAX: Final = 5
"""Of an hour whose sessions change meanwhile; then it is taken as it is, and the manifest says so."""
SHORTEST: Final = timedelta(seconds=1)
MANIFEST: Final = "manifest.json"
SESSION_DAY: Final = "coalesce(started_at, first_received_at)"
"""Where a session belongs: as in the numbers, to its start; without a CDR, to its first report."""

_LIMITS: Final = QueryLimits(rows_max=ROWS_AT_ONCE, seconds_max=SECONDS_MAX)
_HOUR: Final = timedelta(hours=1)
_BY_SESSION: Final = (*CHILDREN, *(table for table in KEYED_TABLES if {*SESSIONS.key} <= {*table.key}))
_BY_TIME: Final[Mapping[str, str]] = {
    DEAD_LETTERS.name: "occurred_at",
    RECONCILE_WINDOWS.name: "window_start",
    "agent_status": "changed_at",
}
_UNFINISHED: Final = ".unfinished"
_FORMULA: Final = re.compile(r"'?[=+\-@\t\r]")
_PHONE: Final = re.compile(r"\+[0-9]{1,20}")
_CSV_OPTIONS: Final = csv.WriteOptions(quoting_style="needed", quoting_header="none")

Progress = Callable[[str, int, int], None]
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be exported, and how."""

    tables: Sequence[Table] = TABLES
    format: Format = Format.PARQUET
    zone: str = "UTC"
    guards_formulas: bool = True
    """CSV only: cells that a spreadsheet would take for a formula are made text."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One table's file."""

    table: str
    path: Path
    rows_count: int
    bytes_count: int
    sha256: str
    guarded_count: int


@dataclass(frozen=True, slots=True)
class Exported:
    """One day's folder. Not settled: sessions of some hour changed at every reading."""

    folder: Path
    day: date
    files: list[ExportedFile]
    is_settled: bool


def export_days(
    settings: Settings,
    days: Sequence[date],
    out: Path,
    wish: Wish,
    *,
    now: Callable[[], datetime],
    progress: Progress,
) -> list[Exported]:
    """A folder for each day, below `out`."""
    with _opened(settings) as reader:
        spelling = spelling_of(settings.warehouse_url)
        exported: list[Exported] = []
        for day in days:
            progress("exporting days", len(exported), len(days))
            exported.append(_Day(reader, spelling, wish, day, out / day.isoformat()).export(now()))
        progress("exporting days", len(days), len(days))
        return exported


@contextmanager
def _opened(settings: Settings) -> Iterator[Reader]:
    """The warehouse for reading; of a DuckDB file that the loader has open, a copy that it publishes for this."""
    if settings.warehouse_url.startswith("duckdb:") and Runtime(settings.data_dir).role("loader") is not None:
        reader: Reader = DuckDbReader(publish_snapshot(settings, None).path)
    else:
        reader = open_reader(settings.warehouse_url, data_dir=settings.data_dir)
    with closing(reader):
        yield reader


@dataclass(slots=True)
class _Day:
    reader: Reader
    spelling: Spelling
    wish: Wish
    day: date
    folder: Path
    is_settled: bool = True
    written: list[ExportedFile] = field(default_factory=list)

    def export(self, now: datetime) -> Exported:
        try:
            return self._export(now)
        except OSError as exc:
            raise SinkUnavailableError(f"{self.folder} cannot be written: {exc.strerror or exc}") from exc

    def _export(self, now: datetime) -> Exported:
        begin, end = day_bounds(self.day, self.wish.zone)
        self._prepare()
        of_sessions = [table for table in (SESSIONS, *_BY_SESSION) if table in self.wish.tables]
        outputs = {table.name: self._output(table) for table in self.wish.tables}
        try:
            for start in _hours(begin, end):
                self._copy_sessions(of_sessions, start, min(start + _HOUR, end), outputs)
            for table in self.wish.tables:
                if table.name in _BY_TIME:
                    self._copy_timed(table, begin, end, outputs[table.name])
                elif table not in of_sessions:
                    where = self._within_validity(table, begin, end)
                    outputs[table.name].add(_all_of(self._select(table, where), table.name))
            self.written = [output.finish() for output in outputs.values()]
            self._remove_others()
        except BaseException:
            for output in outputs.values():
                output.discard()
            raise
        self._tell(begin, end, now)
        return Exported(self.folder, self.day, self.written, self.is_settled)

    def _prepare(self) -> None:
        """What is there of an earlier export counts no more, and what a killed one left is in nobody's way."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MANIFEST).unlink(missing_ok=True)
        for left in self.folder.glob(f".*{_UNFINISHED}"):
            left.unlink(missing_ok=True)

    def _remove_others(self) -> None:
        """Tables of an earlier export that this one does not hold, or holds in the other format."""
        ours = {file.path for file in self.written}
        for path in (self.folder / f"{table.name}.{kind.value}" for table in TABLES for kind in Format):
            if path not in ours:
                path.unlink(missing_ok=True)

    def _output(self, table: Table) -> "_Output":
        kind = _ParquetFile if self.wish.format is Format.PARQUET else _CsvFile
        file = self.folder / f"{table.name}.{self.wish.format.value}"
        return _Output(table, file, kind, guards_formulas=self.wish.guards_formulas)

    def _copy_sessions(
        self, tables: Sequence[Table], start: datetime, stop: datetime, outputs: Mapping[str, "_Output"]
    ) -> None:
        if not tables:
            return
        for attempt in range(READINGS_MAX):
            before = self._stamp(start, stop)
            answers = {table.name: self._select(table, self._of_sessions(table, start, stop)) for table in tables}
            if any(answer.truncated for answer in answers.values()):
                middle = _halfway(start, stop)
                self._copy_sessions(tables, start, middle, outputs)
                self._copy_sessions(tables, middle, stop, outputs)
                return
            if self._stamp(start, stop) == before:
                break
            self.is_settled = self.is_settled and attempt + 1 < READINGS_MAX
        for name, answer in answers.items():
            outputs[name].add(answer.rows)

    def _copy_timed(self, table: Table, start: datetime, stop: datetime, output: "_Output") -> None:
        answer = self._select(table, self._between(_BY_TIME[table.name], start, stop))
        if answer.truncated:
            middle = _halfway(start, stop)
            self._copy_timed(table, start, middle, output)
            self._copy_timed(table, middle, stop, output)
            return
        output.add(answer.rows)

    def _stamp(self, start: datetime, stop: datetime) -> Any:
        """Moves whenever a session of that time is replaced, with its children."""
        where = self._between(SESSION_DAY, start, stop)
        return self.reader.query(f"SELECT count(*), max(loaded_at) FROM sessions WHERE {where}", _LIMITS).rows  # noqa: S608

    def _select(self, table: Table, where: str) -> QueryResult:
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        return self.reader.query(f"SELECT {columns} FROM {table.name} WHERE {where}", _LIMITS)  # noqa: S608 - our names

    def _of_sessions(self, table: Table, start: datetime, stop: datetime) -> str:
        between = self._between(SESSION_DAY, start, stop)
        if table is SESSIONS:
            return between
        return f"(sdk_app_id, session_id) IN (SELECT sdk_app_id, session_id FROM sessions WHERE {between})"  # noqa: S608

    def _between(self, expression: str, start: datetime, stop: datetime) -> str:
        return f"{expression} >= {self.spelling.instant(start)} AND {expression} < {self.spelling.instant(stop)}"

    def _within_validity(self, table: Table, begin: datetime, end: datetime) -> str:
        """Of a table that says since when a row holds, the rows that held on that day; of any other, all."""
        if "valid_from" not in table.column_names:
            return "1 = 1"
        ends_later = f"(valid_to IS NULL OR valid_to > {self.spelling.instant(begin)})"
        return f"valid_from < {self.spelling.instant(end)} AND {ends_later}"

    def _tell(self, begin: datetime, end: datetime, now: datetime) -> None:
        told = {
            "callweave": __version__,
            "day": self.day.isoformat(),
            "time_zone": self.wish.zone,
            "from": json_cell(begin),
            "to": json_cell(end),
            "exported_at": json_cell(now),
            "format": self.wish.format.value,
            "is_settled": self.is_settled,
            "session_belongs_to": SESSION_DAY,
            "formulas": "guarded" if self.wish.format is Format.CSV and self.wish.guards_formulas else "as sent",
            "tables": [
                {
                    "table": file.table,
                    "file": file.path.name,
                    "rows": file.rows_count,
                    "bytes": file.bytes_count,
                    "sha256": file.sha256,
                    "guarded_cells": file.guarded_count,
                }
                for file in self.written
            ],
        }
        unfinished = _beside(self.folder / MANIFEST)
        unfinished.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        _appear(unfinished, self.folder / MANIFEST)


def day_bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """Beginning and end of a day in a time zone, in UTC; days at a time change have 23 or 25 hours."""
    midnights = (datetime.combine(each, datetime.min.time(), ZoneInfo(zone)) for each in (day, day + timedelta(days=1)))
    begin, end = (midnight.astimezone(UTC) for midnight in midnights)
    return begin, end


def guarded(cell: str) -> str:
    """The cell, made text where a spreadsheet would take it for a formula; a phone number stays as it is.

    What begins with an apostrophe and then such a sign gets one more, so that taking one away gives back what was sent.
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _PHONE.fullmatch(cell) else cell


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


class _Kind(Protocol):
    def __call__(self, path: Path, table: Table) -> _Writer: ...


class _ParquetFile:
    """Types as in every warehouse."""

    def __init__(self, path: Path, table: Table) -> None:
        self._writer = pq.ParquetWriter(path, _schema(table), compression="zstd")

    def write_table(self, table: pa.Table) -> None:
        """Add rows."""
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


class _CsvFile:
    """UTF-8 with a header; texts always in quotes, NULL as nothing, times ISO 8601 in UTC, bytes as base64."""

    def __init__(self, path: Path, table: Table) -> None:
        self._schema = pa.schema([pa.field(column.name, _csv_type(column)) for column in table.columns])
        self._writer = csv.CSVWriter(path, self._schema, write_options=_CSV_OPTIONS)

    def write_table(self, table: pa.Table) -> None:
        """Add rows."""
        columns = [
            pa.array([_csv_cell(value) for value in _plain(table[name]).to_pylist()], kind)
            if table.schema.field(name).type != kind
            else table[name]
            for name, kind in zip(self._schema.names, self._schema.types, strict=True)
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def close(self) -> None:
        """Write the rest."""
        self._writer.close()


@dataclass(slots=True)
class _Output:
    """A table's file while it is written."""

    table: Table
    path: Path
    kind: _Kind
    guards_formulas: bool
    rows_count: int = 0
    guarded_count: int = 0
    _writer: _Writer | None = None

    def add(self, rows: Rows) -> None:
        """Add rows, ordered by key."""
        if not rows:
            return
        places = [self.table.column_names.index(name) for name in self.table.key]
        ordered = sorted(rows, key=lambda row: [row[place] for place in places])
        self.rows_count += len(ordered)
        self._opened().write_table(self._arrow(ordered))

    def finish(self) -> ExportedFile:
        """Let the file appear."""
        self._opened().close()
        unfinished = _beside(self.path)
        digest, bytes_count = sha256(), 0
        with unfinished.open("rb") as content:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
                bytes_count += len(chunk)
        _appear(unfinished, self.path)
        return ExportedFile(
            self.table.name, self.path, self.rows_count, bytes_count, digest.hexdigest(), self.guarded_count
        )

    def discard(self) -> None:
        """Leave nothing behind."""
        _beside(self.path).unlink(missing_ok=True)

    def _opened(self) -> _Writer:
        if self._writer is None:
            self._writer = self.kind(_beside(self.path), self.table)
        return self._writer

    def _arrow(self, rows: Rows) -> pa.Table:
        columns = list(zip(*rows, strict=True))
        if self.guards_formulas and self.kind is _CsvFile:
            columns = [
                self._guarded(values) if column.type is ColumnType.TEXT else values
                for column, values in zip(self.table.columns, columns, strict=True)
            ]
        return pa.table(
            [pa.array(values, field.type) for values, field in zip(columns, _schema(self.table), strict=True)],
            schema=_schema(self.table),
        )

    def _guarded(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        cells = tuple(None if value is None else guarded(value) for value in values)
        self.guarded_count += sum(cell != value for cell, value in zip(cells, values, strict=True))
        return cells


def _all_of(answer: QueryResult, table: str) -> Rows:
    if answer.truncated:
        raise QueryRefusedError(f"{table} has more than {ROWS_AT_ONCE:,} rows on one day: leave it out by --table")
    return answer.rows


def _hours(begin: datetime, end: datetime) -> Iterator[datetime]:
    start = begin
    while start < end:
        yield start
        start += _HOUR


def _halfway(start: datetime, stop: datetime) -> datetime:
    if stop - start <= SHORTEST:
        raise QueryRefusedError(
            f"more than {ROWS_AT_ONCE:,} rows of one table belong to {start:%Y-%m-%d %H:%M:%S} UTC: "
            "leave it out by --table"
        )
    return start + (stop - start) / 2


def _schema(table: Table) -> pa.Schema:
    return pa.schema([pa.field(column.name, ARROW_TYPES[column.type]) for column in table.columns])


def _csv_type(column: Column) -> pa.DataType:
    plain = {ColumnType.INTEGER, ColumnType.FRACTION, ColumnType.BOOLEAN}
    return ARROW_TYPES[column.type] if column.type in plain else pa.string()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # Arrow hands out times with a zone only where the machine has a zone database; in UTC the naive ones say the same.
    return column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column


def _csv_cell(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return str(json_cell(value))


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{getpid()}{_UNFINISHED}")


def _appear(unfinished: Path, path: Path) -> None:
    with unfinished.open("rb+") as content:
        fsync(content.fileno())
    unfinished.replace(path)
