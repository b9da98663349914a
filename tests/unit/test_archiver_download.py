"""One download against a host that misbehaves: what is fetched, what is refused, what goes on where it broke off."""

import hashlib
import ipaddress
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.archiver.download import Downloader, DownloadError, Remedy
from ingest.archiver.safety import AddressRules, JudgingResolver, RefusedAddressError
from tests.support.recordings_host import Host, a_wav, recordings_host

HERE = ["127.0.0.1/32"]


@pytest.fixture
def host() -> Iterator[Host]:
    with recordings_host() as serving:
        yield serving


@asynccontextmanager
async def downloader(allowed: list[str] = HERE, **changes: Any) -> AsyncIterator[Downloader]:
    values: dict[str, Any] = {"bytes_max": 1_000_000, "seconds_max": 10.0, "per_host_max": 4, **changes}
    opened = Downloader(AddressRules(allowed), **values)
    try:
        yield opened
    finally:
        await opened.close()


async def failure(host_url: str, part: Path, **changes: Any) -> DownloadError:
    async with downloader(**changes) as fetching:
        with pytest.raises(DownloadError) as caught:
            await fetching.fetch(host_url, part)
    return caught.value


async def test_a_file_is_fetched_whole_and_told_what_it_is(host: Host, tmp_path: Path) -> None:
    host.files["/a.wav"] = a_wav(1.5)
    async with downloader() as fetching:
        fetched = await fetching.fetch(f"{host.url}/a.wav?token=secret", tmp_path / "a.part")

    assert fetched.sha256 == hashlib.sha256(a_wav(1.5)).hexdigest()
    assert fetched.size_bytes == len(a_wav(1.5))
    assert (fetched.audio.content_type, fetched.audio.duration_seconds) == ("audio/wav", 1.5)


async def test_what_broke_off_goes_on_where_it_was(host: Host, tmp_path: Path) -> None:
    host.files["/a.wav"] = a_wav(3)
    host.trouble["/a.wav"] = ["cut"]
    part = tmp_path / "a.part"

    assert (await failure(f"{host.url}/a.wav", part)).remedy is Remedy.AGAIN
    there = part.stat().st_size
    async with downloader() as fetching:
        fetched = await fetching.fetch(f"{host.url}/a.wav", part)

    assert 0 < there < len(a_wav(3))
    assert host.ranges == [f"bytes={there}-"]
    assert fetched.sha256 == hashlib.sha256(a_wav(3)).hexdigest()


async def test_another_file_under_the_same_address_is_fetched_from_its_beginning(host: Host, tmp_path: Path) -> None:
    host.files["/a.wav"] = a_wav(3)
    host.trouble["/a.wav"] = ["cut"]
    part = tmp_path / "a.part"
    await failure(f"{host.url}/a.wav", part)
    host.files["/a.wav"] = a_wav(3, seed=9)
    async with downloader() as fetching:
        fetched = await fetching.fetch(f"{host.url}/a.wav", part)

    assert fetched.sha256 == hashlib.sha256(a_wav(3, seed=9)).hexdigest()


@pytest.mark.parametrize(
    ("trouble", "problem", "remedy"),
    [
        ("status 403", "HTTP 403", Remedy.ANOTHER_ADDRESS),
        ("status 404", "HTTP 404", Remedy.ANOTHER_ADDRESS),
        ("status 503", "HTTP 503", Remedy.AGAIN),
        ("page", "what came is no audio (UnsupportedFormatError)", Remedy.ANOTHER_ADDRESS),
        ("wrong checksum", "the checksum is another than the server named", Remedy.AGAIN),
        ("to http://10.0.0.1/a.wav", "the address is private, link-local or reserved", Remedy.NOTHING),
        ("to file:///etc/passwd", "the address is not one of HTTP", Remedy.NOTHING),
    ],
)
async def test_a_lie_is_no_file(host: Host, tmp_path: Path, trouble: str, problem: str, remedy: Remedy) -> None:
    host.files["/a.wav"] = a_wav()
    host.trouble["/a.wav"] = [trouble]
    part = tmp_path / "a.part"
    found = await failure(f"{host.url}/a.wav", part)

    assert (found.problem, found.remedy) == (problem, remedy)
    assert found.wait_seconds == (7 if trouble.startswith("status") else 0)
    assert not part.exists()


async def test_a_file_that_is_too_large_is_refused_although_its_length_is_not_told(host: Host, tmp_path: Path) -> None:
    host.files["/a.wav"] = a_wav(2)
    found = await failure(f"{host.url}/a.wav", tmp_path / "a.part", bytes_max=1000)

    assert (found.problem, found.remedy) == ("larger than 1000 bytes", Remedy.NOTHING)


async def test_redirects_are_followed_and_not_for_ever(host: Host, tmp_path: Path) -> None:
    host.files["/b.wav"] = a_wav()
    host.trouble["/a.wav"] = ["to /b.wav"]
    host.trouble["/round"] = ["to /round"] * 20
    async with downloader() as fetching:
        fetched = await fetching.fetch(f"{host.url}/a.wav", tmp_path / "a.part")
    assert fetched.size_bytes == len(a_wav())

    assert (await failure(f"{host.url}/round", tmp_path / "r.part")).problem == "the address leads around in circles"
    assert host.requests["/round"] == 6


async def test_this_machine_is_not_fetched_from_unless_it_is_allowed(host: Host, tmp_path: Path) -> None:
    host.files["/a.wav"] = a_wav()
    port = host.url.rpartition(":")[2]
    for name in ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"):
        found = await failure(f"http://{name}:{port}/a.wav", tmp_path / "a.part", allowed=[])
        assert found.remedy is Remedy.NOTHING, name
    assert not host.requests


class Names(AbstractResolver):
    """A DNS that says what a test wants."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_name_that_leads_inside_is_refused_and_mixed_answers_lose_their_inner_half() -> None:
    rules = AddressRules()
    with pytest.raises(RefusedAddressError):
        await JudgingResolver(rules, Names("10.1.2.3", "fe80::1%eth0", "169.254.169.254")).resolve("evil.example")
    mixed = await JudgingResolver(rules, Names("10.1.2.3", "93.184.215.14")).resolve("mixed.example")

    assert [one["host"] for one in mixed] == ["93.184.215.14"]


@given(st.ip_addresses())
@example(ipaddress.IPv6Address("2002:b00::"))  # 6to4 and Teredo of public addresses: which Python calls private varies
@example(ipaddress.IPv6Address("2001:0:4136:e378:8000:63bf:3fff:fdd2"))
def test_an_address_may_be_fetched_from_only_if_it_is_public_in_every_spelling(address: Any) -> None:
    rules = AddressRules()
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not rules.is_allowed(address)
    if address.version == 4:
        for spelled in (f"::ffff:{address}", f"64:ff9b::{address}"):
            assert rules.is_allowed(ipaddress.IPv6Address(spelled)) == rules.is_allowed(address)
