"""The API simulator for tests: a ledger made without pushing, the server, and the real SDK pointed at it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tencentcloud.ccc.v20200210.ccc_client import CccClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from callweave.simulator.api.access import DEFAULT_SECRET
from callweave.simulator.api.server import ApiOptions, ApiServer, serve_api
from callweave.simulator.facts import Session
from callweave.simulator.ledger import note_session, write_ledger
from callweave.simulator.scenario import make_sessions

NOW = 1_764_000_000


def some_sessions(count: int = 60, *, seed: int = 5, days: int = 2) -> tuple[Session, ...]:
    """Sessions that ended before NOW."""
    return make_sessions(seed=seed, count=count, now=NOW, days=days)


def a_ledger_of(folder: Path, sessions: Iterable[Session]) -> Path:
    """A ledger in which nothing was pushed."""
    path = folder / "ledger.jsonl"
    write_ledger(path, {"seed": 5, "now": NOW}, [note_session(session, []) for session in sessions], [])
    return path


class Caller:
    """The SDK's sync client, off the event loop."""

    def __init__(self, endpoint: str, secret_id: str, secret_key: str, *, timeout_seconds: int = 10) -> None:
        http = HttpProfile(protocol="http", endpoint=endpoint, reqMethod="POST", reqTimeout=timeout_seconds)
        self.client = CccClient(
            Credential(secret_id, secret_key), "", ClientProfile(httpProfile=http, language="en-US")
        )

    async def ask(self, action: str, **parameters: Any) -> dict[str, Any]:
        """The Response object; a TencentCloudSDKException where the SDK raises one."""
        answer = await asyncio.to_thread(self.client.call_json, action, parameters)
        response: dict[str, Any] = answer["Response"]
        return response


@asynccontextmanager
async def served(ledger: Path, **options: Any) -> AsyncIterator[tuple[ApiServer, Caller]]:
    """A server of a ledger, and a client that it knows."""
    async with serve_api(ApiOptions(ledger=ledger, **({"now": float(NOW)} | options))) as server:
        yield server, Caller(server.endpoint, DEFAULT_SECRET.secret_id, DEFAULT_SECRET.secret_key)
