"""Read-only queries on Postgres: one SELECT through a cursor, in a read-only transaction, on a connection of its own.

The rule: DECLARE takes nothing but a SELECT, and the extended protocol takes nothing but one statement, so there is no
way to end the read-only transaction. What a query may read is what the role of WAREHOUSE__URL may read.
"""

from typing import Any, Final

import psycopg
from psycopg.types.string import TextLoader

from sinks.postgres_session import Address
from sinks.sink import QueryLimits, QueryRefusedError, QueryResult, QueryTooSlowError

_QUERY_CANCELED: Final = "57014"


class PostgresReader:
    """A Postgres warehouse, for queries only."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT within the limits."""
        with self._address.connect() as connection:
            try:
                return _run(connection, sql, limits)
            except psycopg.Error as exc:
                if exc.sqlstate == _QUERY_CANCELED:
                    raise QueryTooSlowError(
                        f"the query took longer than {limits.seconds_max:g} s and was stopped"
                    ) from exc
                raise QueryRefusedError(self._address.plain(exc)) from exc

    def close(self) -> None:
        """Nothing stays open between queries."""


def _run(connection: psycopg.Connection, sql: str, limits: QueryLimits) -> QueryResult:
    for kind in ("json", "jsonb"):
        connection.adapters.register_loader(kind, TextLoader)
    connection.read_only = True
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true)", [str(max(1, int(limits.seconds_max * 1000)))]
        )
        # The planner would assume that a tenth of the rows is fetched.
        cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
        _execute_alone(cursor, f"DECLARE answer NO SCROLL CURSOR FOR {sql}")
        cursor.execute(f"FETCH FORWARD {int(limits.rows_max) + 1} FROM answer")
        rows = cursor.fetchall()
        columns = tuple(column.name for column in cursor.description or ())
    connection.rollback()
    return QueryResult(columns, rows[: limits.rows_max], truncated=len(rows) > limits.rows_max)


def _execute_alone(cursor: psycopg.Cursor[Any], statement: str) -> None:
    # Preparing makes the driver use the extended protocol, in which a second statement is a syntax error.
    cursor.execute(statement.encode(), prepare=True)
