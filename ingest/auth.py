"""Who may push: anybody, the holder of a password or of a token, the knower of the address; before the body is read.

The rule: every comparison is of equal-length digests in constant time, and all of them are made, whichever fails first.
Tokens are judged by a `TokenJudge` (`ingest.tokens` for our own, `ingest.identity_provider` for others'), and accounts
with credentials of their own are told apart by `ingest.tenants`; each is one more `Authenticator`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

BASIC_CHALLENGE = 'Basic realm="callweave", charset="UTF-8"'
QUERY_CHALLENGE = 'QueryToken realm="callweave", parameter="token"'
"""HTTP has no scheme for a token in the query; a challenge must name one all the same."""
BEARER_CHALLENGE = 'Bearer realm="callweave"'
INVALID_TOKEN_CHALLENGE = f'{BEARER_CHALLENGE}, error="invalid_token"'
"""RFC 6750: says to a sender that brought a token that another one is needed, and not why."""

_ENCODINGS = ("utf-8", "latin-1")
"""RFC 7617: senders that do not read the charset of the challenge use one or the other."""


class Presented(NamedTuple):
    """What a request shows of itself: its Authorization header, and each reading of a token in its query."""

    authorization: str | None = None
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tenant:
    """One account of several: what its credentials open."""

    name: str
    sdk_app_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Authorised:
    """The push may come in. Where there are tenants: whose credentials it brought. `expires_at`: of its token."""

    tenants: tuple[Tenant, ...] = ()
    expires_at: float | None = field(default=None, compare=False)

    def may_push_for(self, sdk_app_id: int) -> bool:
        """Whether a body may name this account."""
        return not self.tenants or any(sdk_app_id in tenant.sdk_app_ids for tenant in self.tenants)


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not; `challenge` is the WWW-Authenticate header of the 401. `has_expired`: a token that was good once."""

    challenge: str
    has_expired: bool = False


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nobody can tell: an identity provider's keys were never had. The sender is asked to push again."""


Verdict = Authorised | Refused | Undecided


class Authenticator(Protocol):
    """Decides about one request. It may wait (for an identity provider's keys), so it is awaited."""

    def authorise(self, presented: Presented) -> Coroutine[Any, Any, Verdict]:
        """Authorise or refuse; never raise for anything a stranger can send."""
        ...


class TokenJudge(Protocol):
    """Decides about one bearer token."""

    async def judge(self, token: str) -> Verdict:
        """Authorise or refuse; never raise for anything a stranger can send."""
        ...


class OpenDoor:
    """`RECEIVER__AUTH=none`: everybody may push."""

    async def authorise(self, presented: Presented) -> Verdict:  # noqa: ARG002  (the protocol's)
        """Authorise."""
        return Authorised()


class BasicAuthenticator:
    """`RECEIVER__AUTH=basic`: a user name and a password, and the previous password while it is being rotated."""

    def __init__(self, username: str, passwords: Iterable[str]) -> None:
        accepted = [password for password in passwords if password]
        if not username or not accepted:
            raise ValueError("basic authentication needs a user name and a password; set both")
        if ":" in username:
            raise ValueError("a user name of basic authentication cannot contain a colon")
        self._username = Accepted([username])
        self._password = Accepted(accepted)

    async def authorise(self, presented: Presented) -> Verdict:
        """Authorise the right user with a right password."""
        username, password = basic_credentials(presented.authorization)
        user_is_right = self._username.matches(username)
        password_is_right = self._password.matches(password)
        return Authorised() if user_is_right and password_is_right else Refused(BASIC_CHALLENGE)


class BearerAuthenticator:
    """`RECEIVER__AUTH=oauth2`: `Authorization: Bearer …`, the scheme in any case."""

    def __init__(self, judge: TokenJudge) -> None:
        self._judge = judge

    async def authorise(self, presented: Presented) -> Verdict:
        """Authorise what the judge of tokens accepts."""
        scheme, _, token = (presented.authorization or "").strip().partition(" ")
        if scheme.casefold() != "bearer":
            return Refused(BEARER_CHALLENGE)
        return await self._judge.judge(token.strip())


class TokenAuthenticator:
    """A token in the address (`?token=…`), on top of what else is asked."""

    def __init__(self, token: str, beneath: Authenticator) -> None:
        if not token:
            raise ValueError("a URL token cannot be empty")
        self._token = Accepted([token])
        self._beneath = beneath

    async def authorise(self, presented: Presented) -> Verdict:
        """Authorise what the rest authorises, if it also brings the token."""
        beneath = await self._beneath.authorise(presented)
        matches = [self._token.matches(token.encode(errors="surrogatepass")) for token in presented.tokens]
        if not isinstance(beneath, Authorised):
            return beneath
        return beneath if any(matches) else Refused(QUERY_CHALLENGE)


def is_basic(authorization: str | None) -> bool:
    """Whether a header is one of HTTP Basic."""
    return _scheme(authorization) == "basic"


def challenge_to(authorization: str | None) -> str:
    """The challenge in the terms of what a request brought."""
    match _scheme(authorization):
        case "basic":
            return BASIC_CHALLENGE
        case "bearer":
            return INVALID_TOKEN_CHALLENGE
        case _:
            return QUERY_CHALLENGE


def basic_credentials(authorization: str | None) -> tuple[bytes, bytes]:
    """User and password of a header; empty ones, which nothing matches, where it is none of Basic's."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.casefold() != "basic":
        return b"", b""
    try:
        username, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return username, password


def _scheme(authorization: str | None) -> str:
    return (authorization or "").strip().partition(" ")[0].casefold()


class Accepted:
    """The texts that are right in one place (a secret, and its predecessor while it is rotated), in either encoding."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._digests = tuple(dict.fromkeys(digest for text in texts for digest in _spellings(text)))

    def matches(self, presented: bytes) -> bool:
        """Whether the bytes are one of them; takes equally long for all that are not."""
        digest = _digest(presented)
        matches = False
        for candidate in self._digests:
            matches |= hmac.compare_digest(digest, candidate)
        return matches


def _spellings(text: str) -> Iterator[bytes]:
    for encoding in _ENCODINGS:
        try:
            yield _digest(text.encode(encoding))
        except UnicodeEncodeError:
            continue  # a text beyond Latin-1 has no such spelling


def _digest(presented: bytes) -> bytes:
    return hashlib.blake2b(presented, digest_size=32).digest()
