"""How a question is spelled for the warehouse that answers it: values as literals, and ClickHouse's dialect.

The rule: every value in a statement was made here, from a number, a time or a text without backslashes, which all
three warehouses read alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sinks.clickhouse_sql import translated


@dataclass(frozen=True, slots=True)
class Spelling:
    """DuckDB and Postgres share one; ClickHouse has its own."""

    is_clickhouse: bool

    @classmethod
    def of(cls, warehouse_url: str) -> "Spelling":
        """The spelling of the warehouse at an address."""
        return cls(warehouse_url.startswith("clickhouse:"))

    def statement(self, sql: str) -> str:
        """One SELECT as that warehouse reads it."""
        return translated(sql) if self.is_clickhouse else sql

    def moment(self, moment: datetime) -> str:
        """A point in time."""
        text = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        return f"toDateTime64('{text}', 6, 'UTC')" if self.is_clickhouse else f"TIMESTAMPTZ '{text}+00'"

    def quarter_hour(self, moment: str) -> str:
        """The beginning of the quarter of an hour that a column's moment lies in, as seconds since 1970."""
        if self.is_clickhouse:
            return f"toInt64(intDiv(toUnixTimestamp({moment}), 900) * 900)"
        return f"CAST(FLOOR(EXTRACT(EPOCH FROM {moment}) / 900) * 900 AS BIGINT)"


def text(value: str) -> str:
    """A text. Backslashes would be escapes to one of the three, and are in no name that we look for."""
    if "\\" in value or "\0" in value:
        raise ValueError("a text with a backslash is none that the page looks for")
    return "'" + value.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """Several, for IN."""
    return ", ".join(map(text, values))
