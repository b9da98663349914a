"""Who asks for login tokens, and for which agents: holders of a static key, or people with a token of their provider's.

The rule: a key opens only the agents that stand beside it; a person's token opens only the agent whom its mail claim
names, and only where that mail is not said to be unverified.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ingest.auth import Accepted, Refused, Undecided

KEY_CHARACTERS_MIN = 20
_CHALLENGE = 'Bearer realm="callweave login tokens"'
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Agents:
    """Some agents by e-mail: `ann@example.com`, `*@example.com`, or `*` for all; upper and lower case are one."""

    patterns: frozenset[str]

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Agents":
        """Read patterns; ValueError where one is none."""
        folded = frozenset(pattern.strip().casefold() for pattern in patterns if pattern.strip())
        for pattern in folded:
            if pattern != EVERYBODY and ("@" not in pattern or "*" in pattern.removeprefix("*@")):
                raise ValueError(f"{pattern!r} names no agents: write ann@example.com, *@example.com, or *")
        return cls(folded)

    def __contains__(self, mail: str) -> bool:
        folded = mail.casefold()
        return not self.patterns.isdisjoint({EVERYBODY, folded, f"*@{folded.rpartition('@')[2]}"})


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A program of ours that may ask for some agents."""

    name: str
    key: str = field(repr=False)
    agents: Agents


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever was recognised. `own_mail`: the only agent that a person's token opens."""

    name: str
    agents: Agents
    own_mail: str | None = None

    def may_log_in(self, mail: str) -> bool:
        """Whether this caller may have a token of that agent's."""
        return mail in self.agents and (self.own_mail is None or self.own_mail.casefold() == mail.casefold())


class ClaimsJudge(Protocol):
    """Reads tokens of an identity provider (`ingest.identity_provider`)."""

    async def claims(self, token: str) -> Mapping[str, Any] | Refused | Undecided:
        """What a valid token says."""
        ...


class Callers:
    """Recognises callers by `Authorization: Bearer …` or `X-Api-Key: …`."""

    def __init__(
        self,
        holders: Sequence[KeyHolder] = (),
        provider: ClaimsJudge | None = None,
        *,
        mail_claim: str = "email",
        people: Agents = Agents(frozenset({EVERYBODY})),
    ) -> None:
        if not holders and provider is None:
            raise ValueError("nobody could ask: give a key, or an identity provider")
        self._holders = [(holder, Accepted([holder.key])) for holder in holders]
        self._provider = provider
        self._mail_claim = mail_claim
        self._people = people

    async def recognise(self, authorization: str | None, api_key: str | None) -> Caller | Refused | Undecided:
        """Who it is; never raises for anything a stranger can send."""
        scheme, _, token = (authorization or "").strip().partition(" ")
        presented = (api_key or (token if scheme.casefold() == "bearer" else "")).strip()
        if not presented:
            return Refused(_CHALLENGE)
        bytes_ = presented.encode(errors="surrogatepass")
        matching = [holder for holder, accepted in self._holders if accepted.matches(bytes_)]
        if matching:
            return Caller(matching[0].name, matching[0].agents)
        if self._provider is None or api_key:
            return Refused(_CHALLENGE)
        claims = await self._provider.claims(presented)
        if isinstance(claims, Refused | Undecided):
            return claims
        mail, subject = claims.get(self._mail_claim), claims.get("sub")
        if not isinstance(mail, str) or "@" not in mail or claims.get("email_verified") is False:
            return Refused(_CHALLENGE)
        return Caller(f"person:{subject or mail.casefold()}", self._people, own_mail=mail)


def read_key_holders(text: str, default_agents: Sequence[str]) -> list[KeyHolder]:
    """A line for each: name, key, and the agents that it opens with commas between (default: those for all keys).

    ValueError, without any key in it, where that cannot work.
    """
    holders: list[KeyHolder] = []
    for number, line in enumerate(text.splitlines(), start=1):
        name, key, agents = ([*line.partition("#")[0].split(None, 2), "", "", ""])[:3]
        if not name:
            continue
        if len(key) < KEY_CHARACTERS_MIN:
            raise ValueError(
                f"line {number} needs a name, a key of at least {KEY_CHARACTERS_MIN} characters, and agents"
            )
        try:
            opened = Agents.of(agents.split(",") if agents else default_agents)
        except ValueError as exc:
            raise ValueError(f"line {number}: {exc}") from exc
        if not opened.patterns:
            raise ValueError(f"line {number}: {name} opens no agents: name them after the key, or set agents")
        holders.append(KeyHolder(name, key, opened))
    if len({holder.key for holder in holders}) < len(holders):
        raise ValueError("two of them have the same key: each needs its own")
    return holders
