"""Read-only queries on DuckLake, in any process, beside the loader that writes: every query sees one snapshot.

The rule: the catalogue is attached read-only, files are open only below the lake's own directory, and no function that
reaches another database or changes the lake may be called.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from threading import Lock
from typing import Any, Final

import duckdb

from sinks.ddl import literal
from sinks.duckdb_query import run_query
from sinks.ducklake_address import LAKE, LakeAddress, fault_of
from sinks.sink import Fault, QueryLimits, QueryRefusedError, QueryResult, QueryTooSlowError, SinkUnavailableError

_CLOSED_FAMILIES: Final = ("postgres_", "sqlite_", "ducklake_")
_CLOSED: Final = frozenset(
    {"query", "query_table", "json_execute_serialized_sql", "pragma_json_execute_serialized_sql"}
)
"""They take SQL as text, in which a closed function could hide."""


class DuckLakeReader:
    """A lake, for queries only."""

    def __init__(self, address: LakeAddress) -> None:
        self._address = address
        self._attaching = Lock()
        self._database: duckdb.DuckDBPyConnection | None = None
        self._attached()

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT within the limits, from any thread."""
        with closing(self._attached().cursor()) as cursor:
            _refuse_closed_functions(cursor, sql)
            try:
                cursor.execute(f"USE {LAKE}")
                return run_query(cursor, sql, limits)
            except QueryTooSlowError:
                raise
            except QueryRefusedError as exc:
                said = self._address.plain(exc)
                if isinstance(exc.__cause__, duckdb.Error) and _is_away(exc.__cause__):
                    self.close()
                    raise SinkUnavailableError(f"{self._address}: {said}") from None
                raise type(exc)(said) from None
            except duckdb.Error as exc:
                self.close()
                raise SinkUnavailableError(f"{self._address}: {self._address.plain(exc)}") from None

    def close(self) -> None:
        """Let go of catalogue and files; the next query attaches them again."""
        with self._attaching:
            if self._database is not None:
                self._database.close()
            self._database = None

    def _attached(self) -> duckdb.DuckDBPyConnection:
        with self._attaching:
            if self._database is None:
                database = self._address.attached(read_only=True)
                for statement in (
                    f"SET GLOBAL allowed_directories = [{literal(self._address.data_path)}]",
                    "SET GLOBAL enable_external_access = false",
                    "SET GLOBAL lock_configuration = true",
                ):
                    database.execute(statement)
                self._database = database
            return self._database


def _is_away(exc: duckdb.Error) -> bool:
    # What the configuration forbids is no fault of catalogue or storage.
    return fault_of(exc) is Fault.TRANSIENT and not isinstance(exc, duckdb.PermissionException)


def _refuse_closed_functions(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    row = cursor.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [sql]).fetchone()
    tree = json.loads(row[0]) if row else {}
    for name in _functions(tree):
        if name in _CLOSED or name.startswith(_CLOSED_FAMILIES):
            raise QueryRefusedError(f"{name} cannot be called here: it may reach beyond this warehouse")
    if tree.get("error") and tree.get("error_type") == "not implemented" and len(duckdb.extract_statements(sql)) == 1:
        raise QueryRefusedError("only SELECT can be run here")


def _functions(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        name = tree.get("function_name")
        if isinstance(name, str):
            yield name.lower()
        for part in tree.values():
            yield from _functions(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from _functions(part)
