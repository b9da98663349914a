import pytest

from schemas import jsontext
from schemas.canonical import Defect, TooDeepError, canonical, digest, read
from schemas.endpoint import normalize_endpoint, same_person
from schemas.wire import CdrPush, RecordPush


def test_empties_are_removed_wherever_they_stand():
    payload = {
        "Caller": "",
        "Unknown": {"a": [None, {"b": {}}]},
        "ServeParticipants": [{}, {"Mail": None}],
        "X": [1, ""],
    }

    assert canonical(CdrPush, payload) == {"X": [1]}


def test_zero_is_empty_only_in_documented_times_ids_and_durations():
    payload = {
        "QueuedTimestamp": 0,
        "AcceptTimestamp": "0",
        "QueuedSkillGroupId": 0,
        "RecordId": "0",
        "Duration": 0,
        "IVRDuration": "0",
        "Direction": 0,
        "CallType": 0,
        "Caller": "0",
        "NewField": 0,
        "ServeParticipants": [{"Sequence": 0, "SkillGroupPriority": 0, "RingTimestamp": 0, "SkillGroupId": 0}],
    }

    assert canonical(CdrPush, payload) == {
        "Direction": 0,
        "CallType": 0,
        "Caller": "0",
        "NewField": 0,
        "ServeParticipants": [{"Sequence": 0, "SkillGroupPriority": 0}],
    }


def test_known_numbers_become_numbers_and_known_texts_plain_digits():
    payload = {
        "SdkAppId": " 1400000001 ",
        "Direction": "1.0",
        "StartTimestamp": 1.7e9,
        "Caller": 13900000001,
        "New": "1",
    }

    assert canonical(CdrPush, payload) == {
        "SdkAppId": 1400000001,
        "Direction": 1,
        "StartTimestamp": 1700000000,
        "Caller": "13900000001",
        "New": "1",
    }
    assert canonical(RecordPush, {"EndpointUser": 13900000001.0}) == {"EndpointUser": "13900000001"}


def test_false_is_a_wrong_type_and_not_a_zero():
    reading = read(CdrPush, canonical(CdrPush, {"StartTimestamp": False}))

    assert reading.rest == {"StartTimestamp": False}
    assert reading.defects == [Defect("StartTimestamp", "is a boolean, not a number")]


def test_what_no_warehouse_stores_becomes_the_replacement_character():
    payload = jsontext.decode(b'{"Caller":"a\\u0000b\\ud800","k\\u0000":"v"}')

    assert canonical(CdrPush, payload) == {"Caller": "a\ufffdb\ufffd", "k\ufffd": "v"}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (-1, "is before 1970"),
        (1700000000.5, "is fractional"),
        ("1700000000.5", "is text, not a number"),
        (253_402_300_800_000, "is past the year 9999"),
        ("soon", "is text, not a number"),
        ({"a": 1}, "is an object, not a number"),
    ],
)
def test_a_time_that_no_warehouse_holds_stays_in_the_rest(value, problem):
    reading = read(CdrPush, canonical(CdrPush, {"EndedTimestamp": value}))

    assert reading.values == {}
    assert reading.rest == {"EndedTimestamp": value}
    assert reading.defects == [Defect("EndedTimestamp", problem)]


def test_times_are_seconds_or_milliseconds():
    reading = read(CdrPush, canonical(CdrPush, {"StartTimestamp": 1_700_000_000_000, "EndedTimestamp": "1700000009"}))

    assert reading.values == {"StartTimestamp": 1_700_000_000_000, "EndedTimestamp": 1_700_000_009_000}


def test_an_integer_over_64_bits_is_no_value_and_is_kept():
    payload = jsontext.decode(b'{"QueuedSkillGroupId":9223372036854775808,"Unknown":123456789012345678901234567890}')
    reading = read(CdrPush, canonical(CdrPush, payload))

    assert reading.rest == {"QueuedSkillGroupId": 2**63, "Unknown": 123456789012345678901234567890}
    assert reading.defects == [Defect("QueuedSkillGroupId", "does not fit 64 bits")]
    assert jsontext.decode(jsontext.encode(reading.rest)) == reading.rest


def test_fields_without_a_column_are_never_a_defect():
    assert read(CdrPush, canonical(CdrPush, {"Duration": "long", "Tomorrow": -1})).defects == []


def test_a_leg_that_is_no_object_is_kept_aside():
    reading = read(CdrPush, canonical(CdrPush, {"ServeParticipants": ["x", {"Sequence": 5}]}))

    assert reading.values == {"ServeParticipants": [{"Sequence": 5}]}
    assert reading.rest == {"ServeParticipants": ["x"]}
    assert len(reading.defects) == 1


def test_nesting_has_a_limit():
    deep: object = 1
    for _ in range(200):
        deep = {"a": deep}

    with pytest.raises(TooDeepError):
        canonical(CdrPush, {"Unknown": deep})


def test_key_order_and_duplicate_keys_do_not_make_another_report():
    one = canonical(CdrPush, jsontext.decode(b'{"Caller":"1","Duration":15,"Duration":0}'))
    other = canonical(CdrPush, jsontext.decode(b'{"Duration":0,"Caller":"1"}'))

    assert digest("cdr", "push", None, one) == digest("cdr", "push", None, other)
    assert digest("cdr", "push", None, one) != digest("cdr", "api", None, one)


@pytest.mark.parametrize("raw", [b"NaN", b'{"a":Infinity}', b"{", b"[1,]", b"\xff", b"", b"[" * 5000, b'{"a":1}x'])
def test_what_is_not_json_is_refused(raw):
    with pytest.raises(jsontext.NotJsonError):
        jsontext.decode(raw)


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ("008613900000001", "13900000001"),
        ("+86 139-0000-0001", "13900000001"),
        ("13900000001", "13900000001"),
        ("008602155500100", "02155500100"),
        ("00862155500100", "2155500100"),
        ("0014155550100", "14155550100"),
        ("8612", "8612"),
        ("0086184xxxx7605", "0086184xxxx7605"),
        ("oW-Protected-1", "oW-Protected-1"),
    ],
)
def test_endpoints_are_brought_to_one_form(sent, normal):
    assert normalize_endpoint(sent) == normal


def test_the_first_identity_that_both_fill_decides():
    ann = {"UserId": "1", "Mail": "a@x"}

    assert same_person(ann, {"UserId": "1", "Mail": "b@x"})
    assert not same_person(ann, {"UserId": "2", "Mail": "a@x"})
    assert same_person(ann, {"Mail": "A@X", "Phone": "1"})
    assert same_person(ann, {"Phone": "1"})
