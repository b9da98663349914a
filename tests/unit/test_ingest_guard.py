"""Who gets in: tenants, failed attempts by source, the alarm for refused pushes that look like TCCC's."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from ingest.access import Credentials, TokenOptions, authenticator_of, tenants_authenticator, tokens_of
from ingest.attempts import FailedAttempts
from ingest.auth import Authorised, Presented, Tenant, Undecided, Verdict
from ingest.guard import Access
from ingest.lookalike import LookalikeAlarm, looks_like_tccc
from ingest.metrics import ReceiverMetrics
from ingest.receiver import Receiver
from ingest.source_address import Sources
from ingest.tenants import TenantsAuthenticator
from schemas.dead_letter import Reason, Stage
from tests.support.door import NOW, a_door
from tests.support.push_log import MemoryPushLog
from tests.support.pushes import a_cdr, body_of

BASIC = Credentials(auth="basic", username="tccc", password="p4ss")


@dataclass
class House:
    receiver: Receiver
    log: MemoryPushLog
    registry: CollectorRegistry
    http: aiohttp.ClientSession

    async def push(self, body: bytes, query: str = "?action=cdr&version=1", **more: Any) -> tuple[int, dict[str, Any]]:
        async with self.http.post(self.receiver.url + query, data=body, **more) as response:
            return response.status, json.loads(await response.read())

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"callweave_{name}", labels) or 0.0


@asynccontextmanager
async def a_house(access: Access) -> AsyncIterator[House]:
    registry, log = CollectorRegistry(), MemoryPushLog()
    receiver = Receiver(a_door(log, registry, access=access))
    await receiver.start()
    async with aiohttp.ClientSession() as http:
        yield House(receiver, log, registry, http)
    await receiver.stop(5)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# Tenants.

NORTH, SOUTH, EAST = (Tenant(name, frozenset({app})) for name, app in (("north", 1), ("south", 2), ("east", 3)))
CREDENTIALS = (
    (NORTH, Credentials(auth="basic", username="north", password="n-pass")),
    (SOUTH, Credentials(auth="oauth2", client_id="south", client_secret="s-secret")),
    (EAST, Credentials(url_token="e-token")),
)


def tenants() -> Access:
    tokens = tokens_of(CREDENTIALS, TokenOptions(), lambda: NOW)
    return Access(tenants_authenticator(CREDENTIALS, tokens), tokens)


async def credentials_of(house: House, name: str) -> dict[str, Any]:
    match name:
        case "north":
            return {"headers": basic("north", "n-pass")}
        case "south":
            asked = {"grant_type": "client_credentials", "client_id": "south", "client_secret": "s-secret"}
            async with house.http.post(house.receiver.url.replace("/tccc/push", "/oauth2/token"), data=asked) as answer:
                return {"headers": {"Authorization": f"Bearer {(await answer.json())['access_token']}"}}
        case _:
            return {"query": "?token=e-token&action=cdr"}


@pytest.mark.parametrize("name", ["north", "south", "east"])
async def test_each_tenant_pushes_for_its_own_account_and_for_no_other(name: str) -> None:
    async with a_house(tenants()) as house:
        credentials = await credentials_of(house, name)
        outcomes = {app: await house.push(body_of(a_cdr(SdkAppId=app)), **credentials) for app in (1, 2, 3, 4)}

    own = {"north": 1, "south": 2, "east": 3}[name]
    assert {app: status for app, (status, _) in outcomes.items()} == {
        app: 200 if app == own else 401 for app in (1, 2, 3, 4)
    }
    assert [event.sdk_app_id for event in house.log.events] == [own]
    assert [(letter.stage, letter.reason) for letter in house.log.letters] == [(Stage.RECEIVE, Reason.FOREIGN_APP)] * 3
    assert all(f"none of tenant {name}" in letter.detail for letter in house.log.letters)
    assert house.count("pushes_rejected_total", reason="foreign_app") == 3
    assert house.count("pushes_stored_total", kind="cdr") == 1


async def test_a_tenants_useless_push_is_a_letter_as_everybodys() -> None:
    async with a_house(tenants()) as house:
        status, answer = await house.push(b"rubbish", headers=basic("north", "n-pass"))

    assert (status, answer["ErrCode"]) == (200, 0)
    assert [letter.reason for letter in house.log.letters] == [Reason.UNDECODABLE]


async def test_a_foreign_push_is_answered_401_only_after_its_letter_is_stored() -> None:
    async with a_house(tenants()) as house:
        house.log.away = "away"
        status, _ = await house.push(body_of(a_cdr(SdkAppId=2)), headers=basic("north", "n-pass"))

    assert status == 503
    assert house.log.letters == []


async def test_a_sender_without_any_tenants_credentials_hears_all_challenges() -> None:
    async with a_house(tenants()) as house, house.http.post(house.receiver.url, data=b"{}") as response:
        assert response.status == 401
        assert [part in response.headers["WWW-Authenticate"] for part in ("Basic", "Bearer", "QueryToken")] == [
            True
        ] * 3


async def test_credentials_of_two_tenants_open_both_accounts() -> None:
    async with a_house(tenants()) as house:
        both = {"headers": basic("north", "n-pass"), "query": "?token=e-token&action=cdr"}
        statuses = [(await house.push(body_of(a_cdr(SdkAppId=app)), **both))[0] for app in (1, 2, 3)]

    assert statuses == [200, 401, 200]


async def test_a_token_opens_the_account_of_its_client_and_of_no_other_client() -> None:
    other = (NORTH, Credentials(auth="oauth2", client_id="north", client_secret="n-secret"))
    owners = (other, CREDENTIALS[1])
    tokens = tokens_of(owners, TokenOptions(keys=("k" * 32,)), lambda: NOW)
    async with a_house(Access(tenants_authenticator(owners, tokens), tokens)) as house:
        credentials = await credentials_of(house, "south")
        statuses = [(await house.push(body_of(a_cdr(SdkAppId=app)), **credentials))[0] for app in (1, 2)]

    assert statuses == [401, 200]


async def test_an_app_that_one_account_does_not_know_is_a_letter_and_answered_with_zero() -> None:
    async with a_house(Access(sdk_app_ids=frozenset({7}))) as house:
        status, answer = await house.push(body_of(a_cdr(SdkAppId=8)))
        assert (status, answer["ErrCode"]) == (200, 0)
        assert "SdkAppId 8" in answer["ErrMsg"]
        assert (await house.push(body_of(a_cdr(SdkAppId=7))))[1] == {"ErrCode": 0, "ErrMsg": ""}

    assert [letter.reason for letter in house.log.letters] == [Reason.FOREIGN_APP]
    assert [event.sdk_app_id for event in house.log.events] == [7]


class NobodyKnows:
    async def authorise(self, presented: Presented) -> Verdict:
        assert presented is not None
        return Undecided()


async def test_where_credentials_cannot_be_checked_the_sender_is_asked_to_come_again() -> None:
    async with a_house(Access(NobodyKnows())) as house:
        status, answer = await house.push(body_of(a_cdr()))

    assert (status, answer["ErrCode"]) == (503, 503)
    assert house.count("pushes_rejected_total", reason="undecided") == 1
    several = TenantsAuthenticator([(NORTH, authenticator_of(CREDENTIALS[0][1])), (SOUTH, NobodyKnows())])
    assert await several.authorise(Presented()) == Undecided()


# Failed attempts.


async def test_failures_are_limited_and_a_right_credential_always_passes() -> None:
    access = Access(authenticator_of(BASIC), failed_attempts_per_minute_max=3)
    async with a_house(access) as house:
        statuses = [(await house.push(b"{}", headers=basic("tccc", "wrong")))[0] for _ in range(6)]
        right, _ = await house.push(body_of(a_cdr()), headers=basic("tccc", "p4ss"))
        again, _ = await house.push(b"{}")

        assert statuses == [401] * 3 + [429] * 3
        assert (right, again) == (200, 429)
        assert house.count("failed_attempts_total", over_limit="false") == 3
        assert house.count("failed_attempts_total", over_limit="true") == 4
        assert house.count("pushes_rejected_total", reason="too_many_attempts") == 4


async def test_behind_a_trusted_proxy_each_forwarded_address_has_its_own_attempts() -> None:
    access = Access(authenticator_of(BASIC), sources=Sources(["127.0.0.0/8"]), failed_attempts_per_minute_max=1)
    async with a_house(access) as house:

        async def attempt(forwarded: str) -> int:
            return (await house.push(b"{}", headers={"X-Forwarded-For": forwarded}))[0]

        assert [await attempt("192.0.2.1"), await attempt("192.0.2.1"), await attempt("192.0.2.2")] == [401, 429, 401]
        # What the sender himself wrote in front changes nothing.
        assert await attempt("203.0.113.9, 192.0.2.1") == 429


async def test_without_trusted_proxies_a_forwarded_address_is_a_strangers_claim() -> None:
    async with a_house(Access(authenticator_of(BASIC), failed_attempts_per_minute_max=1)) as house:
        statuses = [(await house.push(b"{}", headers={"X-Forwarded-For": f"192.0.2.{n}"}))[0] for n in range(3)]

    assert statuses == [401, 429, 429]


def test_a_source_that_waits_may_try_again_and_the_memory_is_bounded() -> None:
    now = [0.0]
    attempts = FailedAttempts(2, sources_max=100, monotonic=lambda: now[0])

    assert [attempts.is_too_many("a") for _ in range(3)] == [False, False, True]
    now[0] += 30  # half a minute: one of two a minute
    assert [attempts.is_too_many("a") for _ in range(2)] == [False, True]
    for number in range(1000):
        attempts.is_too_many(str(number))
    assert len(attempts) == 100


# The alarm.


async def test_a_refused_push_of_tccc_is_an_alarm_without_anything_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    async with a_house(Access(authenticator_of(BASIC))) as house:
        for body in (body_of(a_cdr()), gzip.compress(body_of(a_cdr())), b'{"other": 1}', b""):
            await house.push(body, headers=basic("tccc", "the-old-password"))

        assert house.count("pushes_refused_like_tccc_total") == 2
    logged = capsys.readouterr().out
    assert logged.count("push_like_tccc_refused") == 1
    for private in (a_cdr()["SessionId"], a_cdr()["Caller"], "the-old-password", "127.0.0.1"):
        assert private not in logged


async def test_the_alarm_says_once_a_minute_how_many_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    registry = CollectorRegistry()
    alarm = LookalikeAlarm(ReceiverMetrics(registry), monotonic=lambda: now[0])
    for _ in range(5):
        alarm._tell(has_push_uuid=True)
    now[0] += 61
    alarm._tell(has_push_uuid=True)

    logged = capsys.readouterr().out
    assert logged.count("push_like_tccc_refused") == 2
    assert "refused_since_last_alarm=5" in logged.replace("\x1b[0m", "").replace("\x1b[36m", "").replace("\x1b[35m", "")


async def test_of_a_refused_body_only_the_beginning_is_read() -> None:
    async with a_house(Access(authenticator_of(BASIC))) as house:
        port = int(house.receiver.url.split(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 20_000)
        first_line = await reader.readline()
        writer.close()

    assert first_line.startswith(b"HTTP/1.1 401")


def test_a_torn_or_false_gzip_is_looked_at_as_far_as_it_goes() -> None:
    compressed = gzip.compress(body_of(a_cdr()))

    assert looks_like_tccc(compressed[:-20])
    assert not looks_like_tccc(b"\x1f\x8b" + b"rubbish")


class AsksSomebody:
    """An authenticator whose answer takes a while."""

    asked = 0

    async def authorise(self, presented: Presented) -> Verdict:  # noqa: ARG002  (the protocol's)
        self.asked += 1
        await asyncio.sleep(0)
        return Authorised()


async def test_who_must_wait_to_know_is_not_taken_for_knowing_and_is_asked_again() -> None:
    asks = AsksSomebody()
    log, registry = MemoryPushLog(), CollectorRegistry()
    receiver = Receiver(a_door(log, registry, access=Access(asks)))
    await receiver.start()
    async with (
        aiohttp.ClientSession() as http,
        http.post(receiver.url + "?action=cdr", data=body_of(a_cdr())) as response,
    ):
        assert (response.status, len(log.events)) == (200, 1)
    await receiver.stop(5)

    assert asks.asked == 2
