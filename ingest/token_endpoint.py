"""`POST /oauth2/token`: issues tokens by the client credentials grant (RFC 6749, section 4.4).

The rule: how TCCC writes its request is not documented (protocol.md a.2), so every way that RFC 6749 and habit know is
understood: a form or JSON body, HTTP Basic, and, last, the query. Answers are the RFC's, and never cached.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

import orjson
from aiohttp import hdrs, web

from ingest.auth import BASIC_CHALLENGE, basic_credentials, is_basic
from ingest.body_reader import Interrupted, OverLimit, receive_body
from ingest.guard import Guard
from ingest.habits import Habits
from ingest.metrics import ReceiverMetrics
from ingest.tokens import Client, Tokens

TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105  (an address)

_BODY_BYTES_MAX = 8 * 1024
_BODY_SECONDS_MAX = 10.0
_FIELDS_MAX = 32
_NO_STORE: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store", hdrs.PRAGMA: "no-cache"}


@dataclass(frozen=True, slots=True)
class TokenDesk:
    """What the endpoint needs."""

    tokens: Tokens
    guard: Guard
    habits: Habits
    metrics: ReceiverMetrics

    def routes(self) -> list[web.RouteDef]:
        """The endpoint; GET is for senders that know no better."""
        return [web.post(TOKEN_PATH, self.answer), web.get(TOKEN_PATH, self.answer, allow_head=False)]

    async def answer(self, request: web.Request) -> web.Response:
        """Issue a token, or say in the RFC's words why not."""
        asked = await _asked(request)
        if isinstance(asked, _Problem):
            return self._refused(asked)
        client = self._client(asked)
        if client is None:
            problem = _Problem(HTTPStatus.UNAUTHORIZED, "invalid_client", "unknown client, or a wrong secret")
            if not self.guard.is_over_limit(request):
                return self._refused(problem)
            response = self._refused(
                _Problem(HTTPStatus.TOO_MANY_REQUESTS, "invalid_client", "too many failed attempts")
            )
            response.force_close()
            return response
        if asked.grant_type != "client_credentials":
            advice = "the only grant type here is client_credentials"
            return self._refused(_Problem(HTTPStatus.BAD_REQUEST, "unsupported_grant_type", advice))
        self.metrics.count_token("issued")
        self.habits.note_token_request(asked.way)
        token = self.tokens.issue(client)
        return _json(
            HTTPStatus.OK,
            {"access_token": token, "token_type": "Bearer", "expires_in": self.tokens.ttl_seconds},
        )

    def _client(self, asked: "_Asked") -> Client | None:
        found = [self.tokens.client(name, secret) for name, secret in asked.credentials]
        return next(filter(None, found), None)

    def _refused(self, problem: "_Problem") -> web.Response:
        self.metrics.count_token(problem.error)
        headers: dict[str, str] = (
            {hdrs.WWW_AUTHENTICATE: BASIC_CHALLENGE} if problem.status == HTTPStatus.UNAUTHORIZED else {}
        )
        return _json(problem.status, {"error": problem.error, "error_description": problem.description}, headers)


@dataclass(frozen=True, slots=True)
class _Problem:
    status: HTTPStatus
    error: str
    description: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it was read: each reading of the credentials, and the way in which they came."""

    grant_type: str
    credentials: tuple[tuple[str, bytes], ...]
    way: str


async def _asked(request: web.Request) -> _Asked | _Problem:
    body = await receive_body(request, bytes_max=_BODY_BYTES_MAX, seconds_max=_BODY_SECONDS_MAX)
    match body:
        case OverLimit():
            return _Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "invalid_request", "the body is too large")
        case Interrupted():
            return _bad("the body did not arrive whole")
    query = _pairs(request.raw_path.partition("?")[2])
    sent, way = _fields(body, request.content_type)
    if isinstance(query, _Problem):
        return query
    if isinstance(sent, _Problem):
        return sent
    credentials = _credentials(request.headers.get(hdrs.AUTHORIZATION), {**query, **sent})
    if isinstance(credentials, _Problem):
        return credentials
    if is_basic(request.headers.get(hdrs.AUTHORIZATION)):
        way = "oauth_basic"
    elif "client_id" in query and "client_id" not in sent:
        way = "oauth_query"
    grant_type = sent.get("grant_type") or query.get("grant_type")
    return _Asked(grant_type, credentials, way) if grant_type else _bad("grant_type is missing")


def _credentials(authorization: str | None, fields: Mapping[str, str]) -> tuple[tuple[str, bytes], ...] | _Problem:
    """Every reading of the credentials; a problem where they came in two ways that differ."""
    named = fields.get("client_id")
    in_fields = None if named is None else (named, _bytes(fields.get("client_secret", "")))
    if not is_basic(authorization):
        return () if in_fields is None else (in_fields,)
    readings = _basic_readings(authorization)
    if in_fields is None or in_fields in readings:
        return readings
    if "client_secret" not in fields and any(name == named for name, _ in readings):
        return readings
    return _bad("credentials came in two ways, and differ")


def _fields(body: bytes, content_type: str) -> tuple[dict[str, str] | _Problem, str]:
    """Read a body by what it is; the label only says what an empty one was meant to be."""
    text = body.strip()
    if not text:
        return {}, "oauth_query"
    if text.startswith(b"{"):
        return _members(text), "oauth_json"
    if content_type == "application/json":
        return _bad("the body is no JSON object"), "oauth_json"
    return _pairs(text.decode("utf-8", "surrogateescape")), "oauth_form"


def _members(text: bytes) -> dict[str, str] | _Problem:
    try:
        document: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _bad("the body is no JSON object")
    return {name: value for name, value in document.items() if isinstance(value, str)}


def _pairs(text: str) -> dict[str, str] | _Problem:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="surrogateescape")
    except ValueError:
        return _bad("too many parameters")
    fields = dict(pairs)
    if len(fields) < len(pairs):
        return _bad("a parameter is repeated")
    return fields


def _basic_readings(authorization: str | None) -> tuple[tuple[str, bytes], ...]:
    """RFC 6749 has both halves form-encoded before they are joined; most senders join them as they are."""
    name, secret = (part.decode("utf-8", "surrogateescape") for part in basic_credentials(authorization))
    readings = ((name, secret), (unquote_plus(name), unquote_plus(secret)))
    return tuple(dict.fromkeys((one, _bytes(other)) for one, other in readings))


def _bad(description: str) -> _Problem:
    return _Problem(HTTPStatus.BAD_REQUEST, "invalid_request", description)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _json(status: HTTPStatus, document: dict[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        content_type="application/json",
        headers={**_NO_STORE, **(headers or {})},
    )
