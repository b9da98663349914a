"""Listens for TLS, and tells whoever speaks plain HTTP there so, in JSON, instead of dropping him.

The rule: a connection's first byte is looked at, not taken; a TLS handshake begins with 0x16, and no HTTP does.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import Final

import orjson
import structlog
from aiohttp import web

_HANDSHAKE: Final = b"\x16"
_SILENT_SECONDS_MAX: Final = 10.0
_HANDSHAKE_SECONDS_MAX: Final = 15.0
_WAITING_MAX: Final = 1024
_ACCEPT_PAUSE_SECONDS: Final = 0.5
_BODY = orjson.dumps({"ErrCode": 400, "ErrMsg": "this port speaks HTTPS: push to https://"})
PLAIN_HTTP_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
)

_log = structlog.stdlib.get_logger(__name__)


class TlsSite(web.TCPSite):
    """A TCP site whose connections are sorted by their first byte before TLS begins."""

    __slots__ = ("_accepting", "_connections", "_listeners", "_on_plain", "_tls")

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        tls: SSLContext,
        on_plain: Callable[[], None],
        backlog: int = 1024,
    ) -> None:
        super().__init__(runner, host, port, ssl_context=tls, backlog=backlog)
        self._tls = tls
        self._on_plain = on_plain
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on every address of the host."""
        loop = asyncio.get_running_loop()
        await web.BaseSite.start(self)
        port = self._port
        found = await loop.getaddrinfo(self._host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                place = (address[0], port)
                listener = socket.create_server(place, family=family, backlog=self._backlog)
                listener.setblocking(False)
                self._listeners.append(listener)
                port = listener.getsockname()[1]  # one free port for all addresses
        except OSError:
            self._close_listeners()
            raise
        self._bound_port = port
        self._accepting = [asyncio.create_task(self._accept(listener)) for listener in self._listeners]

    async def stop(self) -> None:
        """Accept no more; connections that were handed over belong to aiohttp's server."""
        for task in [*self._accepting, *self._connections]:
            task.cancel()
        await asyncio.gather(*self._accepting, *self._connections, return_exceptions=True)
        self._close_listeners()
        await super().stop()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as exc:  # out of descriptors, or a peer that was gone first
                _log.warning("tls_accept_failed", error=exc.strerror)
                await asyncio.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            if len(self._connections) >= _WAITING_MAX:
                connection.close()
                continue
            task = asyncio.create_task(self._sort(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _sort(self, connection: socket.socket) -> None:
        """Hand one connection over to TLS, or answer it in plain."""
        is_handed_over = False
        try:
            async with asyncio.timeout(_SILENT_SECONDS_MAX):
                first = await _first_byte(connection)
            if first == _HANDSHAKE:
                is_handed_over = True
                await self._hand_over(connection)
            elif first:
                await self._answer_in_plain(connection)
        except (OSError, TimeoutError):
            pass  # the peer went away, said nothing, or failed its handshake
        finally:
            if not is_handed_over:
                connection.close()

    async def _hand_over(self, connection: socket.socket) -> None:
        server = self._runner.server
        assert server is not None, "the runner was set up"
        await asyncio.get_running_loop().connect_accepted_socket(
            server, connection, ssl=self._tls, ssl_handshake_timeout=_HANDSHAKE_SECONDS_MAX
        )

    async def _answer_in_plain(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._on_plain()
        await loop.sock_sendall(connection, PLAIN_HTTP_ANSWER)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            # Closing with unread bytes would reset the connection before the answer is read.
            async with asyncio.timeout(1):
                while await loop.sock_recv(connection, 65_536):
                    pass


async def _first_byte(connection: socket.socket) -> bytes:
    """Wait for the first byte and leave it where it is."""
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    readable = asyncio.Event()
    number = connection.fileno()
    loop.add_reader(number, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(number)
    return connection.recv(1, socket.MSG_PEEK)
