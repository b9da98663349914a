"""The door: one HTTP endpoint that takes TCCC's pushes and says ErrCode 0 only when the log has them (law 1).

    authorise  →  read the body  →  normalize  →  append to the log, await its word  →  answer

Every row of contract.md part 6, "The receiver's answers", is here or in `ingest.json_server`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from aiohttp import StreamReader, hdrs, web
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy

from ingest import answers
from ingest.action import action_label
from ingest.auth import Authorised, challenge_to
from ingest.body_reader import Interrupted, OverLimit, receive_body
from ingest.guard import Access, Guard
from ingest.habits import ObservedPush
from ingest.json_server import JsonAppRunner, ListenError
from ingest.limits import DoorLimits
from ingest.metrics import ReceiverMetrics
from ingest.normalize import BODY_BYTES_MAX, Normalized, ReceivedPush, foreign, normalize, too_large
from ingest.push_log import LogEntry, LogUnavailable, PushLog
from ingest.query import PushQuery, read_query
from ingest.tls import Certificates
from ingest.tls_site import TlsSite
from ingest.token_endpoint import TOKEN_PATH, TokenDesk
from ingest.watch import PushWatch
from schemas.tracing import Tracing

BODY_BYTES_MAX_CEILING = 5 * 1024 * 1024
"""What BODY_BYTES_MAX may be set to: a letter holds the body as base64, in one Kafka message of 8 MiB."""

_KEEP_ALIVE_SECONDS = 75.0  # longer than the usual minute of a proxy, so that it is the proxy who lets go first
_LINGERING_SECONDS = 2.0  # how long the rest of a body is read that nobody wants, so that its sender hears why
_CLOSING_SECONDS = 5.0  # for answers that are being written when a stop has drained or given up
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverOptions:
    """How the door is set up; contract.md part 3 has the same names. Port 0 takes any free one."""

    host: str = "127.0.0.1"
    port: int = 8080
    path: str = "/tccc/push"
    body_bytes_max: int = BODY_BYTES_MAX
    body_seconds_max: float = 30.0
    limits: DoorLimits = field(default_factory=DoorLimits)

    def __post_init__(self) -> None:
        """Refuse what cannot work; whoever reads settings words it as an error of theirs."""
        if not self.path.startswith("/") or set(self.path) & set("?#{}"):
            raise ValueError(f"the push path must begin with / and hold none of ? # {{ }}, and {self.path!r} does not")
        if self.path.rstrip("/") == TOKEN_PATH:
            raise ValueError(f"the push path cannot be {TOKEN_PATH}, where tokens are issued; choose another")
        if not 0 < self.body_bytes_max <= BODY_BYTES_MAX_CEILING:
            raise ValueError(f"the largest body must be 1 to {BODY_BYTES_MAX_CEILING} bytes, not {self.body_bytes_max}")


@dataclass(frozen=True, slots=True)
class Door:
    """What handling a push needs. `clock` gives aware UTC."""

    options: ReceiverOptions
    access: Access
    log: PushLog
    clock: Callable[[], datetime]
    metrics: ReceiverMetrics
    watch: PushWatch
    tracing: Tracing | None = None


DOOR = web.AppKey("door", Door)
GUARD = web.AppKey("guard", Guard)


def make_application(door: Door) -> web.Application:
    """The web application; its log is started and closed with it."""
    app = web.Application()
    app[DOOR] = door
    app[GUARD] = guard = Guard(door.access, door.metrics, door.watch)
    app.cleanup_ctx.append(_running_log)
    for spelling in _spellings(door.options.path):
        app.router.add_route(hdrs.METH_POST, spelling, push, expect_handler=_expect)
    if door.access.tokens is not None:
        app.router.add_routes(TokenDesk(door.access.tokens, guard, door.watch.habits, door.metrics).routes())
    return app


class _Sender(NamedTuple):
    """Who sends, and what he sent with his body."""

    door: Door
    guard: Guard
    authorised: Authorised
    raw_query: str
    query: PushQuery
    headers: CIMultiDictProxy[str]


async def push(request: web.Request) -> web.StreamResponse:
    """Answer one push, however it comes."""
    door, guard = request.app[DOOR], request.app[GUARD]
    raw_query = request.raw_path.partition("?")[2]
    query = read_query(raw_query)
    admitted = await guard.admit(request, query)
    if not isinstance(admitted, Authorised):
        return admitted
    sender = _Sender(door, guard, admitted, raw_query, query, request.headers)
    return answers.response_of(await _answer_in_time(door, _authentic_push(request, sender)))


class UsualPush:
    """Takes the push that comes as nearly all do: right credentials, its whole body with its headers (`Express`)."""

    def __init__(self, door: Door, guard: Guard) -> None:
        self._door = door
        self._guard = guard
        self._paths = _spellings(door.options.path)

    def __call__(self, message: RawRequestMessage, body: StreamReader) -> Coroutine[Any, Any, answers.Answer] | None:
        """Begin to answer a push; None for one that `push` must look at."""
        path, _, raw_query = message.path.partition("?")
        headers = message.headers
        if message.method != hdrs.METH_POST or path not in self._paths or hdrs.EXPECT in headers:
            return None
        length = headers.get(hdrs.CONTENT_LENGTH, "")
        if not length.isdecimal() or int(length) > self._door.options.body_bytes_max:
            return None
        query = read_query(raw_query)
        authorised = self._guard.admit_at_once(headers.get(hdrs.AUTHORIZATION), query)
        if authorised is None:
            return None
        sender = _Sender(self._door, self._guard, authorised, raw_query, query, headers)
        return _answer_in_time(self._door, _whole_push(sender, body.read_nowait()))


async def _answer_in_time(door: Door, answering: Coroutine[Any, Any, answers.Answer]) -> answers.Answer:
    begun = perf_counter()
    try:
        return await answering
    except LogUnavailable:
        # Why is for the operator (readiness, logs): it may name machines of ours, and this answer goes out.
        door.metrics.count_rejected("log_unavailable")
        return answers.refused(HTTPStatus.SERVICE_UNAVAILABLE, "the push could not be stored; push it again")
    finally:
        door.metrics.push_seconds.observe(perf_counter() - begun)


async def _authentic_push(request: web.Request, sender: _Sender) -> answers.Answer:
    if hdrs.EXPECT in request.headers:
        await _invite_body(request)
    options = sender.door.options
    body = await receive_body(request, bytes_max=options.body_bytes_max, seconds_max=options.body_seconds_max)
    match body:
        case Interrupted():
            return _interrupted(sender.door, body)
        case OverLimit():
            return await _over_limit(sender, body)
        case bytes():
            return await _whole_push(sender, body)


async def _whole_push(sender: _Sender, body: bytes) -> answers.Answer:
    door = sender.door
    received = _received(sender, body)
    door.metrics.count_received(action_label(received.action))
    normalized = normalize(received, body_bytes_max=door.options.body_bytes_max, limits=door.options.limits)
    status = int(HTTPStatus.SERVICE_UNAVAILABLE)
    try:
        answer = await _stored(sender, received, normalized)
        status = int(HTTPStatus.OK) if isinstance(answer, answers.Stored) else answer.status
        return answer
    finally:
        # After the answer, and where nothing that goes wrong could change it.
        observed = ObservedPush(
            raw_query=sender.raw_query,
            action=received.action,
            headers=sender.headers,
            raw=received.raw,
            event=normalized.event,
            was_stored=status == HTTPStatus.OK,
        )
        seen = partial(door.watch.saw, observed, received_at=received.received_at, status=status)
        asyncio.get_running_loop().call_soon(seen)


async def _stored(sender: _Sender, received: ReceivedPush, normalized: Normalized) -> answers.Answer:
    door, event = sender.door, normalized.event
    why_foreign = None if event is None else sender.guard.foreign(sender.authorised, event.sdk_app_id)
    if why_foreign is not None:
        await _append(door, LogEntry(None, received.raw, (foreign(received, why_foreign),)))
        if not sender.authorised.tenants:
            return answers.Stored(why_foreign)
        door.metrics.count_rejected("foreign_app")
        challenge: dict[str, str] = {hdrs.WWW_AUTHENTICATE: challenge_to(sender.headers.get(hdrs.AUTHORIZATION))}
        return answers.refused(HTTPStatus.UNAUTHORIZED, "these credentials are another account's", challenge)
    await _append(door, LogEntry(event, received.raw, normalized.letters))
    if event is not None:
        door.metrics.count_stored(event.kind, normalized.unknown_field_count)
    return answers.Stored(normalized.message) if normalized.message else answers.PLAINLY_STORED


async def _over_limit(sender: _Sender, body: OverLimit) -> answers.Answer:
    door = sender.door
    bytes_max = door.options.body_bytes_max
    letter = too_large(_received(sender, body.head), bytes_count=body.bytes_count, bytes_max=bytes_max)
    await _append(door, LogEntry(None, body.head, (letter,)))
    door.metrics.count_rejected("too_large")
    return answers.refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"larger than {bytes_max} bytes")


async def _append(door: Door, entry: LogEntry) -> None:
    begun = perf_counter()
    try:
        await (door.log.append(entry) if door.tracing is None else _append_traced(door, door.tracing, entry))
    finally:
        door.metrics.push_log_append_seconds.observe(perf_counter() - begun)
    door.metrics.count_letters(entry.letters)


async def _append_traced(door: Door, tracing: Tracing, entry: LogEntry) -> None:
    """The first span of a push's trace: from its receipt to its acknowledgement. No sender can set its id."""
    event = entry.event
    received_at = event.received_at if event is not None else entry.letters[0].occurred_at
    about = {"letters": len(entry.letters)} if event is None else {"kind": event.kind, "session_id": event.session_id}
    span = tracing.begin("callweave.push", began_at=received_at.timestamp(), **about)
    stored = False
    try:
        await door.log.append(entry._replace(trace=span.context))
        stored = True
    finally:
        span.end(stored=stored)


def _received(sender: _Sender, raw: bytes) -> ReceivedPush:
    now = sender.door.clock()
    received_at = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return ReceivedPush.of(raw, headers=sender.headers, action=sender.query.action, received_at=received_at)


def _spellings(path: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((path, path.rstrip("/") or "/", path.rstrip("/") + "/")))


def _interrupted(door: Door, why: Interrupted) -> web.Response:
    door.metrics.count_rejected(why.value)
    match why:
        case Interrupted.TOO_SLOW:
            response = answers.refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time")
        case Interrupted.MALFORMED | Interrupted.CLIENT_GONE:
            response = answers.refused(HTTPStatus.BAD_REQUEST, "the body did not arrive whole")
    response.force_close()
    return response


async def _expect(_request: web.Request) -> None:
    """Say nothing yet: a body is invited once its sender is authorised."""


async def _invite_body(request: web.Request) -> None:
    if request.headers[hdrs.EXPECT].casefold() == "100-continue" and not request.content.is_eof():
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # it is no part of the answer


async def _running_log(app: web.Application) -> AsyncIterator[None]:
    log = app[DOOR].log
    await log.start()
    yield
    await log.close()


class Receiver:
    """The running door: listens, and stops without leaving an accepted push unanswered."""

    def __init__(self, door: Door, *, tls: Certificates | None = None) -> None:
        self._door = door
        self._tls = tls
        self._background: list[asyncio.Task[None]] = []
        self._runner: JsonAppRunner | None = None
        self._site: web.TCPSite | None = None

    @property
    def url(self) -> str:
        """The full push address, with the port that was really taken."""
        assert self._site is not None, "the receiver was not started"
        options = self._door.options
        host = f"[{options.host}]" if ":" in options.host else options.host
        return f"{'https' if self._tls else 'http'}://{host}:{self._site.port}{options.path}"

    def unready(self) -> str | None:
        """Why pushes are not welcome just now; None where they are."""
        if self._site is None:
            return "not listening"
        provider = self._door.access.provider
        return self._door.log.unready() or (None if provider is None else provider.unready())

    def degraded(self) -> str | None:
        """What an operator should know although pushes are welcome."""
        return None if self._tls is None else self._tls.warning()

    async def start(self) -> None:
        """Listen; raise ListenError where that is not possible. The log may still be away: pushes get 503 then."""
        app = make_application(self._door)
        runner = JsonAppRunner(
            app,
            express=UsualPush(self._door, app[GUARD]),
            on_refusal=self._count_refusal,
            limits=self._door.options.limits,
            on_limit=self._door.metrics.count_rejected,
            shutdown_seconds=_CLOSING_SECONDS,
            access_log=None,
            auto_decompress=False,  # letters and replays need the bytes as received
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=_LINGERING_SECONDS,
        )
        await runner.setup()
        if runner.json_server is not None:
            room = runner.json_server.room
            self._door.metrics.watch_waiting(lambda: room.waiting_count)
        options = self._door.options
        site = self._site_of(runner)
        try:
            await site.start()
        except OSError as exc:
            await runner.cleanup()
            raise ListenError(
                f"cannot listen on {options.host}:{options.port}: {exc.strerror or exc};"
                " stop what uses it, or set CALLWEAVE_RECEIVER__HOST and CALLWEAVE_RECEIVER__PORT"
            ) from exc
        self._runner, self._site = runner, site
        if self._tls is not None:
            self._background.append(asyncio.create_task(self._tls.watch()))
        if self._door.access.provider is not None:
            self._background.append(asyncio.create_task(self._door.access.provider.fetch()))

    async def stop(self, grace_seconds: float = 30.0) -> bool:
        """Stop accepting, answer what was accepted, close the log. Say whether all was answered in time."""
        runner, site = self._runner, self._site
        if runner is None or site is None:
            return True
        self._runner = self._site = None
        for task in self._background:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._background.clear()
        await site.stop()
        drained = runner.json_server is None or await runner.json_server.drain(grace_seconds)
        await runner.cleanup()
        return drained

    def _site_of(self, runner: JsonAppRunner) -> web.TCPSite:
        options = self._door.options
        if self._tls is None:
            return web.TCPSite(runner, options.host, options.port, backlog=1024)
        count_plain = partial(self._door.metrics.count_rejected, "plain_http")
        return TlsSite(runner, options.host, options.port, tls=self._tls.context, on_plain=count_plain)

    def _count_refusal(self, status: int) -> None:
        match status:
            case HTTPStatus.NOT_FOUND:
                reason = "unknown_path"
            case HTTPStatus.METHOD_NOT_ALLOWED:
                reason = "wrong_method"
            case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                reason = "internal"
            case _:
                reason = "malformed"
        self._door.metrics.count_rejected(reason)
