"""Read-only queries on ClickHouse: one SELECT, under `readonly = 1`, on the server's own limits.

The rule: it is the server that refuses. `readonly = 1` takes neither writes nor table functions that reach out (url,
file, s3, remote) nor other settings, and a request takes one statement. What may be read is what the user may read.
"""

import re
import threading
from datetime import UTC, datetime
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.columns import TABLES, ColumnType
from sinks.clickhouse_session import TOO_LATE, Address, fault_of
from sinks.sink import Fault, QueryLimits, QueryRefusedError, QueryResult, QueryTooSlowError, SinkUnavailableError

_ANSWER_SECONDS: Final = 330.0
"""Longer than any query may take: the server ends it."""
_BYTES: Final = frozenset(
    column.name for table in TABLES for column in table.columns if column.type is ColumnType.BYTES
)
"""ClickHouse has one type for text and bytes, so a result's column of such a name is bytes."""
_SELECT: Final = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*(?:SELECT|WITH)\b", re.IGNORECASE | re.DOTALL)


class ClickHouseReader:
    """A ClickHouse warehouse, for queries only."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: Client | None = None
        self._lock = threading.Lock()

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT within the limits, from any thread."""
        if not _SELECT.match(sql):
            raise QueryRefusedError("only SELECT can be run here")
        try:
            client = self._connected()
            result = client.query(sql, settings=_settings(limits), query_formats={"String": "bytes"})
            # An answer without rows says nothing of its columns.
            names = tuple(result.column_names) or _columns_of(client, sql, limits)
        except ClickHouseError as exc:
            code = getattr(exc, "code", None)
            if code in TOO_LATE:
                raise QueryTooSlowError(f"the query took longer than {limits.seconds_max:g} s and was stopped") from exc
            if code is None and fault_of(exc) is Fault.TRANSIENT:
                self.close()
                raise SinkUnavailableError(f"{self._address} cannot be reached: {self._address.plain(exc)}") from exc
            raise QueryRefusedError(self._address.plain(exc)) from exc
        rows = [tuple(_cell(name, value) for name, value in zip(names, row, strict=True)) for row in result.result_rows]
        return QueryResult(names, rows[: limits.rows_max], truncated=len(rows) > limits.rows_max)

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = self._address.connect(answer_seconds=_ANSWER_SECONDS)
            return self._client


def _columns_of(client: Client, sql: str, limits: QueryLimits) -> tuple[str, ...]:
    select = sql.rstrip().rstrip(";")
    settings = {**_settings(limits), "limit": 0}
    return tuple(row[0] for row in client.query(f"DESCRIBE TABLE ({select}\n)", settings=settings).result_rows)


def _settings(limits: QueryLimits) -> dict[str, Any]:
    return {
        "readonly": 1,
        "max_execution_time": limits.seconds_max,
        "limit": limits.rows_max + 1,
        # As in SQL, and in every other warehouse: where a join finds nothing, its columns are NULL.
        "join_use_nulls": 1,
    }


def _cell(name: str, value: Any) -> Any:
    match value:
        case bytes():
            return value if name in _BYTES else value.decode(errors="replace")
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC)
        case list() | tuple():
            return [_cell("", item) for item in value]
        case dict():
            return {_cell("", key): _cell("", item) for key, item in value.items()}
        case _:
            return value
