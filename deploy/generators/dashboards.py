"""The Grafana dashboards, made of the one list of metrics by Grafana's own library of their types.

The rule: every listed metric has a panel; the overview shows the few that tell whether all is well, and why not.
"""

import json
from collections.abc import Iterator
from typing import Final, assert_never

from grafana_foundation_sdk.builders import common, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from schemas import metrics as m
from schemas.metrics import METRICS, Kind, Metric, Role, Unit

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_UNITS: Final = {
    Unit.BYTES: "bytes",
    Unit.RATIO: "percentunit",
    Unit.SECONDS: "s",
    Unit.UNIX_SECONDS: "dateTimeFromNow",
    Unit.FLAG: "bool_yes_no",
}
_WITHIN: Final = "$__rate_interval"
_HEIGHT: Final = 7
_SPAN: Final = 8
"""Three panels abreast; Grafana counts 24 columns."""

OVERVIEW: Final = (
    m.READY,
    m.PUSHES_RECEIVED,
    m.PUSHES_REJECTED,
    m.PUSH_SECONDS,
    m.SPOOL_ENTRIES,
    m.WORKER_LAG_SECONDS,
    m.LOADER_LAG_SECONDS,
    m.FRESHNESS,
    m.CALL_FRESHNESS,
    m.DEAD_LETTERS,
    m.COMPLETENESS_SHARE,
    m.RECORDINGS_EXPIRING,
)


def dashboard_files() -> Iterator[tuple[str, str]]:
    """Each dashboard's file name and text."""
    yield "callweave-overview.json", _json(_overview())
    yield "callweave-metrics.json", _json(_all_metrics())


def _overview() -> Dashboard:
    board = _board("callweave-overview", "callweave: overview")
    for metric in OVERVIEW:
        board.with_panel(_panel(metric))
    return board


def _all_metrics() -> Dashboard:
    board = _board("callweave-metrics", "callweave: every metric")
    everywhere = [metric for metric in METRICS if set(metric.roles) == set(Role)]
    rows = {"every role": everywhere}
    for role in Role:
        rows[role.value] = [metric for metric in METRICS if metric.roles[0] is role and metric not in everywhere]
    for title, metrics in rows.items():
        if metrics:
            board.with_row(Row(title))
            for metric in metrics:
                board.with_panel(_panel(metric))
    return board


def _board(uid: str, title: str) -> Dashboard:
    source = DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    board = Dashboard(title).uid(uid).tags(["callweave"]).readonly().refresh("30s").time("now-6h", "now")
    return board.timezone("browser").with_variable(source)


def _panel(metric: Metric) -> timeseries.Panel:
    panel = timeseries.Panel().title(metric.name.removeprefix("callweave_")).description(metric.meaning)
    panel = panel.datasource(SOURCE).height(_HEIGHT).span(_SPAN).unit(_UNITS.get(metric.unit, "short")).fill_opacity(10)
    for query in _queries(metric):
        panel.with_target(query)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return panel.legend(legend.show_legend(True))


def _queries(metric: Metric) -> Iterator[Dataquery]:
    by = ", ".join(label.name for label in metric.labels)
    legend = " ".join(f"{{{{{label.name}}}}}" for label in metric.labels)
    match metric.kind:
        case Kind.COUNTER:
            grouped = f" by ({by})" if by else ""
            yield _query("A", f"sum{grouped} (rate({metric.name}[{_WITHIN}]))", legend or "a second")
        case Kind.GAUGE:
            yield _query("A", metric.name, f"{{{{job}}}} {legend}".strip())
        case Kind.HISTOGRAM:
            for ref, quantile in (("A", 0.5), ("B", 0.95), ("C", 0.99)):
                buckets = f"sum by (le) (rate({metric.name}_bucket[{_WITHIN}]))"
                yield _query(ref, f"histogram_quantile({quantile}, {buckets})", f"p{quantile * 100:.0f}")
        case _:
            assert_never(metric.kind)


def _query(ref: str, expr: str, legend: str) -> Dataquery:
    return Dataquery().ref_id(ref).expr(expr).legend_format(legend).datasource(SOURCE)


def _json(board: Dashboard) -> str:
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
