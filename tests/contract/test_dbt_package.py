"""The dbt package of deploy/dbt without dbt: valid YAML, and models whose rows are the views', on DuckDB.

The models are rendered by Jinja alone, with stand-ins for dbt's words. dbt itself runs in `make dbt-check`.
"""

import json
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import jsonschema
import pytest
import yaml
from jinja2 import Environment, StrictUndefined

from callweave.kpi_settings import kpi_rules
from callweave.settings import load_settings
from deploy.generators.__main__ import DEPLOY
from deploy.generators.dbt import dbt_files
from sinks.clickhouse_sql import translated
from sinks.kpi.rules import NOBODY_HAS_SAID
from sinks.kpi.views import KPI_VIEWS, kpi_select, places_of_definitions
from sinks.warehouse import open_sink
from tests.contract.same_day import OF_THE_CLOCK, Day, comparable, load
from tests.support.golden import deliveries, run
from tests.support.loading import DUCKDB

PACKAGE = DEPLOY / "dbt"
VENDOR = Path(__file__).parents[1] / "support/vendor"
GOLDEN = Path(__file__).parents[1] / "golden/a-day-of-numbers"
SEMANTIC_LAYER = yaml.safe_load((PACKAGE / "models/semantic_layer.yml").read_text(encoding="utf-8"))
RULES = ("kpi_settings", "kpi_satisfaction_keys")


def rendered(name: str, target: str, sources: str = "") -> str:
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701 - SQL
    return environment.from_string((PACKAGE / f"models/{name}.sql").read_text(encoding="utf-8")).render(
        target=SimpleNamespace(type=target),
        var=lambda _, default: default,
        ref=lambda model: model,
        source=lambda _, table: f"{sources}{table}",
    )


def test_there_is_a_model_for_every_view_and_no_other():
    models = {file.stem for file in (PACKAGE / "models").glob("*.sql")}

    assert models - {"callweave_time_spine"} == {view.name for view in KPI_VIEWS}
    made = {PACKAGE.parent / name for name, _ in dbt_files()}
    files = [*(PACKAGE / "models").iterdir(), *(PACKAGE / "seeds").iterdir()]
    generated = {file for file in files if "Generated from" in file.read_text(encoding="utf-8")[:80]}
    assert generated <= made, "a file that nothing makes any more"


@pytest.mark.parametrize("target", ["duckdb", "postgres", "clickhouse"])
def test_a_model_is_the_very_text_of_its_view(target):
    for view in KPI_VIEWS:
        if view.name not in RULES:
            text = kpi_select(view.name, NOBODY_HAS_SAID, target)
            due = translated(text) if target == "clickhouse" else text
            assert rendered(view.name, target).split() == due.split(), view.name


def test_the_models_give_the_rows_of_the_views(tmp_path):
    harness = run(deliveries(GOLDEN))
    rules = kpi_rules(load_settings(GOLDEN / "callweave.toml").kpi)
    with closing(open_sink(DUCKDB, data_dir=tmp_path, recording_deadline_seconds=3600, kpi_rules=rules)) as sink:
        sink.open()
        load(sink, Day(harness.sessions_topic, harness.letters, harness.tables()), 1)
    with duckdb.connect(tmp_path / "numbers.duckdb") as numbers:
        numbers.execute(f"SET TimeZone = 'UTC'; ATTACH '{tmp_path / 'calls.duckdb'}' AS calls (READ_ONLY)")
        for view in KPI_VIEWS:
            numbers.execute(f"CREATE TABLE {view.name} AS {rendered(view.name, 'duckdb', 'calls.main.')}")
            columns = ", ".join(name for name in view.column_names if name not in OF_THE_CLOCK)
            due = numbers.execute(f"SELECT {columns} FROM calls.main.{view.name}").fetchall()
            found = numbers.execute(f"SELECT {columns} FROM main.{view.name}").fetchall()

            assert due, view.name
            assert _sorted(found) == _sorted(due), view.name


def _sorted(rows: list[tuple[Any, ...]]) -> list[str]:
    return sorted(repr([comparable(cell) for cell in row]) for row in rows)


@pytest.mark.parametrize(
    "name",
    ["models/sources.yml", "models/schema.yml", "models/exposures.yml", "models/time_spine.yml", "seeds/seeds.yml"],
)
def test_what_dbt_is_told_is_valid_under_its_own_schema(name):
    """The schema is dbt-core 1.11's; it knows only the semantic layer of later versions, so that is left out."""
    validator = jsonschema.Draft7Validator(json.loads((VENDOR / "dbt-resources.schema.json").read_text()))

    assert [error.message for error in validator.iter_errors(yaml.safe_load((PACKAGE / name).read_text()))] == []


def test_the_project_file_is_valid_under_dbts_own_schema():
    validator = jsonschema.Draft7Validator(json.loads((VENDOR / "dbt-project.schema.json").read_text()))
    # dbt renders before it validates.
    project = re.sub(r'"\{\{.*\}\}"', "true", (PACKAGE / "dbt_project.yml").read_text())

    assert [error.message for error in validator.iter_errors(yaml.safe_load(project))] == []


def test_the_project_has_the_version_of_the_definitions():
    project = yaml.safe_load((PACKAGE / "dbt_project.yml").read_text())
    versions = {one.version for one in places_of_definitions()}

    assert int(project["version"].partition(".")[0]) >= max(versions)


def test_every_measure_is_a_column_of_its_model_and_no_number_is_lost():
    columns = {view.name: set(view.column_names) for view in KPI_VIEWS}
    for model in SEMANTIC_LAYER["semantic_models"]:
        of_model = columns[model["model"].removeprefix("ref('").removesuffix("')")]
        named = [*model["measures"], *model["dimensions"]]
        assert {one.get("expr", one["name"]) for one in named} <= of_model, model["name"]
    lost = {one.id for one in places_of_definitions()} - {metric["name"] for metric in SEMANTIC_LAYER["metrics"]}
    # Their rows are in no model, so no span has them but the days of the views.
    assert {name.rpartition("_p")[0] for name in lost} == {"recording_delay", "voicemail_delay"}


def test_a_ratio_divides_the_sums_that_its_definition_names():
    metrics: Mapping[str, Any] = {metric["name"]: metric for metric in SEMANTIC_LAYER["metrics"]}
    aggregates = {
        measure["name"]: measure["agg"] for model in SEMANTIC_LAYER["semantic_models"] for measure in model["measures"]
    }
    assert set(aggregates.values()) == {"sum", "max", "min", "percentile"}, "no average of averages"
    for one in places_of_definitions():
        if one.numerator:
            metric = metrics[one.id]
            parts = metric["type_params"]
            assert metric["type"] == "ratio"
            for part, number in (("numerator", one.numerator), ("denominator", one.denominator)):
                # Of the same model; which has a name of its own where another model has the plain one.
                assert parts[part] == number or parts[part].endswith(f"_{number}")
                assert aggregates[parts[part]] == "sum"
