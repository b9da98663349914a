"""Fields that TCCC sends and callweave does not know: what they are, and what would make columns of them.

The rule: it proposes and changes nothing. Until a release has the column, the value is read from `extra`.
"""

import re
from dataclasses import dataclass
from typing import Final

from callweave.reading import open_questions
from callweave.settings import Settings
from schemas.columns import ColumnType
from sinks.ddl import DUCKDB, POSTGRES, literal, quoted
from sinks.extra_places import EXTRA_PLACES, ExtraPlace
from sinks.sink import QueryLimits

PROPOSED_MAX: Final = 20
"""Of more, something else is wrong than columns."""
_ASKED: Final = """
SELECT table_name, field, value_type, row_count, last_seen_at FROM unknown_fields
ORDER BY row_count DESC, table_name, field, value_type
"""
_KINDS: Final = {
    "text": ("str", "TEXT", "str", ColumnType.TEXT),
    "integer": ("int", "NUMBER", "int", ColumnType.INTEGER),
    "time": ("datetime", "TIME", "Instant", ColumnType.INSTANT),
    "seconds": ("int", "SECONDS", "int", ColumnType.INTEGER),
}
_OTHERS: Final = ("Any", "OPEN", "Json", ColumnType.JSON)
_CLICKHOUSE_TYPES: Final = {ColumnType.TEXT: "String", ColumnType.INTEGER: "Int64", ColumnType.JSON: "String"}
_INSTANT: Final = "DateTime64(6, 'UTC')"


@dataclass(frozen=True, slots=True)
class NewField:
    """One field, as it was seen, and the lines that would make it a column."""

    table: str
    name: str
    value_type: str
    row_count: int
    last_seen_at: str
    wire_line: str
    """In schemas/wire.py, in the class before the colon."""
    document_line: str
    """In schemas/session.py, likewise."""
    ddl: str | None
    """What `callweave warehouse apply` would then do; None where there are no statements."""
    query: str
    """Reads it today."""

    def __str__(self) -> str:
        then = f"; `callweave warehouse apply` would then run {self.ddl}" if self.ddl else ""
        seen = f"{self.row_count} rows of {self.table}, {self.value_type}, last {self.last_seen_at}"
        column = f"{self.wire_line} in schemas/wire.py and {self.document_line} in schemas/session.py"
        return f"{self.name} in {seen}: read it with {self.query}; its column would be {column}{then}"


def new_fields(settings: Settings) -> list[NewField]:
    """The most frequent ones."""
    with open_questions(settings) as questions:
        rows = questions.ask(_ASKED, QueryLimits(rows_max=PROPOSED_MAX)).rows
    scheme = settings.warehouse_url.partition(":")[0]
    return [_proposed(scheme, *row) for row in rows]


def column_name(field: str, value_type: str) -> str:
    """What the column would be called, in the way of the others."""
    outer, _, name = field.rpartition(".")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    match _meaning(name, value_type):
        case "time":
            plain = plain.removesuffix("_timestamp").removesuffix("_time") + "_at"
        case "seconds":
            plain = plain.removesuffix("_duration") + "_seconds"
    if outer:
        plain = f"agent_{plain}"
    return plain if plain[:1].isalpha() else f"field_{plain}".rstrip("_")


def _meaning(name: str, value_type: str) -> str:
    if value_type != "integer":
        return value_type
    if name.endswith(("Timestamp", "Time")):
        return "time"
    return "seconds" if name.endswith("Duration") else value_type


def _proposed(scheme: str, table: str, field: str, value_type: str, row_count: int, last_seen_at: str) -> NewField:
    outer, _, name = field.rpartition(".")
    place = _place(table, outer)
    python, kind, document, column_type = _KINDS.get(_meaning(name, value_type), _OTHERS)
    column = column_name(field, value_type)
    return NewField(
        table,
        field,
        value_type,
        int(row_count),
        last_seen_at,
        f'{place.wire.__name__}: {name}: Annotated[{python} | None, Wire(Kind.{kind}, "{column}")] = None',
        f'{place.document.__name__}: {column}: {document} | None = Field(description="...")',
        _ddl(scheme, table, column, column_type),
        query_of(scheme, table, field),
    )


def query_of(scheme: str, table: str, field: str) -> str:
    """Reads a member of `extra`, in a warehouse's own words."""
    outer, _, name = field.rpartition(".")
    path = [part for part in (outer, name) if part]
    match scheme:
        case "clickhouse":
            value = f"JSONExtractRaw(ifNull(extra, ''), {', '.join(map(literal, path))})"
            value = f"nullIf({value}, '')"
        case "postgres" | "postgresql":
            *ways, last = map(literal, path)
            value = f"extra{''.join(f' -> {way}' for way in ways)} ->> {last}"
        case _:
            *ways, last = path
            value = f"extra{''.join(f' -> {literal(way)}' for way in ways)} ->> {literal(_duckdb_path(last))}"
    return f"SELECT sdk_app_id, session_id, {value} AS value FROM {table}"  # noqa: S608 - quoted


def _duckdb_path(name: str) -> str:
    escaped = name.replace('"', '\\"')
    return f'$."{escaped}"'


def _place(table: str, member: str) -> ExtraPlace:
    return next(place for place in EXTRA_PLACES if place.table == table and (place.member or "") == member)


def _ddl(scheme: str, table: str, column: str, kind: ColumnType) -> str | None:
    match scheme:
        case "parquet":
            return None
        case "clickhouse":
            theirs = _CLICKHOUSE_TYPES.get(kind, _INSTANT)
            stored = "callweave_sessions"
            name, type_ = (
                (column, f"Nullable({theirs})")
                if table == "sessions"
                else (f"{table}.{column}", f"Array(Nullable({theirs}))")
            )
            return f"ALTER TABLE {stored} ADD COLUMN {quoted(name)} {type_}"
        case "postgres" | "postgresql":
            return f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column)} {POSTGRES.types[kind]}"
        case _:
            return f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column)} {DUCKDB.types[kind]}"
