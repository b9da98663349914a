"""The views of numbers against the same numbers counted in plain Python, from what happened in the simulator."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from sinks.sink import LogPartition
from sinks.warehouse import open_sink
from tests.contract.numbers_check import WAREHOUSES, NumbersDay, differences, numbers_day
from tests.contract.test_sinks import a_batch
from tests.support.loading import DUCKDB
from tests.support.sessions import a_leg, a_session


@pytest.fixture(scope="module")
def told() -> NumbersDay:
    return numbers_day(1_000, seed=3)


@pytest.mark.parametrize("warehouse", WAREHOUSES)
def test_views_count_what_plain_python_counts(
    request: pytest.FixtureRequest, warehouse: str, tmp_path: Path, told: NumbersDay
) -> None:
    url = DUCKDB if warehouse == "duckdb" else request.getfixturevalue(f"{warehouse}_url")

    assert list(differences(url, tmp_path, told)) == []


@pytest.mark.parametrize("view", ["kpi_calls", "kpi_sessions", "kpi_daily", "kpi_hourly_skill_group"])
def test_a_filter_on_the_day_comes_before_legs_and_other_calls_are_looked_at(view: str, tmp_path: Path) -> None:
    sink = open_sink(DUCKDB, data_dir=tmp_path, recording_deadline_seconds=3600)
    with closing(sink):
        sink.open()
        call = a_session("a", has_cdr=True, started_at=datetime(2026, 5, 25, tzinfo=UTC), legs=[a_leg(0)])
        place = LogPartition("tccc.sessions", 0)
        sink.write(a_batch(call, offsets={place: 1}, expected={place: None}))
    with closing(duckdb.connect(tmp_path / "calls.duckdb")) as database:
        plan = database.execute(f"EXPLAIN (FORMAT json) SELECT * FROM {view} WHERE day = DATE '2026-05-25'").fetchall()

    above = list(_ways_to(json.loads(plan[0][1]), "'2026-05-25'"))
    assert any("LEFT_DELIM_JOIN" in path for path in above), "a delim join fetches the legs of what comes from below"


@pytest.mark.parametrize(
    "name",
    ["Asia/Shanghai", "America/New_York", "Africa/Casablanca", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Beirut"],
)
def test_a_week_that_ends_as_far_from_utc_as_it_began_was_so_all_along(name: str) -> None:
    """What kpi_calls trusts in, of zones with odd changes; docs/adr/0050 says of all."""
    zone, week_seconds = ZoneInfo(name), 7 * 86_400
    for week in range(1565, 1565 + 2440):
        distances = [
            datetime.fromtimestamp(week * week_seconds + day * 86_400, zone).utcoffset() for day in range(7 + 1)
        ]
        assert distances[0] != distances[-1] or len(set(distances)) == 1, week


def _ways_to(nodes: list[dict[str, Any]], words: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The operators above each one that says some words."""
    for node in nodes:
        if words in str(node["extra_info"]):
            yield above
        yield from _ways_to(node["children"], words, (*above, node["name"].strip()))
