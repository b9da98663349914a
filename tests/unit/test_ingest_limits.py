"""What the door bounds, over real HTTP: connections, requests in flight, headers, and time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from ingest.json_server import JsonServer
from ingest.limits import DoorLimits
from ingest.room import Room
from tests.support.push_log import MemoryPushLog
from tests.support.pushes import a_cdr, body_of
from tests.unit.test_ingest_receiver import STORED, House, a_house, eventually, head_of, json_of, raw_exchange


@asynccontextmanager
async def a_bounded_house(log: MemoryPushLog | None = None, **limits: Any) -> AsyncIterator[House]:
    async with a_house(log, limits=DoorLimits(**limits)) as house:
        yield house


@asynccontextmanager
async def a_full_house(*, room_seconds_max: float) -> AsyncIterator[tuple[House, asyncio.Event, asyncio.Task[Any]]]:
    """Its one place is taken, by a push that is stored when the gate opens."""
    gate = asyncio.Event()
    log = MemoryPushLog(gate=gate)
    async with a_bounded_house(log, requests_in_flight_max=1, room_seconds_max=room_seconds_max) as house:
        inside = asyncio.create_task(house.push(a_cdr(SessionId="first")))
        await eventually(lambda: "append" in log.journal)
        yield house, gate, inside


async def connected(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", house.port)


def server_of(house: House) -> JsonServer:
    runner = house.receiver._runner
    assert runner is not None
    assert runner.json_server is not None
    return runner.json_server


def room_of(house: House) -> Room:
    return server_of(house).room


class WrittenTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        """Nothing to close."""

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


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
    head = head_of(body)
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
    head = head_of(body)
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
        await eventually(lambda: server_of(house).connection_count == 0)
        assert (await house.push(a_cdr())).body == STORED


async def test_beyond_the_requests_in_flight_a_push_waits_for_room_and_is_stored() -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    async with a_bounded_house(log, requests_in_flight_max=2, room_seconds_max=60) as house:
        asked = [asyncio.create_task(house.push(a_cdr(SessionId=f"s{number}"))) for number in range(5)]
        await eventually(lambda: room_of(house).waiting_count == 3)
        inside = log.journal.count("append")
        assert house.count("requests_waiting") == 3
        assert log.gate is not None
        log.gate.set()

        assert [(await task).body for task in asked] == [STORED] * 5
        assert inside == 2
        assert house.count("pushes_rejected_total", reason="too_busy") == 0
        assert room_of(house).is_empty


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_push_that_waits_for_room_in_vain_is_refused_and_its_connection_goes_on(is_whole: bool) -> None:
    """One that is whole is refused on the express way, one whose body is still to come on aiohttp's."""
    body = body_of(a_cdr(SessionId="late"))
    head = head_of(body)
    async with a_full_house(room_seconds_max=0.1) as (house, gate, inside):
        reader, writer = await connected(house)
        writer.write(head + body if is_whole else head)
        refused = await reader.readuntil(b"}")
        if not is_whole:
            writer.write(body)
        gate.set()
        await inside
        writer.write(head + body)
        stored = await reader.readuntil(b"}")
        writer.close()

        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in refused
        assert json_of(refused) == {"ErrCode": 503, "ErrMsg": "too busy; push it again"}
        assert json_of(stored) == STORED
        assert house.count("pushes_rejected_total", reason="too_busy") == 1
        assert [event.session_id for event in house.log.events] == ["first", "late"]
        await eventually(lambda: room_of(house).is_empty)


async def test_who_goes_away_while_he_waits_for_room_takes_none() -> None:
    body = body_of(a_cdr(SessionId="gone"))
    head = head_of(body)
    async with a_full_house(room_seconds_max=60) as (house, gate, inside):
        _, writer = await connected(house)
        writer.write(head + body)
        await eventually(lambda: room_of(house).waiting_count == 1)
        writer.transport.abort()
        await eventually(lambda: room_of(house).waiting_count == 0)
        gate.set()

        assert (await inside).body == STORED
        assert (await house.push(a_cdr(SessionId="next"))).body == STORED
        assert [event.session_id for event in house.log.events] == ["first", "next"]


async def test_who_waits_for_room_when_a_stop_begins_is_answered_before_the_log_is_closed() -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    async with a_bounded_house(log, requests_in_flight_max=1, room_seconds_max=60) as house:
        asked = [asyncio.create_task(house.push(a_cdr(SessionId=f"s{number}"))) for number in range(3)]
        await eventually(lambda: room_of(house).waiting_count == 2)
        stopping = asyncio.create_task(house.receiver.stop(60))
        await asyncio.sleep(0)
        assert log.gate is not None
        log.gate.set()

        assert await stopping
        assert [(await task).body for task in asked] == [STORED] * 3
    assert log.journal[-1] == "closed"


async def test_every_way_to_an_answer_gives_its_place_back() -> None:
    async with a_bounded_house(requests_in_flight_max=1, room_seconds_max=60) as house:
        for query in ("?action=cdr", "/elsewhere", "?action=cdr"):
            await house.push(a_cdr(), query)
        await house.ask("GET", house.receiver.url)
        await raw_exchange(house, b"no HTTP\r\n\r\n")
        await raw_exchange(
            house, b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        )

        await eventually(lambda: room_of(house).is_empty)
        assert (await house.push(a_cdr())).body == STORED


async def test_a_push_that_comes_with_its_connection_goes_the_usual_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp does not wait for a request yet, so that it would take this one, and each that follows closely."""

    async def unusual(_: web.Request) -> web.StreamResponse:
        raise AssertionError

    monkeypatch.setattr("ingest.receiver.push", unusual)
    body = body_of(a_cdr())
    head = head_of(body)
    async with a_bounded_house() as house:
        connection = server_of(house)()
        transport = WrittenTransport()
        connection.connection_made(transport)
        connection.data_received(head + body[:10])
        connection.data_received(body[10:])
        await eventually(lambda: bool(transport.written))
        connection.connection_lost(None)

        assert json_of(transport.written[0]) == STORED


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
