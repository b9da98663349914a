"""Records of topics whose rows are one table each -> Arrow tables, and the SQL that lays them down: a row a key.

The rule: of two records with one key the one that was asked for later counts, in whatever order and however often they
are read; equal moments leave what stands there. All of it comes from `schemas.columns`, so a new table needs no code.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from schemas import columns, jsontext
from schemas.columns import RECONCILE_WINDOWS, Column, ColumnType, Table
from schemas.keyed import KeyedRecord
from schemas.reconcile import HourRecord
from sinks.rows import ARROW_TYPES, STAMPED

KEYED_TABLES: Final[Mapping[str, Table]] = {table.name: table for table in columns.KEYED_TABLES}
"""By the suffix of their topic, which is their name."""
ASKED_TABLES: Final[Mapping[str, Table]] = {RECONCILE_WINDOWS.name: RECONCILE_WINDOWS, **KEYED_TABLES}
"""All that is laid down in this way: the hours of TCCC's API too, whose topic has another name (`sinks.windows`)."""

AskedRecord = HourRecord | KeyedRecord

VERSION: Final = "asked_at"
"""What orders the records of one key."""


def staged_columns(table: Table) -> list[Column]:
    """Every column that a record fills; the sink stamps the other when it commits."""
    return [column for column in table.columns if column.name != STAMPED]


def keyed_rows(records: Mapping[str, Iterable[AskedRecord]]) -> dict[str, pa.Table]:
    """Arrow tables of what is to be written, by the table's name: of each key the latest, sorted by key."""
    return {name: _arrow(ASKED_TABLES[name], latest(of_one)) for name, of_one in records.items()}


def latest(records: Iterable[AskedRecord]) -> list[AskedRecord]:
    """Of each key the record that was asked for last; of equal moments the first."""
    kept: dict[bytes, AskedRecord] = {}
    for record in records:
        rival = kept.get(record.key)
        if rival is None or record.asked_at > rival.asked_at:
            kept[record.key] = record
    return [kept[key] for key in sorted(kept)]


def replaced(table: Table) -> str:
    """DELETE of the rows that the batch has something later about; to be run before `added`."""
    return (
        f"DELETE FROM {table.name} AS w USING batch_{table.name} AS b "  # noqa: S608 - names of our own
        f"WHERE {_same_key(table)} AND w.{VERSION} < b.{VERSION}"
    )


def added(table: Table, stamp: str) -> str:
    """INSERT of the batch's rows whose key stands nowhere; `stamp` is the parameter of the commit's time."""
    columns = [f'"{column.name}"' for column in staged_columns(table)]
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}, {STAMPED}) "  # noqa: S608 - names of our own
        f"SELECT {', '.join(f'b.{column}' for column in columns)}, {stamp} FROM batch_{table.name} AS b "
        f"WHERE NOT EXISTS (SELECT 1 FROM {table.name} AS w WHERE {_same_key(table)})"
    )


def _same_key(table: Table) -> str:
    return " AND ".join(f"w.{name} = b.{name}" for name in table.key)


def _arrow(table: Table, records: list[AskedRecord]) -> pa.Table:
    return pa.table(
        {
            column.name: pa.array([_cell(column, record) for record in records], ARROW_TYPES[column.type])
            for column in staged_columns(table)
        }
    )


def _cell(column: Column, record: AskedRecord) -> Any:
    value = getattr(record, column.name)
    return jsontext.encode(value).decode() if column.type is ColumnType.JSON and value is not None else value
