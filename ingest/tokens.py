"""Our own tokens: signed, so that every receiver with the same settings accepts what another one issued.

The rule: nothing is remembered. What a token says is checked by its signature, and a key that was replaced goes on
being accepted for as long as it is named as the previous one.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from ingest.auth import INVALID_TOKEN_CHALLENGE, Accepted, Authorised, Refused, Tenant, Verdict

ISSUER: Final = "callweave"
AUDIENCE: Final = "callweave:push"
LEEWAY_SECONDS: Final = 60
"""How far the clocks of two receivers (or of an identity provider and ours) may be apart."""
TTL_SECONDS: Final = 86_400
"""The default lifetime: generous, because when TCCC fetches another token is not documented (protocol.md a.2)."""

_ALGORITHM: Final = "HS256"
_REGISTRY = JWSRegistry(algorithms=[_ALGORITHM])
_NOT_TOKENS = (JoseError, ValueError, TypeError, KeyError, RecursionError)
"""What the library raises for bytes that are no token at all."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client of the token endpoint: what TCCC's console was given, and what it opens."""

    client_id: str
    secret: str = field(repr=False)
    secret_previous: str = field(default="", repr=False)
    tenant: Tenant | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.client_id or not self.secret:
            raise ValueError("OAuth 2.0 needs a client id and a client secret; set both")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The accepted secrets, the current one first."""
        return tuple(filter(None, (self.secret, self.secret_previous)))


class Tokens:
    """Issues and judges tokens for a set of clients.

    Without signing keys of their own (`keys`, the current one first) tokens are signed with a key derived from the
    client's secret: whoever could forge one could ask for one. A rotated secret thereby rotates the key, too.
    """

    def __init__(
        self,
        clients: Iterable[Client],
        *,
        clock: Callable[[], datetime],
        keys: Iterable[str] = (),
        ttl_seconds: int = TTL_SECONDS,
    ) -> None:
        self._clients = {client.client_id: client for client in clients}
        self._secrets = {name: Accepted(client.secrets) for name, client in self._clients.items()}
        self._nobody = Accepted([""])
        self._clock = clock
        self.ttl_seconds = ttl_seconds
        own = [_signing_key(b"key", key) for key in keys if key]
        self._keys = {
            name: own or [_signing_key(b"client:" + name.encode(), secret) for secret in client.secrets]
            for name, client in self._clients.items()
        }
        self._accepted: Mapping[str, OctKey] = {str(key.kid): key for keys in self._keys.values() for key in keys}

    def client(self, client_id: str, secret: bytes) -> Client | None:
        """The client with these credentials; takes equally long whichever of the two is wrong."""
        is_right = self._secrets.get(client_id, self._nobody).matches(secret)
        return self._clients.get(client_id) if is_right else None

    def issue(self, client: Client) -> str:
        """A token for a client."""
        now = int(self._clock().timestamp())
        key = self._keys[client.client_id][0]
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": client.client_id, "iat": now, "exp": now + self.ttl_seconds}
        header = {"alg": _ALGORITHM, "kid": str(key.kid), "typ": "at+jwt"}
        return jwt.encode(header, claims, key, registry=_REGISTRY)

    async def judge(self, token: str) -> Verdict:
        """Authorise a token that we or a sister issued."""
        try:
            decoded = jwt.decode(token, self._key_of, registry=_REGISTRY)
            self._registry().validate(decoded.claims)
        except ExpiredTokenError:
            return Refused(INVALID_TOKEN_CHALLENGE, has_expired=True)
        except _NOT_TOKENS:
            return Refused(INVALID_TOKEN_CHALLENGE)
        client = self._clients.get(str(decoded.claims["sub"]))
        kid = decoded.header.get("kid")
        if client is None or all(key.kid != kid for key in self._keys[client.client_id]):
            return Refused(INVALID_TOKEN_CHALLENGE)  # one client's key says nothing about another client
        tenants = () if client.tenant is None else (client.tenant,)
        return Authorised(tenants, expires_at=float(decoded.claims["exp"]))

    def _key_of(self, signature: Any) -> OctKey:
        return self._accepted[signature.headers()["kid"]]

    def _registry(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True},
            iat={"essential": True},
            exp={"essential": True},
        )


def _signing_key(purpose: bytes, secret: str) -> OctKey:
    """Derive a key; its name tells nothing of it, and is the same wherever the settings are."""
    raw = hmac.digest(secret.encode(), b"callweave token signing, version 1: " + purpose, "sha256")
    kid = hashlib.blake2b(raw, digest_size=8, person=b"callweave-kid").hexdigest()
    return OctKey.import_key(raw, {"kid": kid})
