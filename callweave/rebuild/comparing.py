"""Rows as they should be beside rows as they are: which sessions differ, and in which columns. Pure but for the asking.

The rule: both sides are read as the JSON values that a reader of the warehouse gets, so only what a reader would see
differs. Values are never told: a difference names its columns.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

import pyarrow as pa

from callweave.reading import Answer, Questions, json_cell
from schemas import jsontext
from schemas.columns import SESSION_TABLES, SESSIONS, ColumnType, Table
from sinks.rows import STAMPED, SessionKey, SessionRows
from sinks.sink import QueryLimits, QueryRefusedError
from sinks.warehouse import Spelling

ROWS_MAX: Final = 100_000
"""Of one answer: as many as the loader's door gives."""
SECONDS_MAX: Final = 120.0
_LIMITS: Final = QueryLimits(rows_max=ROWS_MAX, seconds_max=SECONDS_MAX)
_ORDERING: Final = ("version", "document_digest", STAMPED)
"""Columns that say which document stands there; what it says is in the others."""


class Finding(StrEnum):
    """How a session of the log stands in the warehouse."""

    EQUAL = "equal"
    ABSENT = "absent"
    BEHIND = "behind"
    """The warehouse has an older version."""
    DIFFERENT = "different"
    """The same version, and other rows: what a fixed bug, or a hand in the tables, leaves."""
    AHEAD = "ahead"
    """The warehouse knows more than this log: it is left as it is."""


REPLACED: Final = (Finding.ABSENT, Finding.BEHIND, Finding.DIFFERENT)


@dataclass(frozen=True, slots=True)
class Rows:
    """A session's rows: by table, then by the rest of the key, then by column."""

    version: int
    digest: str
    tables: Mapping[str, Mapping[Any, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found about one session; `columns` as `table.column`."""

    key: SessionKey
    finding: Finding
    columns: frozenset[str] = frozenset()
    standing_digest: str = ""


def compared(key: SessionKey, wanted: Rows, standing: Rows | None) -> Comparison:
    """One session."""
    if standing is None:
        return Comparison(key, Finding.ABSENT)
    if standing.version > wanted.version:
        return Comparison(key, Finding.AHEAD)
    columns = frozenset(_differing(wanted, standing))
    if standing.version < wanted.version:
        return Comparison(key, Finding.BEHIND, columns, standing.digest)
    return Comparison(key, Finding.DIFFERENT if columns else Finding.EQUAL, columns, standing.digest)


def rows_wanted(rows: SessionRows) -> dict[SessionKey, Rows]:
    """What the loader would lay down, as a reader would get it."""
    return _by_session({name: _answer_of(table) for name, table in rows.tables.items()})


def rows_standing(
    questions: Questions, keys: Sequence[SessionKey], spelling: Spelling, tables: Sequence[Table]
) -> dict[SessionKey, Rows]:
    """What stands of these sessions in these tables of the warehouse; those that it does not have are missing."""
    if not keys:
        return {}
    where = " OR ".join(
        f"(sdk_app_id = {app} AND session_id IN ({', '.join(spelling.text(key.session_id) for key in group)}))"
        for app, group in groupby(sorted(keys), lambda key: key.sdk_app_id)
    )
    answers: dict[str, Answer] = {}
    for table in tables:
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        answer = questions.ask(f"SELECT {columns} FROM {table.name} WHERE {where}", _LIMITS)  # noqa: S608 - quoted
        if answer.truncated:
            return _halved(questions, keys, spelling, tables)
        answers[table.name] = answer
    return _by_session(answers)


def uncovered(
    questions: Questions, holds: Callable[[SessionKey], bool], spelling: Spelling
) -> Iterable[tuple[SessionKey, datetime]]:
    """The warehouse's sessions that the log does not hold, each with when it was loaded, in pages by key."""
    order = f"session_id{spelling.by_bytes}"
    apps = questions.ask("SELECT DISTINCT sdk_app_id FROM sessions ORDER BY sdk_app_id", _LIMITS)
    for (app,) in apps.rows:
        after = ""
        while True:
            page = questions.ask(
                f"SELECT session_id, loaded_at FROM sessions WHERE sdk_app_id = {int(app)} "  # noqa: S608 - quoted
                f"AND {order} > {spelling.text(after)} ORDER BY {order} LIMIT {ROWS_MAX}",
                _LIMITS,
            )
            for session, loaded_at in page.rows:
                key = SessionKey(int(app), session)
                if not holds(key):
                    yield key, datetime.fromisoformat(loaded_at)
            if len(page.rows) < ROWS_MAX:
                break
            after = page.rows[-1][0]


def _answer_of(table: pa.Table) -> Answer:
    columns = [map(json_cell, _cells(table[name])) for name in table.column_names]
    return Answer(tuple(table.column_names), [list(row) for row in zip(*columns, strict=True)], truncated=False)


def _cells(column: pa.ChunkedArray) -> list[Any]:
    # Arrow hands out times with a zone only where the machine has a zone database; in UTC the naive ones say the same.
    naive = column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column
    return list(naive.to_pylist())


def _halved(
    questions: Questions, keys: Sequence[SessionKey], spelling: Spelling, tables: Sequence[Table]
) -> dict[SessionKey, Rows]:
    if len(keys) == 1:
        raise QueryRefusedError(f"session {keys[0].session_id} has more than {ROWS_MAX} rows in one table")
    middle = len(keys) // 2
    halves = (rows_standing(questions, half, spelling, tables) for half in (keys[:middle], keys[middle:]))
    return {key: rows for half in halves for key, rows in half.items()}


def _by_session(answers: Mapping[str, Answer]) -> dict[SessionKey, Rows]:
    found: dict[SessionKey, dict[str, dict[Any, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for table in SESSION_TABLES:
        if table.name not in answers:
            continue
        answer = answers[table.name]
        objects = {column.name for column in table.columns if column.type is ColumnType.JSON}
        for values in answer.rows:
            row = {
                name: _object(value) if name in objects else value
                for name, value in zip(answer.columns, values, strict=True)
            }
            key = SessionKey(int(row["sdk_app_id"]), row["session_id"])
            found[key][table.name][_rest_of_key(table, row)] = row
    return {
        key: Rows(int(parent["version"]), parent["document_digest"], tables)
        for key, tables in found.items()
        if (parent := next(iter(tables[SESSIONS.name].values()), None)) is not None
    }


def _rest_of_key(table: Table, row: Mapping[str, Any]) -> Any:
    return None if table is SESSIONS else row[table.key[-1]]


def _object(value: Any) -> Any:
    """What a JSON column says, however the warehouse writes it."""
    try:
        return jsontext.decode(value.encode()) if isinstance(value, str) else value
    except jsontext.NotJsonError:
        return value


def _differing(wanted: Rows, standing: Rows) -> Iterable[str]:
    for table in SESSION_TABLES:
        ours, theirs = wanted.tables.get(table.name, {}), standing.tables.get(table.name, {})
        for column in table.columns:
            if table is SESSIONS and column.name in _ORDERING:
                continue
            if any(
                (key in ours) != (key in theirs) or ours[key].get(column.name) != theirs[key].get(column.name)
                for key in {*ours, *theirs}
            ):
                yield f"{table.name}.{column.name}"
