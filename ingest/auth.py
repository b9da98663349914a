"""Who may push: nobody in particular, the holder of a password, or the knower of the address; before the body is read.

The rule: every comparison is of equal-length digests in constant time, and all of them are made, whichever fails first.
An identity provider's tokens are one more `Authenticator`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

BASIC_CHALLENGE = 'Basic realm="callweave", charset="UTF-8"'
QUERY_CHALLENGE = 'QueryToken realm="callweave", parameter="token"'
"""HTTP has no scheme for a token in the query; a challenge must name one all the same."""

_ENCODINGS = ("utf-8", "latin-1")
"""RFC 7617: senders that do not read the charset of the challenge use one or the other."""


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request shows of itself: its Authorization header, and each reading of a token in its query."""

    authorization: str | None = None
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Authorised:
    """The push may come in."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not; `challenge` is the WWW-Authenticate header of the 401."""

    challenge: str


class Authenticator(Protocol):
    """Decides about one request. It may wait (for an identity provider's keys), so it is awaited."""

    async def authorise(self, presented: Presented) -> Authorised | Refused:
        """Authorise or refuse; never raise for anything a stranger can send."""
        ...


class OpenDoor:
    """`RECEIVER__AUTH=none`: everybody may push."""

    async def authorise(self, presented: Presented) -> Authorised | Refused:  # noqa: ARG002  (the protocol's)
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
        self._usernames = _digests([username])
        self._passwords = _digests(accepted)

    async def authorise(self, presented: Presented) -> Authorised | Refused:
        """Authorise the right user with a right password."""
        username, password = _basic_credentials(presented.authorization)
        user_is_right = _matches(username, self._usernames)
        password_is_right = _matches(password, self._passwords)
        return Authorised() if user_is_right and password_is_right else Refused(BASIC_CHALLENGE)


class TokenAuthenticator:
    """A token in the address (`?token=…`), on top of what else is asked."""

    def __init__(self, token: str, beneath: Authenticator) -> None:
        if not token:
            raise ValueError("a URL token cannot be empty")
        self._tokens = _digests([token])
        self._beneath = beneath

    async def authorise(self, presented: Presented) -> Authorised | Refused:
        """Authorise what the rest authorises, if it also brings the token."""
        beneath = await self._beneath.authorise(presented)
        matches = [_matches(token.encode(errors="surrogatepass"), self._tokens) for token in presented.tokens]
        if isinstance(beneath, Refused):
            return beneath
        return beneath if any(matches) else Refused(QUERY_CHALLENGE)


def _basic_credentials(authorization: str | None) -> tuple[bytes, bytes]:
    """User and password of a header; empty ones, which nothing matches, where it is none of Basic's."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.casefold() != "basic":
        return b"", b""
    try:
        username, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return username, password


def _digests(texts: Iterable[str]) -> tuple[bytes, ...]:
    """What the accepted texts look like on the wire, in either encoding, as digests."""
    spellings: dict[bytes, None] = {}
    for text in texts:
        for encoding in _ENCODINGS:
            try:
                spellings[_digest(text.encode(encoding))] = None
            except UnicodeEncodeError:
                continue  # a text beyond Latin-1 has no such spelling
    return tuple(spellings)


def _digest(presented: bytes) -> bytes:
    return hashlib.blake2b(presented, digest_size=32).digest()


def _matches(presented: bytes, accepted: tuple[bytes, ...]) -> bool:
    digest = _digest(presented)
    matches = False
    for candidate in accepted:
        matches |= hmac.compare_digest(digest, candidate)
    return matches
