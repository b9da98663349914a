"""What the receiver adds to its admin port: `/pushes`, the newest requests, masked, for who can read runtime.json."""

import hmac
from http import HTTPStatus

from aiohttp import web

from ingest.watch import PushWatch


def receiver_routes(watch: PushWatch, token: str) -> list[web.RouteDef]:
    """The routes."""

    async def pushes(request: web.Request) -> web.Response:
        presented = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(presented.encode("utf-8", "surrogateescape"), token.encode()):
            return web.json_response({"error": "the token in runtime.json is needed"}, status=HTTPStatus.UNAUTHORIZED)
        after = request.query.get("after", "0")
        return web.json_response(watch.since(int(after) if after.isdecimal() and len(after) < 18 else 0))

    return [web.get("/pushes", pushes)]
