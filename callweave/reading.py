"""Read-only questions to the warehouse, whether or not the loader runs.

DuckDB's file belongs to one process: while the loader runs, questions go through its admin port (found in
runtime.json, with the token that stands there); else the file is opened read-only. Servers are asked directly.
"""

import base64
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Protocol

from callweave.role_health import DIRECT
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import Settings
from sinks.sink import QueryLimits, QueryRefusedError, QueryResult, Reader, SinkUnavailableError
from sinks.warehouse import open_reader

SAFE_INTEGER_MAX = 2**53
"""Integers beyond it are text in JSON: many readers would round them."""

_one_opening = threading.Lock()
"""A process opens a DuckDB file once at a time: what it locks down is the file's, not the connection's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of JSON values: times as ISO text, bytes as base64, integers beyond 2^53 as text."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    truncated: bool

    def dicts(self) -> list[dict[str, Any]]:
        """Rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def instant_literal(moment: datetime) -> str:
    """A time as every warehouse's SQL reads it where it is compared with a column of times."""
    return f"'{moment.astimezone(UTC).isoformat(sep=' ', timespec='milliseconds')}'"


class Questions(Protocol):
    """Somebody who can be asked."""

    def ask(self, sql: str, limits: QueryLimits = ...) -> Answer:
        """Run one SELECT."""


class DirectQuestions:
    """Asks the warehouse itself."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def ask(self, sql: str, limits: QueryLimits = QueryLimits()) -> Answer:  # noqa: B008  (frozen)
        """Run one SELECT."""
        return answer_of(self._reader.query(sql, limits))


class LoaderQuestions:
    """Asks through the running loader's admin port."""

    def __init__(self, loader: RoleEntry) -> None:
        self._loader = loader

    def ask(self, sql: str, limits: QueryLimits = QueryLimits()) -> Answer:  # noqa: B008  (frozen)
        """Run one SELECT."""
        asked = {"sql": sql, "rows_max": limits.rows_max, "seconds_max": limits.seconds_max}
        answer = ask_loader(self._loader, "/sql", asked, seconds_max=limits.seconds_max + 10)
        return Answer(tuple(answer["columns"]), answer["rows"], answer["truncated"])


def ask_loader(loader: RoleEntry, path: str, asked: dict[str, Any], *, seconds_max: float) -> dict[str, Any]:
    """POST to the running loader's admin port, with the token of runtime.json; the JSON that it answers."""
    request = urllib.request.Request(  # noqa: S310  (our own loader's address)
        f"{loader.admin_url}{path}",
        data=json.dumps(asked).encode(),
        headers={"Authorization": f"Bearer {loader.token}", "Content-Type": "application/json"},
    )
    try:
        with DIRECT.open(request, timeout=seconds_max) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as exc:
        problem = json.load(exc).get("error", exc.reason)
        if exc.code == HTTPStatus.SERVICE_UNAVAILABLE:
            raise SinkUnavailableError(problem) from None
        raise QueryRefusedError(problem) from None
    except OSError as exc:
        raise SinkUnavailableError(f"the loader does not answer at {loader.admin_url}: {exc}") from exc
    return answer


@contextmanager
def open_questions(settings: Settings) -> Iterator[Questions]:
    """Ask the loader where its process owns the warehouse, else the warehouse."""
    loader = Runtime(settings.data_dir).role("loader")
    if settings.warehouse_url.startswith("duckdb:") and loader is not None and loader.admin_url is not None:
        yield LoaderQuestions(loader)
        return
    with _one_opening if settings.warehouse_url.startswith("duckdb:") else nullcontext():
        reader = open_reader(settings.warehouse_url, data_dir=settings.data_dir)
        try:
            yield DirectQuestions(reader)
        finally:
            reader.close()


def answer_of(result: QueryResult) -> Answer:
    """A warehouse's rows as JSON values."""
    return Answer(result.columns, [[json_cell(cell) for cell in row] for row in result.rows], result.truncated)


def json_cell(value: Any) -> Any:
    """One value as JSON can carry it."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX else str(value)
        case float():
            return value if value - value == 0 else None  # no NaN, no infinity
        case datetime():
            return _utc_text(value)
        case date() | time():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() and abs(value) < SAFE_INTEGER_MAX else float(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case dict():
            return {str(key): json_cell(item) for key, item in value.items()}
        case list() | tuple():
            return [json_cell(item) for item in value]
        case _:
            return str(value)


def _utc_text(moment: datetime) -> str:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
