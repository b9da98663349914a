"""Every row of contract.md part 6, "The receiver's answers", over real HTTP with a log in memory."""

import asyncio
import base64
import gc
import gzip
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from ingest.access import Credentials, authenticator_of
from ingest.guard import Access
from ingest.push_log import LogEntry
from ingest.receiver import ListenError, Receiver, ReceiverOptions
from schemas.dead_letter import Reason, Stage
from schemas.events import EventKind
from tests.support.door import a_door
from tests.support.push_log import MemoryPushLog
from tests.support.pushes import a_cdr, a_record, a_voicemail, body_of
from tests.support.spool import session_of

TO_THE_MILLISECOND = datetime(2026, 11, 24, 3, 55, 0, 123000, tzinfo=UTC)
STORED = {"ErrCode": 0, "ErrMsg": ""}
SMALL = 4096


@dataclass
class Answer:
    status: int
    headers: Any
    body: dict[str, Any]


@dataclass
class House:
    """A running receiver, and what a test asks of it."""

    receiver: Receiver
    log: MemoryPushLog
    registry: CollectorRegistry
    http: aiohttp.ClientSession
    answers: list[Answer] = field(default_factory=list)

    async def push(self, body: bytes | dict[str, Any], query: str = "?action=cdr&version=1", **more: Any) -> Answer:
        return await self.ask(
            "POST", self.receiver.url + query, data=body if isinstance(body, bytes) else body_of(body), **more
        )

    async def ask(self, method: str, url: str, **more: Any) -> Answer:
        async with self.http.request(method, url, **more) as response:
            assert response.headers["Content-Type"] == "application/json"
            return Answer(response.status, response.headers, json.loads(await response.read() or b"{}"))

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"callweave_{name}", labels) or 0.0

    @property
    def port(self) -> int:
        return int(self.receiver.url.split(":")[2].partition("/")[0])


@asynccontextmanager
async def a_house(log: MemoryPushLog | None = None, **options: Any) -> AsyncIterator[House]:
    log = log or MemoryPushLog()
    registry = CollectorRegistry()
    names = {field.name for field in fields(Credentials)}
    credentials = Credentials(**{name: value for name, value in options.items() if name in names})
    chosen = replace(ReceiverOptions(port=0), **{name: value for name, value in options.items() if name not in names})
    receiver = Receiver(a_door(log, registry, options=chosen, access=Access(authenticator_of(credentials))))
    await receiver.start()
    async with aiohttp.ClientSession() as http:
        yield House(receiver, log, registry, http)
    await receiver.stop(5)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with a_house(body_bytes_max=SMALL) as running:
        yield running


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (journals and counters have no events)
            await asyncio.sleep(0.005)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def head_of(body: bytes) -> bytes:
    return f"POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()


async def raw_exchange(house: House, *chunks: bytes) -> bytes:
    """Send bytes as they are; read until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    for chunk in chunks:
        writer.write(chunk)
        await writer.drain()
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


def json_of(raw_answer: bytes) -> dict[str, Any]:
    head, _, body = raw_answer.rpartition(b"\r\n\r\n")
    assert b"application/json" in head
    answer: dict[str, Any] = json.loads(body)
    return answer


# Stored.


@pytest.mark.parametrize(
    ("payload", "query", "kind"),
    [
        (a_cdr(), "?action=cdr&version=1", EventKind.CDR),
        (a_record(), "?action=record&version=1", EventKind.RECORD),
        (a_voicemail(), "?action=voicemail", EventKind.VOICEMAIL),
    ],
)
async def test_a_push_is_stored_and_answered_with_zero(
    house: House, payload: dict[str, Any], query: str, kind: EventKind
) -> None:
    answer = await house.push(payload, query, headers={"X-TCCC-PUSH-UUID": "uuid-1"})

    assert (answer.status, answer.body) == (200, STORED)
    (event,) = house.log.events
    assert (event.kind, event.push_id, event.received_at) == (kind, "uuid-1", TO_THE_MILLISECOND)
    assert house.log.event_values[0][2] == body_of(payload)
    assert house.log.letters == []
    assert house.count("pushes_received_total", action=kind.value) == 1
    assert house.count("pushes_stored_total", kind=kind.value) == 1
    assert house.count("push_log_append_seconds_count") == house.count("push_seconds_count") == 1


async def test_a_receipt_has_whole_milliseconds(house: House) -> None:
    await house.push(a_cdr(Direction="up"))

    (entry,) = house.log.entries
    assert entry.event is not None
    assert {entry.event.received_at, entry.letters[0].received_at} == {TO_THE_MILLISECOND}


async def test_zero_comes_after_the_acknowledgement() -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    async with a_house(log) as house:
        asking = asyncio.create_task(house.push(a_cdr()))
        asking.add_done_callback(lambda _: log.journal.append("answered"))
        await eventually(lambda: "append" in log.journal)
        assert not asking.done()
        assert log.gate is not None
        log.gate.set()
        await asking
        await asyncio.sleep(0)

    assert log.journal == ["started", "append", "acknowledged", "answered", "closed"]


@pytest.mark.parametrize(
    "query",
    [
        "?action=cdr&version=1?action=",
        "?x=1?action=cdr&version=1",
        "?Action=cdr",
        "/?action=cdr&version=1",
        "?action=mine&action=cdr",
        "",
    ],
)
async def test_an_address_may_be_joined_in_any_way(house: House, query: str) -> None:
    answer = await house.push(a_cdr(), query)

    assert answer.body == STORED
    assert [event.kind for event in house.log.events] == [EventKind.CDR]


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (gzip.compress(body_of(a_cdr())), {"Content-Encoding": "gzip"}),
        (gzip.compress(body_of(a_cdr())), {}),
        (b"\xef\xbb\xbf" + body_of(a_cdr()), {"Content-Type": "application/json;charset=utf8"}),
        (body_of(a_cdr()), {"Content-Encoding": "gzip"}),
        (body_of(a_cdr()), {"Content-Encoding": "br", "Content-Type": "text/plain; charset=gbk"}),
    ],
)
async def test_the_raw_body_is_kept_as_received_however_it_is_encoded(
    house: House, raw: bytes, headers: dict[str, str]
) -> None:
    answer = await house.push(raw, headers=headers)

    assert answer.body == STORED
    assert house.log.event_values[0][2] == raw


async def test_a_body_in_many_pieces_is_one_push(house: House) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in body_of(a_record()):
            yield bytes([byte])

    answer = await house.ask("POST", house.receiver.url + "?action=record", data=pieces())

    assert answer.body == STORED
    assert house.log.event_values[0][2] == body_of(a_record())


async def test_connections_are_kept_alive(house: House) -> None:
    request = f"POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body_of(a_cdr()))}\r\n".encode()
    first = request + b"\r\n" + body_of(a_cdr())
    last = request + b"Connection: close\r\n\r\n" + body_of(a_cdr())

    answer = await raw_exchange(house, first, last)

    assert answer.count(b'{"ErrCode":0,"ErrMsg":""}') == 2


def a_raw_push(session: str, *headers: str, path: str = "/tccc/push?action=cdr") -> bytes:
    body = body_of(a_cdr(SessionId=session))
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_pushes_sent_without_waiting_for_answers_are_answered_in_their_order(house: House) -> None:
    answer = await raw_exchange(
        house,
        a_raw_push("a") + a_raw_push("b"),
        a_raw_push("c") + a_raw_push("nowhere", path="/elsewhere") + a_raw_push("d"),
        a_raw_push("e", "Connection: close"),
    )

    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"200", b"404", b"200", b"200"]
    assert [event.session_id for event in house.log.events] == ["a", "b", "c", "d", "e"]


async def test_a_push_that_waits_holds_up_those_behind_it_on_its_connection_and_no_other() -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    assert log.gate is not None
    async with a_house(log) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(a_raw_push("a") + a_raw_push("b")[:40])
        await eventually(lambda: log.journal.count("append") == 1)
        writer.write(a_raw_push("b")[40:] + a_raw_push("c", "Connection: close"))
        other = asyncio.create_task(house.push(a_cdr(SessionId="other")))
        await eventually(lambda: log.journal.count("append") == 2)
        assert {session_of(entry) for entry in log.entries} == {"a", "other"}
        log.gate.set()
        answer = await reader.read()
        writer.close()
        assert (await other).status == 200

    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert [session_of(entry) for entry in log.entries if session_of(entry) != "other"] == ["a", "b", "c"]


def connections_of(house: House) -> int:
    runner = house.receiver._runner
    assert runner is not None
    assert runner.json_server is not None
    return runner.json_server.connection_count


async def test_a_client_that_does_not_wait_for_its_answer_loses_nothing_but_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    assert log.gate is not None
    async with a_house(log) as house:
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(a_raw_push("a"))
        await eventually(lambda: "append" in log.journal)
        writer.close()
        await eventually(lambda: connections_of(house) == 0)
        log.gate.set()
        await eventually(lambda: house.count("pushes_stored_total", kind="cdr") == 1)
        assert (await house.push(a_cdr())).status == 200
    gc.collect()
    assert [record.message for record in caplog.records] == []  # no task of that connection was left waiting


async def test_the_usual_answer_is_the_same_as_aiohttps_own(house: House) -> None:
    """One way for the usual push and one for the others: a sender cannot tell which it went."""
    usual = await house.push(a_cdr())
    other = await house.push(a_cdr(), headers={"Expect": "100-continue"})

    assert usual.body == other.body
    assert [(name, value) for name, value in usual.headers.items() if name != "Date"] == [
        (name, value) for name, value in other.headers.items() if name != "Date"
    ]
    assert list(usual.headers) == list(other.headers)


async def test_unknown_fields_are_counted_by_kind_not_by_name(house: House) -> None:
    await house.push(a_cdr(Tomorrow=1, Later={"x": 2}))

    assert house.count("unknown_fields_total", kind="cdr") == 2
    assert "Tomorrow" in house.log.events[0].payload


# Authentic but useless.


@pytest.mark.parametrize(
    ("raw", "query", "reason"),
    [
        (b"not json", "?action=cdr", Reason.UNDECODABLE),
        (b"", "?action=cdr", Reason.UNDECODABLE),
        (b'{"SdkAppId":NaN}', "?action=cdr", Reason.UNDECODABLE),
        (b'{"A":"\xff"}', "?action=cdr", Reason.UNDECODABLE),
        (gzip.compress(bytes(SMALL + 1), mtime=0), "?action=cdr", Reason.UNDECODABLE),
        (b"[1]", "?action=cdr", Reason.SCHEMA_VIOLATION),
        (b'{"SdkAppId":1}', "?action=cdr", Reason.UNKEYABLE),
        (b'{"SdkAppId":0,"SessionId":"s"}', "?action=cdr", Reason.UNKEYABLE),
        (b'{"SdkAppId":1,"SessionId":"s"}', "?action=imcdr", Reason.UNKNOWN_ACTION),
        (b'{"SdkAppId":1,"SessionId":"s"}', "?action=specifiedSeat&version=1", Reason.UNKNOWN_ACTION),
        (b'{"SdkAppId":1,"SessionId":"s"}', "", Reason.UNKNOWN_ACTION),
    ],
)
async def test_a_useless_push_is_a_letter_and_answered_with_zero(
    house: House, raw: bytes, query: str, reason: Reason
) -> None:
    answer = await house.push(raw, query)

    (letter,) = house.log.letters
    assert (answer.status, answer.body["ErrCode"]) == (200, 0)
    assert answer.body["ErrMsg"] == letter.detail != ""
    assert (letter.stage, letter.reason, letter.raw) == (Stage.RECEIVE, reason, raw)
    assert letter.received_at == TO_THE_MILLISECOND
    assert house.log.events == []
    assert house.count("dead_letters_total", stage="receive", reason=reason.value) == 1


async def test_a_bad_field_is_an_event_and_a_letter_in_one_append(house: House) -> None:
    answer = await house.push(a_cdr(EndedTimestamp=-1))

    assert answer.body == STORED
    assert house.log.journal == ["started", "append", "acknowledged"]
    assert [event.kind for event in house.log.events] == [EventKind.CDR]
    assert [letter.detail for letter in house.log.letters] == ["EndedTimestamp is before 1970"]


async def test_credentials_do_not_reach_the_letter() -> None:
    async with a_house(auth="basic", username="tccc", password="s3cret", url_token="t0ken") as house:
        await house.push(b"junk", "?token=t0ken&action=cdr", headers={**basic("tccc", "s3cret"), "Cookie": "s3cret"})

    (value,) = house.log.letter_values
    assert b"t0ken" not in value
    assert b"s3cret" not in value
    assert b"Basic" not in value


# Could be stored nowhere.


@pytest.mark.parametrize("body", [body_of(a_cdr()), b"junk"])
async def test_what_cannot_be_stored_is_answered_503_and_not_zero(house: House, body: bytes) -> None:
    house.log.away = "Kafka at 10.1.2.3 is away"

    answer = await house.push(body)

    assert (answer.status, answer.body["ErrCode"]) == (503, 503)
    assert "10.1.2.3" not in answer.body["ErrMsg"]
    assert house.receiver.unready() == "Kafka at 10.1.2.3 is away"
    assert house.count("pushes_rejected_total", reason="log_unavailable") == 1
    assert house.count("dead_letters_total", stage="receive", reason="UNDECODABLE") == 0

    house.log.away = None
    assert (await house.push(body)).body["ErrCode"] == 0
    assert house.receiver.unready() is None


async def test_a_fault_of_our_own_is_answered_500_in_json(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(_entry: LogEntry) -> None:
        raise ZeroDivisionError("13900000041")

    monkeypatch.setattr(house.log, "append", broken)
    answer = await house.push(a_cdr())

    assert (answer.status, answer.body["ErrCode"]) == (500, 500)
    assert house.count("pushes_rejected_total", reason="internal") == 1
    logged = capsys.readouterr().out
    assert "ZeroDivisionError" in logged
    assert "13900000041" not in logged


# Not authentic.


async def test_a_stranger_gets_401_a_challenge_and_no_letter() -> None:
    async with a_house(auth="basic", username="tccc", password="new", password_previous="old") as house:
        for headers in ({}, basic("tccc", "wrong"), {"Authorization": "Basic ???"}):
            answer = await house.push(b"junk", headers=headers)
            assert (answer.status, answer.body["ErrCode"]) == (401, 401)
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="callweave", charset="UTF-8"'
        for password in ("new", "old"):
            assert (await house.push(a_cdr(), headers=basic("tccc", password))).body == STORED

        assert house.count("pushes_rejected_total", reason="not_authorised") == 3
    assert house.log.journal == ["started", *["append", "acknowledged"] * 2, "closed"]


@pytest.mark.parametrize("query", ["?token=t0ken&action=cdr", "?token=t0ken?action=cdr", "?action=cdr&TOKEN=t0ken"])
async def test_the_url_token_opens_the_door(query: str) -> None:
    async with a_house(url_token="t0ken") as house:
        assert (await house.push(a_cdr(), query)).body == STORED


@pytest.mark.parametrize("query", ["?action=cdr", "?action=cdr&token=", "?action=cdr&token=x"])
async def test_without_the_url_token_it_stays_shut(query: str) -> None:
    async with a_house(url_token="t0ken") as house:
        answer = await house.push(a_cdr(), query)

    assert (answer.status, answer.body["ErrCode"]) == (401, 401)
    assert answer.headers["WWW-Authenticate"] == 'QueryToken realm="callweave", parameter="token"'


async def test_a_stranger_is_refused_before_his_body_is_read() -> None:
    async with a_house(auth="basic", username="tccc", password="p") as house:
        head = b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(head)
        first_line = await reader.readline()
        writer.close()

    assert first_line.startswith(b"HTTP/1.1 401")


async def test_a_body_that_waits_to_be_invited_is_invited(house: House) -> None:
    body = body_of(a_cdr())
    head = (
        "POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(head.encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    answer = await reader.read()
    writer.close()

    assert json_of(answer) == STORED


async def test_an_unknown_expectation_harms_nobody(house: House) -> None:
    answer = await house.push(a_cdr(), headers={"Expect": "miracles"})

    assert answer.body == STORED


# Larger than the limit.


async def test_a_body_over_the_limit_leaves_its_beginning_and_its_length(house: House) -> None:
    body = b"x" * 200_000

    answer = await house.push(body)

    (letter,) = house.log.letters
    assert (answer.status, answer.body["ErrCode"]) == (413, 413)
    assert (letter.reason, letter.raw, letter.raw_bytes_count) == (Reason.PUSH_TOO_LARGE, body[:65536], 200_000)
    assert letter.action == "cdr"
    assert house.count("pushes_rejected_total", reason="too_large") == 1


async def test_one_byte_over_the_limit_is_too_much_and_the_limit_is_not(house: House) -> None:
    filler = SMALL - len(body_of(a_cdr(UserRemark="")))

    within = await house.push(a_cdr(UserRemark="x" * filler))
    over = await house.push(a_cdr(UserRemark="x" * (filler + 1)))

    assert (within.status, over.status) == (200, 413)
    assert house.log.letters[0].raw == body_of(a_cdr(UserRemark="x" * (filler + 1)))


async def test_a_large_body_of_undeclared_length_is_counted(house: House) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"y" * 1000

    answer = await house.ask("POST", house.receiver.url, data=pieces())

    (letter,) = house.log.letters
    assert answer.status == 413
    assert (letter.raw, letter.raw_bytes_count) == (b"y" * 65536, 300_000)


async def test_an_endless_body_is_counted_as_far_as_the_bound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.body_reader.COUNTED_BYTES_MAX", 150_000)
    head = b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = await raw_exchange(house, head, *[b"1000\r\n" + b"y" * 4096 + b"\r\n"] * 40)  # and no end

    assert json_of(answer)["ErrCode"] == 413
    assert [letter.raw_bytes_count for letter in house.log.letters] == [150_000]


async def test_413_is_said_only_after_the_letter_is_stored(house: House) -> None:
    house.log.away = "away"

    answer = await house.push(b"x" * 200_000)

    assert (answer.status, answer.body["ErrCode"]) == (503, 503)
    assert house.log.letters == []


# Other method, other path, malformed HTTP.


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_another_method_is_405_and_says_which(house: House, method: str) -> None:
    answer = await house.ask(method, house.receiver.url)

    assert (answer.status, answer.body["ErrCode"], answer.headers["Allow"]) == (405, 405, "POST")
    assert house.count("pushes_rejected_total", reason="wrong_method") == 1


@pytest.mark.parametrize("path", ["/", "/tccc", "/tccc/push/more", "/tccc/pushy", "/TCCC/PUSH", "/tccc//push", "/%0A"])
async def test_another_path_is_404(house: House, path: str) -> None:
    answer = await house.ask("POST", f"http://127.0.0.1:{house.port}{path}", data=b"{}")

    assert (answer.status, answer.body["ErrCode"]) == (404, 404)
    assert house.count("pushes_rejected_total", reason="unknown_path") == 1
    assert house.log.journal == ["started"]


@pytest.mark.parametrize(
    "raw",
    [
        b"rubbish\r\n\r\n",
        b"BREW /tccc/push HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /tccc/push HTTP/9.9\r\n\r\n",
        b"POST /tccc/push HTTP/1.1\r\nBad Header\r\n\r\n",
        b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
        b"POST /tccc/push HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(500)) + b"\r\n",
        b"POST http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_malformed_http_is_400_in_json(house: House, raw: bytes) -> None:
    answer = await raw_exchange(house, raw)

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert json_of(answer) == {"ErrCode": 400, "ErrMsg": "malformed HTTP"}
    assert house.count("pushes_rejected_total", reason="malformed") == 1
    assert house.log.journal == ["started"]


async def test_a_body_whose_chunks_are_malformed_is_400_and_not_stored(house: House) -> None:
    head = b"POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = await raw_exchange(house, head, b'2\r\n{"\r\n', b"zz\r\nrubbish\r\n")

    assert json_of(answer)["ErrCode"] == 400
    assert house.log.journal == ["started"]
    assert house.count("pushes_rejected_total", reason="malformed") == 1


@pytest.mark.parametrize("target", [b"OPTIONS * ", b"CONNECT example.com:443 ", b"POST http://other.example/x "])
async def test_odd_targets_are_answered_in_json(house: House, target: bytes) -> None:
    answer = await raw_exchange(house, target + b"HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert json_of(answer)["ErrCode"] in {404, 405}


async def test_an_absolute_address_is_understood(house: House) -> None:
    body = body_of(a_cdr())
    head = f"POST http://h.example/tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"

    answer = await raw_exchange(house, head.encode() + b"Connection: close\r\n\r\n" + body)

    assert json_of(answer) == STORED


# Bodies that do not come.


async def test_a_client_that_goes_away_mid_body_leaves_nothing_but_a_count(house: House) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b'POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"Sd')
    await writer.drain()
    writer.close()

    await eventually(lambda: house.count("pushes_rejected_total", reason="client_gone") == 1)
    assert house.log.journal == ["started"]


async def test_a_body_that_does_not_arrive_in_time_is_408() -> None:
    async with a_house(body_seconds_max=0.05) as house:
        answer = await raw_exchange(house, b'POST /tccc/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"Sd')

        assert answer.startswith(b"HTTP/1.1 408")
        assert json_of(answer)["ErrCode"] == 408
        assert house.log.journal == ["started"]
        assert house.count("pushes_rejected_total", reason="too_slow") == 1


# Starting and stopping.


async def stopped_while(house: House, meanwhile: Callable[[], Awaitable[None]]) -> bool:
    stopping = asyncio.create_task(house.receiver.stop(10))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    await meanwhile()
    return await stopping


async def test_a_push_in_flight_is_answered_before_the_log_is_closed() -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    async with a_house(log) as house:
        asking = asyncio.create_task(house.push(a_cdr()))
        await eventually(lambda: "append" in log.journal)

        async def acknowledge() -> None:
            assert log.gate is not None
            log.gate.set()

        assert await stopped_while(house, acknowledge) is True
        answer = await asking

    assert answer.body == STORED
    assert answer.headers["Connection"] == "close"
    assert log.journal == ["started", "append", "acknowledged", "closed"]


async def test_a_body_that_is_still_arriving_when_a_stop_begins_is_read_to_its_end(house: House) -> None:
    body = body_of(a_cdr())
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(head_of(body))
    writer.write(body[:10])
    await writer.drain()
    await asyncio.sleep(0.05)

    async def finish() -> None:
        writer.write(body[10:])
        await writer.drain()

    assert await stopped_while(house, finish) is True
    answer = await reader.read()
    writer.close()

    assert json_of(answer) == STORED
    assert house.log.journal == ["started", "append", "acknowledged", "closed"]


async def test_a_stop_does_not_wait_beyond_its_grace() -> None:
    log = MemoryPushLog(gate=asyncio.Event())
    async with a_house(log) as house:
        asking = asyncio.create_task(house.push(a_cdr()))
        await eventually(lambda: "append" in log.journal)

        async def release() -> None:
            await eventually(lambda: house.receiver.unready() == "not listening")
            assert log.gate is not None
            log.gate.set()

        releasing = asyncio.create_task(release())
        was_drained = await house.receiver.stop(0)
        await releasing
        await asyncio.gather(asking, return_exceptions=True)

    assert was_drained is False
    assert log.journal[-1] == "closed"


async def test_a_stopped_receiver_accepts_nobody(house: House) -> None:
    await house.push(a_cdr())
    port = house.port
    await house.receiver.stop(1)

    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", port)
    assert await house.receiver.stop(1) is True


async def test_a_port_in_use_is_said_plainly() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ListenError, match=r"cannot listen on 127\.0\.0\.1:.* in use.*CALLWEAVE_RECEIVER__PORT"):
            async with a_house(port=taken.getsockname()[1]):
                pass


async def test_a_path_of_ones_own_is_served() -> None:
    async with a_house(path="/客服/推送") as house:
        assert (await house.push(a_cdr())).body == STORED
        assert house.receiver.url.endswith("/客服/推送")


@pytest.mark.parametrize("path", ["", "tccc", "/a?b", "/a#b", "/{a}"])
def test_a_path_that_cannot_be_served_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="push path"):
        ReceiverOptions(path=path)


@pytest.mark.parametrize("bytes_max", [0, -1, 6 * 2**20])
def test_a_body_limit_that_no_message_can_carry_is_refused(bytes_max: int) -> None:
    with pytest.raises(ValueError, match="largest body"):
        ReceiverOptions(body_bytes_max=bytes_max)
