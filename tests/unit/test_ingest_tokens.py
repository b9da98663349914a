"""Our own tokens: what a sister receiver accepts, what survives a rotation, and every known way to forge one."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from ingest.auth import INVALID_TOKEN_CHALLENGE, Authorised, BearerAuthenticator, Presented, Refused, Tenant
from ingest.tokens import LEEWAY_SECONDS, Client, Tokens
from tests.support.door import NOW

CLIENT = Client("tccc", "a-secret-of-some-length")
REFUSED = Refused(INVALID_TOKEN_CHALLENGE)


def at(when: datetime) -> Callable[[], datetime]:
    return lambda: when


def issuer(*clients: Client, when: datetime = NOW, **more: Any) -> Tokens:
    return Tokens(clients or (CLIENT,), clock=at(when), **more)


def forged(header: dict[str, Any], claims: dict[str, Any], key: Any = None, *, like: str | None = None) -> str:
    """A token with another header, claims or key than the one that it is like."""
    real_header, real_claims = (json.loads(_decoded(part)) for part in (like or issuer().issue(CLIENT)).split(".")[:2])
    made_header, made_claims = {**real_header, **header}, {**real_claims, **claims}
    made_header = {name: value for name, value in made_header.items() if value is not ...}
    made_claims = {name: value for name, value in made_claims.items() if value is not ...}
    if key is None:
        return ".".join([_encoded(json.dumps(made_header)), _encoded(json.dumps(made_claims)), ""])
    return jwt.encode(made_header, made_claims, key, algorithms=[made_header["alg"]])


def the_key(tokens: Tokens, client: Client = CLIENT) -> OctKey:
    return tokens._keys[client.client_id][0]


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


async def test_a_token_is_accepted_by_every_receiver_with_the_same_settings() -> None:
    assert await issuer().judge(issuer().issue(CLIENT)) == Authorised()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_understood_in_any_case(scheme: str) -> None:
    tokens = issuer()

    outcome = await BearerAuthenticator(tokens).authorise(Presented(f"{scheme} {tokens.issue(CLIENT)}"))

    assert outcome == Authorised()


async def test_what_is_no_bearer_token_is_challenged_without_an_error() -> None:
    door = BearerAuthenticator(issuer())

    for presented in (Presented(None), Presented(""), Presented("Basic x"), Presented("Bearer")):
        outcome = await door.authorise(presented)
        assert isinstance(outcome, Refused)
        assert outcome.challenge.startswith('Bearer realm="callweave"')


async def test_a_token_ends_after_its_lifetime_and_the_leeway_for_clocks() -> None:
    token = issuer(ttl_seconds=600).issue(CLIENT)
    end = NOW + timedelta(seconds=600 + LEEWAY_SECONDS)

    assert await issuer(when=end - timedelta(seconds=2)).judge(token) == Authorised()
    assert await issuer(when=end).judge(token) == Refused(INVALID_TOKEN_CHALLENGE, has_expired=True)


async def test_a_rotated_secret_issues_new_tokens_and_accepts_the_old_ones_while_it_is_named() -> None:
    old = issuer().issue(CLIENT)
    rotating = Client("tccc", "another-secret", secret_previous=CLIENT.secret)
    rotated = Client("tccc", "another-secret")

    assert await issuer(rotating).judge(old) == Authorised()
    assert await issuer(rotated).judge(old) == REFUSED
    new = issuer(rotating).issue(rotating)
    assert await issuer(rotated).judge(new) == Authorised()
    assert await issuer().judge(new) == REFUSED


async def test_a_signing_key_of_its_own_is_rotated_in_the_same_way() -> None:
    old = issuer(keys=["k" * 32]).issue(CLIENT)

    assert await issuer(keys=["n" * 32, "k" * 32]).judge(old) == Authorised()
    assert await issuer(keys=["n" * 32]).judge(old) == REFUSED
    assert await issuer().judge(old) == REFUSED


def test_credentials_are_those_of_the_client_and_its_previous_secret() -> None:
    client = Client("tccc", "new", secret_previous="old")
    tokens = issuer(client, Client("other", "theirs"))

    assert [tokens.client("tccc", secret) for secret in (b"new", b"old", b"theirs", b"")] == [
        client,
        client,
        None,
        None,
    ]
    assert [tokens.client(name, b"new") for name in ("", "nobody", "TCCC", "other")] == [None] * 4
    assert tokens.client("nobody", b"") is None


async def test_one_tenants_token_opens_nothing_of_another_tenant() -> None:
    north, south = Tenant("north", frozenset({1})), Tenant("south", frozenset({2}))
    clients = Client("n", "north-secret", tenant=north), Client("s", "south-secret", tenant=south)
    tokens = issuer(*clients)

    assert await tokens.judge(tokens.issue(clients[0])) == Authorised((north,))
    impostor = forged({}, {"sub": "s"}, the_key(tokens, clients[0]), like=tokens.issue(clients[0]))
    assert await tokens.judge(impostor) == REFUSED


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"kid": "unknown"}, {}),
        ({"kid": ...}, {}),
        ({"kid": 7}, {}),
        ({"crit": ["exp"]}, {}),
        ({}, {"iss": "somebody"}),
        ({}, {"iss": ...}),
        ({}, {"aud": "callweave:admin"}),
        ({}, {"aud": ...}),
        ({}, {"sub": "nobody"}),
        ({}, {"sub": ...}),
        ({}, {"exp": ...}),
        ({}, {"exp": "tomorrow"}),
        ({}, {"exp": True}),
        ({}, {"iat": int(NOW.timestamp()) + 3600}),
        ({}, {"nbf": int(NOW.timestamp()) + 3600}),
    ],
)
async def test_a_well_signed_token_that_says_something_else_is_refused(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    tokens = issuer()
    made = {"alg": "HS256", "kid": str(the_key(tokens).kid), **header}
    made = {name: value for name, value in made.items() if value is not ...}
    real = json.loads(_decoded(tokens.issue(CLIENT).split(".")[1]))
    said = {name: value for name, value in {**real, **claims}.items() if value is not ...}
    signing_input = f"{_encoded(json.dumps(made))}.{_encoded(json.dumps(said))}"
    import hashlib
    import hmac

    mac = hmac.digest(the_key(tokens).raw_value, signing_input.encode(), hashlib.sha256)
    token = f"{signing_input}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    assert await tokens.judge(token) == REFUSED


async def test_a_token_that_is_not_signed_is_refused() -> None:
    for algorithm in ("none", "None", "NONE", "nOnE", "", "HS256"):
        assert await issuer().judge(forged({"alg": algorithm}, {})) == REFUSED
    assert await issuer().judge(issuer().issue(CLIENT).rpartition(".")[0] + ".") == REFUSED


async def test_a_token_signed_by_another_algorithm_or_key_is_refused() -> None:
    tokens = issuer()
    right = the_key(tokens)

    assert await tokens.judge(forged({}, {}, right)) == Authorised()  # the forger's workshop itself works
    assert await tokens.judge(forged({"alg": "HS512"}, {}, OctKey.import_key(right.raw_value * 2))) == REFUSED
    assert await tokens.judge(forged({"alg": "RS256"}, {}, RSAKey.generate_key(2048))) == REFUSED
    assert await tokens.judge(forged({}, {}, OctKey.import_key(b"x" * 32))) == REFUSED
    brought = OctKey.import_key(b"y" * 32)
    assert await tokens.judge(forged({"jwk": brought.as_dict()}, {}, brought)) == REFUSED


async def test_the_name_of_a_key_does_not_tell_the_secret() -> None:
    kid = str(the_key(issuer()).kid)

    assert len(kid) == 16
    assert CLIENT.secret not in repr(CLIENT)


@given(st.one_of(st.text(max_size=200), st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}")))
async def test_no_text_is_a_token_and_none_is_an_error(text: str) -> None:
    assert await issuer().judge(text) == REFUSED


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=4),
    st.text(max_size=9),
)
async def test_any_json_in_the_place_of_header_and_claims_is_refused(value: Any, text: str) -> None:
    for header in (value, {"alg": value, "kid": text}, {"alg": "HS256", "kid": value}):
        token = f"{_encoded(json.dumps(header))}.{_encoded(json.dumps(value))}.{_encoded(text)}"
        assert await issuer().judge(token) == REFUSED
