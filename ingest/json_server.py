"""aiohttp's server with two habits changed: every answer is JSON, and stopping leaves no accepted request unanswered.

aiohttp words its own errors as text (404, 405, 417, malformed HTTP, a handler that raised), and while it shuts down
it drops the rest of a body that is still arriving; both are put right here and nowhere else.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_server import Server

from ingest.answers import refused

Refusal = Callable[[int], None]
"""Told the HTTP status of every refusal that aiohttp itself decides on."""

_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_WORDS = {
    400: "malformed HTTP",
    404: "no such path; the push address is another one",
    405: "pushes are sent with POST",
    500: "internal error; the push was not stored",
}

_log = structlog.stdlib.get_logger(__name__)


class JsonRequestHandler(web.RequestHandler):
    """One connection, whose low-level errors are answered in JSON."""

    __slots__ = ("_on_refusal",)

    def __init__(self, manager: Server, *, on_refusal: Refusal, **options: Any) -> None:
        super().__init__(manager, **options)
        self._on_refusal = on_refusal

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  (aiohttp's words quote the sender's bytes)
    ) -> web.StreamResponse:
        """Answer what the HTTP parser refused, or what a handler did not expect, and close the connection."""
        self._on_refusal(status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # The message of an exception may quote a body; where it was raised is enough to find the fault.
            frames = traceback.extract_tb(None if exc is None else exc.__traceback__)
            where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
            _log.error("push_failed", error=type(exc).__name__, where=where)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is already on its way")
        response = _wording(status)
        response.force_close()
        return response


class JsonServer(Server):
    """Makes the connections, and knows how many requests wait for their answer."""

    def __init__(self, handler: _Handler, *, on_refusal: Refusal, **options: Any) -> None:
        super().__init__(self._answer, **options)
        self._inner = handler
        self._on_refusal = on_refusal
        self._unanswered = 0
        self._stopping = False
        self._drained = asyncio.Event()

    def __call__(self) -> web.RequestHandler:
        """Make the handler of one connection."""
        return JsonRequestHandler(self, on_refusal=self._on_refusal, loop=self._loop, **self._kwargs)

    async def drain(self, grace_seconds: float) -> bool:
        """Wait until every request that has begun is answered; say whether all were, within the time.

        Meanwhile connections end with the answer they wait for. Must come before aiohttp's own shutdown, which stops
        reading bodies at once.
        """
        self._stopping = True
        if self._unanswered == 0:
            return True
        try:
            async with asyncio.timeout(grace_seconds):
                await self._drained.wait()
        except TimeoutError:
            return False
        return True

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._unanswered += 1
        try:
            response = await self._inner(request)
        except web.HTTPException as exc:
            self._on_refusal(exc.status)
            response = _wording(exc.status, allow=exc.headers.get("Allow"))
        finally:
            self._unanswered -= 1
            if self._stopping and self._unanswered == 0:
                self._drained.set()
        if self._stopping:
            response.force_close()
        return response


class JsonAppRunner(web.AppRunner):
    """Runs an application behind a JsonServer."""

    def __init__(self, app: web.Application, *, on_refusal: Refusal, shutdown_seconds: float, **options: Any) -> None:
        super().__init__(app, shutdown_timeout=shutdown_seconds)
        self._on_refusal = on_refusal
        self._connection_options = options
        self.json_server: JsonServer | None = None

    async def _make_server(self) -> Server:
        plain = await super()._make_server()
        self.json_server = JsonServer(
            plain.request_handler,
            on_refusal=self._on_refusal,
            request_factory=plain.request_factory,
            **self._connection_options,
        )
        return self.json_server


def _wording(status: int, *, allow: str | None = None) -> web.Response:
    message = _WORDS.get(status) or HTTPStatus(status).phrase
    return refused(status, message, None if allow is None else {"Allow": allow})
