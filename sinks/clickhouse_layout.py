"""What ClickHouse holds: storage tables in its own layout, and the promised tables as views over them.

The rule: a session is one row with its children inside, so that no reader can see half of it, and only what never
changes is in a sorting key. Everything is derived from `schemas.columns`; columns of a newer callweave stay visible.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.columns import (
    CHILDREN,
    DEAD_LETTERS,
    RECONCILE_WINDOWS,
    RECORDINGS,
    SESSIONS,
    TABLES,
    Column,
    ColumnType,
    Table,
)
from sinks import ddl
from sinks.clickhouse_sql import translated
from sinks.ddl import META, MIGRATIONS, OFFSETS, Catalogue, literal, quoted
from sinks.keyed import KEYED_TABLES
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.sink import MisconfiguredError

TYPES: Final[Mapping[ColumnType, str]] = {
    ColumnType.TEXT: "String",
    ColumnType.INTEGER: "Int64",
    ColumnType.FRACTION: "Float64",
    ColumnType.BOOLEAN: "Bool",
    ColumnType.INSTANT: "DateTime64(6, 'UTC')",
    ColumnType.DATE: "Date32",
    # The JSON type is young, and missing from the versions that clouds run; the functions of JSON take a String.
    ColumnType.JSON: "String",
    ColumnType.BYTES: "String",
}
SESSIONS_STORED: Final = "callweave_sessions"
LETTERS_STORED: Final = "callweave_letters"
ASKED_STORED: Final = {
    RECONCILE_WINDOWS.name: "callweave_windows",
    **{name: f"callweave_{name}" for name in KEYED_TABLES},
}
SIGHTINGS: Final = "callweave_sightings"
COMMITS: Final = "callweave_commits"

RANK: Final = "document_rank"
"""(version, digest) as one number, which is all that a ReplacingMergeTree compares."""
KEYED_RANK: Final = "keyed_rank"
"""Later asked for counts; of equal moments, what was written first stays."""
COMMIT: Final = "commit_number"
COUNTED: Final = ("seen_count", "last_seen_at", "replayed_at", "replay_outcome")
"""Of a letter: what its sightings tell, so that a sighting that is written twice counts once."""

_RANK_OF_ROW: Final = (
    "bitOr(bitShiftLeft(toUInt256(version), 128), toUInt256(reinterpretAsUInt128(reverse(unhex(document_digest)))))"
)
_RANK_OF_KEYED: Final = (
    "bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), "
    "toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))"
)
# ClickHouse answers before the disk has an insert. Rows that a power cut takes while the offsets stay would be lost.
_DURABLE: Final = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"


@dataclass(frozen=True, slots=True)
class Stored:
    """A storage table: its columns' types, as the catalogue shows them, and what makes two rows one."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    version: str
    """The column that decides which of several rows stays."""
    computed: Mapping[str, str]
    """Columns that ClickHouse fills: MATERIALIZED or DEFAULT expressions."""
    order_by: str | None = None

    def create(self) -> str:
        """CREATE TABLE."""
        lines = [f"{quoted(name)} {kind} {self.computed.get(name, '')}".rstrip() for name, kind in self.columns.items()]
        order = self.order_by or ", ".join(map(quoted, self.key))
        return (
            f"CREATE TABLE IF NOT EXISTS {quoted(self.name)} (\n  "
            + ",\n  ".join(lines)
            + f"\n) ENGINE = ReplacingMergeTree({quoted(self.version)}) ORDER BY ({order}) {_DURABLE}"
        )

    def added(self, there: Mapping[str, str]) -> Iterator[str]:
        """What an existing table lacks."""
        for name, kind in self.columns.items():
            found = there.get(name)
            if found is None:
                if name in self.key or name == self.version:
                    raise MisconfiguredError(
                        f"the warehouse's table {self.name} has no column {name}: it is not callweave's"
                    )
                # Nullable: the rows that stand there have no value yet. A list finds its length by its neighbours.
                yield f"ALTER TABLE {quoted(self.name)} ADD COLUMN IF NOT EXISTS {quoted(name)} {_nullable(kind)}"
            elif found not in {kind, _nullable(kind)}:
                raise MisconfiguredError(
                    f"the warehouse's column {self.name}.{name} is {found} where {kind} is due: "
                    "change it back, or load into another database"
                )


def stored_tables() -> tuple[Stored, ...]:
    """Every storage table."""
    keyed = (_keyed(table) for table in KEYED_TABLES.values())
    return (_meta(), _migrations(), _commits(), _sessions(), _windows(), *keyed, _letters(), _sightings())


def upgrade(existing: Catalogue) -> list[str]:
    """Statements that create what lacks. Raises MisconfiguredError where the tables there are not ours."""
    tables = stored_tables()
    if META.name not in existing:
        ours = {table.name for table in tables} | {table.name for table in (*TABLES, OFFSETS)}
        if strangers := sorted(ours & set(existing)):
            raise MisconfiguredError(
                f"the warehouse has a table {strangers[0]} that callweave did not make: "
                "give callweave a database of its own"
            )
    statements: list[str] = []
    for table in tables:
        there = existing.get(table.name)
        statements += [table.create()] if there is None else list(table.added(there))
    return statements


def catalogue_after(existing: Catalogue) -> Catalogue:
    """The columns once `upgrade` is done; which, not of what type."""
    added = {table.name: {**table.columns, **existing.get(table.name, {})} for table in stored_tables()}
    return {**existing, **added}


def views(
    existing: Catalogue, *, recording_deadline_seconds: int, kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID
) -> dict[str, str]:
    """The promised tables and views, made anew in an order in which each finds what it reads."""
    selects = {
        SESSIONS.name: _select_whole(SESSIONS, existing),
        **{child.name: _select_child(child, existing) for child in CHILDREN},
        RECONCILE_WINDOWS.name: _select_whole(RECONCILE_WINDOWS, existing),
        **{name: _select_whole(table, existing) for name, table in KEYED_TABLES.items()},
        DEAD_LETTERS.name: _select_letters(existing),
        OFFSETS.name: _select_whole(OFFSETS, existing),
    }
    tables = {table.name: table for table in (*TABLES, OFFSETS)}
    assert tables.keys() == selects.keys()
    made = {
        name: _create_view(
            name, _described(tables[name], _columns(tables[name], existing)), select, tables[name].purpose
        )
        for name, select in selects.items()
    }
    # One by one: what r.* is called beside another table with the same columns depends on the version.
    recording = ",\n    ".join(f"r.{quoted(name)} AS {quoted(name)}" for name in _columns(RECORDINGS, existing))
    described = {view.name: view for view in ddl.DESCRIBED_VIEWS}
    for name in ddl.VIEWS:
        select = translated(
            ddl.view(
                name,
                recording_deadline_seconds=recording_deadline_seconds,
                recording_columns=recording,
                dialect="clickhouse",
                kpi_rules=kpi_rules,
            )
        )
        columns = _described(described[name], _types(described[name].columns)) if name in described else ""
        made[name] = _create_view(name, columns, select, ddl.purpose(name))
    return made


def layout_digest(
    existing: Catalogue, *, recording_deadline_seconds: int, kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID
) -> str:
    """Identifies everything that opening lays down."""
    parts = [
        *(table.create() for table in stored_tables()),
        *views(existing, recording_deadline_seconds=recording_deadline_seconds, kpi_rules=kpi_rules).values(),
    ]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def nested(child: Table, column: str) -> str:
    """Where a child's column lies in the session's row."""
    return f"{child.name}.{column}"


def own_columns(child: Table) -> tuple[Column, ...]:
    """A child's columns without those that are its session's."""
    return tuple(column for column in child.columns if column.name not in SESSIONS.key)


def _type(column: Column) -> str:
    kind = TYPES[column.type]
    return f"Nullable({kind})" if column.nullable else kind


def _nullable(kind: str) -> str:
    return kind if kind.startswith(("Nullable(", "Array(")) else f"Nullable({kind})"


def _types(columns: tuple[Column, ...]) -> dict[str, str]:
    return {column.name: _type(column) for column in columns}


def _sessions() -> Stored:
    columns = _types(SESSIONS.columns)
    for child in CHILDREN:
        columns |= {nested(child, column.name): f"Array({_type(column)})" for column in own_columns(child)}
    columns[RANK] = "UInt256"
    return Stored(SESSIONS_STORED, columns, SESSIONS.key, RANK, {RANK: f"MATERIALIZED {_RANK_OF_ROW}"})


def _windows() -> Stored:
    # The reading that was asked for last counts; of two asked for at once, the one that was written later.
    table = RECONCILE_WINDOWS
    return Stored(ASKED_STORED[table.name], _types(table.columns), table.key, "asked_at", {})


def _keyed(table: Table) -> Stored:
    columns = {**_types(table.columns), KEYED_RANK: "UInt128"}
    computed = {KEYED_RANK: f"MATERIALIZED {_RANK_OF_KEYED}"}
    return Stored(ASKED_STORED[table.name], columns, table.key, KEYED_RANK, computed)


def _letters() -> Stored:
    columns = _types(tuple(column for column in DEAD_LETTERS.columns if column.name not in COUNTED))
    columns["stored_at"] = TYPES[ColumnType.INSTANT]
    return Stored(LETTERS_STORED, columns, DEAD_LETTERS.key, "stored_at", {})


def _sightings() -> Stored:
    instant = TYPES[ColumnType.INSTANT]
    columns = {
        "dead_letter_id": "String",
        "topic": "String",
        "partition": "Int64",
        "offset": "Int64",
        **_types(tuple(column for column in DEAD_LETTERS.columns if column.name in COUNTED)),
        "stored_at": instant,
    }
    key = ("dead_letter_id", "topic", "partition", "offset", "last_seen_at")
    # The times too: the offsets of a topic that was made anew begin anew.
    order = f"{', '.join(map(quoted, key))}, ifNull(replayed_at, toDateTime64(0, 6, 'UTC'))"
    return Stored(SIGHTINGS, columns, key, "stored_at", {}, order)


def _commits() -> Stored:
    return Stored(COMMITS, {**_types(OFFSETS.columns), COMMIT: "UInt64"}, OFFSETS.key, COMMIT, {})


def _meta() -> Stored:
    columns = {**_types(META.columns), "noted_at": TYPES[ColumnType.INSTANT]}
    return Stored(META.name, columns, META.key, "noted_at", {"noted_at": "DEFAULT now64(6, 'UTC')"})


def _migrations() -> Stored:
    return Stored(MIGRATIONS.name, _types(MIGRATIONS.columns), MIGRATIONS.key, "applied_at", {})


def _places() -> dict[str, tuple[Stored, str]]:
    """Promised table -> where it is stored, and how its columns' names begin there."""
    return {
        SESSIONS.name: (_sessions(), ""),
        **{child.name: (_sessions(), f"{child.name}.") for child in CHILDREN},
        RECONCILE_WINDOWS.name: (_windows(), ""),
        **{name: (_keyed(table), "") for name, table in KEYED_TABLES.items()},
        DEAD_LETTERS.name: (_letters(), ""),
        OFFSETS.name: (_commits(), ""),
    }


def _columns(table: Table, existing: Catalogue) -> dict[str, str]:
    """The columns that a promised table shows, with their types: its own, then those that a newer callweave added."""
    stored, prefix = _places()[table.name]
    shown = _types(table.columns)
    for name, kind in sorted(existing.get(stored.name, {}).items()):
        is_here = name.startswith(prefix) if prefix else "." not in name
        if is_here and name not in stored.columns:
            shown[name.removeprefix(prefix)] = kind.removeprefix("Array(").removesuffix(")") if prefix else kind
    return shown


def _select_whole(table: Table, existing: Catalogue) -> str:
    columns = ", ".join(map(quoted, _columns(table, existing)))
    return f"SELECT {columns} FROM {_places()[table.name][0].name} FINAL"  # noqa: S608 - names of our own


def _select_child(child: Table, existing: Catalogue) -> str:
    columns = ", ".join(
        quoted(name) if name in SESSIONS.key else f"item.{quoted(name)} AS {quoted(name)}"
        for name in _columns(child, existing)
    )
    return f"SELECT {columns} FROM {SESSIONS_STORED} FINAL ARRAY JOIN {quoted(child.name)} AS item"  # noqa: S608


def _select_letters(existing: Catalogue) -> str:
    columns = ", ".join(
        f"{'s' if name in COUNTED else 'l'}.{quoted(name)} AS {quoted(name)}"
        for name in _columns(DEAD_LETTERS, existing)
    )
    # The latest replay tells; of two at one moment, the one that stands further down in its topic.
    latest = (
        "argMaxIf(g.replay_outcome, (assumeNotNull(g.replayed_at), g.stored_at, g.offset), g.replayed_at IS NOT NULL)"
    )
    return (
        f"SELECT {columns} FROM {LETTERS_STORED} AS l FINAL INNER JOIN ("  # noqa: S608 - names of our own
        "SELECT g.dead_letter_id AS dead_letter_id, greatest(sum(g.seen_count), 1) AS seen_count, "
        f"max(g.last_seen_at) AS last_seen_at, max(g.replayed_at) AS replayed_at, {latest} AS replay_outcome "
        f"FROM {SIGHTINGS} AS g FINAL GROUP BY g.dead_letter_id"
        ") AS s ON s.dead_letter_id = l.dead_letter_id"
    )


def _described(table: Table, types: Mapping[str, str]) -> str:
    comments = {column.name: f" COMMENT {literal(column.description)}" for column in table.columns}
    lines = [f"{quoted(name)} {kind}{comments.get(name, '')}" for name, kind in types.items()]
    return " (\n  " + ",\n  ".join(lines) + "\n)"


def _create_view(name: str, columns: str, select: str, purpose: str) -> str:
    return f"CREATE OR REPLACE VIEW {quoted(name)}{columns} AS {select}\nCOMMENT {literal(purpose)}"
