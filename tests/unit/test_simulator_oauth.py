"""The simulator fetches tokens as TCCC would, and its ledger of answers says when there were none."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from callweave.simulator.oauth import TokenRequest
from callweave.simulator.run import SimulationError, SimulationOptions, simulate


@dataclass
class Stub:
    """A token endpoint and a push address with a journal."""

    base: str = ""
    asked: list[tuple[str | None, str, bytes]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    refuse_first: int = 0
    token_status: int = 200
    token_answer: dict[str, Any] = field(default_factory=lambda: {"access_token": "t", "expires_in": 3600})

    async def token(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.asked.append((headers.get("Authorization"), headers["Content-Type"], await request.read()))
        return web.json_response(self.token_answer, status=self.token_status)

    async def push(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization"))
        if len(self.authorizations) <= self.refuse_first:
            return web.json_response({"ErrCode": 401}, status=401)
        return web.json_response({"ErrCode": 0})


@asynccontextmanager
async def a_stub(**more: Any) -> AsyncIterator[Stub]:
    stub = Stub(**more)
    app = web.Application()
    app.router.add_post("/token", stub.token)
    app.router.add_post("/push", stub.push)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stub
    await runner.cleanup()


def options(stub: Stub, **more: Any) -> SimulationOptions:
    token = TokenRequest(url=f"{stub.base}/token", client_id="c", client_secret="s", auth=more.pop("auth", "form"))
    plain: dict[str, Any] = {"sessions": 3, "seed": 1, "concurrency": 1, "retry_pause_seconds": 0, **more}
    return SimulationOptions(url=f"{stub.base}/push", token=token, **plain)


@pytest.mark.parametrize(
    ("auth", "authorization", "content_type", "body"),
    [
        (
            "form",
            None,
            "application/x-www-form-urlencoded",
            b"grant_type=client_credentials&client_id=c&client_secret=s",
        ),
        ("basic", "Basic Yzpz", "application/x-www-form-urlencoded", b"grant_type=client_credentials"),
        (
            "json",
            None,
            "application/json",
            json.dumps({"grant_type": "client_credentials", "client_id": "c", "client_secret": "s"}).encode(),
        ),
    ],
)
async def test_one_token_serves_all_pushes_however_it_is_asked_for(
    auth: str, authorization: str | None, content_type: str, body: bytes
) -> None:
    async with a_stub() as stub:
        report = await simulate(options(stub, auth=auth))

    assert stub.asked == [(authorization, content_type, body)]
    assert set(stub.authorizations) == {"Bearer t"}
    assert report.given_up == 0


async def test_a_token_that_is_refused_is_fetched_anew_for_the_retry() -> None:
    async with a_stub(refuse_first=1) as stub:
        report = await simulate(options(stub))

    assert len(stub.asked) == 2
    assert (report.given_up, report.retries) == (0, 1)


@pytest.mark.parametrize(
    ("status", "answer", "label"),
    [(401, {"error": "invalid_client"}, "no token (401 invalid_client)"), (200, {}, "no token (200 None)")],
)
async def test_without_a_token_nothing_is_pushed_and_the_pushes_are_given_up(
    status: int, answer: dict[str, Any], label: str
) -> None:
    async with a_stub(token_status=status, token_answer=answer) as stub:
        report = await simulate(options(stub, sessions=1))

    assert stub.authorizations == []
    assert report.given_up > 0
    assert set(report.answers) == {label}


async def test_a_password_and_a_token_exclude_each_other() -> None:
    async with a_stub() as stub:
        with pytest.raises(SimulationError, match="not with both"):
            await simulate(options(stub, user="u"))
