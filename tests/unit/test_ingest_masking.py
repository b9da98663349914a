"""Nothing of a person is left in a masked body, and everything else of it is."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.masking import Masks
from tests.support.pushes import EXAMPLE_NAMES, an_example, body_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MASKS = Masks(b"a key that stays here")
KEPT = re.compile(r"Timestamp$|^(SdkAppId|SessionId|RecordId|EndStatusString|Type|Sequence|Duration|Direction)$")


def masked(payload: Any) -> Any:
    return json.loads(MASKS.masked(body_of(payload)))


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_an_example_keeps_its_shape_and_what_is_nobodys(name: str) -> None:
    payload = an_example(name)

    assert_same_shape(payload, masked(payload), "")


def assert_same_shape(before: Any, after: Any, name: str) -> None:
    assert type(before) is type(after), name
    if isinstance(before, dict):
        assert list(before) == list(after)
        for member in before:
            assert_same_shape(before[member], after[member], member)
    elif isinstance(before, list):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert_same_shape(one, other, name)
    elif KEPT.search(name) or not before:
        assert before == after, name


@pytest.mark.parametrize("prefix", ["", "0086", "+86"])
@given(number=st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True))
def test_one_number_has_one_mask_whatever_stands_before_it(prefix: str, number: str) -> None:
    plain = masked({"Caller": number})["Caller"]

    assert masked({"Callee": prefix + number})["Callee"] == prefix + plain
    assert plain != number
    assert len(plain) == len(number)
    assert masked({"EndpointUser": int(number)})["EndpointUser"] == int(plain)


def test_another_key_gives_another_mask() -> None:
    assert Masks(b"other").masked(b'"13900000041"') != MASKS.masked(b'"13900000041"')


PERSONAL = {
    "Caller": "008613912345678",
    "Mail": "Ann.Lee@office.example",
    "Name": "李安娜",
    "UserRemark": "asked for Ann Lee, call 13912345678",
    "EndpointUser": 13912345678,
    "StaffNumber": "8546123",
    "CallerLocation": "Shanghai Pudong",
    "Tomorrow": {"Field": ["Ann Lee", {"13912345678": "x", "Deep": 13912345678}]},
    "RecordURL": "https://h.example/Ann.Lee/13912345678.mp3?sign=q-ak-AKIDsecretsecret&name=Ann",
}
PLANTED = ("13912345678", "Ann", "Lee", "ann.lee", "李", "8546123", "Shanghai", "AKIDsecret", "q-ak")


def test_nothing_personal_is_left() -> None:
    text = MASKS.masked(body_of(PERSONAL)).decode()

    assert [planted for planted in PLANTED if planted in text] == []
    assert masked(PERSONAL)["RecordURL"].startswith("https://h.example/")
    assert masked(PERSONAL)["RecordURL"].endswith(".mp3?(removed)")


@given(st.data())
def test_nothing_personal_is_left_of_a_body_that_was_cut_or_is_no_json(data: st.DataObject) -> None:
    body = body_of(PERSONAL)
    start, end = sorted((data.draw(st.integers(0, len(body))), data.draw(st.integers(0, len(body)))))
    junk = data.draw(st.binary(max_size=10))

    text = MASKS.masked(body[start:end] + junk).decode("latin-1")

    for planted in ("13912345678", "Ann Lee", "ann.lee", "AKIDsecret", "Shanghai"):
        assert planted not in text


def test_escapes_hide_nothing() -> None:
    hidden = "".join(f"\\u{ord(character):04x}" for character in "13912345678")

    assert b"\\u0033\\u0039" not in MASKS.masked(f'{{"Caller":"{hidden}"}}'.encode())


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{ "Duration" : 1 ,\r\n "Duration":"2", "SeatUser" : null, "IVRKeyPressed": [] }',
        b'{"SdkAppId":1400000001,"StartTimestamp":1700000000123,"AcceptTimestamp":0}',
        b'{"Tomorrow":true,"X":{}}',
    ],
)
def test_spelling_survives_byte_for_byte(body: bytes) -> None:
    assert MASKS.masked(body) == body


@given(JSON)
def test_what_was_json_is_json(value: Any) -> None:
    assert_same_types(value, masked(value))


def assert_same_types(before: Any, after: Any) -> None:
    if isinstance(before, dict):
        assert len(before) == len(after)
    elif isinstance(before, list):
        for one, other in zip(before, after, strict=True):
            assert_same_types(one, other)
    else:
        assert isinstance(after, int | float) if isinstance(before, int | float) else type(before) is type(after)


@given(st.binary(max_size=200))
def test_no_bytes_are_an_error(raw: bytes) -> None:
    assert len(MASKS.masked(raw)) >= 0


@given(st.text(max_size=30))
def test_no_text_is_an_error(text: str) -> None:
    assert MASKS.text(text) == MASKS.text(text)


@pytest.mark.parametrize("text", ["1²3²4²5²6²7²", "١٢٣٤٥٦٧", "https://[x", "\ud800\ud800\ud800"])
def test_odd_texts_are_masked_too(text: str) -> None:
    assert MASKS.text(text) != text
