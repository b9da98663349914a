"""The views' SQL, which DuckDB and Postgres share, as ClickHouse spells it. Pure text, and only what the views use.

The rule: what ClickHouse servers of some years understand. EXTRACT(EPOCH …) is of 2026; a CAST of NULL wants a type
that may be NULL; instants are DateTime64 in UTC, so there is no zone to convert to.
"""

import re
from datetime import UTC, datetime
from typing import Final

_EPOCH: Final = "EXTRACT(EPOCH FROM "
_INSTANT: Final = "TO_TIMESTAMP("
# Not toUnixTimestamp: it refuses moments before 1970, and what lies under a NULL is 1970 by the clock of some zone.
_SINCE_1970: Final = "dateDiff('second', toDateTime(0, 'UTC'), "
_SPELLINGS: Final = (
    (r" AT TIME ZONE 'UTC'", ""),
    # The zone is a column's, which only toString takes; the digits of the zone's clock become an instant's.
    (r"\(([\w.]+) AT TIME ZONE ([\w.]+)\)", r"toDateTime64(toString(\1, \2), 6, 'UTC')"),
    (r"\bNOW\(\)", "now64(6, 'UTC')"),
    (r"\bAS TIMESTAMP WITH TIME ZONE(?=\s*\))", "AS Nullable(DateTime64(6, 'UTC'))"),
    (r"\bAS TIMESTAMP(?=\s*\))", "AS Nullable(DateTime64(6, 'UTC'))"),
    (r"\bAS DOUBLE PRECISION(?=\s*\))", "AS Nullable(Float64)"),
    (r"\bAS BIGINT(?=\s*\))", "AS Nullable(Int64)"),
    (r"\bAS INTEGER(?=\s*\))", "AS Nullable(Int32)"),
    (r"\bAS TEXT(?=\s*\))", "AS Nullable(String)"),
    (r"\bEXTRACT\(ISODOW FROM ", "toDayOfWeek("),
    (r"\bEXTRACT\(HOUR FROM ", "toHour("),
    (r"\bPERCENTILE_CONT\(([\d.]+)\) WITHIN GROUP \(ORDER BY ", r"quantileExactInclusive(\1)("),
    (r"\bAS BOOLEAN(?=\s*\))", "AS Nullable(Bool)"),
    (r"\bAS DATE(?=\s*\))", "AS Nullable(Date32)"),
)


def translated(sql: str) -> str:
    """One SELECT. Comments stay: they are what an analyst finds in the warehouse."""
    while (start := sql.find(_EPOCH)) >= 0:
        stop = _closing(sql, start + len("EXTRACT"))
        sql = sql[:start] + _seconds(sql[start + len(_EPOCH) : stop]) + sql[stop + 1 :]
    while (start := sql.find(_INSTANT)) >= 0:
        stop = _closing(sql, start + len(_INSTANT) - 1)
        sql = f"{sql[:start]}toDateTime64({sql[start + len(_INSTANT) : stop]}, 6, 'UTC'){sql[stop + 1 :]}"
    for common, ours in _SPELLINGS:
        sql = re.sub(common, ours, sql)
    return sql


def _seconds(of: str) -> str:
    """Of an instant: since 1970. Of a difference of two, in brackets: between them."""
    if not of.startswith("(") or _closing(of, 0) != len(of) - 1:
        return f"{_SINCE_1970}{of})"
    inner = of[1:-1]
    depth = 0
    for position, character in enumerate(inner):
        depth += (character == "(") - (character == ")")
        if depth == 0 and inner.startswith(" - ", position):
            later, earlier = inner[:position], inner[position + 3 :]
            return f"dateDiff('second', {earlier}, {later})"
    return f"{_SINCE_1970}{of})"


def _closing(sql: str, opening: int) -> int:
    """Where the bracket that opens at `opening` closes."""
    depth = 0
    for position in range(opening, len(sql)):
        depth += (sql[position] == "(") - (sql[position] == ")")
        if depth == 0:
            return position
    raise ValueError(f"a bracket is not closed: {sql[opening : opening + 40]}")


def text_literal(text: str) -> str:
    """A text as a literal; backslashes are words of their own here."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\x00", "\\0")
    return f"'{escaped}'"


def instant_literal(moment: datetime) -> str:
    """A point in time as a literal."""
    return f"toDateTime64('{moment.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S.%f')}', 6, 'UTC')"
