"""What the door bounds, over real HTTP: connections, requests in flight, headers, and time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ingest.limits import DoorLimits
from tests.support.push_log import MemoryPushLog
from tests.support.pushes import a_cdr, body_of
from tests.unit.test_ingest_receiver import STORED, House, a_house, eventually, json_of, raw_exchange


@asynccontextmanager
async def a_bounded_house(log: MemoryPushLog | None = None, **limits: Any) -> AsyncIterator[House]:
    async with a_house(log, limits=DoorLimits(**limits)) as house:
        yield house


async def connected(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", house.port)


async def answer_on(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(60):
        return await reader.read()


async def test_a_connection_that_says_nothing_is_told_so_and_closed() -> None:
    async with a_bounded_house(header_seconds_max=0.1) as house:
        answer = await raw_exchange(house)

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json_of(answer) == {"ErrCode": 408, "ErrMsg": "the headers did not arrive in time"}
        assert house.count("pushes_rejected_total", reason="headers_too_slow") == 1
        assert house.log.journal == ["started"]


async def test_headers_that_come_byte_by_byte_have_one_deadline_for_all_of_them() -> None:
    async with a_bounded_house(header_seconds_max=0.3) as house:
        reader, writer = await connected(house)

        async def drip() -> None:
            for byte in b"POST /tccc/push HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        answer = await reader.readuntil(b"}")
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()

        assert json_of(answer)["ErrCode"] == 408


async def test_the_deadline_holds_for_the_second_request_of_a_connection_too_and_not_between_them() -> None:
    body = body_of(a_cdr())
    head = f"POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with a_bounded_house(header_seconds_max=0.2) as house:
        reader, writer = await connected(house)
        writer.write(head + body)
        first = await reader.readuntil(b"}")
        await asyncio.sleep(0.4)  # idle, which keep-alive allows
        writer.write(head + body)
        second = await reader.readuntil(b"}")
        writer.write(head[:20])
        third = await answer_on(reader)
        writer.close()

        assert json_of(first) == json_of(second) == STORED
        assert json_of(third)["ErrCode"] == 408


async def test_excess_connections_are_refused_cleanly_and_others_go_on() -> None:
    body = body_of(a_cdr())
    head = f"POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with a_bounded_house(connections_max=2) as house:
        kept = [await connected(house) for _ in range(2)]
        refused = await raw_exchange(house, head, body)

        assert refused.startswith(b"HTTP/1.1 503 ")
        assert json_of(refused) == {"ErrCode": 503, "ErrMsg": "too many connections; push it again"}
        assert house.count("pushes_rejected_total", reason="too_many_connections") == 1
        for reader, writer in kept:
            writer.write(head + body)
            assert json_of(await reader.readuntil(b"}")) == STORED
            writer.close()
        await eventually(lambda: house.receiver._runner.json_server.connection_count == 0)  # type: ignore[union-attr]
        assert (await house.push(a_cdr())).body == STORED


async def test_beyond_the_requests_in_flight_the_door_sheds_at_once_and_keeps_those_it_has() -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    async with a_bounded_house(log, requests_in_flight_max=2) as house:
        inside = [asyncio.create_task(house.push(a_cdr(SessionId=f"s{number}"))) for number in range(2)]
        await eventually(lambda: log.journal.count("append") == 2)
        shed = await house.push(a_cdr())
        assert log.gate is not None
        log.gate.set()

        assert (shed.status, shed.body["ErrCode"], shed.headers["Retry-After"]) == (503, 503, "1")
        assert house.count("pushes_rejected_total", reason="too_busy") == 1
        assert [(await task).body for task in inside] == [STORED, STORED]
        assert (await house.push(a_cdr())).body == STORED
    assert log.journal.count("append") == 3


async def test_a_push_that_takes_too_long_is_answered_503_and_not_zero() -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    async with a_bounded_house(log, request_seconds_max=0.1) as house:
        answer = await house.push(a_cdr())

        assert (answer.status, answer.body["ErrCode"], answer.headers["Connection"]) == (503, 503, "close")
        assert house.count("pushes_rejected_total", reason="deadline") == 1
        assert log.gate is not None
        log.gate.set()
        assert (await house.push(a_cdr())).body == STORED


@pytest.mark.parametrize(
    ("limits", "headers", "status"),
    [
        ({"header_lines_max": 20}, b"X: y\r\n" * 10, b"200"),
        ({"header_lines_max": 20}, b"X: y\r\n" * 30, b"400"),
        ({"header_bytes_max": 1024}, b"X: " + b"y" * 900 + b"\r\n", b"200"),
        ({"header_bytes_max": 1024}, b"X: " + b"y" * 1100 + b"\r\n", b"400"),
    ],
)
async def test_headers_are_bounded_in_number_and_size(limits: dict[str, int], headers: bytes, status: bytes) -> None:
    async with a_bounded_house(**limits) as house:
        head = (
            b"POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
            + headers
            + b"\r\n{}"
        )
        answer = await raw_exchange(house, head)

    assert answer.split()[1] == status
    assert json_of(answer)["ErrCode"] in {0, 400}


async def test_the_largest_request_line_is_bounded() -> None:
    async with a_bounded_house(header_bytes_max=2048) as house:
        answer = await raw_exchange(house, b"POST /tccc/push?x=" + b"y" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    assert json_of(answer) == {"ErrCode": 400, "ErrMsg": "malformed HTTP"}
