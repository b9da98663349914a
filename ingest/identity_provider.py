"""Accepts the tokens of an identity provider, by the keys that it publishes (JWKS).

The rule: who issues, for whom and by which algorithm is pinned by the settings, never taken from the token; an unknown
key is asked for, but no more often than the pause allows, and keys that were had outlive an endpoint that is away.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import structlog
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from ingest.auth import INVALID_TOKEN_CHALLENGE, Authorised, Refused, Undecided, Verdict
from ingest.tokens import LEEWAY_SECONDS

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""What may be pinned. No shared-key algorithm: a public key must never be taken for a secret."""

_BYTES_MAX = 256 * 1024
_KEYS_MAX = 64
_PublicKey = RSAKey | ECKey | OKPKey

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """Whose tokens are accepted, for whom, and how they are signed."""

    jwks_url: str
    issuer: str
    audience: str
    algorithm: str = "RS256"
    refetch_pause_seconds: float = 30.0
    refresh_seconds: float = 3600.0
    timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not (self.jwks_url and self.issuer and self.audience):
            raise ValueError("an identity provider needs the address of its keys, its issuer, and an audience")
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"tokens of an identity provider are signed by one of {', '.join(ALGORITHMS)}")


class IdentityProvider:
    """Judges the provider's tokens."""

    def __init__(
        self,
        options: ProviderOptions,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._clock = clock
        self._monotonic = monotonic
        self._registry = JWSRegistry(algorithms=[options.algorithm], strict_check_header=False)
        self._keys: dict[str | None, _PublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self._problem: str | None = "the identity provider's keys were not fetched yet"

    def unready(self) -> str | None:
        """Why no token can be judged; None once keys were had."""
        return None if self._keys else self._problem

    async def judge(self, token: str) -> Verdict:
        """Authorise a token of the provider's."""
        found = await self.claims(token)
        return found if isinstance(found, Refused | Undecided) else Authorised(expires_at=float(found["exp"]))

    async def claims(self, token: str) -> Mapping[str, Any] | Refused | Undecided:
        """What a token of the provider's says, once all of it is checked."""
        try:
            kid = _kid_of(token)
        except (ValueError, TypeError, RecursionError):
            return Refused(INVALID_TOKEN_CHALLENGE)
        key = await self._key(kid)
        if key is None:
            return Refused(INVALID_TOKEN_CHALLENGE) if self._keys else Undecided()
        try:
            decoded = jwt.decode(token, key, registry=self._registry)
            self._claims().validate(decoded.claims)
        except ExpiredTokenError:
            return Refused(INVALID_TOKEN_CHALLENGE, has_expired=True)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            return Refused(INVALID_TOKEN_CHALLENGE)
        return dict(decoded.claims)

    async def fetch(self) -> None:
        """Ask for the keys now; what goes wrong is kept for readiness, and the keys that were had are kept, too."""
        async with self._fetching:
            await self._fetch()

    async def _key(self, kid: str | None) -> _PublicKey | None:
        key = self._find(kid)
        if key is not None:
            # A key that is known is used at once: an endpoint that hangs must not hold up pushes.
            is_refreshing = self._refreshing is not None and not self._refreshing.done()
            if self._is_stale() and self._may_fetch() and not is_refreshing:
                self._refreshing = asyncio.create_task(self.fetch())
            return key
        async with self._fetching:
            if self._find(kid) is None and self._may_fetch():
                await self._fetch()
        return self._find(kid)

    def _find(self, kid: str | None) -> _PublicKey | None:
        if kid is None:  # a provider with one key need not name it
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _is_stale(self) -> bool:
        return self._fetched_at is None or self._monotonic() - self._fetched_at > self._options.refresh_seconds

    def _may_fetch(self) -> bool:
        return self._tried_at is None or self._monotonic() - self._tried_at >= self._options.refetch_pause_seconds

    async def _fetch(self) -> None:
        self._tried_at = self._monotonic()
        try:
            keys = _usable_keys(await self._download(), self._options.algorithm)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, JoseError) as exc:
            self._problem = f"the identity provider's keys cannot be fetched ({type(exc).__name__}): check JWKS_URL"
            _log.warning("jwks_fetch_failed", error=type(exc).__name__, keys_kept=len(self._keys))
            return
        if not keys:
            self._problem = f"the identity provider publishes no key for {self._options.algorithm}"
            _log.warning("jwks_without_keys", algorithm=self._options.algorithm, keys_kept=len(self._keys))
            return
        self._keys = keys
        self._fetched_at = self._monotonic()
        self._problem = None

    async def _download(self) -> Any:
        timeout = aiohttp.ClientTimeout(total=self._options.timeout_seconds)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as http,
            http.get(self._options.jwks_url, allow_redirects=False) as response,
        ):
            if response.status != HTTPStatus.OK:
                raise ValueError(f"answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _BYTES_MAX:
                    raise ValueError("the key set is too large")
            return json.loads(body)

    def _claims(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._options.issuer},
            aud={"essential": True, "value": self._options.audience},
            exp={"essential": True},
        )


def _kid_of(token: str) -> str | None:
    """Read the name of a token's key, before anything of it is believed."""
    header = _header(token)
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("kid is no text")
    return kid


def _header(token: str) -> dict[str, Any]:
    """The header of a token; ValueError where there is none."""
    segment, dot, _ = token.encode("ascii").partition(b".")
    header = json.loads(urlsafe_b64decode(segment)) if dot else None
    if not isinstance(header, dict):
        raise ValueError("no token")  # noqa: TRY004
    return header


def _usable_keys(document: Any, algorithm: str) -> dict[str | None, _PublicKey]:
    """Public keys that may verify signatures by the pinned algorithm, by their names."""
    published = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(published, list):
        raise ValueError("no JWK set")  # noqa: TRY004  (whose bytes these are is what matters)
    keys: dict[str | None, _PublicKey] = {}
    for entry in published[:_KEYS_MAX]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        if entry.get("alg", algorithm) != algorithm:
            continue
        try:
            imported = KeySet.import_key_set({"keys": [entry]}).keys[0]
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # one key that we cannot read takes nothing from the others
        kid = entry.get("kid")
        if isinstance(imported, RSAKey | ECKey | OKPKey) and (kid is None or isinstance(kid, str)):
            keys[kid] = imported
    return keys
