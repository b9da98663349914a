"""What the loader adds to its admin port: `/status`; for who can read the token in runtime.json, `/sql`, `/snapshot`,
and `/corrections` (documents that `callweave rebuild` lays down again).

One SELECT, read-only, without access to files, limited in time and rows (contract.md part 2): DuckDB's file belongs to
this process, so everybody else asks here.
"""

import asyncio
import hmac
import json
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from callweave.reading import answer_of
from callweave.rebuild.wire import corrected_to_json, corrections_from_json
from sinks.loader import Loader
from sinks.sink import QueryLimits, QueryRefusedError, Reader, SinkUnavailableError
from sinks.snapshot import SnapshotError

ROWS_MAX = 100_000
SECONDS_MAX = 120.0


def loader_routes(reader: Reader, loader: Loader, token: str) -> list[web.RouteDef]:
    """The routes."""
    door = _Door(reader, loader, token)
    return [
        web.get("/status", door.status),
        web.post("/sql", door.sql),
        web.post("/snapshot", door.snapshot),
        web.post("/corrections", door.corrections),
    ]


@dataclass(frozen=True, slots=True)
class _Door:
    reader: Reader
    loader: Loader
    token: str

    async def status(self, _request: web.Request) -> web.Response:
        return web.json_response(asdict(self.loader.status()), dumps=_dumps)

    async def snapshot(self, request: web.Request) -> web.Response:
        if not self._is_trusted(request):
            return _untrusted()
        try:
            published = await self.loader.snapshot()
        except SnapshotError as exc:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
        return web.json_response(asdict(published), dumps=_dumps)

    async def corrections(self, request: web.Request) -> web.Response:
        if not self._is_trusted(request):
            return _untrusted()
        try:
            # Read as it comes: what one session may hold is more than aiohttp takes for a body by itself.
            asked = corrections_from_json(json.loads(await request.content.read()))
        except (ValueError, KeyError, TypeError):
            return _refused(HTTPStatus.BAD_REQUEST, "expected corrections as `callweave rebuild` sends them")
        try:
            corrected = await self.loader.correct(asked)
        except SinkUnavailableError as exc:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
        return web.json_response(corrected_to_json(corrected))

    async def sql(self, request: web.Request) -> web.Response:
        if not self._is_trusted(request):
            return _untrusted()
        try:
            statement, limits = _question(await request.json())
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return _refused(
                HTTPStatus.BAD_REQUEST, "expected a JSON object with sql, and perhaps rows_max, seconds_max"
            )
        try:
            result = await asyncio.to_thread(self.reader.query, statement, limits)
        except QueryRefusedError as exc:
            return _refused(HTTPStatus.BAD_REQUEST, str(exc))
        except SinkUnavailableError as exc:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
        answer = answer_of(result)
        return web.json_response({"columns": answer.columns, "rows": answer.rows, "truncated": answer.truncated})

    def _is_trusted(self, request: web.Request) -> bool:
        presented = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(presented.encode(), self.token.encode())


def _question(asked: Any) -> tuple[str, QueryLimits]:
    limits = QueryLimits(
        rows_max=min(int(asked.get("rows_max", ROWS_MAX)), ROWS_MAX),
        seconds_max=min(float(asked.get("seconds_max", SECONDS_MAX)), SECONDS_MAX),
    )
    return str(asked["sql"]), limits


def _untrusted() -> web.Response:
    return _refused(HTTPStatus.UNAUTHORIZED, "the token in runtime.json is needed")


def _dumps(value: object) -> str:
    return json.dumps(value, default=str)


def _refused(status: HTTPStatus, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)
