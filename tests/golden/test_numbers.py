"""A small day whose numbers are worked out by hand in its README, as each warehouse's views count them.

`numbers.json` names of each view every row by its key, and the cells that were worked out.
"""

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from callweave.kpi_settings import kpi_rules
from callweave.settings import load_settings
from sinks.kpi.views import KPI_VIEWS
from sinks.sink import Sink
from sinks.warehouse import open_sink
from tests.contract.same_day import Day, comparable, load
from tests.support.golden import deliveries, run
from tests.support.lakes import DUCKLAKE, PARQUET, lay_out_ducklake
from tests.support.loading import DUCKDB

SCENARIO = Path(__file__).parent / "a-day-of-numbers"
SESSION_COLUMN_NAMES = next(view.column_names for view in KPI_VIEWS if view.name == "kpi_sessions")
NUMBERS = json.loads((SCENARIO / "numbers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def day() -> Day:
    harness = run(deliveries(SCENARIO))
    return Day(harness.sessions_topic, harness.letters, harness.tables())


@pytest.fixture(params=["duckdb", "postgres", "clickhouse", "ducklake", "parquet"])
def sink(request: pytest.FixtureRequest, tmp_path: Path, day: Day) -> Iterator[Sink]:
    """A warehouse of that day."""
    if request.param == "ducklake":
        lay_out_ducklake(tmp_path)
    embedded = {"duckdb": DUCKDB, "ducklake": DUCKLAKE, "parquet": PARQUET}
    url = embedded.get(request.param) or request.getfixturevalue(f"{request.param}_url")
    rules = kpi_rules(load_settings(SCENARIO / "callweave.toml").kpi)
    sink = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=3600, kpi_rules=rules)
    with closing(sink):
        sink.open()
        load(sink, day, random.Random(1).randrange(100))
        yield sink


def test_every_warehouse_counts_what_was_worked_out_by_hand(sink: Sink) -> None:
    keys = {view.name: view.key for view in KPI_VIEWS}
    assert set(NUMBERS) == set(keys) - {"kpi_calls", "kpi_sessions", "kpi_definitions"}
    calls = sink.query("SELECT * FROM kpi_sessions")
    assert (len(calls.rows), set(calls.columns)) == (15, {*SESSION_COLUMN_NAMES})
    wrong = []
    for view, rows in NUMBERS.items():
        result = sink.query(f"SELECT * FROM {view}")
        found = {_key(keys[view], row): row for row in (dict(zip(result.columns, r, strict=True)) for r in result.rows)}
        due = {_key(keys[view], row): row for row in rows}
        assert found.keys() == due.keys(), view
        wrong += [
            f"{view} {place} {name}: {found[place][name]!r}, not {value!r}"
            for place, row in due.items()
            for name, value in row.items()
            if _plain(found[place][name]) != _plain(value)
        ]

    assert wrong == []


def _key(columns: tuple[str, ...], row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(_plain(row[column]) for column in columns)


def _plain(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(float(value), 9)
    return value.replace("Z", "+00:00") if isinstance(value, str) else comparable(value)
