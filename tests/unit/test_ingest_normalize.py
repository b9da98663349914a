import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.limits import DoorLimits
from ingest.normalize import Normalized, ReceivedPush, normalize, too_large
from schemas.dead_letter import DeadLetter, Reason, Stage, decode_letter
from schemas.events import EventKind, decode_event
from schemas.topics import MESSAGE_BYTES_MAX
from tests.support.pushes import (
    EXAMPLE_NAMES,
    a_cdr,
    a_record,
    a_voicemail,
    action_of_example,
    an_example,
    body_of,
    without,
)

NOW = datetime(2026, 11, 24, 3, 55, 0, 123000, tzinfo=UTC)
ANY_WIDTH = DoorLimits(json_values_max=10**7)
INFERRED_FROM_NOTHING = "no action, and it cannot be told from the body"


def received(raw: bytes | dict[str, Any], action: str | None = "cdr", **headers: str) -> Normalized:
    body = raw if isinstance(raw, bytes) else body_of(raw)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return normalize(ReceivedPush.of(body, headers=named, action=action, received_at=NOW))


def the_letter(normalized: Normalized) -> DeadLetter:
    (letter,) = normalized.letters
    assert decode_letter(letter.encoded()) == letter
    return letter


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
@pytest.mark.parametrize("is_action_sent", [True, False])
def test_every_example_becomes_an_event_with_or_without_its_action(name: str, is_action_sent: bool) -> None:
    action = action_of_example(name)

    normalized = received(an_example(name), action if is_action_sent else None, X_TCCC_PUSH_UUID="uuid-1")

    assert normalized.event is not None
    assert normalized.event.kind == EventKind(action)
    assert normalized.event.sdk_app_id == 1400000001
    assert normalized.event.push_id == "uuid-1"
    assert normalized.event.received_at == NOW
    assert (normalized.letters, normalized.message, normalized.unknown_field_count) == ((), "", 0)
    assert decode_event(normalized.event.key, normalized.event.encoded()) == normalized.event


def test_an_action_is_known_in_any_case() -> None:
    normalized = received(a_record(), "Record")

    assert normalized.event is not None
    assert normalized.event.kind == EventKind.RECORD


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"SdkAppId":1,', "not JSON"),
        (b'{"SdkAppId":NaN}', "not JSON"),
        (b'{"Text":"\xff"}', "not UTF-8"),
        (b"\x1f\x8b\x08junk", "not gzip"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_an_undecodable_letter(raw: bytes, detail: str) -> None:
    normalized = received(raw)

    letter = the_letter(normalized)
    assert normalized.event is None
    assert (letter.stage, letter.reason, letter.raw) == (Stage.RECEIVE, Reason.UNDECODABLE, raw)
    assert detail in letter.detail
    assert normalized.message == letter.detail


def test_a_bomb_is_an_undecodable_letter_of_its_small_body() -> None:
    bomb = gzip.compress(bytes(2_000_000))

    letter = the_letter(received(bomb))

    assert (letter.reason, letter.detail) == (Reason.UNDECODABLE, "decompresses to more than 1048576 bytes")
    assert letter.raw == bomb


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"1", b"null", b"true"])
def test_json_that_is_no_object_is_a_schema_violation(raw: bytes) -> None:
    assert the_letter(received(raw)).reason == Reason.SCHEMA_VIOLATION


def test_a_body_nested_too_deeply_is_a_schema_violation() -> None:
    deep = body_of(a_cdr())[:-1] + b',"Deep":' + b"[" * 200 + b"1" + b"]" * 200 + b"}"

    letter = the_letter(received(deep))

    assert (letter.reason, letter.detail) == (Reason.SCHEMA_VIOLATION, "nested deeper than 100 levels")


@pytest.mark.parametrize(
    "app", [None, "", 0, "0", -1, 2**63, 10**30, 1.5, "abc", "1e9", [], {}, True, [1], {"a": 1}, "٣"]
)
def test_no_usable_app_is_unkeyable(app: Any) -> None:
    assert the_letter(received(a_cdr(SdkAppId=app))).reason == Reason.UNKEYABLE


@pytest.mark.parametrize(
    ("app", "expected"), [(1, 1), (2**63 - 1, 2**63 - 1), ("1400000001", 1400000001), (" 7 ", 7), (7.0, 7)]
)
def test_a_usable_app_is_a_number_or_its_digits(app: Any, expected: int) -> None:
    normalized = received(a_cdr(SdkAppId=app))

    assert normalized.event is not None
    assert normalized.event.sdk_app_id == expected
    assert normalized.letters == ()


@pytest.mark.parametrize("session", [None, "", 0, "0", [], {}, True, ["s"], {"a": "b"}])
def test_no_usable_session_is_unkeyable(session: Any) -> None:
    assert the_letter(received(a_cdr(SessionId=session))).reason == Reason.UNKEYABLE


@pytest.mark.parametrize(("session", "expected"), [(12345678901234567890123, "12345678901234567890123"), (7.0, "7")])
def test_a_session_may_be_sent_as_a_number(session: Any, expected: str) -> None:
    normalized = received(a_cdr(SessionId=session))

    assert normalized.event is not None
    assert normalized.event.session_id == expected


@pytest.mark.parametrize("action", ["imcdr", "videoCdr", "specifiedSeat", "cdr2", "\udc80", "x" * 5000])
def test_an_unknown_action_is_a_letter_that_keeps_it(action: str) -> None:
    normalized = received(a_cdr(), action)

    letter = the_letter(normalized)
    assert letter.reason == Reason.UNKNOWN_ACTION
    assert letter.action == action.replace("\udc80", "\ufffd")
    assert len(letter.detail) < 200
    assert "unknown action" in normalized.message


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"ServeParticipants": None}, EventKind.CDR),
        ({"EndStatusString": "ok", "Caller": "1"}, EventKind.CDR),
        ({"RecordId": "r", "RecordURL": "u"}, EventKind.RECORD),
        ({"RecordId": "r", "CustomRecordURL": "u", "RecordURL": ""}, EventKind.RECORD),
        ({"RecordId": 17, "RecordURL": "u"}, EventKind.RECORD),
        ({"RecordURL": "u"}, EventKind.VOICEMAIL),
        ({"RecordId": "", "RecordURL": "u"}, EventKind.VOICEMAIL),
        ({"RecordId": 0, "RecordURL": "u"}, EventKind.VOICEMAIL),
    ],
)
def test_without_an_action_the_body_is_asked(payload: dict[str, Any], kind: EventKind) -> None:
    normalized = received({"SdkAppId": 1, "SessionId": "s", **payload}, None)

    assert normalized.event is not None
    assert normalized.event.kind == kind


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        ({}, INFERRED_FROM_NOTHING),
        ({"EndStatusString": "ok"}, INFERRED_FROM_NOTHING),
        ({"RecordId": "r"}, INFERRED_FROM_NOTHING),
        ({"CustomRecordURL": "u"}, INFERRED_FROM_NOTHING),
        ({"RecordURL": ""}, INFERRED_FROM_NOTHING),
        (
            {"UserNickName": "n", "EndStatusString": "ok", "Caller": "1"},
            "no action, and the body is that of a chat or video session",
        ),
    ],
)
def test_a_body_that_does_not_tell_is_a_letter(payload: dict[str, Any], detail: str) -> None:
    letter = the_letter(received({"SdkAppId": 1, "SessionId": "s", **payload}, None))

    assert (letter.reason, letter.detail, letter.action) == (Reason.UNKNOWN_ACTION, detail, None)


def test_only_the_action_makes_a_recording_of_a_body_without_record_id() -> None:
    body = without(a_record(), "RecordId")

    named, inferred = received(body, "record").event, received(body, None).event

    assert named is not None
    assert named.kind == EventKind.RECORD
    assert inferred is not None
    assert inferred.kind == EventKind.VOICEMAIL


def test_a_field_that_no_warehouse_holds_costs_a_letter_and_not_the_event() -> None:
    legs = [{"Sequence": 2**64, "AcceptTimestamp": -1}, "no leg"]
    push = a_cdr(EndedTimestamp=1.5, Direction="up", ServeParticipants=legs, SeatUser={"Mail": {"a": 1}})

    normalized = received(push)

    letter = the_letter(normalized)
    assert normalized.event is not None
    assert normalized.message == ""
    assert (letter.reason, letter.raw) == (Reason.SCHEMA_VIOLATION, body_of(push))
    assert set(letter.detail.split("; ")) == {
        "EndedTimestamp is fractional",
        "Direction is text, not a number",
        "ServeParticipants[0].Sequence does not fit 64 bits",
        "ServeParticipants[0].AcceptTimestamp is before 1970",
        "ServeParticipants holds 1 items that are no objects",
        "SeatUser.Mail is an object, not text",
    }


def test_a_thousand_defects_are_named_in_one_bounded_letter() -> None:
    letter = the_letter(received(a_cdr(ServeParticipants=[{"Sequence": "x"}] * 1000)))

    assert letter.detail.endswith("; and 950 more")
    assert len(letter.detail) < 10_000


def test_an_odd_value_in_a_field_without_a_column_is_no_defect() -> None:
    normalized = received(a_cdr(Duration=-5, Tomorrow=2**70, UserRemark="fine"))

    assert normalized.event is not None
    assert normalized.letters == ()
    assert normalized.event.payload["Tomorrow"] == 2**70


def test_unknown_fields_are_counted_at_every_level() -> None:
    push = a_cdr(
        NewOne=1,
        NewTwo={"a": 1},
        NewEmpty=None,
        SeatUser={"Mail": "m", "Level": 3},
        ServeParticipants=[{"Sequence": 0, "Skill": "x"}, {"Sequence": 1, "Skill": "y"}],
    )

    assert received(push).unknown_field_count == 5


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("  uuid-1 ", "uuid-1"),
        ("u" * 200, "u" * 128),
        ("a\udc80b\x00", "a\ufffdb\ufffd"),
    ],
)
def test_the_push_id_is_what_tccc_sent_made_storable(sent: str, expected: str) -> None:
    normalized = received(a_cdr(), x_tccc_push_uuid=sent)

    assert normalized.event is not None
    assert normalized.event.push_id == expected


@pytest.mark.parametrize("sent", [{}, {"X_TCCC_PUSH_UUID": "  "}])
def test_without_a_push_id_the_content_is_its_own(sent: dict[str, str]) -> None:
    normalized = received(a_cdr(), **sent)

    assert normalized.event is not None
    assert normalized.event.push_id == f"content:{normalized.event.digest}"


def test_credentials_do_not_reach_a_letter() -> None:
    letter = the_letter(
        received(
            b"junk",
            "cdr&token=s3cret",
            authorization="Basic s3cret",
            Proxy_Authorization="s3cret",
            COOKIE="s3cret",
            X_Api_Key="s3cret",
            X_Original_URI="/tccc/push?token=s3cret&action=cdr",
            Referer="http://host/?TOKEN%3ds3cret#x",
            X_Tccc_Push_Uuid="uuid-1",
            Content_Type="application/json",
        )
    )

    assert b"s3cret" not in letter.encoded()
    assert letter.headers == {
        "X-Original-URI": "/tccc/push?token=(removed)&action=cdr",
        "Referer": "http://host/?TOKEN%3d(removed)#x",
        "X-Tccc-Push-Uuid": "uuid-1",
        "Content-Type": "application/json",
    }


def test_what_tccc_is_told_can_be_written_down_whatever_the_headers_hold() -> None:
    message = received(b"junk", Content_Encoding="\udc80").message

    assert message.encode()
    assert message.endswith("(Content-Encoding: \ufffd)")


def test_a_repeated_useless_push_is_the_same_letter() -> None:
    assert the_letter(received(b"junk")).dead_letter_id == the_letter(received(b"junk", a="b")).dead_letter_id


def test_a_letter_read_again_gives_the_event_it_would_have_given() -> None:
    raw = gzip.compress(body_of(a_cdr(Direction="up")))
    first = received(raw, Content_Encoding="gzip", X_TCCC_PUSH_UUID="uuid-1")
    letter = the_letter(first)

    assert letter.received_at is not None
    again = normalize(
        ReceivedPush.of(letter.raw, headers=letter.headers, action=letter.action, received_at=letter.received_at)
    )

    assert again == first


@pytest.mark.parametrize(
    ("raw", "same_as"),
    [
        (b"\xef\xbb\xbf" + body_of(a_cdr()), a_cdr()),
        (gzip.compress(body_of(a_cdr())), a_cdr()),
        (gzip.compress(b"\xef\xbb\xbf" + body_of(a_cdr())), a_cdr()),
        (body_of(a_cdr(SdkAppId="1400000001", StartTimestamp="1700000000", Direction="0")), a_cdr()),
        (body_of(a_cdr(NewField=None, Other="", More=[], Most={"a": [None]})), a_cdr()),
        (body_of(a_cdr())[:-1] + b',"Duration":15,"Duration":63}', a_cdr()),
        (b'{"Duration":15,' + body_of(a_cdr())[1:], a_cdr()),
    ],
)
def test_spellings_of_one_content_are_one_report(raw: bytes, same_as: dict[str, Any]) -> None:
    spelt, plain = received(raw).event, received(same_as).event

    assert spelt is not None
    assert plain is not None
    assert spelt.digest == plain.digest
    assert spelt.payload == plain.payload


def test_milliseconds_are_understood() -> None:
    normalized = received(a_cdr(StartTimestamp=1_700_000_000_123))

    assert normalized.event is not None
    assert normalized.letters == ()


def test_nul_lone_surrogates_and_huge_integers_are_carried() -> None:
    raw = b'{"SdkAppId":1,"SessionId":"a\\u0000b\\ud83d","Caller":12345678901234567890,"Big":123456789012345678901234}'

    normalized = received(raw)

    assert normalized.event is not None
    assert normalized.event.session_id == "a\ufffdb\ufffd"
    assert normalized.event.payload["Caller"] == "12345678901234567890"
    assert normalized.event.payload["Big"] == 123456789012345678901234
    assert decode_event(normalized.event.key, normalized.event.encoded()) == normalized.event


def test_a_letter_of_too_large_a_body_keeps_its_beginning_and_its_length() -> None:
    push = ReceivedPush.of(b"x" * 65536, headers={}, action="cdr", received_at=NOW)

    letter, other = (too_large(push, bytes_count=count, bytes_max=2**20) for count in (5_000_000, 5_000_001))

    assert (letter.reason, letter.raw, letter.raw_bytes_count) == (Reason.PUSH_TOO_LARGE, b"x" * 65536, 5_000_000)
    assert letter.dead_letter_id != other.dead_letter_id


def test_a_body_of_the_default_limit_fits_one_message_however_it_grows() -> None:
    key_presses = b",".join([b'{"Key":9e39}'] * 80_000)
    raw = b'{"SdkAppId":1,"SessionId":"s","IVRKeyPressedEx":[' + key_presses + b"]}"

    push = ReceivedPush.of(raw, headers={}, action="cdr", received_at=NOW)
    normalized = normalize(push, limits=ANY_WIDTH)

    assert normalized.event is not None
    grown = normalized.event.encoded()
    assert len(raw) * 3 < len(grown) < MESSAGE_BYTES_MAX - len(raw)


def test_an_event_that_no_message_can_carry_is_a_letter() -> None:
    numbers = json.dumps([9e15] * 10).replace("9000000000000000.0", "9e15")[1:-1].replace(" ", "")
    raw = b'{"SdkAppId":1,"SessionId":"s","Numbers":[' + b",".join([numbers.encode()] * 50_000) + b"]}"

    push = ReceivedPush.of(raw, headers={}, action="cdr", received_at=NOW)
    normalized = normalize(push, body_bytes_max=5 * 2**20, limits=ANY_WIDTH)

    assert normalized.event is None
    assert the_letter(normalized).reason == Reason.BOUND_EXCEEDED


@pytest.mark.parametrize(("items", "is_usable"), [(97, True), (98, False)])
def test_a_body_with_more_members_and_items_than_the_bound_is_a_letter(items: int, is_usable: bool) -> None:
    body = b'{"SdkAppId":1,"SessionId":"s","Many":[' + b",".join([b"1"] * items) + b"]}"
    push = ReceivedPush.of(body, headers={}, action="cdr", received_at=NOW)

    normalized = normalize(push, limits=DoorLimits(json_values_max=100))

    assert (normalized.event is not None) == is_usable
    if not is_usable:
        assert (the_letter(normalized).reason, the_letter(normalized).raw) == (Reason.BOUND_EXCEEDED, body)
        assert normalized.message == "more than 100 members and items"


@pytest.mark.parametrize(("depth", "is_usable"), [(10, True), (11, False)])
def test_a_body_deeper_than_the_bound_is_a_letter(depth: int, is_usable: bool) -> None:
    nested = b"[" * (depth - 1) + b"1" + b"]" * (depth - 1)
    push = ReceivedPush.of(
        b'{"SdkAppId":1,"SessionId":"s","Deep":' + nested + b"}", headers={}, action="cdr", received_at=NOW
    )

    normalized = normalize(push, limits=DoorLimits(json_depth_max=10))

    assert (normalized.event is not None) == is_usable
    assert is_usable or normalized.message == "nested deeper than 10 levels"


def test_brackets_and_commas_in_texts_count_for_nothing() -> None:
    body = b'{"SdkAppId":1,"SessionId":"s","UserRemark":"' + b"[,{" * 1000 + b'"}'
    push = ReceivedPush.of(body, headers={}, action="cdr", received_at=NOW)

    normalized = normalize(push, limits=DoorLimits(json_depth_max=10, json_values_max=100))

    assert normalized.event is not None


def test_a_voicemail_has_no_record_id_and_a_number_for_its_caller() -> None:
    normalized = received(a_voicemail(), "voicemail")

    assert normalized.event is not None
    assert normalized.event.payload["EndpointUser"] == "13900000041"
