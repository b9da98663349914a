"""What the loader adds to its admin port: `/status`, and `/sql` for who can read the token in runtime.json.

One SELECT, read-only, without access to files, limited in time and rows (contract.md part 2): DuckDB's file belongs to
this process, so everybody else asks here.
"""

import asyncio
import hmac
import json
from dataclasses import asdict
from http import HTTPStatus

from aiohttp import web

from callweave.reading import answer_of
from sinks.loader import Loader
from sinks.sink import QueryLimits, QueryRefusedError, Reader, SinkUnavailableError

ROWS_MAX = 100_000
SECONDS_MAX = 120.0


def loader_routes(reader: Reader, loader: Loader, token: str) -> list[web.RouteDef]:
    """The routes."""

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(asdict(loader.status()), dumps=_dumps)

    async def sql(request: web.Request) -> web.Response:
        presented = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(presented.encode(), token.encode()):
            return _refused(HTTPStatus.UNAUTHORIZED, "the token in runtime.json is needed")
        try:
            asked = await request.json()
            limits = QueryLimits(
                rows_max=min(int(asked.get("rows_max", ROWS_MAX)), ROWS_MAX),
                seconds_max=min(float(asked.get("seconds_max", SECONDS_MAX)), SECONDS_MAX),
            )
            statement = str(asked["sql"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return _refused(
                HTTPStatus.BAD_REQUEST, "expected a JSON object with sql, and perhaps rows_max, seconds_max"
            )
        try:
            result = await asyncio.to_thread(reader.query, statement, limits)
        except QueryRefusedError as exc:
            return _refused(HTTPStatus.BAD_REQUEST, str(exc))
        except SinkUnavailableError as exc:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
        answer = answer_of(result)
        return web.json_response({"columns": answer.columns, "rows": answer.rows, "truncated": answer.truncated})

    return [web.get("/status", status), web.post("/sql", sql)]


def _dumps(value: object) -> str:
    return json.dumps(value, default=str)


def _refused(status: HTTPStatus, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)
