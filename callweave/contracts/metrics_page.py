"""The page of metrics: what every role measures, made of the one list of them."""

from collections.abc import Iterator

from schemas.metrics import METRICS, Metric, Role

_PREFACE = """\
# Metrics

Generated from `schemas/metrics.py` (`make contracts`); dashboards and alert rules are made of the same list
([observing.md](observing.md)). Every role serves them on its admin port, at `/metrics`, in Prometheus's format, beside
what its client library tells of every Python process (`process_…`, `python_…`). Histograms have the series `…_bucket`,
`…_sum` and `…_count`. Every label is bounded: by a closed set, by the settings, or by the partitions.
"""


def metrics_page() -> str:
    """The page, as Markdown."""
    everywhere = [metric for metric in METRICS if set(metric.roles) == set(Role)]
    lines = [_PREFACE, "## Every role", "", *_table(everywhere)]
    for role in Role:
        theirs = [metric for metric in METRICS if role in metric.roles and metric not in everywhere]
        if theirs:
            lines += [f"## {role.value}", "", *_table(theirs)]
    return "\n".join(lines).rstrip() + "\n"


def _table(metrics: list[Metric]) -> Iterator[str]:
    yield "| metric | type | unit | labels | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for metric in metrics:
        yield f"| {' | '.join(_cells(metric))} |"
    yield ""


def _cells(metric: Metric) -> Iterator[str]:
    yield f"`{metric.name}`"
    yield metric.kind.value
    yield metric.unit.value
    yield "; ".join(
        f"`{label.name}`: {', '.join(label.values) if label.values else label.bounded_by}" for label in metric.labels
    )
    meaning = f"{metric.meaning} ({metric.only})" if metric.only else metric.meaning
    yield meaning.replace("|", "\\|")
