"""The history of a session is a function of what is known of it: its laws, for any history of reports."""

from functools import reduce

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import NormalizedEvent
from schemas.history import SessionVersion
from streams.core.absorb import absorb
from streams.core.history import list_versions
from streams.core.project import project_public
from streams.core.state import EMPTY, RECEIPTS_KEPT_MAX, SessionState
from tests.property.strategies import histories
from tests.support.events import APP, SESSION, an_event


def folded(history: list[NormalizedEvent]) -> SessionState:
    return reduce(lambda state, event: absorb(state, event).state, history, EMPTY)


def versions(*history: NormalizedEvent) -> list[SessionVersion]:
    rows = list_versions(APP, SESSION, folded(list(history)))
    return [SessionVersion.model_validate(row, strict=False) for row in rows]


@settings(max_examples=20)
@given(histories, st.randoms())
def test_order_and_repetition_do_not_change_the_history(history, random):
    again = [*history, *history]
    random.shuffle(again)

    assert versions(*again) == versions(*history)


@settings(max_examples=20)
@given(histories)
def test_versions_grow_and_the_last_is_the_sessions(history):
    found = [row.version for row in versions(*history)]

    assert found == sorted(set(found))
    assert str(found[-1]) == project_public(APP, SESSION, folded(history))["version"]


@settings(max_examples=20)
@given(histories)
def test_what_each_version_says_follows_from_the_receipts_up_to_it_alone(history):
    in_order = sorted(history, key=lambda event: event.received_at)
    for count in range(1, len(in_order)):
        if in_order[count - 1].received_at == in_order[count].received_at:
            continue
        earlier, all_of_them = versions(*in_order[:count]), versions(*in_order)
        assert all_of_them[: len(earlier)] == earlier


def test_a_version_tells_its_report_and_what_it_changed():
    record, cdr, retry = versions(
        an_event("record", {"RecordId": "r-1", "EndpointUser": "13900000001"}, at=0, push_id="a"),
        an_event("cdr", {"Direction": 0, "Caller": "13900000001", "RecordId": "r-1"}, at=10, push_id="b"),
        an_event("cdr", {"Direction": 0, "Caller": "13900000001", "RecordId": "r-1"}, at=20, push_id="c"),
    )

    assert (record.report_kind, record.push_id, record.is_repeat) == ("record", "a", False)
    assert record.changed["recordings_received"] == {"from": None, "to": 1}
    assert record.changed["recordings.endpoint_user"] == {}
    assert (cdr.report_kind, cdr.report_source, cdr.push_id) == ("cdr", "push", "b")
    assert cdr.changed["has_cdr"] == {"from": False, "to": True}
    assert cdr.changed["caller"] == {}, "a phone number is named as changed, and not kept"
    assert cdr.changed["recordings.is_expected"] == {}
    assert "recordings.url" not in cdr.changed
    assert "version" not in cdr.changed
    assert (retry.is_repeat, retry.changed, retry.report_digest) == (True, None, cdr.report_digest)


def test_no_phone_number_is_in_a_history():
    found = versions(
        an_event("cdr", {"Caller": "13900000001", "Callee": "13900000002", "UserRemark": "call 13900000003"}),
        an_event("record", {"RecordId": "r", "EndpointUser": "13900000001"}, at=5),
        an_event("cdr", {"Direction": 1, "Caller": "13900000001", "Callee": "13900000002"}, at=10),
        an_event("cdr", {"Direction": 0, "Caller": "13900000001", "Callee": "13900000002"}, at=15),
    )

    assert "139000" not in repr(found)


def test_of_many_retries_the_last_one_is_known_without_its_id():
    pushes = [an_event("cdr", {"Caller": "1"}, at=at, push_id=str(at)) for at in range(RECEIPTS_KEPT_MAX + 5)]
    found = versions(*pushes)

    assert len(found) == RECEIPTS_KEPT_MAX + 1
    assert (found[-1].push_id, found[-1].received_at) == (None, pushes[-1].received_at)


def test_retries_of_two_reports_at_one_moment_are_one_version():
    late = RECEIPTS_KEPT_MAX + 5
    reports = [("cdr", {"Caller": "1"}), ("cdr", {"Caller": "2"})]
    found = versions(
        *(an_event(*report, at=at, push_id=str(at)) for report in reports for at in (*range(RECEIPTS_KEPT_MAX), late))
    )

    assert [row.push_id for row in found].count(None) == 1
