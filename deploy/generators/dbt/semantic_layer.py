"""The semantic layer (MetricFlow): counts and sums as measures, ratios of two of them, percentiles of the rows.

The rule: never an average of averages. A ratio divides sums; a percentile is of `kpi_sessions`; a number that cannot be
had so for any span (percentiles of recordings and voicemails, whose rows are in no model) is no metric.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.generators.dbt.documents import as_yaml
from schemas.columns import ColumnType, Table
from sinks.kpi.definitions import Definition
from sinks.kpi.views import KPI_VIEWS, places_of_definitions

_PERCENTILE: Final = re.compile(
    r"CAST\(PERCENTILE_CONT\(([\d.]+)\) WITHIN GROUP \(ORDER BY k\.(\w+)\) AS DOUBLE PRECISION\)"
)
_ROWS: Final = "kpi_sessions"
_COUNTED: Final = (
    "kpi_hourly_line",
    "kpi_hourly_skill_group",
    "kpi_daily_agent",
    "kpi_daily_recording",
    "kpi_daily_voicemail",
    "kpi_daily_transfer",
    "kpi_daily_end_reason",
    "kpi_daily_ivr_path",
    "kpi_daily_pipeline",
    "kpi_concurrency",
)
"""kpi_daily is not among them: it is kpi_hourly_line without hours and lines."""
_TIMES: Final = {"day": ("account_day", "day"), "hour": ("began_hour", "hour"), "quarter_hour": ("began_hour", "hour")}
"""Column -> its dimension's name and grain: MetricFlow keeps the words day and hour for itself."""
_EVERYBODYS: Final = frozenset({"sdk_app_id", "day"})


@dataclass(slots=True)
class _Layer:
    """What is made so far; a number's first view gives it its plain name."""

    models: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)

    def free_name(self, view: Table, one: Definition) -> str:
        """A metric's name: the number's, where no earlier view has taken it."""
        return one.id if one.id not in self.metrics else f"{_short(view)}_{one.id}"

    def add(self, view: Table, one: Definition, name: str, **how: Any) -> None:
        """One metric; people find it by its label, of which there is one."""
        label = one.name if one.name not in self.labels else f"{one.name} ({_short(view).replace('_', ' ')})"
        assert label not in self.labels
        self.labels.add(label)
        self.metrics[name] = {
            "name": name,
            "label": label,
            "description": f"{one.formula} (after {one.source})" if one.source != "callweave" else one.formula,
            **how,
            "config": {"meta": {"unit": one.unit, "after": one.source, "definition_version": one.version}},
        }


def semantic_layer() -> Iterator[tuple[str, str]]:
    """Its file."""
    layer = _Layer()
    views = {view.name: view for view in KPI_VIEWS}
    numbers: dict[str, list[Definition]] = {name: [] for name in views}
    for one, names in places_of_definitions().items():
        for name in names:
            numbers[name].append(one)
    _add_percentiles(layer, views[_ROWS], numbers)
    for name in _COUNTED:
        _add(layer, views[name], numbers[name])
    document = {"semantic_models": layer.models, "metrics": list(layer.metrics.values())}
    yield "dbt/models/semantic_layer.yml", as_yaml("sinks/kpi", document)


def _add_percentiles(layer: _Layer, rows: Table, numbers: Mapping[str, list[Definition]]) -> None:
    measures = []
    for one in dict.fromkeys((*numbers["kpi_hourly_line"], *numbers["kpi_daily_pipeline"])):
        if (found := _PERCENTILE.fullmatch(one.sql or "")) is None:
            continue
        share, column = found.groups()
        assert column in rows.column_names
        measures.append(
            {
                "name": one.id,
                "description": one.formula,
                "agg": "percentile",
                "expr": column,
                "agg_params": {"percentile": float(share), "use_discrete_percentile": False},
            }
        )
        layer.add(rows, one, one.id, type="simple", type_params={"measure": one.id})
    dimensions = [
        *_times(rows),
        *(_category(column.name) for column in rows.columns if column.name in _OF_A_CALL),
    ]
    layer.models.append(_model(rows, dimensions, measures))


_OF_A_CALL: Final = (
    *("time_zone", "direction", "call_type", "skill_group_id", "skill_group_name", "line_number", "local_hour"),
    *("end_status", "hung_up_by", "source", "in_business_hours"),
)


def _add(layer: _Layer, view: Table, numbers: list[Definition]) -> None:
    measures, names = [], {}
    for one in numbers:
        aggregate = _aggregate(one)
        if aggregate is None:
            continue
        name = names[one.id] = layer.free_name(view, one)
        measures.append({"name": name, "description": one.formula, "agg": aggregate, "expr": one.id})
        layer.add(view, one, name, type="simple", type_params={"measure": name})
    for one in numbers:
        if one.numerator and one.denominator:
            params = {"numerator": names[one.numerator], "denominator": names[one.denominator]}
            layer.add(view, one, layer.free_name(view, one), type="ratio", type_params=params)
    ids = {one.id for one in numbers}
    beside = {"completeness", "completeness_is_final", "as_of", "definitions_version", "end_reason_share"}
    dimensions = [
        *_times(view),
        *(
            _category(column.name)
            for column in view.columns
            if column.name not in ids | beside | _EVERYBODYS and column.type is not ColumnType.INSTANT
        ),
    ]
    layer.models.append(_model(view, dimensions, measures))


def _aggregate(one: Definition) -> str | None:
    """How rows of a view are put together; None for what cannot be: ratios and percentiles."""
    if one.numerator or "PERCENTILE" in (one.sql or ""):
        return None
    if one.is_number_of_calls:
        return "sum"
    if "MAX(" in (one.sql or "") and "MIN(" in (one.sql or ""):
        return "sum"  # from the first moment to the last: lengths of shifts, which add up
    return "min" if "MIN(" in (one.sql or "") else "max"


def _model(view: Table, dimensions: list[dict[str, Any]], measures: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": _short(view),
        "description": f"{view.purpose}.",
        "model": f"ref('{view.name}')",
        "defaults": {"agg_time_dimension": "account_day"},
        "primary_entity": f"{_short(view)}_row",
        "entities": [{"name": "account", "type": "foreign", "expr": "sdk_app_id"}],
        "dimensions": dimensions,
        "measures": measures,
    }


def _short(view: Table) -> str:
    return view.name.removeprefix("kpi_")


def _times(view: Table) -> list[dict[str, Any]]:
    # Days are the account's; an hour is a moment, whose day another zone may call otherwise. So days are the clock.
    return [
        {"name": name, "type": "time", "expr": column, "type_params": {"time_granularity": grain}}
        for column, (name, grain) in _TIMES.items()
        if column in view.column_names
    ]


def _category(name: str) -> dict[str, Any]:
    return {"name": name, "type": "categorical"}
