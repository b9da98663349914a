"""Tokens of an identity provider, checked with the keys that a real server publishes, rotates, and fails to give."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey

from ingest.auth import INVALID_TOKEN_CHALLENGE, Authorised, Refused, Undecided
from ingest.identity_provider import ProviderOptions
from tests.support.door import NOW
from tests.support.provider import NOW_SECONDS, ONE, TWO, Clock, a_provider, a_token, judge_of, public

REFUSED = Refused(INVALID_TOKEN_CHALLENGE)


async def test_a_token_of_the_provider_is_accepted_and_the_keys_are_fetched_once() -> None:
    async with a_provider(ONE) as provider:
        judge = judge_of(provider)

        assert [await judge.judge(a_token()) for _ in range(3)] == [Authorised()] * 3
        assert provider.asked == 1
        assert await judge.judge(a_token(aud=["other", "callweave"])) == Authorised()


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": ...},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": ...},
        {"exp": ...},
        {"nbf": NOW_SECONDS + 3600},
        {"iat": NOW_SECONDS + 3600},
    ],
)
async def test_a_token_for_somebody_else_or_another_time_is_refused(claims: dict[str, Any]) -> None:
    async with a_provider(ONE) as provider:
        assert await judge_of(provider).judge(a_token(**claims)) == REFUSED


async def test_an_expired_token_is_told_from_a_wrong_one() -> None:
    async with a_provider(ONE) as provider:
        past = int((NOW - timedelta(hours=1)).timestamp())
        assert await judge_of(provider).judge(a_token(exp=past)) == Refused(INVALID_TOKEN_CHALLENGE, has_expired=True)


async def test_the_algorithm_is_the_settings_not_the_tokens() -> None:
    elliptic = ECKey.generate_key("P-256", {"kid": "ec"})
    async with a_provider(ONE, elliptic) as provider:
        judge = judge_of(provider)
        published = json.dumps(provider.keys[0]).encode()

        assert await judge.judge(a_token(alg="RS512")) == REFUSED
        assert await judge.judge(a_token(elliptic, alg="ES256", kid="ec")) == REFUSED
        # The classic: the public key, taken for a shared secret.
        for secret in (published, str(provider.keys[0]["n"]).encode()):
            assert await judge.judge(a_token(OctKey.import_key(secret), alg="HS256")) == REFUSED
        unsigned = ".".join([*a_token().split(".")[:2], ""])
        assert await judge.judge(unsigned) == REFUSED
        assert (
            await judge_of(provider, algorithm="ES256").judge(a_token(elliptic, alg="ES256", kid="ec")) == Authorised()
        )


async def test_a_rotated_key_is_fetched_when_it_is_first_named_but_not_for_every_stranger() -> None:
    clock = Clock()
    async with a_provider(ONE) as provider:
        judge = judge_of(provider, clock)
        assert await judge.judge(a_token()) == Authorised()
        provider.keys = [public(TWO)]

        for _ in range(20):
            assert await judge.judge(a_token(TWO, kid="stranger")) == REFUSED
        assert provider.asked == 1
        clock.now += 31
        assert await judge.judge(a_token(TWO, kid="two")) == Authorised()
        assert provider.asked == 2
        assert await judge.judge(a_token(ONE)) == REFUSED  # it was withdrawn
        assert provider.asked == 2


async def test_keys_are_refreshed_after_their_time_so_that_a_withdrawn_one_ends() -> None:
    clock = Clock()
    async with a_provider(ONE, TWO) as provider:
        judge = judge_of(provider, clock)
        assert await judge.judge(a_token()) == Authorised()
        provider.keys = [public(TWO)]
        clock.now += 3601

        assert await judge.judge(a_token()) == Authorised()  # nobody waits for the refresh
        assert judge._refreshing is not None
        await judge._refreshing
        assert await judge.judge(a_token()) == REFUSED


async def test_an_endpoint_that_hangs_holds_up_nobody_whose_key_is_known() -> None:
    clock = Clock()
    async with a_provider(ONE) as provider:
        judge = judge_of(provider, clock)
        await judge.fetch()
        provider.hold = asyncio.Event()
        clock.now += 3601

        async with asyncio.timeout(3):
            assert [await judge.judge(a_token()) for _ in range(5)] == [Authorised()] * 5
        provider.hold.set()
        assert judge._refreshing is not None
        await judge._refreshing
        assert provider.asked == 2


async def test_many_pushes_at_once_ask_for_the_keys_once() -> None:
    async with a_provider(ONE) as provider:
        judge = judge_of(provider)

        assert await asyncio.gather(*(judge.judge(a_token()) for _ in range(20))) == [Authorised()] * 20
        assert provider.asked == 1


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_keys_that_were_had_outlive_an_endpoint_that_is_away(status: int) -> None:
    clock = Clock()
    async with a_provider(ONE) as provider:
        judge = judge_of(provider, clock)
        await judge.fetch()
        provider.status = status
        clock.now += 7200

        for _ in range(2):
            assert await judge.judge(a_token()) == Authorised()
            assert judge._refreshing is not None
            await judge._refreshing
        assert provider.asked == 2
        assert judge.unready() is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"RSA"}, 1]}', b"x" * 300_000])
async def test_without_keys_nobody_is_refused_but_asked_to_come_again(raw: bytes) -> None:
    clock = Clock()
    async with a_provider(ONE) as provider:
        judge = judge_of(provider, clock)
        provider.raw = raw

        assert await judge.judge(a_token()) == Undecided()
        assert "identity provider" in str(judge.unready())
        assert await judge.judge("rubbish") == REFUSED
        provider.raw = None
        assert await judge.judge(a_token()) == Undecided()  # it is not asked at every push
        clock.now += 31
        assert await judge.judge(a_token()) == Authorised()


async def test_a_key_that_cannot_be_read_or_is_for_encryption_takes_nothing_from_the_others() -> None:
    async with a_provider() as provider:
        provider.keys = [{"kty": "new"}, {"kty": "RSA", "kid": "bad", "n": "!", "e": "AQAB"}, public(TWO, use="enc")]
        provider.keys += [OctKey.import_key(b"s" * 32, {"kid": "shared"}).as_dict(), public(ONE, alg="RS256")]
        judge = judge_of(provider)

        assert await judge.judge(a_token()) == Authorised()
        assert await judge.judge(a_token(TWO, kid="two")) == REFUSED


@pytest.mark.parametrize("other", [public(ONE, alg="PS256"), OctKey.import_key(b"s" * 32, {"kid": "one"}).as_dict()])
async def test_keys_for_something_else_are_no_keys(other: dict[str, Any]) -> None:
    async with a_provider() as provider:
        provider.keys = [other]
        judge = judge_of(provider)

        assert await judge.judge(a_token()) == Undecided()
        assert judge.unready() == "the identity provider publishes no key for RS256"


async def test_a_token_without_a_key_name_is_accepted_where_there_is_one_key() -> None:
    async with a_provider(ONE) as provider:
        assert await judge_of(provider).judge(a_token(kid=None)) == Authorised()
        provider.keys.append(public(TWO))
        assert await judge_of(provider).judge(a_token(kid=None)) == REFUSED


@pytest.mark.parametrize("wrong", [{"algorithm": "HS256"}, {"algorithm": "none"}, {"issuer": ""}, {"audience": ""}])
def test_a_provider_that_cannot_be_trusted_is_refused_at_once(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="identity provider"):
        ProviderOptions(**{"jwks_url": "https://idp.example/jwks", "issuer": "i", "audience": "a", **wrong})
