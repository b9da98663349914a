"""aiohttp's server with three habits changed: every answer is JSON, stopping leaves no accepted request unanswered, and
what all senders together may ask for is bounded (`ingest.limits`).

aiohttp words its own errors as text (404, 405, 417, malformed HTTP, a handler that raised), while it shuts down it
drops the rest of a body that is still arriving, and it takes any number of connections; all of it is put right here.

    a request is here  →  there is room  →  answered, on the express way or aiohttp's
                          else it waits  →  room appears in time  →  answered, in the order of arrival
                                            else 503

The rule of a door that is full: who waits costs nothing. His connection carries no other request meanwhile, so what
callers have beyond the door's capacity stays with them (ADR 0061).
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, TypeGuard

import structlog
from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import _ErrInfo
from aiohttp.web_server import Server

from ingest.answers import TOO_BUSY, Answer, TooBusy, refused, response_of, wire_of
from ingest.limits import DoorLimits
from ingest.room import Room

Refusal = Callable[[int], None]
"""Told the HTTP status of every refusal that aiohttp itself decides on."""

LimitReached = Callable[[str], None]
"""Told which limit a refusal is for, as a reason of `ingest.metrics`."""

Express = Callable[[RawRequestMessage, StreamReader], Coroutine[Any, Any, Answer] | None]
"""Begins to answer a request that is here with its whole body; None for what must go aiohttp's own way."""

_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_WORDS = {
    400: "malformed HTTP",
    404: "no such path; the push address is another one",
    405: "pushes are sent with POST",
    500: "internal error; the push was not stored",
}

_REFUSED_CONNECTION_SECONDS = 1.0
"""How long a refused connection stays for its sender to read why; closing at once may take the answer back."""

_REFUSED_CONNECTIONS_MAX = 128
"""How many of them stay at a time; beyond it, file descriptors matter more than manners."""

_log = structlog.stdlib.get_logger(__name__)


class ListenError(Exception):
    """The receiver cannot listen where it was told to; the message says why and what to do."""


class JsonRequestHandler(web.RequestHandler):
    """One connection, whose low-level errors are answered in JSON."""

    __slots__ = (
        "_early",
        "_express",
        "_has_place",
        "_header_timer",
        "_is_between",
        "_is_late",
        "_on_refusal",
        "_parked",
        "_server",
    )

    def __init__(self, server: "JsonServer", *, on_refusal: Refusal, **options: Any) -> None:
        super().__init__(server, **options)
        self._on_refusal = on_refusal
        self._server = server
        self._header_timer: asyncio.TimerHandle | None = None
        self._express: asyncio.Task[None] | None = None  # a push on the express way
        self._parked: asyncio.Future[None] | None = None  # what aiohttp waits on for the next request meanwhile
        self._is_late = False
        self._is_between = True  # aiohttp has begun or answered, and does not wait for the next request yet
        self._early: bytes | None = None  # what came before it did
        self._has_place = False  # its request, on aiohttp's way, is counted among those that are being answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        if self._server.connection_count < self._server.limits.connections_max:
            super().connection_made(transport)
            self._expect_headers()
            return
        self._manager = None  # it is none of the server's, and was never handed to it
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are no asyncio.Transport
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; push it again", "too_many_connections")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the deadline with the connection."""
        self._headers_came()
        self._server.refused.discard(self)
        self._server.room.forget(self)
        super().connection_lost(exc)
        if self._parked is not None:
            self._parked.cancel()
        if self.gives_place():
            self._server.room.leave()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  (aiohttp's)
        """End the connection, after a while even while it waits for an answer."""
        self._server.room.forget(self)
        await super().shutdown(timeout)
        if self._express is not None:
            self._express.cancel()

    def data_received(self, data: bytes) -> None:
        """Receive, once aiohttp waits: what comes earlier it would take its own way, and the next request likewise."""
        if self._early is not None:
            self._early += data
        elif self._is_between and self._waiter is None and data:
            self._early = data
            self._loop.call_soon(self._receive_early)
        else:
            self._receive(data)

    def _receive_early(self) -> None:
        data, self._early = self._early, None
        if data is not None and self._parser is not None:
            self._receive(data)

    async def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: _Handler
    ) -> tuple[web.StreamResponse, bool]:
        """Answer a request aiohttp's way."""
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            self._is_between = True

    def _receive(self, data: bytes) -> None:
        """Parse, and watch how long the headers of a request take."""
        self._is_between = False
        begun = self._request_count
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages:
            super().data_received(data)
        else:
            self._waiter = None  # so that nobody is woken yet
            super().data_received(data)
            self._next(waiter)
        if self._request_count != begun:
            self._headers_came()
        elif self._waiter is not None:  # nothing is being answered, so this is a part of some headers
            self._expect_headers()

    def _next(self, waiter: asyncio.Future[None]) -> None:
        """Let the next request be answered, if there is one: as soon as there is room for it."""
        if not self._messages:
            self._waiter = waiter
            return
        self._parked, self._waiter = waiter, None
        if self._server.room.has_some:
            self.enter()
        else:
            self._server.room.wait(self)

    def enter(self) -> None:
        """Answer the next request: on the express way, or else let aiohttp do it, which waits for it."""
        if self._parked is None or self._parked.done():
            return  # its connection ends meanwhile
        if not self._takes_express():
            self._server.room.enter()
            self._has_place = True
            self._wake()

    def turn_away(self) -> None:
        """Refuse the next request: it waited for room in vain."""
        message, payload = self._messages[0]
        if not self._paused and _is_plain(message, payload):
            self._server.on_limit("too_busy")
            payload.read_nowait()
            self._pop_message()
            self._answered(TOO_BUSY)
        else:
            self._wake()  # `JsonServer` refuses it: it has no place

    def gives_place(self) -> bool:
        """Whether a request on aiohttp's way was counted when it was let in. Who asks has to end that.

        The server asks, or the connection when it ends: what is no HTTP never comes to the server.
        """
        had, self._has_place = self._has_place, False
        return had

    def _wake(self) -> None:
        """Let aiohttp see the next request."""
        self._waiter, self._parked = self._parked, None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002  (aiohttp's)
        """Go on reading, if it was stopped: aiohttp parses nothing once more for every body that is read."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def _takes_express(self) -> bool:
        """Take the next request past aiohttp's own way, which makes a task, a request and a response for each."""
        message, payload = self._messages[0]
        server = self._server
        if server.express is None or self._paused or not _is_plain(message, payload):
            return False  # who reads no answers gets no more of them: aiohttp waits until he does
        answering = server.express(message, payload)
        if answering is None:
            return False
        self._pop_message()
        self._request_in_progress = True
        self._is_late = False
        server.room.enter()
        self._express = self._loop.create_task(self._answer(answering))
        return True

    def _pop_message(self) -> None:
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        self._server.requests_count += 1

    async def _answer(self, answering: Coroutine[Any, Any, Answer]) -> None:
        """Answer a request on the express way."""
        server = self._server
        timer = self._loop.call_later(server.limits.request_seconds_max, self._too_late)
        try:
            answer = await answering
        except asyncio.CancelledError:
            if not self._is_late:
                raise
            answer = server.late_answer()
        except Exception as exc:  # noqa: BLE001  (as in aiohttp: it is answered, and told)
            answer = self._fault(exc)
        finally:
            timer.cancel()
            self._express = None
            server.room.leave()
        self._answered(answer)

    def _too_late(self) -> None:
        if self._express is not None:
            self._is_late = True
            self._express.cancel()

    def _answered(self, answer: Answer | TooBusy) -> None:
        """Write an answer of the express way, and do as aiohttp does after each."""
        closes = self._close or self._force_close or self._server.is_stopping
        closes |= isinstance(answer, web.Response) and answer.keep_alive is False
        if self.transport is not None:
            self.transport.write(wire_of(answer, closes=closes))
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        waiter, self._parked = self._parked, None
        if waiter is None or waiter.done() or self.transport is None:
            return
        if closes:
            self._close = True
            waiter.cancel()
            self.transport.close()
            return
        self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        self._next(waiter)

    def _expect_headers(self) -> None:
        if self._header_timer is None:
            seconds = self._server.limits.header_seconds_max
            self._header_timer = self._loop.call_later(seconds, self._headers_too_slow)

    def _headers_came(self) -> None:
        timer, self._header_timer = self._header_timer, None
        if timer is not None:
            timer.cancel()

    def _headers_too_slow(self) -> None:
        self._header_timer = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the headers did not arrive in time", "headers_too_slow")

    def _refuse(self, status: HTTPStatus, message: str, reason: str) -> None:
        """Answer a connection that has no request, and end it."""
        self._server.on_limit(reason)
        transport = self.transport
        if transport is None:
            return
        transport.write(_bare_answer(status, message))
        self._force_close = True  # what it still sends is read and dropped
        is_crowd = len(self._server.refused) >= _REFUSED_CONNECTIONS_MAX
        self._server.refused.add(self)
        self._loop.call_later(0 if is_crowd else _REFUSED_CONNECTION_SECONDS, transport.close)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  (aiohttp's words quote the sender's bytes)
    ) -> web.StreamResponse:
        """Answer what the HTTP parser refused, or what a handler did not expect, and close the connection."""
        response = self._fault(exc, status)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is already on its way")
        return response

    def _fault(self, exc: BaseException | None, status: int = 500) -> web.Response:
        self._on_refusal(status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # The message of an exception may quote a body; where it was raised is enough to find the fault.
            frames = traceback.extract_tb(None if exc is None else exc.__traceback__)
            where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
            _log.error("push_failed", error=type(exc).__name__, where=where)
        response = _wording(status)
        response.force_close()
        return response


class JsonServer(Server):
    """Makes the connections, and knows how many requests wait for their answer."""

    def __init__(
        self,
        handler: _Handler,
        *,
        express: Express | None,
        on_refusal: Refusal,
        limits: DoorLimits,
        on_limit: LimitReached,
        **options: Any,
    ) -> None:
        super().__init__(self._answer, **options)
        self.express = express
        self.limits = limits
        self.on_limit = on_limit
        self.refused: set[JsonRequestHandler] = set()
        self._inner = handler
        self._on_refusal = on_refusal
        self._stopping = False
        self.room = Room(limits.requests_in_flight_max, wait_seconds_max=limits.room_seconds_max, loop=self._loop)

    def __call__(self) -> web.RequestHandler:
        """Make the handler of one connection."""
        return JsonRequestHandler(self, on_refusal=self._on_refusal, loop=self._loop, **self._kwargs)

    @property
    def connection_count(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def is_stopping(self) -> bool:
        """Whether connections end with the answer they wait for."""
        return self._stopping

    def late_answer(self) -> web.Response:
        """What a request hears whose time is over. Whether it is stored is not known; pushed again, it is repeated."""
        self.on_limit("deadline")
        response = refused(HTTPStatus.SERVICE_UNAVAILABLE, "it took too long; push it again")
        response.force_close()
        return response

    async def drain(self, grace_seconds: float) -> bool:
        """Wait until every request that is here is answered; say whether all were, within the time.

        Meanwhile connections end with the answer they wait for. Must come before aiohttp's own shutdown, which stops
        reading bodies at once.
        """
        self._stopping = True
        try:
            async with asyncio.timeout(grace_seconds):
                await self.room.emptied()
        except TimeoutError:
            return False
        return True

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, JsonRequestHandler)
        if not connection.gives_place():  # it came behind another one, which was just answered, or was turned away
            if not self.room.has_some:
                self.on_limit("too_busy")
                return response_of(TOO_BUSY)
            self.room.enter()
        try:
            response = await self._within_deadline(request)
        except web.HTTPException as exc:
            self._on_refusal(exc.status)
            response = _wording(exc.status, allow=exc.headers.get("Allow"))
        finally:
            self.room.leave()
        if self._stopping:
            response.force_close()
        return response

    async def _within_deadline(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self.limits.request_seconds_max) as deadline:
                return await self._inner(request)
        except TimeoutError:
            if not deadline.expired():
                raise
        return self.late_answer()


class JsonAppRunner(web.AppRunner):
    """Runs an application behind a JsonServer."""

    def __init__(
        self,
        app: web.Application,
        *,
        express: Express | None = None,
        on_refusal: Refusal,
        limits: DoorLimits,
        on_limit: LimitReached,
        shutdown_seconds: float,
        **options: Any,
    ) -> None:
        super().__init__(app, shutdown_timeout=shutdown_seconds)
        self._server_options: dict[str, Any] = {
            "express": express,
            "on_refusal": on_refusal,
            "limits": limits,
            "on_limit": on_limit,
        }
        self._connection_options = {
            "max_line_size": limits.header_bytes_max,
            "max_field_size": limits.header_bytes_max,
            "max_headers": limits.header_lines_max,
            **options,
        }
        self.json_server: JsonServer | None = None

    async def _make_server(self) -> Server:
        plain = await super()._make_server()
        self.json_server = JsonServer(
            plain.request_handler,
            request_factory=plain.request_factory,
            **self._server_options,
            **self._connection_options,
        )
        return self.json_server


def _is_plain(message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> TypeGuard[RawRequestMessage]:
    """Whether a request is whole, and its connection goes on after it."""
    if isinstance(message, _ErrInfo) or not isinstance(payload, StreamReader):
        return False
    if message.should_close or message.upgrade or message.version != HttpVersion11:
        return False
    return payload.is_eof() and payload.exception() is None


def _wording(status: int, *, allow: str | None = None) -> web.Response:
    message = _WORDS.get(status) or HTTPStatus(status).phrase
    return refused(status, message, None if allow is None else {"Allow": allow})


def _bare_answer(status: HTTPStatus, message: str) -> bytes:
    """An answer outside aiohttp, for a connection that has no request."""
    body = refused(status, message).body
    assert isinstance(body, bytes)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
