"""Expected rows, written by hand from the contract's part on tables, and not by running what computes them."""

from dataclasses import replace
from typing import Any

import pytest

from callweave.simulator.facts import Call, KeyPress, Leg, Recording, SeatUser, Session, TelLocation, Voicemail
from callweave.simulator.truth import expected_rows, person, prune
from callweave.simulator.worlds import possible_arrivals

ANN = SeatUser(mail="ann@example.com", name="Ann", nick="Annie", user_id="u-ann", skill_group_names=("orders",))
BO = SeatUser(mail="bo@example.com", name="Bo", user_id="u-bo", staff_number="0008")

ANN_LEG = Leg(
    sequence=0,
    mail="ann@example.com",
    started=1_700_000_020,
    rang=1_700_000_020,
    answered=1_700_000_024,
    ended=1_700_000_100,
    record_id="rec-ann",
    skill_group_id=11,
    skill_group_name="orders",
)
ANSWERED = Call(
    caller="008613900000001",
    callee="008602155500100",
    direction=0,
    call_type=2,
    started=1_700_000_000,
    queued=1_700_000_015,
    rang=1_700_000_020,
    answered=1_700_000_025,
    ended=1_700_000_100,
    duration=75,
    ivr_seconds=15,
    end_status="ok",
    hung_up_by="user",
    skill_group_id=11,
    skill_group_name="orders",
    record_id="rec-root",
    user_remark="VIP",
    tel_location=TelLocation("008613900000001", "China", "Guizhou", "", ""),
    seat_user=ANN,
    legs=(ANN_LEG,),
    ivr_keys=("1",),
    ivr_keys_ex=(KeyPress("1", ""),),
)
ROOT_TRACK = Recording(
    record_id="rec-root", endpoint_user="008613900000001", timestamp=1_700_000_110, url="http://r.example/root.mp3"
)
ANN_TRACK = Recording(
    record_id="rec-ann", endpoint_user="ann@example.com", timestamp=1_700_000_111, url="http://r.example/ann.mp3"
)

ANSWERED_ROW = {
    "has_cdr": True,
    "direction": "inbound",
    "call_type": "inbound",
    "caller": "008613900000001",
    "callee": "008602155500100",
    "customer_number": "008613900000001",
    "line_number": "008602155500100",
    "started_at": "2023-11-14T22:13:20Z",
    "queued_at": "2023-11-14T22:13:35Z",
    "rang_at": "2023-11-14T22:13:40Z",
    "answered_at": "2023-11-14T22:13:45Z",
    "ended_at": "2023-11-14T22:15:00Z",
    "ivr_seconds": 15,
    "wait_seconds": 10,
    "talk_seconds": 75,
    "end_status": "ok",
    "hung_up_by": "user",
    "skill_group_id": 11,
    "skill_group_name": "orders",
    "agent_mail": "ann@example.com",
    "agent_name": "Ann",
    "uui": None,
    "user_remark": "VIP",
    "source": "push",
    "extra": {
        "Duration": 75,
        "IVRKeyPressed": ["1"],
        "IVRKeyPressedEx": [{"Key": "1"}],
        "TelLocation": {"TelNumber": "008613900000001", "Country": "China", "Province": "Guizhou"},
        "SeatUser": {"Nick": "Annie", "UserId": "u-ann", "SkillGroupNameList": ["orders"]},
    },
    "leg_count": 1,
    "recordings_expected": 2,
    "recordings_received": 2,
    "recordings_missing": 0,
    "voicemail_count": 0,
}
ANN_LEG_ROW = {
    "leg_sequence": 0,
    "agent_mail": "ann@example.com",
    "agent_phone": None,
    "leg_type": "staffSeat",
    "started_at": "2023-11-14T22:13:40Z",
    "rang_at": "2023-11-14T22:13:40Z",
    "answered_at": "2023-11-14T22:13:44Z",
    "ended_at": "2023-11-14T22:15:00Z",
    "end_status": "ok",
    "recording_id": "rec-ann",
    "skill_group_id": 11,
    "skill_group_name": "orders",
    "transfer_from": None,
    "transfer_from_type": None,
    "transfer_to": None,
    "transfer_to_type": None,
    "extra": {"SkillGroupPriority": 0},
}
ROOT_TRACK_ROW = {
    "recording_id": "rec-root",
    "is_expected": True,
    "is_received": True,
    "absent_at": None,
    "side": "customer",
    "leg_sequence": None,
    "endpoint_user": "008613900000001",
    "generated_at": "2023-11-14T22:15:10Z",
    "url": "http://r.example/root.mp3",
    "custom_url": None,
    "matched_by": "recording_id",
    "pushed_recording_id": "rec-root",
    "source": "push",
    "extra": None,
}
ANN_TRACK_ROW = ROOT_TRACK_ROW | {
    "recording_id": "rec-ann",
    "side": "agent",
    "leg_sequence": 0,
    "endpoint_user": "ann@example.com",
    "generated_at": "2023-11-14T22:15:11Z",
    "url": "http://r.example/ann.mp3",
    "pushed_recording_id": "rec-ann",
}
NAMED_ONLY_ROW = ROOT_TRACK_ROW | {
    "is_received": False,
    "endpoint_user": None,
    "generated_at": None,
    "url": None,
    "matched_by": None,
    "pushed_recording_id": None,
    "source": None,
}


def session(*calls: Call, recordings: tuple[Recording, ...] = (), voicemails: tuple[Voicemail, ...] = ()) -> Session:
    return Session(
        sdk_app_id=1_400_000_001, session_id="s-1", calls=calls, recordings=recordings, voicemails=voicemails
    )


def rows_of(subject: Session, *arrived: str) -> dict[str, Any]:
    rows = expected_rows(subject, arrived)
    assert rows is not None
    return rows


def test_inbound_answered_with_both_recordings():
    subject = session(ANSWERED, recordings=(ROOT_TRACK, ANN_TRACK))

    assert rows_of(subject, "record:1", "cdr:0", "record:0", "cdr:0") == {
        "session": ANSWERED_ROW,
        "legs": [ANN_LEG_ROW],
        "recordings": [ANN_TRACK_ROW, ROOT_TRACK_ROW],
        "voicemails": [],
    }


def test_abandoned_in_queue():
    call = Call(
        caller="008613900000001",
        callee="008602155500100",
        direction=0,
        call_type=2,
        started=1_700_000_000,
        queued=1_700_000_000,
        ended=1_700_000_009,
        end_status="waitingGiveUp",
        hung_up_by="user",
        skill_group_id=11,
        skill_group_name="orders",
    )

    rows = rows_of(session(call), "cdr:0")

    assert rows["session"] == ANSWERED_ROW | {
        "queued_at": "2023-11-14T22:13:20Z",
        "rang_at": None,
        "answered_at": None,
        "ended_at": "2023-11-14T22:13:29Z",
        "ivr_seconds": None,  # 0 is empty in durations that TCCC documents
        "wait_seconds": 9,
        "talk_seconds": None,
        "end_status": "waitingGiveUp",
        "agent_mail": None,
        "agent_name": None,
        "user_remark": None,
        "extra": None,
        "leg_count": 0,
        "recordings_expected": 0,
        "recordings_received": 0,
    }
    assert rows["legs"] == rows["recordings"] == rows["voicemails"] == []


def test_transfer_to_another_agent_and_back():
    ann_hands_over = replace(
        ANN_LEG,
        ended=1_700_000_060,
        end_status="seatForward",
        transfer_to="bo@example.com",
        transfer_to_type="staffPhoneSeat",
    )
    bo = Leg(
        sequence=1,
        mail="bo@example.com",
        phone="008613700000001",
        type="staffPhoneSeat",
        started=1_700_000_061,
        rang=1_700_000_061,
        answered=1_700_000_063,
        ended=1_700_000_080,
        end_status="seatForward",
        record_id="rec-bo",
        transfer_from="ann@example.com",
        transfer_from_type="staffSeat",
        skill_group_priority=5,
    )
    ann_again = replace(ANN_LEG, sequence=2, started=1_700_000_081, rang=1_700_000_081, answered=1_700_000_082,
                        record_id="rec-ann-2")  # fmt: skip
    bo_track = replace(ANN_TRACK, record_id="rec-bo", endpoint_user="Bo@Example.com", url="http://r.example/bo.mp3")
    # The last one lost its id on the way, and is found by whose it is.
    last_track = replace(ANN_TRACK, record_id="", timestamp=1_700_000_120, url="http://r.example/ann-2.mp3")
    call = replace(ANSWERED, legs=(ann_hands_over, bo, ann_again))
    subject = session(call, recordings=(ROOT_TRACK, ANN_TRACK, bo_track, last_track))

    rows = rows_of(subject, "cdr:0", "record:3", "record:2", "record:1", "record:0")

    assert rows["session"] == ANSWERED_ROW | {"leg_count": 3, "recordings_expected": 4, "recordings_received": 4}
    assert rows["legs"][0] == ANN_LEG_ROW | {
        "ended_at": "2023-11-14T22:14:20Z",
        "end_status": "seatForward",
        "transfer_to": "bo@example.com",
        "transfer_to_type": "staffPhoneSeat",
    }
    assert rows["legs"][1] == ANN_LEG_ROW | {
        "leg_sequence": 1,
        "agent_mail": "bo@example.com",
        "agent_phone": "008613700000001",
        "leg_type": "staffPhoneSeat",
        "started_at": "2023-11-14T22:14:21Z",
        "rang_at": "2023-11-14T22:14:21Z",
        "answered_at": "2023-11-14T22:14:23Z",
        "ended_at": "2023-11-14T22:14:40Z",
        "end_status": "seatForward",
        "recording_id": "rec-bo",
        "skill_group_id": None,
        "skill_group_name": None,
        "transfer_from": "ann@example.com",
        "transfer_from_type": "staffSeat",
        "extra": {"SkillGroupPriority": 5},
    }
    without_pushed_id = {column: value for column, value in ANN_TRACK_ROW.items() if column != "pushed_recording_id"}
    assert rows["recordings"] == [
        ANN_TRACK_ROW,
        without_pushed_id
        | {
            "recording_id": "rec-ann-2",
            "leg_sequence": 2,
            "generated_at": "2023-11-14T22:15:20Z",
            "url": "http://r.example/ann-2.mp3",
            "matched_by": "endpoint_user",
        },
        ANN_TRACK_ROW
        | {
            "recording_id": "rec-bo",
            "leg_sequence": 1,
            "endpoint_user": "Bo@Example.com",
            "url": "http://r.example/bo.mp3",
            "pushed_recording_id": "rec-bo",
        },
        ROOT_TRACK_ROW,
    ]


def test_outbound_not_answered_names_recordings_that_never_come():
    leg = replace(ANN_LEG, started=1_700_000_000, rang=1_700_000_000, answered=1_700_000_001, ended=1_700_000_013)
    call = Call(
        caller="008602155500100",
        callee="008613900000001",
        direction=1,
        call_type=1,
        started=1_700_000_000,
        rang=1_700_000_004,
        ended=1_700_000_013,
        end_status="notAnswer",
        hung_up_by="seat",
        skill_group_id=11,
        skill_group_name="orders",
        record_id="rec-root",
        uui="order-42",
        seat_user=BO,
        legs=(leg,),
    )

    rows = rows_of(session(call), "cdr:0")

    assert rows["session"] == {
        "has_cdr": True,
        "direction": "outbound",
        "call_type": "outbound",
        "caller": "008602155500100",
        "callee": "008613900000001",
        "customer_number": "008613900000001",
        "line_number": "008602155500100",
        "started_at": "2023-11-14T22:13:20Z",
        "queued_at": None,
        "rang_at": "2023-11-14T22:13:24Z",
        "answered_at": None,
        "ended_at": "2023-11-14T22:13:33Z",
        "ivr_seconds": None,
        "wait_seconds": None,
        "talk_seconds": None,
        "end_status": "notAnswer",
        "hung_up_by": "seat",
        "skill_group_id": 11,
        "skill_group_name": "orders",
        "agent_mail": "bo@example.com",
        "agent_name": "Bo",
        "uui": "order-42",
        "user_remark": None,
        "source": "push",
        "extra": {"SeatUser": {"UserId": "u-bo", "StaffNumber": "0008"}},
        "leg_count": 1,
        "recordings_expected": 2,
        "recordings_received": 0,
        "recordings_missing": 2,
        "voicemail_count": 0,
    }
    assert rows["recordings"] == [
        NAMED_ONLY_ROW | {"recording_id": "rec-ann", "side": "agent", "leg_sequence": 0},
        NAMED_ONLY_ROW,
    ]


def test_voicemail_only_leaves_what_a_cdr_fills_empty():
    mail = Voicemail(endpoint_user="13900000001", timestamp=1_700_000_110, url="http://v.example/1.mp3")

    rows = rows_of(session(ANSWERED, voicemails=(mail,)), "voicemail:0")

    assert rows["session"] == dict.fromkeys(ANSWERED_ROW) | {
        "has_cdr": False,
        "leg_count": 0,
        "recordings_expected": 0,
        "recordings_received": 0,
        "recordings_missing": 0,
        "voicemail_count": 1,
    }
    assert rows["voicemails"] == [
        {
            "endpoint_user": "13900000001",
            "generated_at": "2023-11-14T22:15:10Z",
            "url": "http://v.example/1.mp3",
            "is_received": True,
            "source": "push",
            "extra": None,
        }
    ]


EPOCH = "1700000024"
SHARED_CALL = replace(ANSWERED, record_id=EPOCH, legs=(replace(ANN_LEG, record_id=EPOCH),))
SHARED_ROOT = replace(ROOT_TRACK, record_id=EPOCH, endpoint_user="13900000001", endpoint_is_number=True)
SHARED_ANN = replace(ANN_TRACK, record_id=EPOCH, endpoint_user="Ann@Example.com")


def test_shared_epoch_record_id_is_two_recordings_and_the_customers_keeps_the_plain_id():
    subject = session(SHARED_CALL, recordings=(SHARED_ROOT, SHARED_ANN))

    rows = rows_of(subject, "record:1", "record:0", "cdr:0")

    assert rows["session"]["recordings_expected"] == 2
    assert rows["session"]["recordings_missing"] == 0
    assert rows["recordings"] == [
        ROOT_TRACK_ROW | {"recording_id": EPOCH, "pushed_recording_id": EPOCH, "endpoint_user": "13900000001"},
        ANN_TRACK_ROW
        | {
            "recording_id": f"{EPOCH}~ann@example.com",
            "pushed_recording_id": EPOCH,
            "endpoint_user": "Ann@Example.com",
        },
    ]


def test_shared_epoch_record_id_of_which_one_came_is_one_name():
    subject = session(SHARED_CALL, recordings=(SHARED_ROOT, SHARED_ANN))

    customers_only = rows_of(subject, "record:0", "cdr:0")
    agents_only = rows_of(subject, "record:1", "cdr:0")

    assert [row["side"] for row in customers_only["recordings"]] == ["customer"]
    assert agents_only["session"]["recordings_expected"] == 1
    assert agents_only["session"]["recordings_missing"] == 0
    (row,) = agents_only["recordings"]
    assert row["recording_id"] == EPOCH
    assert row["side"] == {"any_of": ["customer", "agent"]}


def test_shared_epoch_record_id_without_cdr_is_named_by_nobody():
    subject = session(SHARED_CALL, recordings=(SHARED_ROOT, SHARED_ANN))

    rows = rows_of(subject, "record:0", "record:1")

    nobody = {"is_expected": False, "side": None, "leg_sequence": None, "matched_by": None}
    assert rows["recordings"] == [
        ROOT_TRACK_ROW
        | nobody
        | {"recording_id": f"{EPOCH}~13900000001", "pushed_recording_id": EPOCH, "endpoint_user": "13900000001"},
        ANN_TRACK_ROW
        | nobody
        | {
            "recording_id": f"{EPOCH}~ann@example.com",
            "pushed_recording_id": EPOCH,
            "endpoint_user": "Ann@Example.com",
        },
    ]


def test_withheld_recording_is_missing():
    rows = rows_of(session(ANSWERED, recordings=(ROOT_TRACK, ANN_TRACK)), "cdr:0", "record:0")

    assert rows["session"] == ANSWERED_ROW | {"recordings_received": 1, "recordings_missing": 1}
    assert rows["recordings"] == [
        NAMED_ONLY_ROW | {"recording_id": "rec-ann", "side": "agent", "leg_sequence": 0},
        ROOT_TRACK_ROW,
    ]


def test_recording_that_nobody_named_keeps_its_own_id():
    call = replace(ANSWERED, record_id="")

    rows = rows_of(session(call, recordings=(ROOT_TRACK, ANN_TRACK)), "cdr:0", "record:0", "record:1")

    assert rows["session"]["recordings_expected"] == 1
    assert rows["session"]["recordings_received"] == 2
    assert rows["recordings"][1] == ROOT_TRACK_ROW | {"is_expected": False, "side": None, "matched_by": None}


def test_correction_that_came_later_wins_and_keeps_what_it_leaves_empty():
    corrected = replace(
        ANSWERED,
        user_remark="",
        hung_up_by="seat",
        ended=1_700_000_101,
        duration=76,
        legs=(replace(ANN_LEG, skill_group_name="", end_status="error"),),
    )
    subject = session(ANSWERED, corrected, recordings=(ROOT_TRACK, ANN_TRACK))

    rows = rows_of(subject, "cdr:0", "record:0", "record:1", "cdr:1", "cdr:0")

    assert rows["session"] == ANSWERED_ROW | {
        "hung_up_by": "seat",
        "ended_at": "2023-11-14T22:15:01Z",
        "talk_seconds": 76,
        "extra": ANSWERED_ROW["extra"] | {"Duration": 76},  # type: ignore[operator]
    }
    assert rows["legs"] == [ANN_LEG_ROW | {"end_status": "error"}]


def test_correction_that_came_first_loses_and_still_fills():
    corrected = replace(ANSWERED, user_remark="corrected", uui="order-1", hung_up_by="seat")
    subject = session(ANSWERED, corrected)

    row = rows_of(subject, "cdr:1", "cdr:0")["session"]

    assert (row["user_remark"], row["uui"], row["hung_up_by"]) == ("VIP", "order-1", "user")


def test_correction_that_names_another_person_takes_nothing_from_the_first():
    subject = session(ANSWERED, replace(ANSWERED, seat_user=BO))

    row = rows_of(subject, "cdr:0", "cdr:1")["session"]

    assert row["agent_name"] == "Bo"
    assert row["extra"]["SeatUser"] == {"UserId": "u-bo", "StaffNumber": "0008"}


def test_correction_that_renames_the_recording_finds_it_by_whose_it_is():
    subject = session(ANSWERED, replace(ANSWERED, record_id="rec-new"), recordings=(ROOT_TRACK,))

    rows = rows_of(subject, "cdr:0", "record:0", "cdr:1")

    assert rows["recordings"][1] == ROOT_TRACK_ROW | {"recording_id": "rec-new", "matched_by": "endpoint_user"}
    assert len(rows["recordings"]) == 2


def test_internal_call_has_no_customer():
    rows = rows_of(session(replace(ANSWERED, call_type=6, direction=1)), "cdr:0")

    assert rows["session"]["customer_number"] is None
    assert rows["session"]["line_number"] is None
    assert rows["session"]["call_type"] == "internal"


def test_missing_call_type_is_not_guessed():
    assert rows_of(session(replace(ANSWERED, call_type=0)), "cdr:0")["session"]["call_type"] is None


def test_what_no_column_holds_stays_in_extra():
    call = replace(ANSWERED, rang=0, unholdable={"RingTimestamp": -5}, unknown={"Flag": False, "Zero": 0, "No": ""})

    row = rows_of(session(call), "cdr:0")["session"]

    assert row["rang_at"] is None
    assert row["extra"] == ANSWERED_ROW["extra"] | {"RingTimestamp": -5, "Flag": False, "Zero": 0}  # type: ignore[operator]


def test_nothing_arrived_is_no_session():
    assert expected_rows(session(ANSWERED), []) is None


@pytest.mark.parametrize(
    ("endpoint_user", "normalized"),
    [
        ("Ann@Example.com", "ann@example.com"),
        ("008613900000001", "13900000001"),
        ("8613900000001", "13900000001"),
        ("13900000001", "13900000001"),
        ("0086755 8888-1234", "75588881234"),
        ("0044 20 7946 0000", "442079460000"),
        ("1001", "1001"),
        ("visitor-0a1b", "visitor-0a1b"),
    ],
)
def test_endpoints_are_compared_in_one_form(endpoint_user: str, normalized: str):
    assert person(endpoint_user) == normalized


def test_empty_members_are_taken_out_at_every_depth():
    assert prune({"a": None, "b": {"c": "", "d": [{}]}, "e": 0, "f": False, "g": [""]}) == {"e": 0, "f": False}


def test_lost_answers_leave_more_than_one_world():
    certain = possible_arrivals([("cdr:0", "answered"), ("record:0", "refused"), ("record:1", "withheld")])
    lost = possible_arrivals([("cdr:0", "answered"), ("record:0", "uncertain")])
    lost_and_repeated = possible_arrivals([("record:0", "uncertain"), ("record:0", "answered")])
    order_in_doubt = possible_arrivals([("cdr:0", "uncertain"), ("cdr:1", "answered"), ("cdr:0", "answered")])
    too_many = possible_arrivals([(f"record:{place}", "uncertain") for place in range(7)])

    assert certain == [("cdr:0",)]
    assert lost == [("cdr:0",), ("cdr:0", "record:0")]
    assert lost_and_repeated == [("record:0",)]
    assert order_in_doubt == [("cdr:1", "cdr:0"), ("cdr:0", "cdr:1")]
    assert too_many is None
