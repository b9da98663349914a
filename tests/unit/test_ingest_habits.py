"""One counter for each habit of TCCC's: each is seen where it is, and nowhere else."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from prometheus_client import CollectorRegistry

from ingest.habits import HABITS, INSPECTED_BURST_MAX, REMEMBERED_MAX, Habits, ObservedPush
from ingest.normalize import ReceivedPush, normalize
from ingest.query import read_query
from tests.support.door import NOW
from tests.support.pushes import a_cdr, a_record, a_voicemail, body_of, without

UUID = "3f1c0a52-0d6e-4c6b-9a55-7a1d2c3b4e01"
ORDINARY = {"Content-Type": "application/json;charset=utf8", "X-TCCC-PUSH-UUID": UUID}
CDR, RECORD, VOICEMAIL = "action=cdr&version=1", "action=record&version=1", "action=voicemail"
DOCS = Path(__file__).parents[2] / "docs" / "going-live.md"


class Looking:
    """A Habits with a clock that a test winds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.now = 0.0
        self.habits = Habits(self.registry, monotonic=lambda: self.now)

    def see(self, body: Any, query: str = CDR, *, stored: bool = True, **headers: str | None) -> set[str]:
        """What one push shows; headers are given with underscores, None takes one away."""
        raw = body if isinstance(body, bytes) else body_of(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        all_headers = {name: value for name, value in {**ORDINARY, **named}.items() if value is not None}
        action = read_query(query).action
        received = ReceivedPush.of(raw, headers=all_headers, action=action, received_at=NOW)
        push = ObservedPush(query, action, CIMultiDict(all_headers), raw, normalize(received).event, stored)
        return set(self.habits.observe(push))

    def count(self, habit: str) -> float:
        return self.registry.get_sample_value("callweave_tccc_habits_total", {"habit": habit}) or 0.0


def leg(**changes: Any) -> dict[str, Any]:
    return {"Sequence": 0, "AcceptTimestamp": 5, "RecordId": "r", "EndStatusString": "ok", **changes}


def cdr(**changes: Any) -> dict[str, Any]:
    """A CDR without any habit."""
    times = {"StartTimestamp": 1, "RingTimestamp": 2, "AcceptTimestamp": 5, "EndedTimestamp": 9, "Duration": 4}
    seat = {"Mail": "a@b.example"}
    base = {"SdkAppId": 1, "SessionId": "s", "CallType": 1, "EndStatusString": "ok", "SeatUser": seat}
    return {**base, **times, "ServeParticipants": [leg()], **changes}


def record(**changes: Any) -> dict[str, Any]:
    return {
        "SdkAppId": 1,
        "SessionId": "s",
        "RecordId": "r",
        "Timestamp": 7,
        "EndpointUser": "a@b.example",
        "RecordURL": "https://h.example/r.mp3",
        **changes,
    }


CASES: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("uuid_missing", cdr(), CDR, {"X_TCCC_PUSH_UUID": None}),
    ("uuid_other_format", cdr(), CDR, {"X_TCCC_PUSH_UUID": "12345"}),
    ("uuid_too_long", cdr(), CDR, {"X_TCCC_PUSH_UUID": "a" * 129}),
    ("basic_preemptive", cdr(), CDR, {"Authorization": "Basic eA=="}),
    ("action_missing", cdr(), "version=1", {}),
    ("action_repeated", cdr(), "action=cdr&action=cdr", {}),
    ("action_other_case", cdr(), "action=CDR", {}),
    ("action_unknown", cdr(), "action=asr", {}),
    ("query_second_question_mark", cdr(), "x=1?action=cdr", {}),
    ("query_joined", cdr(), "token=x&action=cdr", {}),
    ("version_other", cdr(), "action=cdr&version=2", {}),
    ("voicemail_with_version", without(record(), "RecordId"), "action=voicemail&version=1", {}),
    ("charset_other", cdr(), CDR, {"Content_Type": "application/json; charset=utf-8"}),
    ("content_type_other", cdr(), CDR, {"Content_Type": "text/plain;charset=utf8"}),
    ("bom", b"\xef\xbb\xbf" + body_of(cdr()), CDR, {}),
    ("gzip", gzip.compress(body_of(cdr())), CDR, {"Content_Encoding": "gzip"}),
    ("gzip_unlabelled", gzip.compress(body_of(cdr())), CDR, {}),
    ("encoding_other", cdr(), CDR, {"Content_Encoding": "br"}),
    ("null_field", cdr(Uui=None), CDR, {}),
    ("number_as_text", cdr(Direction="1"), CDR, {}),
    ("text_as_number", cdr(Caller=13900000041), CDR, {}),
    ("duplicate_key", body_of(cdr()).replace(b"{", b'{"Uui":"x","Uui":"y",', 1), CDR, {}),
    ("unknown_field", cdr(Tomorrow=1), CDR, {}),
    ("milliseconds", cdr(QueuedTimestamp=1700000000123), CDR, {}),
    ("record_id_empty", record(RecordId=""), RECORD, {}),
    ("record_id_epoch", record(RecordId="1608130650"), RECORD, {}),
    ("record_id_on_unanswered_leg", cdr(ServeParticipants=[leg(AcceptTimestamp=0)]), CDR, {}),
    ("record_id_missing_on_answered_leg", cdr(ServeParticipants=[leg(RecordId="")]), CDR, {}),
    ("endpoint_user_number", record(EndpointUser=13900000041), RECORD, {}),
    ("endpoint_user_0086", record(EndpointUser="008613900000041"), RECORD, {}),
    ("endpoint_user_masked", record(EndpointUser="139****0041"), RECORD, {}),
    ("endpoint_user_empty", record(EndpointUser=""), RECORD, {}),
    ("record_before_cdr", record(), RECORD, {}),
    ("custom_url", record(CustomRecordURL="https://c.example/r.mp3"), RECORD, {}),
    ("url_plain_http", record(RecordURL="http://h.example/r.mp3"), RECORD, {}),
    ("url_signed", record(RecordURL="https://h.example/r.mp3?sign=x"), RECORD, {}),
    ("seat_user_null", cdr(SeatUser=None), CDR, {}),
    ("seat_user_absent", without(cdr(), "SeatUser"), CDR, {}),
    ("seat_user_empty", cdr(SeatUser={}), CDR, {}),
    ("seat_user_blank", cdr(SeatUser={"Mail": "", "Name": ""}), CDR, {}),
    ("leg_gave_up", cdr(ServeParticipants=[leg(EndStatusString="seatGiveUp")]), CDR, {}),
    ("legs_more_than_two", cdr(ServeParticipants=[leg(), leg(Sequence=1), leg(Sequence=2)]), CDR, {}),
    ("call_type_missing", without(cdr(), "CallType"), CDR, {}),
    ("call_type_unknown", cdr(CallType=9), CDR, {}),
    ("end_status_unknown", cdr(EndStatusString="noAnswer"), CDR, {}),
    ("duration_on_unanswered", cdr(AcceptTimestamp=0), CDR, {}),
    ("duration_otherwise", cdr(Duration=5), CDR, {}),
    ("call_type_predictive", cdr(CallType=5), CDR, {}),
    ("call_type_internal", cdr(CallType="6"), CDR, {}),
]
BESIDE = {
    "seat_user_null": {"null_field"},
    "call_type_internal": {"number_as_text"},
    "endpoint_user_number": {"text_as_number"},
    "action_unknown": set(),
}
"""What the same push shows besides, and rightly so."""


@pytest.mark.parametrize(("habit", "body", "query", "headers"), CASES, ids=[case[0] for case in CASES])
def test_a_habit_is_seen_where_it_is_and_nothing_else_is(
    habit: str, body: Any, query: str, headers: dict[str, Any]
) -> None:
    looking = Looking()
    if query == RECORD and habit != "record_before_cdr":
        looking.see(cdr(), X_TCCC_PUSH_UUID="00000000-0000-0000-0000-000000000000")
    found = looking.see(body, query, **headers) - {"record_after_cdr"}

    allowed = BESIDE.get(habit, set()) | ({"uuid_other_format"} if habit == "uuid_too_long" else set())
    assert found - allowed == {habit}
    assert looking.count(habit) == 1


@pytest.mark.parametrize(
    ("body", "query"), [(cdr(), CDR), (a_voicemail(EndpointUser="x", RecordURL="https://h"), VOICEMAIL)]
)
def test_a_push_as_it_is_documented_shows_no_habit(body: Any, query: str) -> None:
    assert Looking().see(body, query) == set()


def test_retries_are_told_apart_and_their_pause_is_measured() -> None:
    looking = Looking()
    assert looking.see(cdr(), stored=False) == set()
    looking.now += 42
    assert looking.see(cdr(), stored=True) == {"retry_after_refusal"}
    looking.now += 7
    assert looking.see(cdr()) == {"retry_although_stored"}

    assert looking.registry.get_sample_value("callweave_tccc_retry_seconds_sum") == 49
    assert looking.registry.get_sample_value("callweave_tccc_retry_seconds_count") == 2


def test_one_uuid_with_another_body_or_action_is_told() -> None:
    looking = Looking()
    looking.see(cdr())

    assert looking.see(cdr(Uui="more")) == {"uuid_other_body"}
    assert "uuid_shared_by_actions" in looking.see(record(), RECORD)


def test_a_second_cdr_and_the_order_of_recordings_are_told() -> None:
    looking = Looking()
    ids = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(6)]

    assert looking.see(record(), RECORD, X_TCCC_PUSH_UUID=ids[0]) == {"record_before_cdr"}
    assert looking.see(cdr(), X_TCCC_PUSH_UUID=ids[1]) == set()
    assert looking.see(record(), RECORD, X_TCCC_PUSH_UUID=ids[2]) == {"record_after_cdr"}
    assert looking.see(cdr(Uui="more"), X_TCCC_PUSH_UUID=ids[3]) == {"second_cdr"}
    later = record(CustomRecordURL="https://c.example/r.mp3")
    assert looking.see(later, RECORD, X_TCCC_PUSH_UUID=ids[4]) == {"record_after_cdr", "custom_url", "custom_url_later"}


def test_credentials_that_came_after_a_challenge_are_told_from_those_that_came_at_once() -> None:
    looking = Looking()
    looking.habits.note_refusal(push_uuid=UUID, has_expired=False, was_anonymous=True)

    assert looking.see(cdr(), Authorization="Basic eA==") == {"basic_after_challenge"}


def test_a_token_that_is_used_again_is_told() -> None:
    looking = Looking()
    looking.see(cdr(), Authorization="Bearer x")

    other = looking.see(cdr(SessionId="t"), Authorization="Bearer x", X_TCCC_PUSH_UUID=UUID.replace("3", "4"))
    assert other == {"oauth_token_reused"}


def test_of_a_flood_only_some_bodies_are_opened_and_little_is_remembered() -> None:
    looking = Looking()
    for number in range(REMEMBERED_MAX + 10):
        looking.see(b"{}", X_TCCC_PUSH_UUID=f"{number:032x}")

    assert looking.registry.get_sample_value("callweave_tccc_bodies_inspected_total") == INSPECTED_BURST_MAX
    assert len(looking.habits._deliveries._entries) == REMEMBERED_MAX


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=4),
    st.data(),
)
def test_no_value_of_any_field_is_an_error(value: Any, data: st.DataObject) -> None:
    kind, query = data.draw(st.sampled_from([(a_cdr, CDR), (a_record, RECORD), (a_voicemail, VOICEMAIL)]))
    name = data.draw(st.sampled_from(sorted(kind())))

    assert Looking().see(kind(**{name: value}), query) <= set(HABITS)


@given(st.binary(max_size=60), st.text(max_size=40), st.text(st.characters(codec="latin-1"), max_size=20))
def test_no_bytes_query_or_header_are_an_error(raw: bytes, query: str, header: str) -> None:
    assert Looking().see(raw, query, Content_Type=header, Authorization=header, X_TCCC_PUSH_UUID=header) <= set(HABITS)


def test_every_habit_has_its_row_in_the_guide_to_going_live() -> None:
    rows = dict(re.findall(r"^\| \d+ \| `(\w+)` \| (.+?) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))

    assert rows == {habit: meaning for habit, (_, meaning) in HABITS.items()}
