"""What dbt knows of tables and columns: sources, models and seeds, with meaning, unit, personal data, and tests.

The rule: a test states what a definition promises (a key, no NULL, a part within its whole), never a value.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from deploy.generators.dbt.models import READ_FROM_THE_LOADER, RULES
from schemas.columns import CHILDREN, SESSIONS, Column, ColumnType, Table
from schemas.models import Privacy
from sinks import ddl
from sinks.kpi.definitions import Definition
from sinks.kpi.views import KPI_VIEWS, places_of_definitions

HEAD: Final = "# Generated from {origin} (`make deploy-files`); change it there.\n"
_LOADED_AT: Final = "loaded_at"
_PROXIES_MAY_EXCEED: Final = frozenset({"talk_share_proxy"})
"""An agent may have two legs at a time."""
_SOURCE_VALUES: Final = ["push", "api", "push+api"]
_PII: Final = {privacy: privacy.value for privacy in Privacy if privacy is not Privacy.NONE}


def documents() -> Iterator[tuple[str, str]]:
    """The YAML files beside the models, but the semantic layer."""
    yield "dbt/models/sources.yml", as_yaml("schemas/columns.py and sinks/kpi", {"version": 2, "sources": [_source()]})
    models = {"version": 2, "models": [_model(view) for view in KPI_VIEWS]}
    yield "dbt/models/schema.yml", as_yaml("sinks/kpi", models)
    seeds = {"version": 2, "seeds": [_seed(table) for table in RULES.values()]}
    yield "dbt/seeds/seeds.yml", as_yaml("sinks/kpi/rules.py", seeds)


def as_yaml(origin: str, document: Mapping[str, Any]) -> str:
    """A file's text."""
    return HEAD.format(origin=origin) + yaml.safe_dump(
        document, sort_keys=False, width=120, allow_unicode=True, default_flow_style=False
    )


def _source() -> dict[str, Any]:
    described = {table.name for table in READ_FROM_THE_LOADER}
    others = [name for name in ddl.VIEWS if name not in described and name not in {view.name for view in KPI_VIEWS}]
    return {
        "name": "callweave",
        "description": "What callweave's loader writes; times are UTC.",
        "database": "{{ var('callweave_database', 'calls' if target.type == 'duckdb' else target.database or '') }}",
        "schema": "{{ var('callweave_schema', {'duckdb': 'main', 'clickhouse': 'calls'}.get(target.type, 'public')) }}",
        "tables": [
            *(_source_table(table) for table in READ_FROM_THE_LOADER),
            *({"name": name, "description": f"{ddl.purpose(name)} (a view)"} for name in others),
        ],
    }


def _source_table(table: Table) -> dict[str, Any]:
    tests = _of_key(f"source_{table.name}", table, table.key)
    if table in CHILDREN:
        parent = f"source('callweave', '{SESSIONS.name}')"
        name = f"source_{table.name}_found_in_sessions"
        tests.append(_test("found_in", name, parent=parent, columns=list(SESSIONS.key)))
    told: dict[str, Any] = {"name": table.name, "description": f"{table.purpose}."}
    if table is SESSIONS:
        # How quiet a centre may be is its own to say: a project that installs the package sets freshness for it.
        told["config"] = {"loaded_at_field": _LOADED_AT, "freshness": {"warn_after": {"count": 24, "period": "hour"}}}
    return {**told, "data_tests": tests, "columns": [_column(column) for column in table.columns]}


def _model(view: Table) -> dict[str, Any]:
    definitions = {one.id: one for one, views in places_of_definitions().items() if view.name in views}
    required = [column.name for column in view.columns if not column.nullable]
    tests = _of_key(view.name, view, required)
    if pairs := _parts(definitions):
        tests.append(_test("parts_within_wholes", f"{view.name}_parts_within_wholes", pairs=pairs))
    shares = [
        column.name for column in view.columns if column.unit == "0 to 1" and column.name not in _PROXIES_MAY_EXCEED
    ]
    if shares:
        tests.append(_test("in_range", f"{view.name}_shares_from_0_to_1", columns=shares, lowest=0, highest=1))
    counts = [one.id for one in definitions.values() if one.is_number_of_calls and not _may_be_negative(one)]
    if counts:
        tests.append(_test("in_range", f"{view.name}_never_negative", columns=counts, lowest=0))
    return {
        "name": view.name,
        "description": f"{view.purpose}.",
        "data_tests": tests,
        "columns": [_column(column, definitions.get(column.name), _tests_of(view, column)) for column in view.columns],
    }


def _parts(definitions: Mapping[str, Definition]) -> list[list[str]]:
    return [
        [one.numerator, one.denominator]
        for one in definitions.values()
        if one.numerator and one.denominator and one.unit == "0 to 1" and one.id not in _PROXIES_MAY_EXCEED
    ]


def _may_be_negative(one: Definition) -> bool:
    """Scores are what an account says that a key is worth."""
    return one.unit == "points"


def _tests_of(view: Table, column: Column) -> list[Any]:
    match view.name, column.name:
        case _, "local_hour" | "queued_local_hour":
            return [_test("accepted_values", values=list(range(24)), quote=False)]
        case "kpi_sessions", "source":
            return [_test("accepted_values", values=_SOURCE_VALUES)]
        case "kpi_satisfaction_keys", "sdk_app_id":
            return [_test("relationships", to="ref('kpi_settings')", field="sdk_app_id")]
        case "kpi_definitions" | "kpi_settings", name if view.key == (name,):
            return ["unique", "not_null"]
        case _:
            return []


def _column(column: Column, definition: Definition | None = None, tests: list[Any] | None = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"type": column.type.value}
    if column.unit:
        meta["unit"] = column.unit
    if column.privacy in _PII:
        meta["pii"] = _PII[column.privacy]
    if column.source_field:
        meta["tccc_field"] = column.source_field
    if definition is not None:
        meta |= {"after": definition.source, "definition_version": definition.version}
        if definition.numerator:
            meta |= {"numerator": definition.numerator, "denominator": definition.denominator}
    told: dict[str, Any] = {"name": column.name, "description": column.description}
    if column.name in _RESERVED:
        told["quote"] = True
    told["config"] = {"meta": meta}
    return {**told, "data_tests": tests} if tests else told


_RESERVED: Final = frozenset({"offset", "partition"})


def _seed(table: Table) -> dict[str, Any]:
    return {
        "name": f"{table.name}_seed",
        "description": f"{table.purpose}: read instead of the loader's rows where var callweave_rules is seed.",
        "config": {
            "column_types": {column.name: _SEED_TYPES[column.type] for column in table.columns},
        },
        "columns": [_column(column) for column in table.columns],
    }


_SEED_TYPES: Final = {
    ColumnType.INTEGER: "{{ 'Int64' if target.type == 'clickhouse' else 'bigint' }}",
    ColumnType.TEXT: "{{ 'Nullable(String)' if target.type == 'clickhouse' else 'text' }}",
    ColumnType.BOOLEAN: "{{ 'Bool' if target.type == 'clickhouse' else 'boolean' }}",
}


def _of_key(name: str, table: Table, required: Sequence[str]) -> list[dict[str, Any]]:
    return [
        _test("one_row_for_each", f"{name}_one_row_for_each", columns=list(table.key)),
        _test("never_null", f"{name}_never_null", columns=list(required)),
    ]


def _test(kind: str, name: str | None = None, **arguments: Any) -> dict[str, Any]:
    """One test; named where dbt would name it by all of its columns."""
    return {kind: {**({"name": name} if name else {}), "arguments": arguments}}
