"""Where a request came from: the peer, or what a trusted proxy says of it.

The rule: of the forwarded addresses the rightmost one that no trusted proxy added counts; everything left of it is the
sender's own claim. What is not trusted, not an address, or contradicts itself changes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from multidict import CIMultiDict, CIMultiDictProxy

_Address = IPv4Address | IPv6Address
_Headers = CIMultiDict[str] | CIMultiDictProxy[str]

_UNKNOWN = "unknown"
_HOPS_MAX = 32
_IPV6_PREFIX = 64  # one customer has at least so much; he could use another address for every attempt


class Sources:
    """Names the source of each request, as far as attempts are counted by it."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(network, strict=False) for network in trusted_proxies
        )

    def source_of(self, peer: str | None, headers: _Headers) -> str:
        """The source's IPv4 address or IPv6 network."""
        address = _address(peer or "")
        if address is None:
            return _UNKNOWN
        if self._trusts(address):
            address = self._forwarded(address, headers)
        return _bucket(address)

    def _forwarded(self, peer: _Address, headers: _Headers) -> _Address:
        chains = [chain for chain in (_x_forwarded_for(headers), _forwarded_for(headers)) if chain]
        found = {self._rightmost_untrusted(chain, peer) for chain in chains}
        # Two headers that differ: the proxy writes one of them, and only it knows which.
        return found.pop() if len(found) == 1 else peer

    def _rightmost_untrusted(self, chain: Sequence[str], peer: _Address) -> _Address:
        nearest = peer
        for text in reversed(chain[-_HOPS_MAX:]):
            address = _address(text)
            if address is None:
                return nearest
            nearest = address
            if not self._trusts(address):
                return address
        return nearest

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _x_forwarded_for(headers: _Headers) -> list[str]:
    return [part.strip() for line in headers.getall("X-Forwarded-For", []) for part in line.split(",")]


def _forwarded_for(headers: _Headers) -> list[str]:
    """The `for=` of each hop (RFC 7239); a hop without one is no address."""
    hops = [hop for line in headers.getall("Forwarded", []) for hop in line.split(",")]
    return [next(_for_values(hop), "") for hop in hops]


def _for_values(hop: str) -> Iterator[str]:
    for pair in hop.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().casefold() == "for":
            yield value.strip().strip('"')


def _address(text: str) -> _Address | None:
    """An address in the spellings that proxies use: with brackets, with a port, IPv4 inside IPv6."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _bucket(address: _Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, _IPV6_PREFIX), strict=False))
