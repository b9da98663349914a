"""The rules of contract.md part 5, one by one, on one session."""

from functools import reduce
from typing import Any

from schemas.session import Recording, SessionDocument
from streams.core.absorb import Outcome, absorb
from streams.core.project import project
from streams.core.state import EMPTY, REPORTS_MAX
from tests.support.events import APP, SESSION, an_event, utc

CUSTOMER = "008613900000001"
ANN = "ann@example.com"
BOB = "bob@example.com"


def session(*events: Any) -> SessionDocument:
    return project(APP, SESSION, reduce(lambda state, event: absorb(state, event).state, events, EMPTY))


def recordings(*events: Any) -> dict[str, Recording]:
    return {row.recording_id: row for row in session(*events).recordings}


def a_cdr(at: int = 0, **fields: Any) -> Any:
    return an_event("cdr", {"Direction": 0, "Caller": CUSTOMER, "Callee": "008602155500100", **fields}, at=at)


def a_leg(**fields: Any) -> dict[str, Any]:
    return {"Sequence": 0, "Mail": ANN, "RecordId": "leg-0", "EndedTimestamp": 1_700_000_100, **fields}


def a_record(at: int = 0, **fields: Any) -> Any:
    return an_event("record", {"RecordURL": "http://a/x.mp3", "Timestamp": 1_700_000_110, **fields}, at=at)


def test_derived_durations():
    row = session(a_cdr(QueuedTimestamp=1_700_000_010, AcceptTimestamp=1_700_000_030, EndedTimestamp=1_700_000_100))

    assert (row.wait_seconds, row.talk_seconds, row.ivr_seconds) == (20, 70, None)


def test_an_unanswered_call_waits_until_its_end_and_a_negative_duration_is_null():
    abandoned = session(a_cdr(QueuedTimestamp=1_700_000_010, EndedTimestamp=1_700_000_040, IVRDuration=9))
    backwards = session(a_cdr(QueuedTimestamp=1_700_000_010, EndedTimestamp=1_700_000_000))

    assert (abandoned.wait_seconds, abandoned.talk_seconds, abandoned.ivr_seconds) == (30, None, 9)
    assert backwards.wait_seconds is None


def test_the_customer_is_the_caller_inbound_the_callee_outbound_and_nobody_internally():
    def sides(**fields: Any) -> tuple[str | None, str | None]:
        row = session(a_cdr(**fields))
        return row.customer_number, row.line_number

    assert sides(Direction=0) == (CUSTOMER, "008602155500100")
    assert sides(Direction=1) == ("008602155500100", CUSTOMER)
    assert sides(Direction=1, CallType=6) == (None, None)
    assert sides(Direction=7) == (None, None)


def test_unknown_enum_values_pass_through_as_text_and_nothing_is_guessed():
    row = session(a_cdr(Direction=7, CallType=0, EndStatusString="brandNew"))

    assert (row.direction, row.call_type, row.end_status) == ("7", "0", "brandNew")
    assert session(a_cdr()).call_type is None


def test_a_session_without_a_cdr_has_its_counts_and_nothing_else():
    row = session(a_record(RecordId="x", EndpointUser=ANN))

    assert not row.has_cdr
    assert (row.leg_count, row.recordings_expected, row.recordings_received, row.voicemail_count) == (0, 0, 1, 0)
    assert (row.direction, row.source, row.extra, row.talk_seconds) == (None, None, None, None)


def test_extra_holds_every_field_without_a_column():
    row = session(
        a_cdr(
            Duration=12,
            TelLocation={"City": "Anshun", "Country": ""},
            SeatUser={"Mail": ANN, "Name": "Ann", "StaffNumber": "0007", "Phone": ""},
            ServeParticipants=[a_leg(SkillGroupPriority=0, New={"a": 1})],
            RecordId="root",
            Tomorrow=0,
        )
    )

    assert (row.agent_mail, row.agent_name) == (ANN, "Ann")
    assert row.extra == {
        "Duration": 12,
        "TelLocation": {"City": "Anshun"},
        "SeatUser": {"StaffNumber": "0007"},
        "Tomorrow": 0,
    }
    assert row.legs[0].extra == {"SkillGroupPriority": 0, "New": {"a": 1}}


def test_filled_beats_empty_and_between_filled_the_first_received_later_wins():
    row = session(
        a_cdr(at=0, UserRemark="first", Uui="kept"),
        a_cdr(at=10, UserRemark="second", Uui=""),
        a_cdr(at=20, UserRemark="first", Uui="kept"),  # a late retry of the first changes nothing
    )

    assert (row.user_remark, row.uui) == ("second", "kept")


def test_a_value_that_no_warehouse_holds_never_hides_a_usable_one():
    row = session(a_cdr(at=0, EndedTimestamp=1_700_000_100), a_cdr(at=10, EndedTimestamp=-1))

    assert row.ended_at == utc(1_700_000_100)
    assert row.extra == {"EndedTimestamp": -1}


def test_an_agent_is_filled_only_from_reports_that_name_the_same_person():
    row = session(
        a_cdr(at=0, SeatUser={"Mail": BOB, "Name": "Bob", "Nick": "B"}),
        a_cdr(at=5, SeatUser={"Mail": "ANN@example.com", "Name": "Ann", "StaffNumber": "7"}),
        a_cdr(at=10, SeatUser={"Mail": ANN}),
    )

    assert (row.agent_mail, row.agent_name) == (ANN, "Ann")
    assert row.extra == {"SeatUser": {"StaffNumber": "7"}}


def test_the_set_of_legs_is_the_winners_each_filled_up_by_sequence_and_person():
    row = session(
        a_cdr(
            at=0,
            ServeParticipants=[a_leg(Sequence=0, Type="staffSeat"), a_leg(Sequence=1, Mail=BOB), a_leg(Sequence=2)],
        ),
        a_cdr(
            at=10,
            ServeParticipants=[
                {"Sequence": 1, "Mail": ANN, "RecordId": "other"},
                {"Sequence": 0, "Mail": ANN},
            ],
        ),
    )

    assert [(leg.leg_sequence, leg.agent_mail, leg.leg_type, leg.recording_id) for leg in row.legs] == [
        (0, ANN, "staffSeat", "leg-0"),
        (1, ANN, None, "other"),  # the other report's leg 1 is somebody else's
    ]


def test_legs_take_their_positions_where_a_sequence_is_absent_or_repeated():
    absent = session(a_cdr(ServeParticipants=[a_leg(Sequence=4), {"Mail": BOB}]))
    repeated = session(a_cdr(ServeParticipants=[a_leg(Sequence=4), a_leg(Sequence=4, Mail=BOB)]))

    assert [(leg.leg_sequence, leg.agent_mail) for leg in absent.legs] == [(0, ANN), (1, BOB)]
    assert [(leg.leg_sequence, leg.agent_mail) for leg in repeated.legs] == [(0, ANN), (1, BOB)]


def test_recordings_meet_their_names_by_id():
    rows = recordings(
        a_cdr(RecordId="root", ServeParticipants=[a_leg()]),
        a_record(at=1, RecordId="root", EndpointUser="13900000001"),
    )

    assert rows.keys() == {"root", "leg-0"}
    assert (rows["root"].is_expected, rows["root"].side, rows["root"].matched_by) == (True, "customer", "recording_id")
    missing = rows["leg-0"]
    assert (missing.is_expected, missing.received_at, missing.side, missing.leg_sequence) == (True, None, "agent", 0)
    assert (missing.matched_by, missing.pushed_recording_id, missing.source) == (None, None, None)


def test_recordings_meet_their_names_by_endpoint_under_the_cdrs_id():
    rows = recordings(
        a_cdr(
            RecordId="root",
            ServeParticipants=[
                a_leg(Sequence=0, RecordId="late", EndedTimestamp=1_700_000_300),
                a_leg(Sequence=1, RecordId="early", EndedTimestamp=1_700_000_200),
            ],
        ),
        a_record(RecordId="second", EndpointUser=ANN, Timestamp=1_700_000_310),
        a_record(RecordId="first", EndpointUser="ANN@example.com", Timestamp=1_700_000_210),
    )

    assert {row.recording_id: row.pushed_recording_id for row in rows.values()} == {
        "root": None,
        "early": "first",
        "late": "second",
    }
    assert {rows["early"].matched_by, rows["late"].matched_by} == {"endpoint_user"}


def test_one_id_for_two_endpoints_on_root_and_leg_is_two_expected_recordings():
    shared = "1608130650"
    rows = recordings(
        a_cdr(RecordId=shared, ServeParticipants=[a_leg(RecordId=shared)]),
        a_record(RecordId=shared, EndpointUser=ANN),
        a_record(RecordId=1608130650, EndpointUser="13900000001"),
    )

    assert {key: (row.is_expected, row.side, row.leg_sequence) for key, row in rows.items()} == {
        shared: (True, "customer", None),
        f"{shared}~{ANN}": (True, "agent", 0),
    }


def test_one_id_on_root_and_leg_is_one_name_until_several_endpoints_came():
    shared = "1608130650"
    rows = recordings(
        a_cdr(RecordId=shared, ServeParticipants=[a_leg(RecordId=shared)]), a_record(RecordId=shared, EndpointUser=ANN)
    )

    assert [(row.recording_id, row.side, row.is_expected) for row in rows.values()] == [(shared, "agent", True)]


def test_an_id_of_several_endpoints_that_only_the_root_names_goes_to_the_customers():
    rows = recordings(
        a_cdr(RecordId="x"),
        a_record(RecordId="x", EndpointUser=ANN),
        a_record(RecordId="x", EndpointUser=CUSTOMER),
    )

    assert {key: (row.is_expected, row.endpoint_user, row.side) for key, row in rows.items()} == {
        "x": (True, CUSTOMER, "customer"),
        f"x~{ANN}": (False, ANN, None),
    }


def test_an_id_that_lost_is_no_name():
    rows = recordings(a_cdr(at=0, RecordId="old"), a_cdr(at=5, RecordId="new"))

    assert rows.keys() == {"new"}


def test_recordings_that_nobody_named_are_kept():
    rows = recordings(
        a_cdr(), a_record(RecordId="x", EndpointUser="stranger@example.com", CustomRecordURL="https://c/x")
    )

    assert (rows["x"].is_expected, rows["x"].side, rows["x"].matched_by) == (False, None, None)
    assert rows["x"].custom_url == "https://c/x"


def test_a_push_without_an_id_gets_one_from_its_content():
    twice = recordings(a_record(RecordId="", EndpointUser=ANN), a_record(at=9, EndpointUser=ANN))
    two = recordings(a_record(EndpointUser=ANN), a_record(EndpointUser=ANN, RecordURL="http://a/y.mp3"))

    assert len(twice) == 1
    assert len(two) == 2


def test_a_url_that_comes_later_fills_its_recording():
    rows = recordings(
        a_record(at=0, RecordId="x", EndpointUser=CUSTOMER),
        a_record(at=60_000, RecordId="x", EndpointUser="13900000001", CustomRecordURL="https://c/x"),
    )

    assert (rows["x"].url, rows["x"].custom_url) == ("http://a/x.mp3", "https://c/x")
    assert rows["x"].received_at == utc(1_700_000_000)


def test_what_the_api_says_of_recordings():
    cdr = a_cdr(RecordId="root", ServeParticipants=[a_leg()])
    present = an_event("record", {"RecordId": "root"}, at=5, source="api", fact="present")
    absent = an_event("record", {"RecordId": "leg-0"}, at=7, source="api", fact="absent")
    rows = recordings(cdr, present, absent)

    assert (rows["root"].source, rows["root"].url, rows["root"].is_expected) == ("api", None, True)
    assert rows["leg-0"].absent_at is not None
    assert session(cdr, present, absent).recordings_missing == 0

    pushed_too = recordings(cdr, present, absent, a_record(at=9, RecordId="leg-0", EndpointUser=ANN))
    assert (pushed_too["leg-0"].absent_at, pushed_too["leg-0"].source) == (None, "push")


def test_voicemails_are_told_apart_by_time_and_path():
    def a_voicemail(**fields: Any) -> Any:
        return an_event("voicemail", {"Timestamp": 1_700_000_050, "RecordURL": "http://a/v.mp3", **fields})

    same = session(a_voicemail(EndpointUser=13900000001), a_voicemail(RecordURL="https://b/v.mp3?sign=2"))
    other = session(a_voicemail(), a_voicemail(Timestamp=1_700_000_051))
    listed = session(a_voicemail(), an_event("voicemail", {"VoicemailCount": 2}, source="api", fact="present"))

    assert (same.voicemail_count, same.voicemails[0].endpoint_user) == (1, "13900000001")
    assert other.voicemail_count == 2
    assert {row.voicemail_id for row in listed.voicemails} >= {"api:1"}
    assert listed.voicemail_count == 2


def test_the_cdr_source_tells_push_from_api():
    pushed = a_cdr()
    learnt = an_event("cdr", {"Direction": 0, "CallType": 2}, at=9, source="api")

    assert session(pushed).source == "push"
    assert session(pushed, learnt).source == "push+api"
    assert session(pushed, learnt).call_type == "inbound"


def test_an_earlier_receipt_that_comes_last_still_raises_the_version():
    """Counterexample to counting only reports and repeated reports (ADR 0005): the first receipt comes last."""
    later = [a_cdr(at=200), a_cdr(at=100)]
    before, after = session(*later), session(*later, a_cdr(at=0))

    assert before.first_received_at > after.first_received_at
    assert after.version > before.version


def test_what_exceeds_the_bound_is_refused_and_changes_nothing():
    state = EMPTY
    for number in range(REPORTS_MAX):
        state = absorb(state, a_cdr(UserRemark=f"r{number}")).state
    refused = absorb(state, a_cdr(at=5, UserRemark="one too many"))
    retried = absorb(state, a_cdr(at=5, UserRemark="r0"))

    assert (refused.outcome, refused.state) == (Outcome.REFUSED, state)
    assert retried.outcome is Outcome.DUPLICATE
