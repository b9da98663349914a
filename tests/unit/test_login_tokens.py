"""The door of login tokens over HTTP, the real SDK and the API simulator behind it: who gets what, what is told."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from callweave.settings import MisconfiguredError, load_settings
from callweave.simulator.api.server import ApiServer
from ingest.login_tokens.callers import Agents, Callers, KeyHolder, read_key_holders
from ingest.login_tokens.door import LoginDesk, LoginOptions
from ingest.login_tokens.metrics import LoginMetrics
from ingest.login_tokens.server import LoginServer
from ingest.reconcile.client import ApiClient
from ingest.reconcile.limiter import Limiter
from ingest.reconcile.metrics import ReconcileMetrics
from ingest.tls import Certificates
from tests.support.api import a_ledger_of, served, some_sessions
from tests.support.certificates import write_pair
from tests.support.provider import ONE as PROVIDERS_KEY
from tests.support.provider import a_provider, a_token, judge_of
from tests.support.reconciling import an_account

SESSIONS = some_sessions(30)
KEY = "k" * 24
CRM_KEY = "c" * 24
MAILS = sorted({leg.mail for session in SESSIONS for leg in session.calls[0].legs if leg.mail})
DOMAIN = MAILS[0].rpartition("@")[2]


@dataclass
class Desk:
    """A running door, and what it counted and said."""

    server: LoginServer
    api: ApiServer
    registry: CollectorRegistry
    log: list[Any] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    async def ask(self, *, key: str | None = KEY, path: str = "/loginTCCC", **body: Any) -> tuple[int, dict[str, Any]]:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.server.url + path, json=body, headers=headers, ssl=self.tls or True) as response,
        ):
            assert response.content_type == "application/json"
            assert response.headers["Cache-Control"] == "no-store"
            return response.status, json.loads(await response.read())

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("callweave_login_tokens_total", {"outcome": outcome}) or 0.0

    @property
    def app(self) -> int:
        return self.api.world.sdk_app_ids[0]

    def agent(self) -> str:
        """An agent of the first application."""
        return min(self.api._desk.directory(self.app).seats)


@asynccontextmanager
async def a_desk(
    tmp_path: Path, *, provider: Any = None, certificates: Certificates | None = None, **options: Any
) -> AsyncIterator[Desk]:
    holders = [
        KeyHolder("everything", KEY, Agents.of(["*"])),
        KeyHolder("crm", CRM_KEY, Agents.of([MAILS[0].upper(), "*@elsewhere.example"])),
    ]
    registry = CollectorRegistry()
    async with served(a_ledger_of(tmp_path, SESSIONS)) as (api, _):
        client = ApiClient(
            an_account(api), Limiter(1000.0), concurrency=2, metrics=ReconcileMetrics(registry),
            now=lambda: datetime.now(UTC), attempts_max=1,
        )  # fmt: skip
        desk = LoginDesk(
            LoginOptions(**{"hash_key": b"h" * 32, **options}),
            Callers(holders, provider),
            dict.fromkeys(api.world.sdk_app_ids, client),
            LoginMetrics(registry),
        )
        server = LoginServer(desk, "127.0.0.1", 0, tls=certificates)
        await server.start()
        with capture_logs() as log:
            try:
                yield Desk(server, api, registry, log)
            finally:
                await server.stop(5)
                client.close()


async def test_a_caller_with_a_key_gets_a_token_that_tccc_made(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        agent = desk.agent()
        status, answer = await desk.ask(SeatUserId=agent, SdkAppId=desk.app)

    assert status == 200
    assert answer["Token"]
    assert answer["SdkURL"].startswith("https://")
    assert answer["ExpiredTime"] > 0
    assert (answer["SeatUserId"], answer["SdkAppId"]) == (agent, desk.app)
    assert desk.count("issued") == 1


async def test_what_is_logged_names_nobody_and_opens_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        agent = desk.agent()
        _, answer = await desk.ask(SeatUserId=agent, SdkAppId=desk.app)
        await desk.ask(key="x" * 30, SeatUserId=agent)
        told = [line for line in desk.log if line["event"] == "login_token_asked"]

    assert [line["outcome"] for line in told] == ["issued", "not_authorised"]
    assert told[0]["caller"] == "everything"
    assert len(told[0]["agent"]) == 16
    assert told[0]["api_request_id"]
    text = json.dumps(desk.log, default=str)
    assert not any(
        secret in text for secret in (agent, answer["Token"], answer["SdkURL"], KEY, "x" * 30, "simulated-key")
    )


async def test_strangers_are_refused_and_stopped_when_they_go_on(tmp_path: Path) -> None:
    async with a_desk(tmp_path, failed_attempts_per_minute_max=2) as desk:
        agent = desk.agent()
        answers = [await desk.ask(key=key, SeatUserId=agent, SdkAppId=desk.app) for key in (None, "wrong", KEY + "x")]
        right, _ = await desk.ask(SeatUserId=agent, SdkAppId=desk.app)
        asked = desk.api.stats()["actions"]["CreateSDKLoginToken"]["requests"]

    assert [status for status, _ in answers] == [401, 401, 429]
    assert answers[0][1]["error"] == "not_authorised"
    assert (right, asked) == (200, 1)


async def test_a_key_opens_only_the_agents_that_stand_beside_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        theirs, _ = await desk.ask(key=CRM_KEY, SeatUserId=MAILS[0], SdkAppId=desk.app)
        others, answer = await desk.ask(key=CRM_KEY, SeatUserId=MAILS[1], SdkAppId=desk.app)

    assert theirs in (200, 404)  # known to the first application or not: it was asked
    assert (others, answer["error"]) == (403, "not_allowed")
    assert desk.count("not_allowed") == 1


async def test_a_person_gets_the_token_of_the_mail_that_the_provider_vouches_for_and_no_other(tmp_path: Path) -> None:
    async with a_provider(PROVIDERS_KEY) as provider, a_desk(tmp_path, provider=judge_of(provider)) as desk:
        agent = desk.agent()
        other = next(mail for mail in sorted(desk.api._desk.directory(desk.app).seats) if mail != agent)
        own = a_token(email=agent.upper(), sub="u-1")
        statuses = [
            (await desk.ask(key=token, SdkAppId=desk.app, **body))[0]
            for token, body in (
                (own, {"SeatUserId": agent}),
                (own, {"SeatUserId": other}),
                (a_token(email=agent, email_verified=False), {"SeatUserId": agent}),
                (a_token(sub="nobody"), {"SeatUserId": agent}),
                (a_token(email=agent, aud="another"), {"SeatUserId": agent}),
                (a_token(email=agent, exp=1), {"SeatUserId": agent}),
            )
        ]
        alone, answer = await desk.ask(key=a_token(email=agent), SdkAppId=desk.app)

    assert statuses == [200, 403, 401, 401, 401, 401]
    assert (alone, answer["SeatUserId"]) == (200, agent)


async def test_an_agent_and_a_caller_get_only_so_many_in_a_minute(tmp_path: Path) -> None:
    async with a_desk(tmp_path, per_agent_per_minute_max=2, per_caller_per_minute_max=4) as desk:
        seats = sorted(desk.api._desk.directory(desk.app).seats)[:3]
        of_one = [(await desk.ask(SeatUserId=seats[0].title(), SdkAppId=desk.app))[0] for _ in range(1)]
        of_one += [(await desk.ask(SeatUserId=seats[0], SdkAppId=desk.app))[0] for _ in range(2)]
        of_others = [(await desk.ask(SeatUserId=seat, SdkAppId=desk.app))[0] for seat in seats[1:]]
        another = (await desk.ask(key=CRM_KEY, SeatUserId="a@elsewhere.example", SdkAppId=desk.app))[0]

    assert of_one[1:] == [200, 429]
    assert of_others == [200, 429]
    assert another == 404


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 400, "bad_request"),
        ({"SeatUserId": 7}, 400, "bad_request"),
        ({"SeatUserId": "no-mail"}, 400, "bad_request"),
        ({"SeatUserId": "a@b.example", "SdkAppId": 5}, 400, "bad_request"),
        ({"SeatUserId": "a@b.example"}, 400, "bad_request"),  # several applications: which?
        ({"SeatUserId": "a@b.example", "SdkAppId": SESSIONS[0].sdk_app_id}, 404, "unknown_agent"),
    ],
)
async def test_what_cannot_be_answered_says_so_in_json(tmp_path: Path, body: Any, status: int, error: str) -> None:
    async with a_desk(tmp_path) as desk:
        found, answer = await desk.ask(**body)

    assert (found, answer["error"]) == (status, error)
    assert answer["message"]


async def test_other_paths_methods_and_bodies_are_answered_in_json_too(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk, aiohttp.ClientSession() as http:
        assert (await desk.ask(path="/other"))[0] == 404
        async with http.get(f"{desk.server.url}/loginTCCC") as response:
            assert (response.status, response.content_type) == (405, "application/json")
        for body, status in ((b"{", 400), (b"[]", 400), (b"{" + b" " * 9000, 400)):
            headers = {"X-Api-Key": KEY}
            async with http.post(f"{desk.server.url}/loginTCCC", data=body, headers=headers) as response:
                assert (response.status, response.content_type) == (status, "application/json")


async def test_what_the_api_refuses_is_told_to_the_operator_and_not_to_the_caller(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        agent = desk.agent()
        desk.api.control({"deny": desk.app})
        status, answer = await desk.ask(SeatUserId=agent, SdkAppId=desk.app)
        problem = desk.server.degraded()
        desk.api.control({"down": True})
        passing, _ = await desk.ask(SeatUserId=agent, SdkAppId=desk.app)

    assert (status, answer["error"]) == (502, "api_failed")
    assert "ccc" not in json.dumps(answer)
    assert "allow ccc:CreateSDKLoginToken" in str(problem)
    assert passing == 503


async def test_it_speaks_tls_as_the_receiver_does(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    certificates = Certificates(write_pair(tmp_path, name="x"), clock=lambda: datetime.now(UTC), registry=registry)
    async with a_desk(tmp_path, certificates=certificates) as desk:
        desk.tls = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        status, _ = await desk.ask(SeatUserId=desk.agent(), SdkAppId=desk.app)

    assert desk.server._port == 0
    assert status == 200


def test_keys_are_lines_of_name_key_and_agents() -> None:
    text = f"# ours\ncrm {KEY} ann@example.com, *@b.example\n\nall {CRM_KEY}\n"
    crm, everything = read_key_holders(text, ["*@c.example"])

    assert [mail in crm.agents for mail in ("Ann@Example.com", "x@b.example", "bob@example.com")] == [True, True, False]
    assert [mail in everything.agents for mail in ("x@c.example", "x@b.example")] == [True, False]
    assert KEY not in repr(crm)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"api_keys": "crm short *"}, "at least 20 characters"),
        ({"api_keys": f"crm {KEY}"}, "opens no agents"),
        ({"api_keys": f"crm {KEY} every*"}, "names no agents"),
        ({"api_keys": f"a {KEY} *\nb {KEY} *"}, "same key"),
        ({"api_keys": "# nobody"}, "holds no key"),
        ({"jwks_url": "https://idp.example/jwks"}, "go together"),
        ({"api_keys": f"crm {KEY} *"}, "no key for it"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_sentence(settings: dict[str, str], said: str) -> None:
    with pytest.raises(MisconfiguredError, match=said) as refused:
        load_settings(login_tokens=settings)

    assert KEY not in str(refused.value)
