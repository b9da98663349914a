"""The numbers of a simulated day against plain Python, on DuckDB, Postgres and ClickHouse: equal to the last call.

`python -m tests.contract.numbers_check --sessions 10000` (`make numbers-check`); exit status 1 on any difference.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callweave.kpi_settings import AccountKpiSettings, KpiSettings, kpi_rules
from callweave.simulator.faults import Dice
from callweave.simulator.office import open_offices
from callweave.simulator.plan import plan_pushes
from callweave.simulator.scenario import make_sessions
from sinks.kpi.rules import KpiRules
from sinks.kpi.views import KPI_VIEWS
from sinks.sink import QueryLimits
from sinks.warehouse import open_sink
from tests.contract.same_day import Day, all_five, comparable, load
from tests.support.counting import Row, contacts_of, expected_numbers
from tests.support.harness import Harness

# 1 November 2026 has the hour that New York has twice; it is among the three days before.
NOW = int(datetime(2026, 11, 2, 12, tzinfo=UTC).timestamp())
WAREHOUSES = ("duckdb", "postgres", "clickhouse")
EVERYTHING = QueryLimits(rows_max=10**7, seconds_max=600)
BESIDE = frozenset({"as_of", "definitions_version", "completeness", "completeness_is_final", "time_zone"})
"""Columns beside the numbers; and what depends on when a warehouse committed, or on the moment of the query."""
OF_THE_MOMENT = frozenset(
    {"kept_days_left_min", *(f"committed_after_{what}_seconds" for what in ("p50", "p90", "p95", "max"))}
)
LABELS = frozenset({"skill_group_name"})


@dataclass(frozen=True, slots=True)
class NumbersDay:
    """What was joined of a day, the rules of its accounts, and the numbers that follow."""

    day: Day
    rules: tuple[KpiRules, ...]
    expected: Mapping[str, Sequence[Row]]


def numbers_day(sessions: int, seed: int) -> NumbersDay:
    """Invent some days without faults, push them, join them, and count."""
    first, second = (office.sdk_app_id for office in open_offices(seed))
    settings = KpiSettings(
        time_zone="Asia/Kolkata",
        business_hours="mon-fri 09:00-17:30, sun 10:00-14:00",
        satisfaction_scores={"1": 5, "2": 3, "3": 1},
        accounts=(
            AccountKpiSettings(
                sdk_app_ids=(second,),
                time_zone="America/New_York",
                target_seconds=30,
                short_abandon_seconds=8,
                ringing_is_abandoned=False,
                genesys_adds_flow_outs=True,
                genesys_drops_short_abandons=True,
                fcr_days=1,
                containment_hours=2,
                # All of this account's calls may still change, and none of the other's.
                provisional_seconds=10**9,
            ),
        ),
    )
    assert first not in settings.accounts[0].sdk_app_ids
    rules = kpi_rules(settings)
    invented = make_sessions(seed=seed, count=sessions, now=NOW, days=3)
    told, plan = plan_pushes(invented, Dice(seed, {}), seed=seed, now=NOW)
    harness = Harness()
    receipts: dict[int, dict[str, int]] = {}
    for place, slot in enumerate(plan.slots):
        push = plan.pushes[slot.place]
        assert push.owner is not None
        at_ms = 1_000 * NOW + 10 * place
        receipts.setdefault(push.owner, {})[push.content] = at_ms // 1_000
        harness.pipe_push(push.raw, action=push.content.partition(":")[0], headers={}, at_ms=at_ms)
    contacts = contacts_of(told, receipts, {one.sdk_app_id: one for one in rules}, now=int(time.time()))
    day = Day(harness.sessions_topic, harness.letters, harness.tables())
    return NumbersDay(day, rules, expected_numbers(contacts))


def differences(url: str, folder: Path, told: NumbersDay, *, seed: int = 1) -> Iterator[str]:
    """One line for each cell that a warehouse counts otherwise."""
    sink = open_sink(url, data_dir=folder, recording_deadline_seconds=3600, kpi_rules=told.rules)
    with closing(sink):
        sink.open()
        load(sink, told.day, seed)
        for view in KPI_VIEWS:
            if view.name in told.expected:
                result = sink.query(f"SELECT * FROM {view.name}", EVERYTHING)
                found = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
                yield from _between(view.name, view.key, told.expected[view.name], found)


def _between(view: str, key: Sequence[str], expected: Sequence[Row], found: Sequence[Row]) -> Iterator[str]:
    due, here = _by_key(key, expected), _by_key(key, found)
    if len(due) != len(expected) or len(here) != len(found):
        yield f"{view}: a key stands twice"
    for missing in sorted(due.keys() - here.keys(), key=repr):
        yield f"{view}: no row of {missing}"
    for more in sorted(here.keys() - due.keys(), key=repr):
        yield f"{view}: a row of {more} that never was"
    for place in due.keys() & here.keys():
        one, other = due[place], here[place]
        if untold := other.keys() - one.keys() - BESIDE - OF_THE_MOMENT - LABELS:
            yield f"{view}: nobody counted {sorted(untold)}"
            return
        yield from (
            f"{view} {place} {name}: {other.get(name)!r} where {value!r} is due"
            for name, value in one.items()
            if comparable(other.get(name, "no such column")) != comparable(value)
        )


def _by_key(key: Sequence[str], rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    return {tuple(comparable(row[name]) for name in key): row for row in rows}


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--sessions", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    told = numbers_day(asked.sessions, asked.seed)
    rows = sum(map(len, told.expected.values()))
    cells = sum(len(row) for rows_of in told.expected.values() for row in rows_of)
    print(f"{asked.sessions} sessions: {rows} rows with {cells} values counted in Python", flush=True)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="callweave-numbers-") as folder, all_five() as urls:
        for name in WAREHOUSES:
            begun = time.process_time()
            lines = list(differences(urls[name], Path(folder), told))
            wrong += len(lines)
            for line in lines[:20]:
                print(f"DIFFERENT {name}: {line}")
            spent = time.process_time() - begun
            print(f"{name}: {len(lines)} differences ({spent:.1f} s of this process)", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
