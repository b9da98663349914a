"""Who may look, and who may see what is personal (numbers, audio, free texts).

The rule: without authentication the page answers this machine only, under a name of this machine, so that no foreign
page in a browser here can reach it either. A proxy's word counts only from an address that the settings trust.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Protocol

from aiohttp import web

from callweave.dashboard.doorkeeping import is_loopback
from callweave.settings import DashboardSettings
from ingest.attempts import FailedAttempts
from ingest.source_address import Sources

EVERYBODY = "*"
GROUP = "group:"
FAILED_ATTEMPTS_PER_MINUTE_MAX = 30
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="callweave", charset="UTF-8"'}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever looks. `sees_personal`: numbers unmasked, recordings playable, what was pushed word by word."""

    name: str
    sees_personal: bool


class Turned(Exception):  # noqa: N818  (turned away: an answer, not a fault)
    """This request may not look; the sentence says why."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})


class Gate(Protocol):
    """Stands before every request."""

    def viewer(self, request: web.BaseRequest) -> Viewer:
        """Who looks; raise Turned where nobody may."""


def gate_of(knobs: DashboardSettings) -> Gate:
    """The gate that the settings ask for; they have been checked to be whole."""
    personal = Personal(knobs.personal_for)
    match knobs.auth:
        case "basic":
            return BasicGate(knobs.user_passwords, personal)
        case "proxy":
            return ProxyGate(knobs, personal)
        case "none":
            return LoopbackGate(personal)


class Personal:
    """Who may see what is personal: names, `group:NAME`, or `*`."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def allows(self, name: str, groups: Sequence[str] = ()) -> bool:
        """Whether this person may."""
        return not self._allowed.isdisjoint({EVERYBODY, name, *(f"{GROUP}{group}" for group in groups)})


class LoopbackGate:
    """No authentication: whoever is on this machine."""

    def __init__(self, personal: Personal) -> None:
        self._viewer = Viewer("", personal.allows(""))

    def viewer(self, request: web.BaseRequest) -> Viewer:
        """Everybody here. The name must be this machine's: a page elsewhere could have its own name point here."""
        if is_loopback(request.url.host or ""):
            return self._viewer
        raise Turned(
            HTTPStatus.MISDIRECTED_REQUEST,
            "without authentication the page answers on localhost only: set DASHBOARD__AUTH to reach it by other names",
        )


class BasicGate:
    """Names and passwords of the settings."""

    def __init__(self, passwords: Mapping[str, str], personal: Personal) -> None:
        self._passwords = dict(passwords)
        self._personal = personal
        self._failed = FailedAttempts(FAILED_ATTEMPTS_PER_MINUTE_MAX)
        self._sources = Sources()

    def viewer(self, request: web.BaseRequest) -> Viewer:
        """The person whose password it is."""
        header = request.headers.get("Authorization")
        if header is None:
            raise Turned(HTTPStatus.UNAUTHORIZED, "who are you? a name and a password are needed", _CHALLENGE)
        name, password = _basic(header)
        # Compared for unknown names too, so that time tells nothing of which names there are.
        expected = self._passwords.get(name, "")
        is_right = hmac.compare_digest(password.encode(), expected.encode()) and bool(expected)
        if is_right:
            return Viewer(name, self._personal.allows(name))
        if self._failed.is_too_many(self._sources.source_of(request.remote, request.headers)):
            raise Turned(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong passwords: wait a minute", {"Retry-After": "60"})
        raise Turned(HTTPStatus.UNAUTHORIZED, "the name or the password is wrong", _CHALLENGE)


class ProxyGate:
    """A proxy in front (oauth2-proxy and its like) says who it is, by OIDC or whatever it does."""

    def __init__(self, knobs: DashboardSettings, personal: Personal) -> None:
        self._trusted = [ip_network(network, strict=False) for network in knobs.trusted_proxies]
        self._user_header = knobs.user_header
        self._groups_header = knobs.groups_header
        self._personal = personal

    def viewer(self, request: web.BaseRequest) -> Viewer:
        """The person whom the proxy names."""
        if not self._is_trusted(request.remote or ""):
            raise Turned(
                HTTPStatus.FORBIDDEN,
                "a proxy signs people in to this page: call that proxy (DASHBOARD__TRUSTED_PROXIES names it)",
            )
        names = request.headers.getall(self._user_header, [])
        if len(names) != 1 or not names[0].strip():
            raise Turned(
                HTTPStatus.UNAUTHORIZED,
                f"the proxy names nobody: it must set {self._user_header}, once, on each request",
            )
        groups = ",".join(request.headers.getall(self._groups_header, [])).split(",")
        name = names[0].strip()
        return Viewer(name, self._personal.allows(name, [group.strip() for group in groups if group.strip()]))

    def _is_trusted(self, remote: str) -> bool:
        try:
            address = ip_address(remote.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.casefold() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password
