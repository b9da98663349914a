"""`POST /loginTCCC`: a login token for an agent, from CreateSDKLoginToken, for a caller who may have it.

The rule: who asks is settled first, then for whom, then how often; only then is TCCC asked. Every request leaves one
line in the log and one count, with people as keyed hashes; nothing that opens a door is logged or cached.
"""

import contextlib
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from aiohttp import hdrs, web

from ingest.attempts import FailedAttempts
from ingest.auth import Refused, Undecided
from ingest.body_reader import receive_body
from ingest.login_tokens.callers import Caller, Callers
from ingest.login_tokens.metrics import LoginMetrics
from ingest.reconcile.client import Caller as ApiCaller
from ingest.reconcile.failure import ApiError, Remedy
from ingest.source_address import Sources

ACTION = "CreateSDKLoginToken"
_BODY_BYTES_MAX = 8 * 1024
_BODY_SECONDS_MAX = 10.0
_MAIL_CHARACTERS_MAX = 320
_NO_STORE: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store", hdrs.PRAGMA: "no-cache"}
_AGENT_NAMES = ("SeatUserId", "userId", "agent")
_APP_NAMES = ("SdkAppId", "sdkAppId")

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOptions:
    """Where, how often, and under which key people are hashed in the log."""

    path: str = "/loginTCCC"
    per_caller_per_minute_max: int = 60
    per_agent_per_minute_max: int = 6
    failed_attempts_per_minute_max: int = 60
    only_once: bool = False
    sources: Sources = field(default_factory=Sources)
    hash_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _No:
    """A request that gets no token: the status, the error's name, a sentence, and what it is counted as."""

    status: HTTPStatus
    error: str
    message: str
    outcome: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Audit:
    """What the log says of one request."""

    caller: str | None = None
    agent: str | None = None
    sdk_app_id: int | None = None
    request_id: str | None = None


class LoginDesk:
    """Answers requests. `clients`: who asks TCCC for each application."""

    def __init__(
        self, options: LoginOptions, callers: Callers, clients: Mapping[int, ApiCaller], metrics: LoginMetrics
    ) -> None:
        assert clients, "somebody must be asked"
        self._options = options
        self._callers = callers
        self._clients = clients
        self._metrics = metrics
        # A bucket for each key, refilled by the minute: what FailedAttempts does with failures, it does with any count.
        self._failed = FailedAttempts(options.failed_attempts_per_minute_max)
        self._of_caller = FailedAttempts(options.per_caller_per_minute_max)
        self._of_agent = FailedAttempts(options.per_agent_per_minute_max)
        self._problem: str | None = None

    def degraded_because(self) -> str | None:
        """Why TCCC gave no token when it was asked last; None when it did."""
        return self._problem

    def application(self) -> web.Application:
        """The application."""
        app = web.Application(middlewares=[_in_json], client_max_size=_BODY_BYTES_MAX)
        app.router.add_post(self._options.path, self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request, and say in the log what came of it."""
        audit = _Audit()
        found = await self._token(request, audit)
        outcome = found.outcome if isinstance(found, _No) else "issued"
        self._metrics.count(outcome)
        _log.info(
            "login_token_asked",
            outcome=outcome,
            caller=audit.caller,
            agent=audit.agent,
            sdk_app_id=audit.sdk_app_id,
            api_request_id=audit.request_id,
        )
        if isinstance(found, _No):
            body = {"error": found.error, "message": found.message}
            return _json(found.status, body, found.headers)
        return _json(HTTPStatus.OK, found)

    async def _token(self, request: web.Request, audit: _Audit) -> dict[str, Any] | _No:
        caller = await self._callers.recognise(
            request.headers.get(hdrs.AUTHORIZATION), request.headers.get("X-Api-Key")
        )
        if not isinstance(caller, Caller):
            return self._stranger(request, caller)
        audit.caller = self._hashed(caller.name) if caller.own_mail is not None else caller.name
        asked = await _asked(request)
        if isinstance(asked, _No):
            return asked
        mail, app = self._agent(caller, asked), self._app(asked)
        if isinstance(mail, _No):
            return mail
        audit.agent = self._hashed(mail.casefold())
        if isinstance(app, _No):
            return app
        audit.sdk_app_id = app
        if not caller.may_log_in(mail):
            return _No(HTTPStatus.FORBIDDEN, "not_allowed", "this caller may not log in that agent", "not_allowed")
        if self._of_caller.is_too_many(caller.name) or self._of_agent.is_too_many(f"{app} {mail.casefold()}"):
            retry: dict[str, str] = {hdrs.RETRY_AFTER: "60"}
            return _No(HTTPStatus.TOO_MANY_REQUESTS, "too_fast", "too many tokens in a minute", "too_fast", retry)
        return await self._ask(app, mail, audit)

    async def _ask(self, app: int, mail: str, audit: _Audit) -> dict[str, Any] | _No:
        parameters: dict[str, Any] = {"SdkAppId": app, "SeatUserId": mail}
        if self._options.only_once:
            parameters["OnlyOnce"] = True
        try:
            answer = await self._clients[app].call(ACTION, parameters)
            token, url = answer["Token"], answer["SdkURL"]
        except KeyError:
            return self._failed_api(app, ApiError("UnreadableAnswer", "the answer has no Token"))
        except ApiError as exc:
            return self._failed_api(app, exc)
        self._problem = None
        audit.request_id = str(answer.get("RequestId"))
        return {
            "Token": token,
            "SdkURL": url,
            "ExpiredTime": answer.get("ExpiredTime"),
            "SdkAppId": app,
            "SeatUserId": mail,
        }

    def _failed_api(self, app: int, exc: ApiError) -> _No:
        if exc.code.startswith("InvalidParameterValue.AccountNotExist"):
            return _No(HTTPStatus.NOT_FOUND, "unknown_agent", "TCCC knows no such agent", "unknown_agent")
        self._problem = exc.sentence(app, ACTION)
        # What to do is for the operator; whoever asks can only ask again.
        _log.warning("login_token_refused_by_api", sdk_app_id=app, code=exc.code, problem=self._problem)
        is_passing = exc.remedy in (Remedy.WAIT, Remedy.WAIT_ONCE, Remedy.SLOW_DOWN)
        status = HTTPStatus.SERVICE_UNAVAILABLE if is_passing else HTTPStatus.BAD_GATEWAY
        headers: dict[str, str] = {hdrs.RETRY_AFTER: "5"} if is_passing else {}
        return _No(status, "api_failed", "TCCC gives no token just now", "api_failed", headers)

    def _stranger(self, request: web.Request, verdict: Refused | Undecided) -> _No:
        if isinstance(verdict, Undecided):
            message = "credentials cannot be checked just now; ask again"
            soon: dict[str, str] = {hdrs.RETRY_AFTER: "5"}
            return _No(HTTPStatus.SERVICE_UNAVAILABLE, "undecided", message, "undecided", soon)
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        host = peer[0] if isinstance(peer, tuple) else None
        if self._failed.is_too_many(self._options.sources.source_of(host, request.headers)):
            later: dict[str, str] = {hdrs.RETRY_AFTER: "60"}
            message = "too many failed attempts"
            return _No(HTTPStatus.TOO_MANY_REQUESTS, "too_many_attempts", message, "too_many_attempts", later)
        challenge: dict[str, str] = {hdrs.WWW_AUTHENTICATE: verdict.challenge}
        return _No(HTTPStatus.UNAUTHORIZED, "not_authorised", "not authorised", "not_authorised", challenge)

    def _agent(self, caller: Caller, asked: Mapping[str, Any]) -> str | _No:
        """The agent that is asked for; a person need not say who he is."""
        given = next((asked[name] for name in _AGENT_NAMES if asked.get(name)), caller.own_mail)
        if not isinstance(given, str) or "@" not in given or len(given) > _MAIL_CHARACTERS_MAX:
            return _bad("name the agent by e-mail in SeatUserId")
        return given.strip()

    def _app(self, asked: Mapping[str, Any]) -> int | _No:
        given = next((asked[name] for name in _APP_NAMES if asked.get(name)), None)
        if given is None and len(self._clients) == 1:
            return next(iter(self._clients))
        app = int(given) if isinstance(given, str) and given.isascii() and given.isdecimal() else given
        if type(app) is not int or app not in self._clients:
            return _bad("SdkAppId is none of those that tokens are given for")
        return app

    def _hashed(self, text: str) -> str:
        return hmac.digest(self._options.hash_key, text.encode(errors="surrogatepass"), hashlib.sha256)[:8].hex()


async def _asked(request: web.Request) -> Mapping[str, Any] | _No:
    """The members of a JSON body; none where there is no body."""
    body = await receive_body(request, bytes_max=_BODY_BYTES_MAX, seconds_max=_BODY_SECONDS_MAX)
    if not isinstance(body, bytes):
        return _bad("the body is too large, or did not arrive whole")
    if not body.strip():
        return {}
    with contextlib.suppress(orjson.JSONDecodeError):
        document = orjson.loads(body)
        if isinstance(document, dict):
            return document
    return _bad("the body is no JSON object")


def _bad(message: str) -> _No:
    return _No(HTTPStatus.BAD_REQUEST, "bad_request", message, "bad_request")


@web.middleware
async def _in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The errors of the router, worded for people who ask for tokens."""
    try:
        return await handler(request)
    except web.HTTPException as exc:
        allowed = {name: value for name, value in exc.headers.items() if name == hdrs.ALLOW}
        return _json(HTTPStatus(exc.status), {"error": "bad_request", "message": exc.reason}, allowed)


def _json(status: HTTPStatus, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        content_type="application/json",
        headers={**_NO_STORE, **(headers or {})},
    )
