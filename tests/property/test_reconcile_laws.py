"""What holds for anything that TCCC's API says: law 4 with API rows and facts, and no address ever goes further."""

from datetime import timedelta
from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.reconcile.rows import row_events
from schemas.canonical import canonical
from schemas.events import ApiFact, EventKind, NormalizedEvent, decode_event
from schemas.models import instant_of_ms
from schemas.session import SessionDocument
from schemas.wire import CdrPush
from streams.core.absorb import absorb
from streams.core.project import project
from streams.core.state import EMPTY
from tests.property.strategies import cdr_payloads, histories, maybe_empty
from tests.support.events import APP, SESSION, START_MS, an_event
from tests.support.pushes import a_cdr

DAY = timedelta(hours=24)
MOVES_WITH_A_RECEIPT = {"version", "last_received_at"}
COLUMNS_OF_A_CDR = set(SessionDocument.model_fields) - {
    "version", "first_received_at", "last_received_at", "source", "extra", "recordings", "voicemails", "legs",
    "recordings_received", "recordings_missing", "recordings_expected", "voicemail_count", "schema_version",
    "field_disagreements",
}  # fmt: skip
TOKEN = "d3adb33f"

moments = st.integers(0, 12)
addresses = st.sampled_from(
    [f"https://tccc.example.com/getRecord/{TOKEN}/a.mp3", f"cos://bucket/{TOKEN}", f" HTTP://x/{TOKEN}?sign=1 "]
)
hidden = (
    addresses
    | st.lists(addresses, max_size=2)
    | st.fixed_dictionaries({"a": addresses, "b": st.lists(addresses, max_size=1)})
)
ADDRESS_NAMES = [
    "RecordURL",
    "CustomRecordURL",
    "AsrUrl",
    "VoicemailRecordURL",
    "VoicemailAsrURL",
    "PlayUrls",
    "Tomorrow",
    "Labels",
]


def said(row: Any, *, at: int = 0, absent_after: timedelta = DAY) -> list[NormalizedEvent]:
    """The events of one row, asked for at a moment of the test's time."""
    asked_at = instant_of_ms(START_MS + at)
    events = row_events(row, sdk_app_id=APP, asked_at=asked_at, absent_after=absent_after).events
    for event in events:
        assert decode_event(event.key, event.encoded()) == event
    return list(events)


def a_row(payload: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A push as the API would tell it."""
    renamed = {"UserRemark": "Remark", "Uui": "UUI", "StartTimestamp": "Time"}
    row = {renamed.get(name, name): value for name, value in payload.items()}
    return {**row, "SessionId": SESSION, **changes}


def document(history: list[NormalizedEvent]) -> SessionDocument:
    return project(APP, SESSION, reduce(lambda state, event: absorb(state, event).state, history, EMPTY))


def shuffled(random: Any, *parts: list[NormalizedEvent]) -> list[NormalizedEvent]:
    whole = [event for part in parts for event in part]
    random.shuffle(whole)
    return whole


def without_receipts(row: SessionDocument) -> dict[str, Any]:
    return row.model_dump(exclude=MOVES_WITH_A_RECEIPT)


@given(histories, cdr_payloads, st.integers(13, 99), st.randoms())
def test_asking_again_changes_nothing_but_receipts(history, payload, later, random):
    first, again = said(a_row(payload)), said(a_row(payload), at=later)

    assert [event.digest for event in first] == [event.digest for event in again]
    assert without_receipts(document(shuffled(random, history, first))) == without_receipts(
        document(shuffled(random, history, first, again))
    )


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(ADDRESS_NAMES, hidden)), addresses)
def test_no_address_goes_further_and_a_new_token_is_no_new_report(everywhere, address):
    leg = {"Sequence": 0, "RecordId": "rec-1", **everywhere, "RecordURL": address}
    row = {**a_row(a_cdr()), "SeatUser": {"Mail": "ann@example.com", **everywhere}, "ServeParticipants": [leg]}
    events = said({**row, **everywhere})

    assert not any(TOKEN.encode() in event.encoded() for event in events)
    assert [event.digest for event in events] == [
        event.digest for event in said(_with_another_token({**row, **everywhere}))
    ]
    assert (EventKind.RECORD, ApiFact.PRESENT) in {(event.kind, event.fact) for event in events}


@given(st.sampled_from(["RecordURL", "CustomRecordURL", "AsrUrl", "VoicemailAsrURL", "PlayUrls", "Uri"]))
def test_what_is_named_an_address_is_one_whatever_it_looks_like(name):
    row = a_row(a_cdr(), **{name: f"/getRecord/{TOKEN}", "ServeParticipants": [{"Mail": "a@b.c", name: TOKEN}]})

    assert not any(TOKEN.encode() in event.encoded() for event in said(row))


@given(addresses)
def test_an_address_that_the_customers_own_systems_wrote_is_theirs_to_keep(address):
    (event, *_) = said(a_row({"Uui": address, "UserRemark": address}))

    assert (event.payload["Uui"], event.payload["UserRemark"]) == (address, address)


def _with_another_token(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(TOKEN, "f00dcafe")
    if isinstance(value, dict):
        return {name: _with_another_token(item) for name, item in value.items()}
    return [_with_another_token(item) for item in value] if isinstance(value, list) else value


@given(cdr_payloads, st.data(), moments, moments, st.randoms())
def test_an_emptier_answer_never_blanks_a_filled_field(payload, data, pushed_at, asked_at, random):
    push = [an_event("cdr", payload, at=pushed_at)]
    blanks = {
        name: data.draw(maybe_empty) for name in data.draw(st.sets(st.sampled_from(sorted({*payload, "Caller"}))))
    }
    emptier = said(a_row({**payload, **blanks}), at=asked_at)
    before, after = document(push), document(shuffled(random, push, emptier))

    assert {name for name in COLUMNS_OF_A_CDR if getattr(before, name) is not None} == {
        name for name in COLUMNS_OF_A_CDR if getattr(after, name) is not None
    }
    assert len(after.legs) == len(before.legs)


@given(cdr_payloads, cdr_payloads, moments, st.integers(1, 9), st.randoms())
def test_an_old_answer_never_overwrites_newer_knowledge(old, new, asked_at, later, random):
    answer = said(a_row(old), at=asked_at)
    push = [an_event("cdr", new, at=asked_at + later)]
    alone, both = document(push), document(shuffled(random, answer, push, answer))
    plain = {"caller", "callee", "direction", "call_type", "queued_at", "answered_at", "ended_at", "user_remark"}

    for name in plain:
        assert getattr(alone, name) is None or getattr(both, name) == getattr(alone, name)


@given(st.sampled_from(["present", "push"]), moments, moments, st.randoms())
def test_a_recording_that_is_here_is_never_absent_whatever_came_first(how, absent_at, here_at, random):
    cdr = a_cdr(SdkAppId=APP, SessionId=SESSION, RecordId="rec-1", ServeParticipants=[], EndedTimestamp=1_699_999_000)
    absent = said(a_row(cdr), at=absent_at, absent_after=timedelta(0))
    here = (
        [an_event("record", {"RecordId": "rec-1", "RecordURL": "http://a/x.mp3"}, at=here_at)]
        if how == "push"
        else said(a_row(cdr, RecordURL="https://x/y"), at=here_at)
    )
    (alone,), (row,) = document(absent).recordings, document(shuffled(random, absent, here)).recordings

    assert alone.absent_at == instant_of_ms(START_MS + absent_at)
    assert alone.received_at is None
    assert row.received_at == instant_of_ms(START_MS + here_at)
    assert row.absent_at is None
    assert row.url == ("http://a/x.mp3" if how == "push" else None)


@given(moments, moments, st.randoms())
def test_what_the_api_knows_by_name_is_not_counted_beside_what_was_pushed_under_another_id(asked_at, at, random):
    mail, number = "ann@example.com", "008613900000001"
    cdr = {
        "Direction": 0, "Caller": number, "RecordId": "rec-0", "EndedTimestamp": 1_700_000_000,
        "ServeParticipants": [{"Sequence": 0, "Mail": mail, "RecordId": "rec-1", "EndedTimestamp": 1_700_000_000}],
    }  # fmt: skip
    known = a_row(cdr, RecordURL="https://x/0")
    known["ServeParticipants"] = [{**cdr["ServeParticipants"][0], "RecordURL": "https://x/1"}]
    pushes = [an_event("record", {"RecordId": "1700000000", "EndpointUser": who}, at=at) for who in (mail, number)]
    row = document(shuffled(random, [an_event("cdr", cdr)], pushes, said(known, at=asked_at)))

    assert (row.recordings_expected, row.recordings_received, row.recordings_missing) == (2, 2, 0)
    assert {(r.recording_id, r.pushed_recording_id, r.source) for r in row.recordings} == {
        ("rec-0", "1700000000", "push+api"),
        ("rec-1", "1700000000", "push+api"),
    }


@given(st.integers(0, 4), st.integers(0, 4), st.randoms())
def test_voicemails_are_as_many_as_are_known_from_either_side(listed, pushed, random):
    row = {"SessionId": SESSION, "VoicemailRecordURL": [f"https://x/{number}" for number in range(listed)]}
    pushes = [an_event("voicemail", {"Timestamp": 1_700_000_000 + number}) for number in range(pushed)]
    session = document(shuffled(random, pushes, said(row)))

    assert session.voicemail_count == max(listed, pushed)
    assert sum(mail.source == "api" for mail in session.voicemails) == max(0, listed - pushed)


@given(st.none() | st.integers() | st.text(max_size=5) | st.dictionaries(st.text(max_size=5), hidden | maybe_empty))
def test_a_row_that_is_useless_is_a_letter_and_never_an_exception(row):
    useless = row_events(row, sdk_app_id=APP, asked_at=instant_of_ms(START_MS), absent_after=DAY)

    assert useless.events == ()
    assert len(useless.letters) == 1
    assert TOKEN.encode() not in useless.letters[0].raw


@given(cdr_payloads)
def test_a_row_says_what_the_push_says(payload):
    (event, *_) = said(a_row(payload))
    whole = canonical(CdrPush, {"SdkAppId": APP, "SessionId": SESSION, **payload})

    assert event.payload == whole
