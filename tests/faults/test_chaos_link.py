"""The sick link of `make chaos`: what passes, what does not, and that it heals."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from callweave.broker.local import HOST, free_port
from tests.faults.chaos.link import Link

IN_TIME_SECONDS = 10.0
NOT_YET_SECONDS = 0.3


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    target = await asyncio.start_server(echo, HOST, 0)
    sick = Link(free_port(), target.sockets[0].getsockname()[1])
    await sick.open()
    yield sick
    await sick.close()
    target.close()


async def say(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, word: bytes, *, seconds: float = IN_TIME_SECONDS
) -> bytes:
    writer.write(word)
    return await asyncio.wait_for(reader.readexactly(len(word)), seconds)


async def test_a_healthy_link_passes_everything(link: Link) -> None:
    ends = await asyncio.open_connection(HOST, link.port)

    assert await say(*ends, b"hello") == b"hello"


async def test_a_cut_ends_what_is_connected_and_refuses_what_comes_until_healed(link: Link) -> None:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    assert await say(reader, writer, b"hello") == b"hello"

    await link.cut()

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await say(reader, writer, b"lost")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, link.port)
    await link.heal()
    assert await say(*await asyncio.open_connection(HOST, link.port), b"again") == b"again"


async def test_a_stall_keeps_connections_open_and_passes_nothing_until_healed(link: Link) -> None:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    assert await say(reader, writer, b"hello") == b"hello"

    link.stall()

    with pytest.raises(TimeoutError):
        await say(reader, writer, b"late", seconds=NOT_YET_SECONDS)
    newcomer = await asyncio.open_connection(HOST, link.port)
    with pytest.raises(TimeoutError):
        await say(*newcomer, b"too", seconds=NOT_YET_SECONDS)
    await link.heal()
    assert await asyncio.wait_for(reader.readexactly(4), IN_TIME_SECONDS) == b"late"


async def test_a_delay_makes_every_byte_late(link: Link) -> None:
    ends = await asyncio.open_connection(HOST, link.port)
    link.delay_seconds = 0.1

    began = time.monotonic()
    ends[1].write(b"slow")
    assert await ends[0].readexactly(4) == b"slow"
    assert time.monotonic() - began >= 2 * link.delay_seconds
