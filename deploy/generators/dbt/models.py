"""The models: the very SELECTs of the loader's views, with dbt's names for what they read.

The rule: ClickHouse's spelling is a branch of the same file, by the loader's own translation; where DuckDB and Postgres
differ, which is inside JSON, only those lines stand twice.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

from schemas.columns import COMPLETENESS, TABLES, ColumnType, Table
from sinks.clickhouse_sql import translated
from sinks.kpi.rules import KPI_SATISFACTION_KEYS, KPI_SETTINGS, NOBODY_HAS_SAID, satisfaction_rows, settings_rows
from sinks.kpi.views import KPI_VIEWS, kpi_select

RULES: Final = {KPI_SETTINGS.name: KPI_SETTINGS, KPI_SATISFACTION_KEYS.name: KPI_SATISFACTION_KEYS}
"""What an account decides: the loader's own rows, or a seed's."""
READ_FROM_THE_LOADER: Final = (*TABLES, COMPLETENESS, *RULES.values())
_MODELS: Final = tuple(view.name for view in KPI_VIEWS)
_SOURCES: Final = frozenset(table.name for table in READ_FROM_THE_LOADER) - set(_MODELS)
_READ: Final = re.compile(r"\b(FROM|JOIN) (\w+)(?= AS )")
_HEAD: Final = "{# Generated from sinks/kpi (`make deploy-files`); change it there. #}\n"
_CASTS: Final = {ColumnType.INTEGER: "BIGINT", ColumnType.TEXT: "TEXT", ColumnType.BOOLEAN: "BOOLEAN"}


def models() -> Iterator[tuple[str, str]]:
    """Each model, and the seeds that two may read."""
    for name in _MODELS:
        yield f"dbt/models/{name}.sql", _HEAD + (_of_rules(RULES[name]) if name in RULES else _of_view(name))
    yield f"dbt/seeds/{KPI_SETTINGS.name}_seed.csv", _csv(KPI_SETTINGS, settings_rows(NOBODY_HAS_SAID))
    rows = satisfaction_rows(NOBODY_HAS_SAID)
    yield f"dbt/seeds/{KPI_SATISFACTION_KEYS.name}_seed.csv", _csv(KPI_SATISFACTION_KEYS, rows)


def _of_view(name: str) -> str:
    duckdb, postgres, clickhouse = (
        _as_model(kpi_select(name, NOBODY_HAS_SAID, dialect), name) for dialect in ("duckdb", "postgres", "clickhouse")
    )
    return _by_target(_in_both(duckdb, postgres), translated(clickhouse))


def _in_both(duckdb: str, postgres: str) -> str:
    """One text of two, with both spellings of the few lines in which they differ."""
    ours, theirs = duckdb.splitlines(), postgres.splitlines()
    lines: list[str] = []
    for kind, first, last, other_first, other_last in SequenceMatcher(a=ours, b=theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += ours[first:last]
        else:
            lines += ["{%- if target.type == 'postgres' %}", *theirs[other_first:other_last]]
            lines += ["{%- else %}", *ours[first:last], "{%- endif %}"]
    return "\n".join(lines)


def _by_target(common: str, clickhouse: str) -> str:
    if common == clickhouse:
        return f"{common}\n"
    return f"{{%- if target.type == 'clickhouse' %}}\n{clickhouse}\n{{%- else %}}\n{common}\n{{%- endif %}}\n"


def _as_model(sql: str, name: str) -> str:
    def called(read: re.Match[str]) -> str:
        word, table = read.groups()
        if table in _SOURCES:
            return f"{word} {{{{ source('callweave', '{table}') }}}}"
        assert table != name
        return f"{word} {{{{ ref('{table}') }}}}" if table in _MODELS else read[0]

    hidden = [table for table in (*_SOURCES, *_MODELS) if re.search(rf"\b{table} AS \(", sql)]
    assert not hidden, f"{name}: table expressions named like what they read: {hidden}"
    return _READ.sub(called, sql)


def _of_rules(table: Table) -> str:
    columns = ",\n    ".join(
        f"CAST({_filled(column.name, column.type)} AS {_CASTS[column.type]}) AS {column.name}"
        for column in table.columns
    )
    lines = (
        f"-- {table.purpose}.",
        "-- The loader's rows, so that numbers are those of its views; var callweave_rules: seed takes the seed's.",
        f"SELECT\n    {columns}",
        "{%- if var('callweave_rules', 'loader') == 'seed' %}",
        f"FROM {{{{ ref('{table.name}_seed') }}}}",
        "{%- else %}",
        f"FROM {{{{ source('callweave', '{table.name}') }}}}",
        "{%- endif %}",
    )
    common = "\n".join(lines)
    return _by_target(common, _never_null(translated(common)))


def _filled(name: str, kind: ColumnType) -> str:
    # An empty text of a seed is read as NULL.
    return f"COALESCE({name}, '')" if kind is ColumnType.TEXT else name


def _never_null(sql: str) -> str:
    return re.sub(r"AS Nullable\((\w+)\)", r"AS \1", sql)


def _csv(table: Table, rows: Sequence[tuple[int | str | bool, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows([str(cell).lower() if isinstance(cell, bool) else cell for cell in row] for row in rows)
    return text.getvalue()
