"""From settings to who may push: one account or several, each with a password, a token, an address, or none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ingest.auth import (
    Authenticator,
    BasicAuthenticator,
    BearerAuthenticator,
    OpenDoor,
    Tenant,
    TokenAuthenticator,
    TokenJudge,
)
from ingest.tenants import TenantsAuthenticator
from ingest.tokens import TTL_SECONDS, Client, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What one sender must bring; contract.md part 3 has the same names."""

    auth: Literal["none", "basic", "oauth2"] = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    password_previous: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    client_secret_previous: str = field(default="", repr=False)
    url_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """How our own tokens are made."""

    keys: tuple[str, ...] = field(default=(), repr=False)
    ttl_seconds: int = TTL_SECONDS


def authenticator_of(credentials: Credentials, judge: TokenJudge | None = None) -> Authenticator:
    """The authenticator of one sender; `judge` where he brings tokens."""
    door: Authenticator
    match credentials.auth:
        case "none":
            door = OpenDoor()
        case "basic":
            door = BasicAuthenticator(credentials.username, [credentials.password, credentials.password_previous])
        case "oauth2":
            if judge is None:
                raise ValueError("OAuth 2.0 needs clients of our own or an identity provider")
            door = BearerAuthenticator(judge)
    return TokenAuthenticator(credentials.url_token, door) if credentials.url_token else door


def tokens_of(
    owners: Sequence[tuple[Tenant | None, Credentials]], options: TokenOptions, clock: Callable[[], datetime]
) -> Tokens | None:
    """The tokens of everybody who brings them; None where nobody does."""
    clients = [
        Client(one.client_id, one.client_secret, one.client_secret_previous, tenant)
        for tenant, one in owners
        if one.auth == "oauth2"
    ]
    return Tokens(clients, clock=clock, keys=options.keys, ttl_seconds=options.ttl_seconds) if clients else None


def tenants_authenticator(tenants: Sequence[tuple[Tenant, Credentials]], tokens: Tokens | None) -> Authenticator:
    """The authenticator of several accounts."""
    return TenantsAuthenticator([(tenant, authenticator_of(one, tokens)) for tenant, one in tenants])
