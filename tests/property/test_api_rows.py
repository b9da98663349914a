"""The map from a scenario to the API's rows (protocol.md e.2), for any scenario: spelling, values, and how rows age."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tencentcloud.ccc.v20200210 import models

from callweave.simulator.api.life import Habits, latest_call
from callweave.simulator.api.rows import END_STATUS, UNKNOWN_FIELDS, protected_tel_cdr, session_detail, tel_cdr
from callweave.simulator.bend import bend
from callweave.simulator.facts import Session
from callweave.simulator.faults import FAULTS, Dice
from callweave.simulator.scenario import make_sessions
from callweave.simulator.wire import write_body
from schemas import jsontext
from schemas.canonical import canonical
from schemas.wire import CdrPush
from tests.support.api import NOW

ADDRESSES = {"RecordURL", "CustomRecordURL", "AsrUrl", "VoicemailRecordURL", "VoicemailAsrURL"}
PUSH_ONLY = {"SdkAppId", "UserRemark", "TelLocation", "IVRKeyPressedEx", "PostIVRKeyPressed"}
CONTENT_FAULTS = sorted(set(FAULTS) - {"unknown_fields", "bad_field", "control_text"})

sessions = st.builds(
    lambda seed, place, faults: bend(
        make_sessions(seed=seed, count=20, now=NOW)[place], Dice(seed, dict.fromkeys(faults, 1.0))
    ),
    st.integers(0, 30),
    st.integers(0, 19),
    st.sets(st.sampled_from(CONTENT_FAULTS), max_size=3),
)


def row_of(session: Session, **rates: float) -> dict[str, Any]:
    return tel_cdr(session, Habits(rates=rates), now=float(NOW + 10**7))


def fields_of(model: str) -> set[str]:
    """The names that Tencent's SDK knows of a structure."""
    return {name.removeprefix("_") for name in vars(getattr(models, model)())}


@given(sessions)
def test_every_name_is_spelled_as_in_the_sdk(session):
    row = row_of(session)
    detail = session_detail(session, Habits(), now=float(NOW))

    assert row.keys() <= fields_of("TelCdrInfo")
    assert detail.keys() <= fields_of("DescribeSessionDetailResponse")
    assert row.keys() >= fields_of("TelCdrInfo") - {"CallType", "EndStatusV2"}
    for leg in row["ServeParticipants"]:
        assert leg.keys() == fields_of("ServeParticipant")
    for press in row["IVRKeyPressedEx"] + row["PostIVRKeyPressedEx"]:
        assert press.keys() <= fields_of("IVRKeyPressedElement")
    if row["SeatUser"]:
        assert row["SeatUser"].keys() == fields_of("SeatUserInfo")


@given(sessions)
def test_a_row_says_of_shared_fields_what_the_last_push_says(session):
    pushed = jsontext.decode(write_body(session, f"cdr:{len(session.calls) - 1}", set()).raw)
    row = row_of(session)
    for leg in pushed["ServeParticipants"] or []:
        del leg["SkillGroupPriority"]
    for leg in row["ServeParticipants"]:
        del leg["RecordURL"], leg["CustomRecordURL"]
    if row["SeatUser"]:
        assert row["SeatUser"].pop("Role") == 3

    shared = {name: value for name, value in canonical(CdrPush, pushed).items() if name not in PUSH_ONLY}
    told = canonical(CdrPush, row)

    assert {name: told.get(name) for name in shared} == shared
    assert row["Remark"] == pushed["UserRemark"]
    assert row["UUI"] == (row["Uui"] or "") == pushed["Uui"]
    assert row["Time"] == pushed["StartTimestamp"]
    assert END_STATUS.get(row["EndStatusString"], 0) == row["EndStatus"]
    assert not row.keys() & {"SdkAppId", "UserRemark", "TelLocation"}


@given(sessions)
def test_addresses_are_there_for_what_was_made_and_differ_in_every_answer(session):
    first, second = row_of(session), row_of(session)

    def addresses(row: dict[str, Any]) -> list[str]:
        places = [row, *row["ServeParticipants"]]
        return [place["RecordURL"] for place in places if place["RecordURL"]] + row["VoicemailRecordURL"]

    assert not set(addresses(first)) & set(addresses(second))
    assert len(first["VoicemailRecordURL"]) == len(session.voicemails)
    for place in [first, *first["ServeParticipants"]]:
        assert place["RecordId"] or not place["RecordURL"]
    if not session.recordings:
        assert addresses(first) == first["VoicemailRecordURL"]


@given(sessions, st.lists(st.integers(0, 10_000), min_size=2, max_size=4), st.integers(0, 3))
def test_a_row_only_fills_up_as_time_goes_by(session, ages, seed):
    late = dict.fromkeys(("record_url_later", "custom_record_url_later", "remark_later", "asr"), 0.5)
    habits = Habits(seed=seed, rates=late, later_seconds=5_000)
    ended = latest_call(session).ended

    def filled(age: int) -> set[str]:
        row = tel_cdr(session, habits, now=float(ended + age))
        legs = {f"{place}.{name}" for place, leg in enumerate(row["ServeParticipants"]) for name in leg if leg[name]}
        return legs | {name for name, value in row.items() if value}

    readings = [filled(age) for age in sorted(ages)]

    for earlier, later in pairwise(readings):
        assert earlier <= later
    assert filled(5_000) == {*filled(10**6)}


@given(sessions)
def test_a_corrected_call_is_told_as_it_was_until_later(session):
    habits = Habits(rates={"stale": 1.0}, later_seconds=100)
    now = float(latest_call(session).ended)

    assert habits.told_call(session, now=now) == session.calls[0]
    assert habits.told_call(session, now=now + 100) == session.calls[-1]


@given(sessions)
def test_a_protected_row_has_no_number(session):
    row = protected_tel_cdr(row_of(session))

    assert row["Caller"] == row["Callee"] == ""
    numbers = {latest_call(session).caller, latest_call(session).callee} - {""}
    assert not numbers & {row["ProtectedCaller"], row["ProtectedCallee"]}


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_unknown_fields_come_by_fault_only(rate):
    session = make_sessions(seed=1, count=1, now=NOW)[0]

    assert (UNKNOWN_FIELDS.keys() <= row_of(session, unknown_fields=rate).keys()) == bool(rate)
