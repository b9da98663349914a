"""What `callweave session` tells of push and API, for people and for programs."""

from typing import Any

from callweave.session_report import SessionReport, _sides
from streams.core.absorb import absorb
from streams.core.project import project_public
from streams.core.state import EMPTY, state_to_json
from tests.support.events import APP, SESSION, an_event


def report_of(*told: tuple[str, dict[str, Any]]) -> SessionReport:
    """The report about a session of which these CDRs came: (source, payload)."""
    state = EMPTY
    for at, (source, payload) in enumerate(told):
        state = absorb(state, an_event("cdr", payload, source=source, push_id=f"p{at}", at=at)).state
    return SessionReport(APP, SESSION, project_public(APP, SESSION, state), {}, sides=_sides(state_to_json(state)))


def lines(*told: tuple[str, dict[str, Any]]) -> list[str]:
    return [line for line in report_of(*told).lines() if line.startswith("API")]


PUSHED = {"HungUpSide": "user", "EndStatusString": "ok", "UserRemark": "call back", "TelLocation": {"City": "x"}}


def test_what_the_api_says_stands_beside_what_was_pushed_where_they_differ():
    why = "people write it after the call, and the API knows it as Remark"
    told = {"HungUpSide": "seat", "EndStatusString": "ok", "UserRemark": "done", "EndStatus": 1}

    assert lines(("push", PUSHED), ("api", told)) == [
        "API: HungUpSide was pushed as 'user', and the API says 'seat'",
        f"API: UserRemark was pushed as 'call back', and the API says 'done' (no disagreement: {why})",
        "API: only the push fills TelLocation",
        "API: only the API fills EndStatus",
    ]
    document = report_of(("push", PUSHED), ("api", told)).as_json()
    assert document["push_and_api"]["only_api"] == ["EndStatus"]
    assert [row["field"] for row in document["published"]["field_disagreements"]] == ["HungUpSide"]


def test_an_api_that_agrees_is_said_to():
    assert lines(("push", PUSHED), ("api", PUSHED)) == ["API: says what was pushed"]


def test_a_session_that_only_one_of_them_knows_says_so():
    assert lines(("push", PUSHED)) == ["API: the API was not asked, or does not know it (--ask-api asks)"]
    assert lines(("api", PUSHED)) == ["API: never pushed, all of it is the API's"]
