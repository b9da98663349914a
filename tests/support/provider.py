"""An identity provider on this machine: it publishes keys as it is told, and its tokens can be made."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from ingest.identity_provider import IdentityProvider, ProviderOptions
from tests.support.door import NOW

ONE = RSAKey.generate_key(2048, {"kid": "one"})
TWO = RSAKey.generate_key(2048, {"kid": "two"})
NOW_SECONDS = int(NOW.timestamp())


@dataclass
class Provider:
    """The provider's key endpoint: what it publishes, how it answers, how often it was asked."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    raw: bytes | None = None
    asked: int = 0
    hold: asyncio.Event | None = None

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        body = json.dumps({"keys": self.keys}).encode() if self.raw is None else self.raw
        return web.Response(status=self.status, body=body, content_type="application/json")


@asynccontextmanager
async def a_provider(*keys: Any) -> AsyncIterator[Provider]:
    provider = Provider(keys=[public(key) for key in keys])
    app = web.Application()
    app.router.add_get("/jwks", provider.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    yield provider
    await runner.cleanup()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def public(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **more}


def judge_of(provider: Provider, clock: Clock | None = None, **more: Any) -> IdentityProvider:
    options = ProviderOptions(
        **{"jwks_url": provider.url, "issuer": "https://idp.example", "audience": "callweave", **more}
    )
    return IdentityProvider(options, clock=lambda: NOW, monotonic=clock or time.monotonic)


def a_token(key: Any = ONE, *, alg: str = "RS256", kid: str | None = "one", **claims: Any) -> str:
    said = {"iss": "https://idp.example", "aud": "callweave", "sub": "x", "exp": NOW_SECONDS + 600, **claims}
    header = {"alg": alg} | ({} if kid is None else {"kid": kid})
    return jwt.encode(header, {name: value for name, value in said.items() if value is not ...}, key, algorithms=[alg])
