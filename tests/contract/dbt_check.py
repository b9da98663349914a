"""The dbt package (deploy/dbt) by dbt itself, on three warehouses: every model against the loader's view of its name.

`python -m tests.contract.dbt_check --sessions 1000` (`make dbt-check`). dbt pins older libraries than callweave has, so
it runs in an environment of its own, which is made once, of deploy/dbt/requirements.txt, below the user's cache. Exit
status 1 where dbt finds a fault or a row differs.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import platformdirs
import yaml
from psycopg.conninfo import conninfo_to_dict

from callweave.kpi_settings import kpi_rules
from callweave.settings import load_settings
from sinks.kpi.rules import KPI_SATISFACTION_KEYS, KPI_SETTINGS, KpiRules, satisfaction_rows, settings_rows
from sinks.kpi.views import KPI_VIEWS
from sinks.sink import Sink
from sinks.snapshot import Snapshots
from sinks.warehouse import open_sink
from tests.contract.numbers_check import numbers_day
from tests.contract.same_day import EVERYTHING, OF_THE_CLOCK, Day, all_five, comparable, load
from tests.support.clickhouse import database_of
from tests.support.golden import deliveries, run

PACKAGE = Path(__file__).parents[2] / "deploy/dbt"
GOLDEN = Path(__file__).parents[1] / "golden/a-day-of-numbers"
WAREHOUSES = ("duckdb", "postgres", "clickhouse")
MODELS = "numbers"
"""The schema, or database, of the models (deploy/dbt/profiles.yml)."""
METRICS = (
    *("session_count", "queued_count", "service_level_connect", "service_level_genesys", "abandonment_rate_google"),
    *("asa_seconds", "queue_wait_p50_seconds", "queue_wait_p90_seconds", "queue_wait_max_seconds", "transfer_rate"),
    *("aht_without_acw_seconds", "csat_score", "outbound_connect_rate"),
)
"""Of each kind one or two: counts, ratios, percentiles of the rows, the longest."""
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Dbt:
    """The programs dbt and mf, on one warehouse, in a project."""

    programs: Path
    project: Path
    environment: dict[str, str]

    def run(self, program: str, *words: str) -> None:
        """Run one command; AssertionError with its words where it fails."""
        done = subprocess.run(
            [str(self.programs / program), *words],
            cwd=self.project,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {' '.join(words)}:\n{done.stdout[-6_000:]}"
        told = [line for line in done.stdout.splitlines() if "Done. PASS" in line or "Successfully" in line]
        print(f"    {program} {words[0]}: {told[-1].strip() if told else 'done'}", flush=True)


def dbt_programs() -> Path:
    """Where dbt is; installed there where it is not yet."""
    wanted = (PACKAGE / "requirements.txt").read_bytes()
    name = f"dbt-{hashlib.blake2b(wanted + sys.version.encode(), digest_size=6).hexdigest()}"
    home = Path(platformdirs.user_cache_dir("callweave")) / name
    if not (home / "installed").exists():
        print(f"installing dbt into {home} ...", flush=True)
        venv.create(home, clear=True, with_pip=True)
        requirements = str(PACKAGE / "requirements.txt")
        subprocess.run(
            [home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements],
            check=True,
        )
        (home / "installed").touch()
    return home / "bin"


def check(name: str, url: str, folder: Path, day: Day, rules: tuple[KpiRules, ...], programs: Path) -> list[str]:
    """Load a day, build the package, and compare; one line for each model that differs."""
    folder.mkdir()
    sink = open_sink(url, data_dir=folder, recording_deadline_seconds=3600, kpi_rules=rules)
    with closing(sink):
        sink.open()
        load(sink, day, 1)
        if name == "duckdb":
            Snapshots(sink, folder / "published/calls.duckdb", 0).publish()
        dbt = Dbt(programs, _project(folder, rules), _environment(name, url, folder))
        where = {"callweave_schema": database_of(url)} if name == "clickhouse" else {}
        dbt.run("dbt", "deps")
        dbt.run("dbt", "build", "--vars", json.dumps({**where, "callweave_rules": "seed"}))
        wrong = list(_differences(f"{name}, by seeds,", name, sink, folder))
        dbt.run("dbt", "build", "--vars", json.dumps(where))
        dbt.run("dbt", "source", "freshness", "--vars", json.dumps(where))
        dbt.run("dbt", "docs", "generate", "--vars", json.dumps(where))
        wrong += _differences(name, name, sink, folder)
        if name != "clickhouse":  # MetricFlow writes no SQL for it
            dbt.run("mf", "validate-configs")
            wrong += _differences_of_metrics(name, dbt, sink)
        return wrong


def _project(folder: Path, rules: tuple[KpiRules, ...]) -> Path:
    """A project that has the package installed, and the loader's rules as seeds of its own."""
    shutil.copytree(PACKAGE, folder / "callweave", ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"))
    project = folder / "project"
    (project / "seeds").mkdir(parents=True)
    shutil.copy(PACKAGE / "profiles.yml", project)
    (project / "packages.yml").write_text("packages: [{local: ../callweave}]\n")
    types = {"open_quarters": "{{ 'String' if target.type == 'clickhouse' else 'text' }}"}
    types["satisfaction_key"] = types["open_quarters"]
    told = {
        "name": "numbers_of_ours",
        "version": "1.0.0",
        "profile": "callweave",
        "seeds": {"callweave": {"+enabled": False}, "numbers_of_ours": {"+column_types": types}},
    }
    (project / "dbt_project.yml").write_text(yaml.safe_dump(told))
    for table, rows in ((KPI_SETTINGS, settings_rows(rules)), (KPI_SATISFACTION_KEYS, satisfaction_rows(rules))):
        with (project / f"seeds/{table.name}_seed.csv").open("w", newline="") as file:
            csv.writer(file).writerows([table.column_names, *rows])
    return project


def _differences_of_metrics(name: str, dbt: Dbt, sink: Sink) -> Iterator[str]:
    """MetricFlow's numbers of each account and day, put together from hours and lines, against kpi_daily."""
    answer = dbt.project / "metrics.csv"
    asked = ["mf", "query", "--metrics", ",".join(METRICS), "--group-by", "account,metric_time__day"]
    dbt.run(*asked, "--csv", str(answer))
    columns = ", ".join(METRICS)
    rows = sink.query(f"SELECT sdk_app_id, day, {columns} FROM kpi_daily", EVERYTHING).rows
    due = {(app, day.isoformat()): numbers for app, day, *numbers in rows}
    found = {}
    with answer.open(newline="") as file:
        for row in csv.DictReader(file):
            numbers = [float(row[metric]) if row[metric] else None for metric in METRICS]
            found[int(row["account"]), row["metric_time__day"][:10]] = numbers
    for place in due.keys() | found.keys():
        one, other = due.get(place, []), found.get(place, [])
        if [comparable(value and float(value)) for value in one] != [comparable(value) for value in other]:
            yield f"{name}, metrics of {place}: {other}, not {one}"
    print(f"    {len(METRICS)} metrics of {len(found)} accounts and days", flush=True)


def _environment(name: str, url: str, folder: Path) -> dict[str, str]:
    return {
        "CALLWEAVE_DBT_TARGET": name,
        **(_OF_SERVER[name](url) if name in _OF_SERVER else {}),
        "CALLWEAVE_DBT_PATH": str(folder / "numbers.duckdb"),
        "CALLWEAVE_DBT_COPY": str(folder / "published/calls.duckdb"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_USE_COLORS": "false",
    }


def _of_postgres(url: str) -> dict[str, str]:
    words = conninfo_to_dict(url)
    return {
        "CALLWEAVE_DBT_HOST": str(words["host"]),
        "CALLWEAVE_DBT_PORT": str(words.get("port") or 5432),
        "CALLWEAVE_DBT_USER": str(words.get("user", "")),
        "CALLWEAVE_DBT_PASSWORD": str(words.get("password", "")),
        "CALLWEAVE_DBT_DATABASE": str(words["dbname"]),
    }


def _of_clickhouse(url: str) -> dict[str, str]:
    address = urlsplit(url)
    return {
        "CALLWEAVE_DBT_HOST": str(address.hostname),
        "CALLWEAVE_DBT_PORT": str(address.port),
        "CALLWEAVE_DBT_USER": str(address.username),
        "CALLWEAVE_DBT_PASSWORD": str(address.password),
    }


_OF_SERVER = {"postgres": _of_postgres, "clickhouse": _of_clickhouse}


def _differences(what: str, name: str, sink: Sink, folder: Path) -> Iterator[str]:
    cells = 0
    for view in KPI_VIEWS:
        columns = [column for column in view.column_names if column not in OF_THE_CLOCK]
        listed = ", ".join(columns)
        due = sink.query(f"SELECT {listed} FROM {view.name}", EVERYTHING).rows
        select = f"SELECT {listed} FROM {MODELS}.{view.name}"
        found = (
            _of_file(folder / "numbers.duckdb", view.name, listed)
            if name == "duckdb"
            else sink.query(select, EVERYTHING).rows
        )
        if (one := _sorted(due)) != (other := _sorted(found)):
            lacking = next((row for row in one if row not in other), None)
            yield f"{what} {view.name}: {len(one)} rows in the view, {len(other)} in the model; for one, {lacking}"
        cells += len(one) * len(columns)
    print(f"    {cells} cells of {len(KPI_VIEWS)} models compared with the views", flush=True)


def _of_file(file: Path, model: str, columns: str) -> Rows:
    with duckdb.connect(file, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"SELECT {columns} FROM main.{model}").fetchall()


def _sorted(rows: Sequence[Sequence[Any]]) -> Rows:
    return sorted((tuple(comparable(cell) for cell in row) for row in rows), key=repr)


def _days(sessions: int) -> Iterator[tuple[str, Day, tuple[KpiRules, ...]]]:
    harness = run(deliveries(GOLDEN))
    rules = kpi_rules(load_settings(GOLDEN / "callweave.toml").kpi)
    yield "the day worked out by hand", Day(harness.sessions_topic, harness.letters, harness.tables()), rules
    told = numbers_day(sessions, 1)
    yield f"{sessions} simulated sessions", told.day, told.rules


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--sessions", type=int, default=1_000)
    options.add_argument("--only", choices=WAREHOUSES)
    asked = options.parse_args()
    programs = dbt_programs()
    wrong: list[str] = []
    for what, day, rules in _days(asked.sessions):
        with tempfile.TemporaryDirectory(prefix="callweave-dbt-") as folder, all_five() as urls:
            for name in (asked.only,) if asked.only else WAREHOUSES:
                print(f"{what}, {name}", flush=True)
                wrong += check(name, urls[name], Path(folder) / name, day, rules, programs)
    for line in wrong:
        print(f"DIFFERENT {line}")
    print("every model is its view" if not wrong else f"{len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
