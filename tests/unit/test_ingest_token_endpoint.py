"""`POST /oauth2/token` over real HTTP: every way of asking, every error of RFC 6749, and the door behind it."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from ingest.auth import BearerAuthenticator
from ingest.guard import Access
from ingest.receiver import Receiver, ReceiverOptions
from ingest.tokens import Client, Tokens
from tests.support.door import NOW, a_door
from tests.support.push_log import MemoryPushLog
from tests.support.pushes import a_cdr, body_of

SECRET = "s3cret/with+odd=signs & spaces"
GRANT = {"grant_type": "client_credentials"}
PAIR = {"client_id": "tccc", "client_secret": SECRET}


@dataclass
class Desk:
    """A running receiver that issues tokens."""

    url: str
    registry: CollectorRegistry
    http: aiohttp.ClientSession
    log: MemoryPushLog
    now: list[datetime] = field(default_factory=lambda: [NOW])

    async def ask(self, method: str = "POST", **more: Any) -> tuple[int, dict[str, Any], Any]:
        url = self.url + "/oauth2/token" + more.pop("query", "")
        async with self.http.request(method, url, **more) as response:
            assert response.headers["Content-Type"] == "application/json"
            return response.status, json.loads(await response.read()), response.headers

    async def push(self, token: str) -> int:
        address = f"{self.url}/tccc/push?action=cdr&version=1"
        headers = {"Authorization": f"bearer {token}"}
        async with self.http.post(address, data=body_of(a_cdr()), headers=headers) as response:
            return response.status

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"callweave_{name}", labels) or 0.0


@asynccontextmanager
async def a_desk(**access: Any) -> AsyncIterator[Desk]:
    registry, log, now = CollectorRegistry(), MemoryPushLog(), [NOW]
    client = Client("tccc", SECRET, secret_previous="the-old-one")
    tokens = Tokens([client], clock=lambda: now[0], ttl_seconds=600)
    door = a_door(
        log,
        registry,
        options=ReceiverOptions(port=0),
        access=replace(Access(BearerAuthenticator(tokens), tokens), **access),
        clock=lambda: now[0],
    )
    receiver = Receiver(door)
    await receiver.start()
    async with aiohttp.ClientSession() as http:
        yield Desk(receiver.url.removesuffix("/tccc/push"), registry, http, log, now)
    await receiver.stop(5)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk() as running:
        yield running


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


ENCODED = "s3cret%2Fwith%2Bodd%3Dsigns%20%26%20spaces"


@pytest.mark.parametrize(
    ("asked", "habit"),
    [
        ({"data": GRANT | PAIR}, "oauth_form"),
        ({"data": GRANT, "headers": basic("tccc", SECRET)}, "oauth_basic"),
        ({"data": GRANT, "headers": basic("tccc", ENCODED)}, "oauth_basic"),
        ({"data": GRANT | {"client_id": "tccc"}, "headers": basic("tccc", SECRET)}, "oauth_basic"),
        ({"data": GRANT | PAIR, "headers": basic("tccc", SECRET)}, "oauth_basic"),
        ({"json": GRANT | PAIR}, "oauth_json"),
        ({"json": GRANT, "headers": basic("tccc", SECRET)}, "oauth_basic"),
        ({"data": json.dumps(GRANT | PAIR), "headers": {"Content-Type": "text/plain"}}, "oauth_json"),
        ({"query": "?grant_type=client_credentials", "json": PAIR}, "oauth_json"),
        ({"query": f"?grant_type=client_credentials&client_id=tccc&client_secret={ENCODED}"}, "oauth_query"),
        (
            {"method": "GET", "query": f"?grant_type=client_credentials&client_id=tccc&client_secret={ENCODED}"},
            "oauth_query",
        ),
        ({"data": GRANT | PAIR | {"scope": "push", "audience": "x"}}, "oauth_form"),
    ],
)
async def test_a_token_is_issued_however_it_is_asked_for(desk: Desk, asked: dict[str, Any], habit: str) -> None:
    status, answer, headers = await desk.ask(**asked)

    assert status == 200
    assert (answer["token_type"], answer["expires_in"], set(answer)) == (
        "Bearer",
        600,
        {"access_token", "token_type", "expires_in"},
    )
    assert (headers["Cache-Control"], headers["Pragma"]) == ("no-store", "no-cache")
    assert await desk.push(answer["access_token"]) == 200
    assert len(desk.log.events) == 1
    assert desk.count("tccc_habits_total", habit=habit) == 1
    assert desk.count("token_requests_total", outcome="issued") == 1


async def test_the_previous_secret_is_accepted_while_it_is_named(desk: Desk) -> None:
    status, answer, _ = await desk.ask(data=GRANT | {"client_id": "tccc", "client_secret": "the-old-one"})

    assert status == 200
    assert await desk.push(answer["access_token"]) == 200


async def test_a_token_is_refused_after_its_time_and_a_new_one_opens_again(desk: Desk) -> None:
    _, answer, _ = await desk.ask(data=GRANT | PAIR)
    desk.now[0] += timedelta(hours=1)

    assert await desk.push(answer["access_token"]) == 401
    assert desk.count("tccc_habits_total", habit="oauth_expired_token") == 1
    _, answer, _ = await desk.ask(data=GRANT | PAIR)
    assert await desk.push(answer["access_token"]) == 200


@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [
        ({"data": GRANT | {"client_id": "tccc", "client_secret": "wrong"}}, 401, "invalid_client"),
        ({"data": GRANT | {"client_id": "nobody", "client_secret": SECRET}}, 401, "invalid_client"),
        ({"data": GRANT | {"client_id": "tccc"}}, 401, "invalid_client"),
        ({"data": GRANT}, 401, "invalid_client"),
        ({"data": GRANT, "headers": basic("tccc", "wrong")}, 401, "invalid_client"),
        ({"data": GRANT, "headers": {"Authorization": "Basic ???"}}, 401, "invalid_client"),
        ({"json": GRANT | {"client_id": ["tccc"], "client_secret": SECRET}}, 401, "invalid_client"),
        ({"data": {"grant_type": "password"} | PAIR}, 400, "unsupported_grant_type"),
        ({"json": {"grant_type": "authorization_code"} | PAIR}, 400, "unsupported_grant_type"),
        ({"data": PAIR}, 400, "invalid_request"),
        ({"data": {"grant_type": ""} | PAIR}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        ({"data": b"grant_type=client_credentials&client_id=a&client_id=b"}, 400, "invalid_request"),
        ({"data": b'{"grant_type":', "headers": {"Content-Type": "application/json"}}, 400, "invalid_request"),
        ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, 400, "invalid_request"),
        ({"data": b"&".join(b"a%d=1" % n for n in range(50))}, 400, "invalid_request"),
        ({"data": GRANT | PAIR, "headers": basic("other", SECRET)}, 400, "invalid_request"),
        ({"data": b"x" * 9000}, 413, "invalid_request"),
        ({"data": b"grant_type=client_credentials&client_id=\xff%ff&client_secret=%00\xfe"}, 401, "invalid_client"),
    ],
)
async def test_what_cannot_be_granted_is_refused_in_the_rfcs_words(
    desk: Desk, asked: dict[str, Any], status: int, error: str
) -> None:
    got, answer, headers = await desk.ask(**asked)

    assert (got, answer["error"], set(answer)) == (status, error, {"error", "error_description"})
    assert headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in headers) == (status == 401)
    assert SECRET not in json.dumps(answer)
    assert desk.count("token_requests_total", outcome=error) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_another_method_is_405_in_json(desk: Desk, method: str) -> None:
    status, answer, _ = await desk.ask(method)

    assert (status, answer["ErrCode"]) == (405, 405)


async def test_guessing_is_slowed_down_and_the_right_secret_is_not() -> None:
    async with a_desk(failed_attempts_per_minute_max=5) as desk:
        wrong = {"data": GRANT | {"client_id": "tccc", "client_secret": "wrong"}}

        assert [(await desk.ask(**wrong))[0] for _ in range(8)] == [401] * 5 + [429] * 3
        assert (await desk.ask(data=GRANT | PAIR))[0] == 200


async def test_where_tokens_come_from_elsewhere_there_is_no_token_endpoint() -> None:
    async with a_desk(tokens=None) as desk:
        assert (await desk.ask(data=GRANT | PAIR))[0] == 404


def test_the_push_path_cannot_hide_the_token_endpoint() -> None:
    with pytest.raises(ValueError, match="where tokens are issued"):
        ReceiverOptions(path="/oauth2/token/")
