"""Restoring from records of `tccc.sessions`: where in a record its state is found, and what is no record."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas import jsontext
from schemas.canonical import canonical, digest
from schemas.events import WIRE_MODELS, EventKind, NormalizedEvent, Source
from streams.core.absorb import absorb, unite
from streams.core.fold import NotASessionRecordError, fold, restore
from streams.core.state import EMPTY, REPORTS_MAX, SessionState, state_from_json, state_to_json
from tests.support.events import APP, KEY, SESSION

AT = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)


def an_event(number: int = 0, **fields: Any) -> NormalizedEvent:
    given = {"SdkAppId": APP, "SessionId": SESSION, "Uui": f"report {number}", **fields}
    payload = canonical(WIRE_MODELS[EventKind.CDR], given)
    return NormalizedEvent(
        kind=EventKind.CDR,
        sdk_app_id=APP,
        session_id=SESSION,
        payload=payload,
        digest=digest(EventKind.CDR, Source.PUSH, None, payload),
        push_id=f"p{number}",
        received_at=AT,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"New": {"a": 1, "state": {"reports": {}}, "version": "1"}},
        {"New": [{"a": 1, "state": {"schema_version": 1, "reports": {}}}], "version": "9"},
        {"New": ',"state":{"reports":{}},"version":"1"}'},
        {"state": {"reports": {}}, "version": "1"},
    ],
)
def test_the_state_is_found_whatever_words_a_payload_holds(fields: dict[str, Any]) -> None:
    folded = fold(KEY, None, [an_event(**fields)])
    assert folded.record is not None
    assert folded.stored == jsontext.encode(jsontext.decode(folded.record)["state"])
    assert restore(None, folded.record).stored == folded.stored


def test_a_record_that_another_hand_wrote_is_read_whole() -> None:
    record = fold(KEY, None, [an_event()]).record
    assert record is not None
    written = jsontext.decode(record)
    state = written.pop("state")
    spaced = b'{"state": %b, "session": {"x": 1, "state": 2, "version": "3"}}' % jsontext.encode(state)
    assert restore(None, spaced).stored == jsontext.encode(state)


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"session":{"a":1,"state":{"reports":{},"schema_version":1},"version":"1"}}',
        b'{"a":1,"state":{"reports":{},"schema_version":2},"version":"1"}',
        b'{"a":1,"state":{"reports":{"d":{"kind":"fax"}},"schema_version":1},"version":"1"}',
    ],
)
def test_what_holds_no_state_is_no_session_record(value: bytes) -> None:
    with pytest.raises(NotASessionRecordError):
        restore(None, value)


def test_a_state_that_stands_in_the_document_is_not_the_records() -> None:
    stored = fold(KEY, None, [an_event()]).stored
    assert stored is not None
    with pytest.raises(NotASessionRecordError):
        restore(None, b'{"session":{"a":1,"state":%b,"version":"1"}}' % stored)


def test_a_record_that_is_erased_in_part_is_erased_when_it_takes_the_place_of_what_is_stored() -> None:
    erasing = an_event(9, CallweaveErased="removed")
    mine = fold(KEY, None, [an_event()])
    assert mine.stored is not None
    held = state_from_json(jsontext.decode(mine.stored))
    mixed = absorb(held, erasing).state  # as a worker that knows nothing of erasing would have left it
    record = b'{"schema_version":1,"session":{},"state":%b,"version":"1"}' % jsontext.encode(state_to_json(mixed))

    restored = restore(mine.stored, record)

    assert b"report 0" not in restored.stored
    assert restored.says_more


def test_a_record_over_the_bounds_is_united_and_bounded_and_does_not_just_win() -> None:
    mine = fold(KEY, None, [an_event()])
    assert mine.stored is not None
    held = state_from_json(jsontext.decode(mine.stored))
    (report,) = held.reports.values()
    many = SessionState({**held.reports, **{f"{number:032x}": report for number in range(REPORTS_MAX)}})
    record = b'{"schema_version":1,"session":{},"state":%b,"version":"1"}' % jsontext.encode(state_to_json(many))

    restored = restore(mine.stored, record)

    assert restored.stored == jsontext.encode(state_to_json(unite(held, many)))
    assert len(unite(held, many).reports) == REPORTS_MAX
    assert restored.says_more
    assert len(unite(EMPTY, many).reports) == REPORTS_MAX
