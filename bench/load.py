"""A load of HTTP POSTs over raw sockets: little work on this side, so that the other side is what is measured.

`press` and `send_all` send the next push when the last is answered; `offer` sends so many a second, answered or not.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import cast


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load: answers a second, how long they took, and what was not taken."""

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failures: int
    answers: int
    shed: int = 0
    offered: int = 0


async def press(host: str, port: int, requests: list[bytes], *, connections: int, seconds: float) -> Load:
    """Send requests over and over on so many connections, one at a time on each."""
    begun: list[float] = []  # with the first request: connecting takes no time away

    def is_time(_: bytes) -> bool:
        begun[:] = begun or [time.perf_counter()]
        return time.perf_counter() < begun[0] + seconds

    return await _in_turns(host, port, itertools.takewhile(is_time, itertools.cycle(requests)), connections)


async def send_all(host: str, port: int, requests: list[bytes], *, connections: int) -> Load:
    """Send each request once, on so many connections, one at a time on each."""
    return await _in_turns(host, port, iter(requests), connections)


async def _in_turns(host: str, port: int, requests: Iterator[bytes], connections: int) -> Load:
    tally = Tally()

    def free(connection: Connection, *, lost: bool = False) -> None:
        request = None if lost else next(requests, None)
        if request is None:
            connection.close()
        else:
            connection.send(request)

    opened = await connect(host, port, connections, tally, free)
    begun = time.perf_counter()
    for connection in opened:
        free(connection)
    await asyncio.gather(*(connection.closed for connection in opened))
    return tally.load(time.perf_counter() - begun)


async def offer(
    host: str, port: int, requests: list[bytes], *, connections: int, seconds: float, per_second: float
) -> Load:
    """Send so many requests a second, as long as one of the connections is free; what none was free for is not sent."""
    tally = Tally()
    free: deque[Connection] = deque()  # in turns: who never says anything is hung up on

    def answered(connection: Connection, *, lost: bool) -> None:
        if not lost:
            free.append(connection)

    opened = await connect(host, port, connections, tally, answered)
    free += opened
    begun = time.perf_counter()
    sent = due = 0
    while (elapsed := time.perf_counter() - begun) < seconds:
        now_due = int(elapsed * per_second)
        for _ in range(min(now_due - due, len(free))):
            if (connection := free.popleft()).is_open:
                connection.send(requests[sent % len(requests)])
                sent += 1
        due = now_due
        await asyncio.sleep(0.002)
    taken = tally.load(seconds)
    await asyncio.wait([connection.idle for connection in opened], timeout=10)
    for connection in opened:
        connection.close()
    return replace(taken, failures=tally.failures, shed=tally.shed, offered=sent)


async def connect(
    host: str, port: int, count: int, tally: "Tally", answered: Callable[..., None]
) -> "list[Connection]":
    """So many connections, one after the other: a backlog of the other side is nothing to measure."""
    loop = asyncio.get_running_loop()
    opened = []
    for _ in range(count):
        _, connection = await loop.create_connection(lambda: Connection(tally, answered, loop), host, port)
        await connection.made  # uvloop may tell of it later
        opened.append(connection)
    return opened


class Tally:
    """What the connections of one load saw."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failures = 0
        self.shed = 0

    def load(self, seconds: float) -> Load:
        """The figures so far."""
        ordered = sorted(self.latencies)
        p50, p95, p99 = (1000 * ordered[int(len(ordered) * share)] if ordered else 0.0 for share in (0.5, 0.95, 0.99))
        return Load(len(ordered) / seconds, p50, p95, p99, self.failures, len(ordered), shed=self.shed)


class Connection(asyncio.Protocol):
    """One connection with at most one request on it. An answer counts if it says ErrCode 0; a 503 was shed."""

    def __init__(self, tally: Tally, answered: Callable[..., None], loop: asyncio.AbstractEventLoop) -> None:
        self.made: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.idle: asyncio.Future[None] = loop.create_future()  # done while nothing is asked
        self.idle.set_result(None)
        self._loop = loop
        self._tally = tally
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._begun: float | None = None

    @property
    def is_open(self) -> bool:
        """Neither side has hung up."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """One request."""
        assert self._transport is not None
        self._begun = time.perf_counter()
        self.idle = self._loop.create_future()
        self._transport.write(request)

    def close(self) -> None:
        """No more."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, but does not say so
        self.made.set_result(None)

    def data_received(self, data: bytes) -> None:
        """A piece of an answer, most often all of it."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        assert self._begun is not None
        self._received = b""
        if b'"ErrCode":0' in body:
            self._tally.latencies.append(time.perf_counter() - self._begun)
        elif head[9:12] == b"503":
            self._tally.shed += 1
        else:
            self._tally.failures += 1
        self._begun = None
        self.idle.set_result(None)
        self._answered(self, lost=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (as the protocol has it)
        """Closed, by either side; with a request on it that is a failure."""
        if not self.closed.done():
            self.closed.set_result(None)
        if self._begun is not None:
            self._tally.failures += 1
            self._begun = None
            self.idle.set_result(None)
            self._answered(self, lost=True)


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One HTTP/1.1 POST, ready to send."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
