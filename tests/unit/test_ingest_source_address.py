"""Which address an attempt is counted by: the rightmost one that no trusted proxy added, whatever a sender writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ingest.source_address import Sources

PROXIES = Sources(["10.0.0.0/8", "fd00::/8", "192.0.2.7"])


def source(peer: str | None, *headers: tuple[str, str], sources: Sources = PROXIES) -> str:
    return sources.source_of(peer, CIMultiDict(headers))


def xff(value: str) -> tuple[str, str]:
    return "X-Forwarded-For", value


def forwarded(value: str) -> tuple[str, str]:
    return "Forwarded", value


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", [xff("203.0.113.1")], "198.51.100.1"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", [xff("203.0.113.1")], "203.0.113.1"),
        ("192.0.2.7", [xff("203.0.113.1")], "203.0.113.1"),
        ("::ffff:10.1.1.1", [xff("203.0.113.1")], "203.0.113.1"),
        ("10.1.1.1", [xff("1.1.1.1, 203.0.113.1, 10.2.2.2")], "203.0.113.1"),
        ("10.1.1.1", [xff("1.1.1.1"), xff("203.0.113.1")], "203.0.113.1"),
        ("10.1.1.1", [xff("203.0.113.1:4711")], "203.0.113.1"),
        ("10.1.1.1", [xff("[2001:db8::1]:4711")], "2001:db8::/64"),
        ("10.1.1.1", [xff("2001:db8::1")], "2001:db8::/64"),
        ("10.1.1.1", [xff("10.3.3.3, 10.2.2.2")], "10.3.3.3"),
        ("10.1.1.1", [xff("203.0.113.1, unknown, 10.2.2.2")], "10.2.2.2"),
        ("10.1.1.1", [xff("203.0.113.1, rubbish")], "10.1.1.1"),
        ("10.1.1.1", [forwarded("for=203.0.113.1;proto=https")], "203.0.113.1"),
        ("10.1.1.1", [forwarded('for=1.1.1.1, For="[2001:db8:1::9]:80";by=10.1.1.1')], "2001:db8:1::/64"),
        ("10.1.1.1", [forwarded("for=203.0.113.1, for=_hidden")], "10.1.1.1"),
        ("10.1.1.1", [forwarded("by=10.1.1.1")], "10.1.1.1"),
        ("10.1.1.1", [xff("203.0.113.1"), forwarded("for=203.0.113.1")], "203.0.113.1"),
        ("10.1.1.1", [xff("203.0.113.1"), forwarded("for=9.9.9.9")], "10.1.1.1"),
        ("fd00::1", [xff("203.0.113.1")], "203.0.113.1"),
        ("fe80::1%eth0", [], "fe80::/64"),
        (None, [xff("203.0.113.1")], "unknown"),
        ("/run/socket", [], "unknown"),
    ],
)
def test_the_source_of_a_request(peer: str | None, headers: list[tuple[str, str]], expected: str) -> None:
    assert source(peer, *headers) == expected


@given(st.text(max_size=60), st.integers(1, 254))
def test_what_a_sender_writes_in_front_of_the_proxys_entry_changes_nothing(claim: str, host: int) -> None:
    real = f"203.0.113.{host}"

    assert source("10.1.1.1", xff(f"{claim}, {real}")) == real
    assert source("10.1.1.1", xff(claim), xff(real)) == real


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_header_is_an_error(one: str, other: str) -> None:
    assert source("10.1.1.1", xff(one), forwarded(other))


@given(st.text(max_size=80))
def test_nobody_but_a_trusted_proxy_is_believed(claim: str) -> None:
    assert source("198.51.100.1", xff(claim), forwarded(claim)) == "198.51.100.1"


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_one_network_of_ipv6_is_one_source(address: object, host: int) -> None:
    import ipaddress

    base = int(ipaddress.IPv6Address(str(address))) >> 64 << 64
    one, other = ipaddress.IPv6Address(base | 1), ipaddress.IPv6Address(base | host)
    if one.ipv4_mapped is None and other.ipv4_mapped is None:
        assert source(str(one), sources=Sources()) == source(str(other), sources=Sources())
