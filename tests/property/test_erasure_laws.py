"""The laws of erasing: any spelling of a number, in any field of any report, and nothing of it is left in any row."""

import json
from functools import reduce
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.normalize import ReceivedPush, normalize
from schemas import jsontext
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.events import NormalizedEvent
from schemas.models import instant_of_ms
from schemas.person import PersonKey, number_identity
from schemas.suppression import (
    NOBODY,
    Erasure,
    SuppressionRecord,
    Suppressions,
    erasing_payload,
    erasure_in,
)
from streams.core.absorb import absorb, unite
from streams.core.erase import erased
from streams.core.fold import fold, restore
from streams.core.project import project_public
from streams.core.state import EMPTY, SessionState, state_from_json
from tests.property.strategies import histories
from tests.support.events import APP, KEY, SESSION, an_event

SECRET = PersonKey(b"k" * 32)
NUMBER = "13800138000"
OTHERS = ("13800138001", "13900000001", "02155500100", "4001234567")


def listing(*numbers: str, erasure: Erasure = Erasure.PSEUDONYMISED, sessions: tuple[bytes, ...] = ()) -> Suppressions:
    identities = [number_identity(number) for number in numbers]
    people = [
        SuppressionRecord(
            kind="number",
            subject=SECRET.number(identity),
            digits_count=len(identity),
            erasure=erasure,
            key_id=SECRET.id,
            requested_at=instant_of_ms(0),
        )
        for identity in identities
        if identity is not None
    ]
    whole = [
        SuppressionRecord(
            kind="session",
            subject=key.decode(),
            erasure=erasure,
            key_id=SECRET.id,
            requested_at=instant_of_ms(0),
        )
        for key in sessions
    ]
    return Suppressions.of(SECRET, [*people, *whole])


@st.composite
def spellings(draw: st.DrawFn, number: str = NUMBER) -> str:
    """The ways in which people and switches write a number."""
    prefix = draw(st.sampled_from(["", "+86", "+86 ", "86", "0086", "0086-", "0", "(+86)", "+86-"]))
    cuts = draw(st.sampled_from([(), (3, 7), (3,), (1, 4, 7)]))
    between = draw(st.sampled_from(["-", " ", "", ".", " - "]))
    parts = [number[start:end] for start, end in zip((0, *cuts), (*cuts, len(number)), strict=True)]
    return prefix + between.join(parts)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A spelling, alone or inside of something."""
    spelled = draw(spellings())
    shape = draw(
        st.sampled_from(
            [
                "{}",
                " {} ",
                "call {} back",
                "tel:{};ext=2",
                "https://cos/{}.mp3?sign=1",
                "https://cos/20241124_{}_2.wav",
                '{{"phone":"{}"}}',
                "安{}安",
            ]
        )
    )
    return shape.format(spelled)


TEXT_FIELDS = {
    "cdr": ["Caller", "Callee", "Uui", "UserRemark", "CallerLocation", "EndStatusString", "QueuedSkillGroupName"],
    "record": ["EndpointUser", "RecordURL", "CustomRecordURL", "RecordId"],
    "voicemail": ["EndpointUser", "RecordURL"],
}


@st.composite
def mentions(draw: st.DrawFn) -> NormalizedEvent:
    """A report that names the person somewhere."""
    text = draw(texts())
    kind = draw(st.sampled_from(sorted(TEXT_FIELDS)))
    ways: list[dict[str, Any]] = [{field: text} for field in TEXT_FIELDS[kind]]
    ways += [{"Tomorrow": {"deep": [text, 1]}}, {"Tomorrow": {text: 1}}, {"Tomorrow": [int(NUMBER)]}]
    if kind == "cdr":
        ways += [
            {"ServeParticipants": [{"Sequence": 0, "Mail": "ann@example.com", name: text}]}
            for name in ("Phone", "TransferTo", "TransferFrom", "Tomorrow", "SkillGroupName")
        ]
        ways += [
            {"SeatUser": {"Mail": "ann@example.com", "Phone": text}},
            {"IVRKeyPressedEx": [{"Key": text, "Label": "x"}]},
            {"TelLocation": {"TelNumber": text}},
        ]
    fields = draw(st.sampled_from(ways))
    at, push_id = draw(st.integers(0, 12)), draw(st.sampled_from(["p8", "p9", "content:ab"]))
    payload = {"Direction": draw(st.sampled_from([0, 1, 2])), "StartTimestamp": 1_700_000_000, **fields}
    return an_event(kind, payload, at=at, push_id=push_id)


def says_it(value: object) -> bool:
    """An independent look for the number: the digits of the whole text, separators and all else taken out."""
    text = json.dumps(value, ensure_ascii=False)
    squeezed = "".join(character for character in text if character not in " ()-.+/")
    return NUMBER in squeezed


def folded(history: list[NormalizedEvent], suppressions: Suppressions) -> SessionState:
    state = EMPTY
    for event in history:
        absorbed = absorb(state, suppressions.event(event)).state
        state = erased(absorbed, suppressions) if absorbed is not state else state
    return state


@given(histories, mentions(), st.sampled_from(Erasure), st.randoms())
def test_nothing_of_the_number_is_left_in_any_state_or_row(history, mention, erasure, random):
    events = [*history, mention]
    random.shuffle(events)
    suppressions = listing(NUMBER, erasure=erasure)
    assert says_it([event.payload for event in events])

    state = folded(events, suppressions)
    document = project_public(APP, SESSION, state)

    assert document["erasure"] == erasure
    assert not says_it([report.payload for report in state.reports.values()])
    assert not says_it(document)


@settings(max_examples=40)
@given(histories, mentions(), st.sampled_from(Erasure))
def test_learning_of_it_late_gives_what_learning_of_it_early_gives(history, mention, erasure):
    events = [*history, mention]
    suppressions = listing(NUMBER, erasure=erasure, sessions=(KEY,))
    notice = an_event("cdr", erasing_payload(APP, SESSION, erasure), at=99, push_id="erase")

    early = folded([*events, notice], suppressions)
    late = reduce(lambda state, event: absorb(state, event).state, events, EMPTY)
    late = erased(absorb(late, suppressions.event(notice)).state, suppressions)

    assert late == early


@settings(max_examples=40)
@given(histories, mentions(), st.sampled_from(Erasure))
def test_what_came_again_after_erasing_changes_nothing_but_receipts(history, mention, erasure):
    events = [*history, mention]
    suppressions = listing(NUMBER, erasure=erasure, sessions=(KEY,))
    notice = an_event("cdr", erasing_payload(APP, SESSION, erasure), at=99, push_id="erase")
    state = folded([*events, notice], suppressions)

    assert folded([*events, notice, *events], suppressions) == state
    assert erased(state, suppressions) == state


@settings(max_examples=40)
@given(histories, st.data(), st.sampled_from(Erasure))
def test_erasing_a_union_equals_erasing_the_union_of_what_was_erased(history, data, erasure):
    suppressions = listing(NUMBER, erasure=erasure, sessions=(KEY,))
    notice = an_event("cdr", erasing_payload(APP, SESSION, erasure), at=99, push_id="erase")
    side = data.draw(st.lists(st.booleans(), min_size=len(history), max_size=len(history)))
    one = reduce(lambda s, e: absorb(s, e).state, [e for e, left in zip(history, side, strict=True) if left], EMPTY)
    other = reduce(
        lambda s, e: absorb(s, e).state, [e for e, left in zip(history, side, strict=True) if not left], EMPTY
    )
    other = absorb(other, notice).state

    assert erased(unite(one, erased(other, suppressions)), suppressions) == erased(unite(one, other), suppressions)


@settings(max_examples=40)
@given(histories, mentions(), st.sampled_from(Erasure))
def test_the_version_grows_when_a_session_is_erased_and_its_has_cdr_bit_stays(history, mention, erasure):
    events = [*history, mention]
    before = fold(KEY, None, events)
    suppressions = listing(NUMBER, erasure=erasure, sessions=(KEY,))
    notice = suppressions.event(an_event("cdr", erasing_payload(APP, SESSION, erasure), at=99, push_id="erase"))

    after = fold(KEY, before.stored, [notice], suppressions)

    version = int(jsontext.decode(before.record)["version"])
    assert int(jsontext.decode(after.record)["version"]) > version
    assert not says_it(jsontext.decode(after.record))


@settings(max_examples=40)
@given(histories, mentions(), st.sampled_from(Erasure))
def test_restoring_believes_no_older_record_of_an_erased_session(history, mention, erasure):
    before = fold(KEY, None, [*history, mention])
    suppressions = listing(NUMBER, erasure=erasure, sessions=(KEY,))
    notice = suppressions.event(an_event("cdr", erasing_payload(APP, SESSION, erasure), at=99, push_id="erase"))
    after = fold(KEY, before.stored, [notice], suppressions)

    for order in ((before, after), (after, before)):
        stored: bytes | None = None
        for record in order:
            stored = restore(stored, record.record, suppressions).stored
        assert state_from_json(jsontext.decode(stored)) == state_from_json(jsontext.decode(after.stored))


@given(histories)
@example([an_event("cdr", {"Caller": "13800138001", "Uui": "1380013800 0"}, at=1, push_id="p")])
def test_other_sessions_are_untouched(history):
    suppressions = listing("13700000000", "4155550100", "02199990000", sessions=(b"1400000001:other",))

    assert [suppressions.event(event) for event in history] == history
    for event in history:
        document = project_public(APP, SESSION, absorb(EMPTY, event).state)
        assert suppressions.document(document) is document


@settings(max_examples=10)
@given(histories)
def test_the_empty_list_gives_back_what_it_was_given(history):
    assert all(NOBODY.event(event) is event for event in history)


@given(mentions(), st.sampled_from(Erasure))
def test_nothing_of_the_number_is_left_in_a_document_that_the_fold_did_not_erase(mention, erasure):
    document = project_public(APP, SESSION, absorb(EMPTY, mention).state)

    left = listing(NUMBER, erasure=erasure).document(document)

    assert left["erasure"] == erasure
    assert erasure is Erasure.REMOVED or not says_it(dict(left))


@given(spellings())
def test_every_spelling_is_one_person(spelled):
    assert number_identity(spelled) == NUMBER or listing(NUMBER).said(spelled) != spelled


@given(mentions(), st.booleans(), st.booleans())
def test_a_dead_letter_that_names_the_person_keeps_nothing_of_the_person(mention, ascii_only, as_record):
    body: Any = {**mention.payload, "SdkAppId": APP}
    raw = json.dumps({"session": body} if as_record else body, ensure_ascii=ascii_only).encode()
    letter = DeadLetter.of(Stage.RECEIVE, Reason.UNKEYABLE, "no key", raw=raw, occurred_at=instant_of_ms(0))

    left = listing(NUMBER).letter(letter)

    assert left.raw == b""
    assert left.dead_letter_id != letter.dead_letter_id


def test_a_report_that_pushes_the_mark_is_not_believed():
    body = json.dumps({"SdkAppId": APP, "SessionId": SESSION, "CallweaveErased": "removed"}).encode()
    push = ReceivedPush.of(body, headers={}, action="cdr", received_at=instant_of_ms(0))

    event = normalize(push).event

    assert event is not None
    assert erasure_in(event.payload) is None
