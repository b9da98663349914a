"""One SQL source for three dialects: what ClickHouse does not know is spelled otherwise, and nothing is left over."""

import re

import pytest

from sinks import ddl
from sinks.clickhouse_sql import translated


@pytest.mark.parametrize(
    ("common", "ours"),
    [
        ("EXTRACT(EPOCH FROM (b - a))", "dateDiff('second', a, b)"),
        ("EXTRACT(EPOCH FROM (NOW() - COALESCE(a, b)))", "dateDiff('second', COALESCE(a, b), now64(6, 'UTC'))"),
        (
            "1 + EXTRACT(EPOCH FROM a.b) / EXTRACT(EPOCH FROM (c))",
            "1 + dateDiff('second', toDateTime(0, 'UTC'), a.b) / dateDiff('second', toDateTime(0, 'UTC'), (c))",
        ),
        (
            "EXTRACT(EPOCH FROM (a.b AT TIME ZONE c.d))",
            "dateDiff('second', toDateTime(0, 'UTC'), toDateTime64(toString(a.b, c.d), 6, 'UTC'))",
        ),
        ("EXTRACT(EPOCH FROM (a) - (b))", "dateDiff('second', toDateTime(0, 'UTC'), (a) - (b))"),
        ("CAST(a AT TIME ZONE 'UTC' AS DATE)", "CAST(a AS Nullable(Date32))"),
        ("CAST(\n  AVG(a)\n  AS DOUBLE PRECISION\n)", "CAST(\n  AVG(a)\n  AS Nullable(Float64)\n)"),
        ("CAST(NULL AS TIMESTAMP WITH TIME ZONE)", "CAST(NULL AS Nullable(DateTime64(6, 'UTC')))"),
        ("SELECT a AS DATE FROM b", "SELECT a AS DATE FROM b"),
    ],
)
def test_each_spelling_has_its_own(common: str, ours: str) -> None:
    assert translated(common) == ours


@pytest.mark.parametrize("name", ddl.VIEWS)
def test_no_view_keeps_what_only_other_warehouses_understand(name: str) -> None:
    sql = translated(ddl.view(name, recording_deadline_seconds=60))

    assert not re.search(r"EPOCH|AT TIME ZONE|DISTINCT FROM|NOW\(\)|AS (BIGINT|DATE|BOOLEAN|DOUBLE)\b", sql)
