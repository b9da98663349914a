"""Tables, comments and views as SQL, derived from `schemas.columns`; what differs between warehouses is a `Dialect`.

The rule: an upgrade only adds. A table that is not ours, or a column of another type, is a set-up error and stays as
it is.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Final

from schemas.columns import COLUMNED_VIEWS, DEAD_LETTERS, TABLES, Column, ColumnType, Table
from sinks.extra_members import extra_members
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.kpi.views import KPI_VIEWS, kpi_select
from sinks.sink import MisconfiguredError

LAYOUT_VERSION: Final = 1
"""Grows when an older callweave must not write into the tables any more; added columns do not need that."""

OFFSETS: Final = Table(
    "callweave_offsets",
    "How far the loader is in each partition: stored in the rows' own transaction",
    ("topic", "partition"),
    (
        Column("topic", ColumnType.TEXT, False, "Kafka topic"),
        Column("partition", ColumnType.INTEGER, False, "Its partition"),
        Column("next_offset", ColumnType.INTEGER, False, "The first record whose rows are not here yet"),
        Column("updated_at", ColumnType.INSTANT, False, "When it was stored: the latest is the latest commit"),
    ),
)
META: Final = Table(
    "callweave_meta",
    "What callweave notes about the warehouse itself",
    ("key",),
    (
        Column("key", ColumnType.TEXT, False, "What is told"),
        Column("value", ColumnType.TEXT, False, "What it is"),
    ),
)
MIGRATIONS: Final = Table(
    "callweave_migrations",
    "What was done to this warehouse's tables and views, and by which callweave",
    ("migration_id",),
    (
        Column("migration_id", ColumnType.TEXT, False, "When it was planned, and a digest of what it leads to"),
        Column("applied_at", ColumnType.INSTANT, False, "When it was done"),
        Column("program_version", ColumnType.TEXT, False, "The callweave that did it, or wrote it for a DBA"),
        Column("statement_count", ColumnType.INTEGER, False, "How many statements it took"),
        Column("statements", ColumnType.TEXT, False, "The statements, as they were run"),
    ),
)
ALL_TABLES: Final = (META, OFFSETS, MIGRATIONS, *TABLES)
DESCRIBED_VIEWS: Final = (*COLUMNED_VIEWS, *KPI_VIEWS)
"""Views whose columns are promised like a table's."""
_KPI: Final = {table.name: table for table in KPI_VIEWS}
VIEWS: Final = (
    "session_recordings",
    "missing_recordings",
    "completeness",
    "session_hold",
    "agent_occupancy",
    "leg_names",
    "unknown_fields",
    *_KPI,
)
"""In an order in which each finds what it reads."""

LETTERS_KNOWN: Final = """
UPDATE dead_letters AS d
SET seen_count = d.seen_count + b.seen_count,
    last_seen_at = greatest(d.last_seen_at, b.last_seen_at),
    replayed_at = CASE WHEN b.replayed_at >= coalesce(d.replayed_at, b.replayed_at)
                       THEN b.replayed_at ELSE d.replayed_at END,
    replay_outcome = CASE WHEN b.replayed_at >= coalesce(d.replayed_at, b.replayed_at)
                          THEN b.replay_outcome ELSE d.replay_outcome END
FROM batch_dead_letters AS b WHERE d.dead_letter_id = b.dead_letter_id
"""
"""What a batch says of letters that stand there: the same words in every warehouse. To be run before `letters_new`."""

Catalogue = Mapping[str, Mapping[str, str]]
"""Tables that exist: name -> column -> type, as the warehouse spells it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a warehouse spells our types (as its own catalogue shows them), and whether primary keys pay there."""

    name: str
    types: Mapping[ColumnType, str]
    primary_keys: bool


DUCKDB: Final = Dialect(
    "duckdb",
    {
        ColumnType.TEXT: "VARCHAR",
        ColumnType.INTEGER: "BIGINT",
        ColumnType.FRACTION: "DOUBLE",
        ColumnType.BOOLEAN: "BOOLEAN",
        ColumnType.INSTANT: "TIMESTAMP WITH TIME ZONE",
        ColumnType.DATE: "DATE",
        ColumnType.JSON: "JSON",
        ColumnType.BYTES: "BLOB",
    },
    # An index costs every write and serves no analytical query; the sink keeps keys unique by itself.
    primary_keys=False,
)
POSTGRES: Final = Dialect(
    "postgres",
    {
        ColumnType.TEXT: "text",
        ColumnType.INTEGER: "bigint",
        ColumnType.FRACTION: "double precision",
        ColumnType.BOOLEAN: "boolean",
        ColumnType.INSTANT: "timestamp with time zone",
        ColumnType.DATE: "date",
        ColumnType.JSON: "jsonb",
        ColumnType.BYTES: "bytea",
    },
    # ON CONFLICT needs them, and they decide between two writers.
    primary_keys=True,
)


def upgrade(dialect: Dialect, existing: Catalogue) -> list[str]:
    """Statements that create what lacks. Raises MisconfiguredError where the tables there are not ours."""
    if META.name not in existing:
        strangers = sorted({table.name for table in ALL_TABLES} & set(existing))
        if strangers:
            raise MisconfiguredError(
                f"the warehouse has a table {strangers[0]} that callweave did not make: "
                "give callweave a database of its own"
            )
    statements: list[str] = []
    for table in ALL_TABLES:
        there = existing.get(table.name)
        statements += [create_table(dialect, table)] if there is None else list(_added(dialect, table, there))
    return statements


def create_table(dialect: Dialect, table: Table) -> str:
    """CREATE TABLE of one table."""
    lines = [
        f"{quoted(column.name)} {dialect.types[column.type]}{'' if column.nullable else ' NOT NULL'}"
        for column in table.columns
    ]
    if dialect.primary_keys:
        lines.append(f"PRIMARY KEY ({', '.join(map(quoted, table.key))})")
    return f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} (\n  " + ",\n  ".join(lines) + "\n)"


def letters_new() -> str:
    """INSERT of the batch's letters that do not stand there yet; a warehouse that learns of one has seen it once."""
    columns = names(DEAD_LETTERS.column_names)
    values = columns.replace(quoted("seen_count"), f"greatest({quoted('seen_count')}, 1)")
    return (
        f"INSERT INTO dead_letters ({columns}) SELECT {values} FROM batch_dead_letters "  # noqa: S608 - names of our own
        "WHERE dead_letter_id NOT IN (SELECT dead_letter_id FROM dead_letters)"
    )


def comments(on_columns_of: Iterable[Table] = DESCRIBED_VIEWS) -> list[str]:
    """COMMENT ON every column and view, so that a BI tool shows what the data dictionary says."""
    columns = [
        f"COMMENT ON COLUMN {quoted(table.name)}.{quoted(column.name)} IS {literal(column.description)}"
        for table in (*ALL_TABLES, *on_columns_of)
        for column in table.columns
    ]
    return columns + [f"COMMENT ON VIEW {quoted(view)} IS {literal(purpose(view))}" for view in VIEWS]


def view(
    name: str,
    *,
    recording_deadline_seconds: int,
    recording_columns: str = "r.*",
    dialect: str = "duckdb",
    kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
) -> str:
    """The SELECT of a view: the deadline, every column of a recording under its own name, how JSON is taken apart."""
    if name in _KPI:
        return kpi_select(name, kpi_rules, dialect)
    return (
        Template(_view_text(name))
        .substitute(
            recording_deadline_seconds=int(recording_deadline_seconds),
            recording_columns=recording_columns,
            extra_members=extra_members(dialect),
        )
        .strip()
    )


def layout_digest(
    dialect: Dialect, *, recording_deadline_seconds: int, kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID
) -> str:
    """Identifies everything that opening lays down: where it stands in the warehouse already, nothing is to be done."""
    parts = [
        *(create_table(dialect, table) for table in ALL_TABLES),
        *comments(),
        *(
            view(
                name,
                recording_deadline_seconds=recording_deadline_seconds,
                dialect=dialect.name,
                kpi_rules=kpi_rules,
            )
            for name in VIEWS
        ),
    ]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def check_layout_version(stored: str | None) -> None:
    """Refuse a warehouse that a newer, incompatible callweave has upgraded."""
    if stored is not None and int(stored) > LAYOUT_VERSION:
        raise MisconfiguredError(
            f"the warehouse has layout {stored}, made by a newer callweave, and this one knows {LAYOUT_VERSION}: "
            "upgrade callweave"
        )


def quoted(name: str) -> str:
    """An identifier; always quoted, because "offset" and "partition" are words of SQL."""
    return '"' + name.replace('"', '""') + '"'


def names(columns: tuple[str, ...] | list[str], prefix: str = "") -> str:
    """A list of identifiers."""
    return ", ".join(prefix + quoted(column) for column in columns)


def literal(text: str) -> str:
    """A text literal."""
    return "'" + text.replace("'", "''") + "'"


def _added(dialect: Dialect, table: Table, there: Mapping[str, str]) -> Iterator[str]:
    for column in table.columns:
        wanted = dialect.types[column.type]
        found = there.get(column.name)
        if found is None:
            if column.name in table.key:
                raise MisconfiguredError(
                    f"the warehouse's table {table.name} has no column {column.name}: it is not callweave's"
                )
            # Without NOT NULL: the rows that stand there have no value yet.
            yield f"ALTER TABLE {quoted(table.name)} ADD COLUMN {quoted(column.name)} {wanted}"
        elif found != wanted:
            raise MisconfiguredError(
                f"the warehouse's column {table.name}.{column.name} is {found} where {wanted} is due: "
                "change it back, or load into another database"
            )


def _view_text(name: str) -> str:
    return files("sinks").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def purpose(name: str) -> str:
    """What a view is for: the first line of its file."""
    if name in _KPI:
        return _KPI[name].purpose
    return _view_text(name).splitlines()[0].removeprefix("--").strip()
