"""Any bytes at all at each decoder of the door, and at the door itself: an answer or a value, never an exception."""

import asyncio
import gzip
import zlib
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from ingest.auth import BasicAuthenticator, Presented, Refused
from ingest.body import Unopened, open_body
from ingest.headers import blanked, without_credentials
from ingest.limits import DoorLimits
from ingest.push_log import LogEntry
from ingest.query import read_query
from ingest.receiver import Receiver, ReceiverOptions
from ingest.shape import is_too_deep, is_too_wide
from ingest.spool_entry import to_entry, to_row
from ingest.spool_file import StoredRow
from schemas import jsontext
from tests.support.door import a_door
from tests.support.push_log import MemoryPushLog
from tests.support.spool import RECEIVED_AT, an_entry

LIMIT = 300
texts = st.text(st.characters(max_codepoint=0xDCFF), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("[]{},\"' ab"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("[]{},ab", max_size=3), inner, max_size=4),
    max_leaves=25,
)


@st.composite
def compressed(draw: st.DrawFn) -> bytes:
    """Streams that are nearly right: whole, cut, with bytes changed, several in a row."""
    compress: Any = draw(st.sampled_from([gzip.compress, zlib.compress, lambda data: data]))
    whole = bytearray(b"".join(compress(draw(st.binary(max_size=200))) for _ in range(draw(st.integers(1, 3)))))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(whole)))
        whole[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(whole)


@given(st.binary(max_size=200) | compressed(), st.none() | st.sampled_from(["gzip", "deflate", "br"]) | texts)
def test_any_body_is_opened_within_the_bound_or_a_value_says_why_not(raw: bytes, encoding: str | None) -> None:
    opened = open_body(raw, encoding, bytes_max=LIMIT)

    if isinstance(opened, Unopened):
        assert opened.detail
    else:
        assert opened is raw or len(opened) <= LIMIT


@given(
    st.binary(max_size=200)
    | json_values.map(jsontext.encode)
    | st.text('[]{}",:.eE+-0123456789nulltrue \\u').map(str.encode)
)
def test_any_bytes_are_json_or_not_json(raw: bytes) -> None:
    try:
        value = jsontext.decode(raw)
    except jsontext.NotJsonError:
        return
    assert isinstance(value, (dict, list, str, int, float, bool, type(None)))


@given(json_values, st.integers(1, 20), st.integers(1, 40))
def test_width_and_depth_are_those_of_the_value_whatever_its_text_looks_like(
    value: Any, depth_max: int, values_max: int
) -> None:
    text = jsontext.encode(value)

    assert is_too_wide(value, text, values_max=values_max) == (width_of(value) > values_max)
    assert is_too_deep(value, text, depth_max=depth_max) == (depth_of(value) > depth_max)


def members_of(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def width_of(value: Any) -> int:
    members = members_of(value)
    return len(members) + sum(width_of(member) for member in members)


def depth_of(value: Any) -> int:
    return isinstance(value, (dict, list)) + max((depth_of(member) for member in members_of(value)), default=0)


@given(st.dictionaries(texts | st.sampled_from(["Authorization", "X-Token", "Cookie"]), texts))
def test_no_header_that_carries_a_credential_is_kept(headers: dict[str, str]) -> None:
    kept = without_credentials(headers)

    assert not {"authorization", "x-token", "cookie"} & {name.casefold() for name in kept}


@given(st.text("tokenTOKEN=&;? ab%3d", max_size=60))
def test_what_is_blanked_stays_blanked(text: str) -> None:
    assert blanked(blanked(text)) == blanked(text)
    assert read_query(blanked(text)) is not None


@given(texts | st.binary(max_size=60).map(lambda raw: "Basic " + raw.decode("latin-1")))
def test_any_authorization_header_but_the_right_one_is_refused(header: str) -> None:
    door = BasicAuthenticator("tccc", ["a long password that nobody draws"])

    assert isinstance(asyncio.run(door.authorise(Presented(header))), Refused)


@given(
    st.tuples(
        st.none() | st.binary(max_size=30), st.none() | st.binary(max_size=60), st.binary(max_size=30), st.binary()
    ),
    st.booleans(),
)
def test_any_row_of_the_spool_is_an_entry(parts: Any, is_whole: bool) -> None:
    row = to_row(an_entry("s"))
    key, event, raw, letters = parts
    changed = type(row)(0, key, event, raw, letters)

    entry = to_entry(StoredRow(1, 1, 1, changed, is_whole), RECEIVED_AT)

    assert isinstance(entry, LogEntry)
    assert entry.event is not None or entry.letters or is_whole
    assert to_entry(StoredRow(1, 1, 1, row, is_whole=True), RECEIVED_AT) == an_entry("s")


pieces = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [
            b"POST /tccc/push?action=cdr HTTP/1.1\r\n",
            b"GET / HTTP/1.0\r\n",
            b"Host: x\r\n",
            b"Content-Length: 2\r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Expect: 100-continue\r\n",
            b"Connection: upgrade\r\nUpgrade: websocket\r\n",
            b"\r\n",
            b"{}",
            b"5\r\n{    \r\n",
            b"0\r\n\r\n",
        ]
    ),
    max_size=8,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(pieces.map(b"".join), min_size=1, max_size=10))
def test_any_bytes_on_the_wire_get_json_or_nothing_and_the_door_lives_on(connections: list[bytes]) -> None:
    asyncio.run(_knock(connections))


async def _knock(connections: list[bytes]) -> None:
    registry = CollectorRegistry()
    options = ReceiverOptions(port=0, body_seconds_max=0.05, limits=DoorLimits(header_seconds_max=0.05))
    log = MemoryPushLog()
    receiver = Receiver(a_door(log, registry, options=options, clock=lambda: RECEIVED_AT))
    await receiver.start()
    port = int(receiver.url.split(":")[2].partition("/")[0])

    async def say(raw: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        answer = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.2):  # a connection that was kept alive says nothing more
                while chunk := await reader.read(65_536):
                    answer += chunk
        writer.close()
        return answer

    answers = await asyncio.gather(*(say(raw) for raw in connections))
    last = await say(b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
    await receiver.stop(1)

    for answer in answers:
        for part in answer.split(b"HTTP/1.")[1:]:
            assert b"application/json" in part or part[2:5] == b"100"
            assert not part.startswith((b"1 500", b"0 500"))
    assert b"200 OK" in last
