"""What counts as a disagreement between a push and the API, and what does not."""

from typing import Any

import pytest

from callweave.simulator.facts import Call
from schemas.session import FieldDisagreement
from streams.core.absorb import absorb
from streams.core.disagreements import DISAGREEMENTS_MAX, TEXT_MAX
from streams.core.project import project
from streams.core.state import EMPTY
from tests.support.events import APP, SESSION, START_MS, an_event
from tests.support.pushes import a_cdr
from tests.unit.test_api_truth import CONTENT_FAULTS, LOST, Run

LEG = {"Sequence": 0, "Mail": "ann@office.example.com", "EndStatusString": "ok"}
ANN = {"UserId": "ann", "Mail": "ann@office.example.com", "Name": "Ann", "SkillGroupNameList": ["sales"]}


def disagreements(pushed: dict[str, Any], told: dict[str, Any], *, at: int = 1_000) -> list[FieldDisagreement]:
    """Of a session of which this was pushed at the beginning, and then told by the API."""
    state = absorb(EMPTY, an_event("cdr", pushed)).state
    state = absorb(state, an_event("cdr", told, source="api", push_id="api", at=at)).state
    return project(APP, SESSION, state).field_disagreements


def fields_of(pushed: dict[str, Any], told: dict[str, Any]) -> list[str]:
    return [row.field for row in disagreements(pushed, told)]


def test_a_disagreement_tells_both_values_and_when_each_was_learnt():
    (row,) = disagreements({"EndedTimestamp": 1_700_000_000}, {"EndedTimestamp": 1_700_000_007})

    assert (row.field, row.pushed_value, row.api_value) == (
        "EndedTimestamp",
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:27.000Z",
    )
    assert (row.pushed_at.timestamp() * 1000, row.api_asked_at.timestamp() * 1000) == (START_MS, START_MS + 1_000)


@pytest.mark.parametrize(
    ("pushed", "told"),
    [
        pytest.param({"HungUpSide": "user"}, {"HungUpSide": ""}, id="one that is empty"),
        pytest.param({"TelLocation": {"City": "x"}}, {"EndStatus": 1}, id="ones that only one side has"),
        pytest.param({"UserRemark": "a"}, {"UserRemark": "b"}, id="a remark, written later"),
        pytest.param({"Direction": "1"}, {"Direction": 1}, id="a number as text, in a field we know"),
        pytest.param({"Score": "7"}, {"Score": 7.0}, id="a number as text, in a field we do not know"),
        pytest.param({"EndedTimestamp": 1_700_000_000}, {"EndedTimestamp": 1_700_000_000_250}, id="milliseconds"),
        pytest.param({"Caller": "008613900000001"}, {"Caller": "+86 139 0000 0001"}, id="spellings of a number"),
        pytest.param({"SeatUser": ANN}, {"SeatUser": {**ANN, "Mail": "ANN@office.example.com"}}, id="case of a mail"),
        pytest.param({"SeatUser": ANN}, {"SeatUser": {**ANN, "SkillGroupNameList": ["billing"]}}, id="groups of today"),
        pytest.param({"SeatUser": ANN}, {"SeatUser": {**ANN, "Role": 3}}, id="what the API adds to an agent"),
        pytest.param(
            {"PostIVRKeyPressed": [{"key": "1", "label": "good"}]},
            {"PostIVRKeyPressed": [{"Key": "1", "Label": "good", "Timestamp": 1_700_000_000_000, "NodeLabel": "n"}]},
            id="key presses told at greater length",
        ),
        pytest.param({"ServeParticipants": [LEG]}, {"ServeParticipants": None}, id="legs that only one side has"),
    ],
)
def test_this_is_no_disagreement(pushed, told):
    assert fields_of(pushed, told) == []
    assert fields_of(told, pushed) == []


@pytest.mark.parametrize(
    ("pushed", "told", "fields"),
    [
        ({"EndStatusString": "ok"}, {"EndStatusString": "Ok"}, ["EndStatusString"]),
        ({"Caller": "008613900000001"}, {"Caller": "008613900000002"}, ["Caller"]),
        ({"Tomorrow": {"a": 1, "b": 2}}, {"Tomorrow": {"a": 2}}, ["Tomorrow"]),
        ({"EndedTimestamp": "soon"}, {"EndedTimestamp": 1_700_000_000}, ["EndedTimestamp"]),
        ({"IVRKeyPressed": ["1", "2"]}, {"IVRKeyPressed": ["1"]}, ["IVRKeyPressed"]),
        ({"SeatUser": ANN}, {"SeatUser": {**ANN, "Name": "Anna"}}, ["SeatUser.Name"]),
        ({"SeatUser": ANN}, {"SeatUser": {"UserId": "bob", "Name": "Bob"}}, ["SeatUser"]),
        (
            {"ServeParticipants": [LEG, {**LEG, "Sequence": 1}]},
            {"ServeParticipants": [{**LEG, "EndStatusString": "seatGiveUp"}]},
            ["ServeParticipants", "ServeParticipants[0].EndStatusString"],
        ),
        ({"Flag": True}, {"Flag": 1}, ["Flag"]),
    ],
)
def test_this_is_a_disagreement(pushed, told, fields):
    assert fields_of(pushed, told) == fields
    assert fields_of(told, pushed) == fields


def test_each_side_says_what_it_says_now():
    events = [
        an_event("cdr", {"HungUpSide": "user"}, at=0),
        an_event("cdr", {"HungUpSide": "seat"}, at=5),
        an_event("cdr", {"HungUpSide": "user"}, source="api", push_id="a", at=3),
        an_event("cdr", {"HungUpSide": "seat", "EndStatus": 1}, source="api", push_id="b", at=9),
    ]
    state = EMPTY
    found = []
    for event in events:
        state = absorb(state, event).state
        found.append([row.field for row in project(APP, SESSION, state).field_disagreements])

    assert found == [[], [], ["HungUpSide"], []]


def test_however_much_disagrees_the_document_stays_small():
    pushed = {f"New{number:04}": "a" * 5_000 for number in range(DISAGREEMENTS_MAX + 50)}
    rows = disagreements(pushed, {name: "b" + value for name, value in pushed.items()})

    assert [row.field for row in rows] == sorted(pushed)[:DISAGREEMENTS_MAX]
    assert {len(row.api_value) for row in rows} == {TEXT_MAX}


def test_the_example_of_the_guide_agrees_with_itself():
    assert fields_of(a_cdr(), a_cdr()) == []


@pytest.mark.parametrize("fault", ["", *(name for name in CONTENT_FAULTS if name != "bad_field")])
def test_no_habit_of_the_simulators_is_a_disagreement(fault):
    run = Run(40, 7, **LOST, **({fault: 1.0} if fault else {}))
    run.push()
    run.ask()
    documents = run.harness.tables()

    assert sum(document["source"] == "push+api" for document in documents) > 20
    assert [document["field_disagreements"] for document in documents if document["field_disagreements"]] == []


def test_a_correction_that_only_the_api_tells_is_a_disagreement_of_exactly_those_fields():
    run = Run(150, 9, lost="cdr:1", correction=1.0)
    run.push()
    run.ask()
    expected = {(one.sdk_app_id, one.session_id): corrected_fields(*one.calls) for one in run.sessions}

    found = {
        (document["sdk_app_id"], document["session_id"]): {
            row["field"].partition("[")[0] for row in document["field_disagreements"]
        }
        for document in run.harness.tables()
    }

    assert found == expected
    assert {field for fields in expected.values() for field in fields} >= {"HungUpSide", "RecordId", "SeatUser"}


def corrected_fields(first: Call, second: Call) -> set[str]:
    """What the second telling of a call says differently, by TCCC's names; the remark does not count."""
    names = {
        "ended": "EndedTimestamp", "duration": "Duration", "hung_up_by": "HungUpSide", "record_id": "RecordId",
        "seat_user": "SeatUser", "legs": "ServeParticipants",
    }  # fmt: skip
    pairs = {field: (getattr(first, name), getattr(second, name)) for name, field in names.items()}
    return {field for field, (one, other) in pairs.items() if one != other and one and other}
