"""Fetches tokens as TCCC would: client credentials to the token URL, used until shortly before they end or are refused.

How TCCC writes that request is not documented, so each way that RFC 6749 and habit know can be chosen.
"""

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command line knows the ways of asking without loading it
    import aiohttp

_AHEAD_SECONDS = 30.0

TokenAuth = Literal["form", "basic", "json"]


class NoTokenError(Exception):
    """The token URL gave no token; the message says what it gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """Where and how to ask."""

    url: str
    client_id: str
    client_secret: str = field(repr=False)
    auth: TokenAuth = "form"


class TokenSource:
    """One token at a time, shared by all pushes."""

    def __init__(self, request: TokenRequest, http: "aiohttp.ClientSession") -> None:
        self._request = request
        self._http = http
        self._token: str | None = None
        self._good_until = 0.0
        self._fetching = asyncio.Lock()

    async def token(self) -> str:
        """A token that should be good; raise NoTokenError where there is none to be had."""
        async with self._fetching:
            if self._token is None or time.monotonic() >= self._good_until:
                self._token, seconds = await self._fetch()
                self._good_until = time.monotonic() + max(1.0, seconds - _AHEAD_SECONDS)
            return self._token

    def refused(self, token: str) -> None:
        """Forget a token that was answered 401."""
        if token == self._token:
            self._token = None

    async def _fetch(self) -> tuple[str, float]:
        from aiohttp import ClientError  # noqa: PLC0415  (see above; whoever asks has loaded it)

        asked = self._request
        fields = {"grant_type": "client_credentials"}
        secret = {"client_id": asked.client_id, "client_secret": asked.client_secret}
        form = "application/x-www-form-urlencoded"
        headers = {"Content-Type": "application/json" if asked.auth == "json" else form}
        if asked.auth == "basic":
            pair = f"{asked.client_id}:{asked.client_secret}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        body = fields if asked.auth == "basic" else {**fields, **secret}
        try:
            async with self._http.post(
                asked.url,
                data=None if asked.auth == "json" else body,
                json=body if asked.auth == "json" else None,
                headers=headers,
                allow_redirects=False,
            ) as response:
                answer = json.loads(await response.read())
        except (ClientError, OSError, TimeoutError, ValueError) as exc:
            raise NoTokenError(f"no token ({type(exc).__name__})") from exc
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if response.status != 200 or not isinstance(token, str):
            error = answer.get("error") if isinstance(answer, dict) else None
            raise NoTokenError(f"no token ({response.status} {error})")
        seconds = answer.get("expires_in")
        return token, float(seconds) if isinstance(seconds, int) else 3600.0
