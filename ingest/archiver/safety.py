"""What may be fetched: public addresses over HTTP, whatever name they hide behind (no forgery through our server).

The rule: a name is resolved once for a connection, every address that it gives is judged, and the connection goes to
one that was judged; so an answer of the DNS that changes in between changes nothing. Redirects are judged too.
"""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class RefusedAddressError(Exception):
    """An address that must not be fetched. The message says why, without the address."""


class AddressRules:
    """Which addresses are fetched; `allowed` are networks that are although they are private."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed: tuple[Network, ...] = tuple(ipaddress.ip_network(network) for network in allowed)

    def check(self, url: str) -> None:
        """Judge an address by its looks. Raises RefusedAddressError."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise RefusedAddressError("the address cannot be read") from None
        if parts.scheme not in ("http", "https") or not host:
            raise RefusedAddressError("the address is not one of HTTP")
        if parts.username is not None or parts.password is not None:
            raise RefusedAddressError("the address holds credentials")
        literal = _literal(host)
        if literal is not None and not self.is_allowed(literal):
            raise RefusedAddressError("the address is private, link-local or reserved")

    def is_allowed(self, address: Address) -> bool:
        """Whether a connection may be made there."""
        if any(address in network for network in self._allowed if network.version == address.version):
            return True
        same = _spelled_anew(address)
        if same is not None:
            return self.is_allowed(same)
        behind = _tunnelled(address)
        if behind is not None and not self.is_allowed(behind):
            return False
        return address.is_global and not address.is_multicast


class JudgingResolver(AbstractResolver):
    """aiohttp's resolver, which gives no address that the rules refuse. aiohttp connects to what it is given."""

    def __init__(self, rules: AddressRules, inner: AbstractResolver | None = None) -> None:
        self._rules = rules
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name that may be fetched from. Raises RefusedAddressError where it has no such."""
        found = await self._inner.resolve(host, port, family)
        good = [one for one in found if self._rules.is_allowed(ipaddress.ip_address(one["host"].partition("%")[0]))]
        if found and not good:
            raise RefusedAddressError("the name leads to a private, link-local or reserved address")
        return good

    async def close(self) -> None:
        """Let go of the inner one."""
        await self._inner.close()


def _literal(host: str) -> Address | None:
    """The address that a host is, in any spelling that a system's resolver takes: 127.1, 0x7f000001, 2130706433."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _spelled_anew(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address is."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    return ipaddress.IPv4Address(address.packed[-4:]) if address in _NAT64 else address.ipv4_mapped


def _tunnelled(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address would be sent through (6to4, Teredo)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    return address.sixtofour or (address.teredo[1] if address.teredo else None)
