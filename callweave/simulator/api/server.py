"""The API over HTTP: POST / is TCCC's; GET /stats and POST /control are the simulator's own, for tests and people.

Every answer of TCCC's is HTTP 200 with exactly `Content-Type: application/json`, or the SDK overlooks its errors.
"""

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from callweave.simulator.api.access import DEFAULT_SECRET, Access, Secret
from callweave.simulator.api.actions import Desk, Json, action_named, answer
from callweave.simulator.api.errors import ApiError
from callweave.simulator.api.faults import API_FAULTS, REQUEST_FAULTS
from callweave.simulator.api.life import Habits
from callweave.simulator.api.signature import SignedRequest, verified_secret_id
from callweave.simulator.api.traffic import LIMIT_PER_SECOND, Traffic
from callweave.simulator.api.world import Clock, WindowBy, World
from callweave.simulator.faults import Dice, check_faults
from callweave.simulator.ledger import LedgerSession, facts_of, iterate_ledger

VERSION = "2020-02-10"
LIST_FIELDS = {"new": ("TelCdrList",), "old": ("TelCdrs",), "both": ("TelCdrList", "TelCdrs")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """What to serve, to whom, and how badly.

    ledger: the scenario, as `simulate` left it. host, port: 0 takes a free one. secrets: who may ask.
    now: what the server takes for the present at its start (None: the real one): limits, visibility, late fields.
    clock_skew_seconds: how far its clock is from the real one where it judges signatures.
    faults, seed: see `API_FAULTS`. visibility_delay_seconds, later_seconds: see `Habits`. slow_seconds: see `slow`.
    list_field: where rows stand: "new" TelCdrList, "old" TelCdrs, or "both". window_by: which time a window filters.
    """

    ledger: Path
    host: str = "127.0.0.1"
    port: int = 0
    secrets: tuple[Secret, ...] = (DEFAULT_SECRET,)
    now: float | None = None
    clock_skew_seconds: float = 0.0
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    visibility_delay_seconds: float = 0.0
    later_seconds: float = 3_600.0
    slow_seconds: float = 3.0
    list_field: str = "both"
    window_by: WindowBy = "start"
    limit_per_second: float = LIMIT_PER_SECOND
    revoked: frozenset[str] = frozenset()
    denied: frozenset[int] = frozenset()


@asynccontextmanager
async def serve_api(options: ApiOptions) -> AsyncIterator["ApiServer"]:
    """Serve until the block ends. Raise LedgerError or FaultError before anything is served."""
    server = await asyncio.to_thread(ApiServer, options)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


class ApiServer:
    """Answers requests, and remembers how many came."""

    def __init__(self, options: ApiOptions) -> None:
        self.options = options
        self.port = options.port
        self.clock = Clock.starting_at(options.now)
        self.access = Access(options.secrets, set(options.revoked), set(options.denied))
        self.traffic = Traffic(options.limit_per_second)
        self.skew_seconds = options.clock_skew_seconds
        self.is_down = False
        self._rates = check_faults(options.faults, API_FAULTS)
        self._dice = Dice(options.seed, self._rates, API_FAULTS)
        sessions = (facts_of(line) for line in iterate_ledger(options.ledger) if isinstance(line, LedgerSession))
        world = World(sessions, self._habits(), self.clock, window_by=options.window_by)
        self._desk = Desk(world, self.access, LIST_FIELDS[options.list_field])

    @property
    def endpoint(self) -> str:
        """Give host and port, as the SDK's HttpProfile takes them."""
        return f"{self.options.host}:{self.port}"

    @property
    def world(self) -> World:
        """Give what the API knows."""
        return self._desk.world

    def app(self) -> web.Application:
        """Make the application."""
        app = web.Application(client_max_size=10 * 1024 * 1024)
        app.router.add_get("/stats", self._stats)
        app.router.add_post("/control", self._control)
        app.router.add_route("*", "/", self._answer)
        return app

    def set_faults(self, rates: Mapping[str, float]) -> None:
        """Change fault rates while serving; those that are not named stay as they are."""
        self._rates |= check_faults(rates, API_FAULTS)
        self._dice = Dice(self.options.seed, self._rates, API_FAULTS)
        self._desk.world.habits = self._habits()

    def _habits(self) -> Habits:
        return Habits(
            seed=self.options.seed,
            rates=self._rates,
            visibility_delay_seconds=self.options.visibility_delay_seconds,
            later_seconds=self.options.later_seconds,
        )

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        request_id = str(uuid.uuid4())
        if self.is_down:
            return self._cut(request)
        fault = next((name for name in REQUEST_FAULTS if self._dice.strikes(name)), None)
        if self._dice.strikes("slow"):
            await asyncio.sleep(self.options.slow_seconds)
        try:
            content = self._respond(request, body, fault)
            code = "ok"
        except ApiError as error:
            code = error.code
            content = {"Error": {"Code": error.code, "Message": error.message}}
        self.traffic.count_answer(fault if fault in _BROKEN else code)
        if fault != "error_without_request_id":
            content["RequestId"] = request_id
        return self._write(request, fault, json.dumps({"Response": content}, ensure_ascii=False).encode())

    def _respond(self, request: web.Request, body: bytes, fault: str | None) -> Json:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.method != "POST" or headers.get("content-type") != "application/json":
            raise ApiError("UnsupportedProtocol", "Requests are sent by POST, with Content-Type: application/json.")
        action = headers.get("x-tc-action", "")
        if headers.get("x-tc-version") != VERSION:
            raise ApiError("NoSuchVersion", f"The version is not {VERSION}.")
        action_named(action)
        secret_id = verified_secret_id(
            SignedRequest("POST", "/", request.query_string, headers, body),
            self.access.key_of,
            now=time.time() + self.skew_seconds,
        )
        if not self.traffic.admit(secret_id, action, now=time.monotonic()):
            limit = f"{self.traffic.limit_per_second:g}"
            raise ApiError("RequestLimitExceeded", f"More than {limit} requests a second for the action {action}.")
        if fault is not None and fault in _ERRORS:
            raise _ERRORS[fault](self._dice.stream(fault))
        try:
            parameters = json.loads(body)
        except ValueError:
            raise ApiError("InvalidRequest", "The body is not JSON.") from None
        if not isinstance(parameters, dict):
            raise ApiError("InvalidRequest", "The body is not a JSON object.")
        return answer(self._desk, secret_id, action, parameters)

    def _write(self, request: web.Request, fault: str | None, body: bytes) -> web.StreamResponse:
        content_type = "application/json; charset=utf-8" if self._dice.strikes("charset") else "application/json"
        match fault:
            case "http_500":
                return web.Response(status=500, body=b"Internal Server Error")
            case "http_503":
                return web.Response(status=503, body=body, headers={"Content-Type": content_type})
            case "malformed_json":
                body = body[: len(body) // 2]
            case "not_json":
                body = b"<html><body>502 Bad Gateway</body></html>"
            case "cut":
                return self._cut(request)
            case "cut_midway":
                return self._cut(request, body)
        date = format_datetime(datetime.fromtimestamp(time.time() + self.skew_seconds, UTC), usegmt=True)
        return web.Response(body=body, headers={"Content-Type": content_type, "Date": date})

    def _cut(self, request: web.Request, body: bytes = b"") -> web.StreamResponse:
        """Drop the connection, after a promise of more than was sent where there is a body."""
        if request.transport is not None:
            if body:
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                request.transport.write(head.encode() + body[: len(body) // 2])
            request.transport.close()
        return web.Response()

    async def _stats(self, _request: web.Request) -> web.Response:
        return web.json_response(self.stats())

    def stats(self) -> Json:
        """Give the counts of requests and answers, and the clock."""
        return self.traffic.stats() | {"now": self.clock.now(), "sdk_app_ids": self.world.sdk_app_ids}

    async def _control(self, request: web.Request) -> web.Response:
        try:
            self.control(await request.json())
        except (ValueError, TypeError, AttributeError) as error:  # FaultError is a ValueError
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.stats())

    def control(self, orders: Mapping[str, Any]) -> None:
        """Change things while serving.

        advance: seconds to put the clock forward. faults: name to rate. revoke, restore: a SecretId.
        deny, allow: an SdkAppId. down: whether every connection is cut. clock_skew: seconds.
        """
        for order, value in orders.items():
            match order:
                case "advance":
                    self.clock.advance(float(value))
                case "faults":
                    self.set_faults(value)
                case "revoke":
                    self.access.revoked.add(value)
                case "restore":
                    self.access.revoked.discard(value)
                case "deny":
                    self.access.denied.add(int(value))
                case "allow":
                    self.access.denied.discard(int(value))
                case "down":
                    self.is_down = bool(value)
                case "clock_skew":
                    self.skew_seconds = float(value)
                case _:
                    raise ValueError(f"There is no order {order!r}.")


def _request_limit(_stream: random.Random) -> ApiError:
    return ApiError("RequestLimitExceeded", "The number of requests exceeds the frequency limit.")


def _internal_error(stream: random.Random) -> ApiError:
    return ApiError(stream.choice(("InternalError", "InternalError.DBError")), "An internal error has occurred.")


def _signature_expired(_stream: random.Random) -> ApiError:
    return ApiError("AuthFailure.SignatureExpire", "The signature has expired.")


_ERRORS: Mapping[str, Callable[[random.Random], ApiError]] = {
    "request_limit": _request_limit,
    "internal_error": _internal_error,
    "error_without_request_id": _internal_error,
    "signature_expired": _signature_expired,
}
_BROKEN = frozenset({"http_500", "http_503", "malformed_json", "not_json", "cut", "cut_midway"})
"""Faults that spoil the answer on its way, whatever it said."""
