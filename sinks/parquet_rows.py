"""Batches -> Arrow tables as files hold them: a session is one row, its children lists in it, so nobody sees half."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa

from schemas.columns import CHILDREN, DEAD_LETTERS, SESSIONS, ColumnType, Table
from sinks.keyed import ASKED_TABLES
from sinks.letters import LetterRow, letter_table
from sinks.parquet_query import COMMIT_NUMBER, PARENT_KEY
from sinks.rows import ARROW_TYPES, STAMPED, SessionRows
from sinks.sink import Batch


def _fields(table: Table, *, without: Sequence[str] = ()) -> list[pa.Field]:
    return [pa.field(column.name, ARROW_TYPES[column.type]) for column in table.columns if column.name not in without]


SESSIONS_SCHEMA: Final = pa.schema(
    [
        *_fields(SESSIONS),
        *(pa.field(child.name, pa.list_(pa.struct(_fields(child, without=PARENT_KEY)))) for child in CHILDREN),
    ]
)
ASKED_SCHEMAS: Final = {name: pa.schema(_fields(table)) for name, table in ASKED_TABLES.items()}
LETTERS_SCHEMA: Final = pa.schema([*_fields(DEAD_LETTERS), pa.field(COMMIT_NUMBER, pa.int64())])


def nested(sessions: SessionRows, now: datetime) -> pa.Table:
    """One row a session, with the time of its commit."""
    parents = sessions.tables[SESSIONS.name]
    stamp = pa.array([now] * len(sessions), ARROW_TYPES[ColumnType.INSTANT])
    columns = {name: parents[name] for name in parents.column_names} | {STAMPED: stamp}
    for child in CHILDREN:
        columns[child.name] = _lists(child, sessions)
    return pa.table([columns[name] for name in SESSIONS_SCHEMA.names], schema=SESSIONS_SCHEMA)


def letters_told(letters: Sequence[LetterRow], commit: int) -> pa.Table:
    """What one commit says of its letters."""
    rows = letter_table(letters)
    return rows.append_column(COMMIT_NUMBER, pa.array([commit] * rows.num_rows, pa.int64())).cast(LETTERS_SCHEMA)


def asked_rows(batch: Batch, now: datetime) -> dict[str, pa.Table]:
    """What the API was asked for, by table, with the time of its commit."""
    return {name: _stamped(name, rows, now) for name, rows in batch.keyed.items() if rows.num_rows}


def _stamped(name: str, rows: pa.Table, now: datetime) -> pa.Table:
    stamp = pa.array([now] * rows.num_rows, ARROW_TYPES[ColumnType.INSTANT])
    schema = ASKED_SCHEMAS[name]
    return rows.append_column(STAMPED, stamp).select(schema.names).cast(schema)


def _lists(child: Table, sessions: SessionRows) -> pa.Array:
    rows = sessions.tables[child.name]
    fields = _fields(child, without=PARENT_KEY)
    values = [pa.concat_arrays(rows[field.name].chunks or [pa.array([], field.type)]) for field in fields]
    members = pa.StructArray.from_arrays(values, fields=fields)
    return pa.ListArray.from_arrays(pa.array(sessions.bounds[child.name], pa.int32()), members)
