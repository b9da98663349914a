"""The laws of the state and the document (architecture.md laws 2 to 6), each for any history of one session."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from schemas import jsontext
from schemas.canonical import canonical, digest
from schemas.events import WIRE_MODELS, ApiFact, EventKind, NormalizedEvent, Source
from schemas.models import instant_of_ms, instant_text, instant_text_of_ms
from schemas.session import SessionDocument
from streams.core.absorb import Outcome, absorb, unite
from streams.core.fold import fold, restore
from streams.core.project import project, project_public
from streams.core.state import EMPTY, SessionState, state_from_json, state_to_json
from tests.property.strategies import cdr_payloads, events, histories, maybe_empty
from tests.support.events import APP, KEY, SESSION


def folded(history: list[NormalizedEvent]) -> SessionState:
    return reduce(lambda state, event: absorb(state, event).state, history, EMPTY)


def document(state: SessionState) -> SessionDocument:
    return project(APP, SESSION, state)


@given(histories)
def test_what_is_published_is_the_document_that_the_model_describes(history):
    published = project_public(APP, SESSION, folded(history))

    assert published == SessionDocument.of_public(published).public()


@given(events())
def test_an_event_is_written_as_its_model_describes_it(event):
    assert jsontext.decode(event.encoded()) == jsontext.decode(jsontext.encode(event.model_dump(mode="json")))


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_reads_the_same_from_milliseconds_and_from_a_datetime(milliseconds):
    assert instant_text_of_ms(milliseconds) == instant_text(instant_of_ms(milliseconds))


@given(histories, st.randoms())
def test_order_is_irrelevant(history, random):
    shuffled = list(history)
    random.shuffle(shuffled)

    assert folded(history) == folded(shuffled)
    assert document(folded(history)) == document(folded(shuffled))


@given(histories, st.data())
def test_absorbing_twice_equals_absorbing_once(history, data):
    again = data.draw(st.lists(st.sampled_from(history), max_size=6))

    assert folded(history) == folded([*history, *again])


@given(histories, st.data())
def test_any_split_over_workers_unites_to_the_whole(history, data):
    side = data.draw(st.lists(st.booleans(), min_size=len(history), max_size=len(history)))
    one = folded([event for event, left in zip(history, side, strict=True) if left])
    other = folded([event for event, left in zip(history, side, strict=True) if not left])

    assert folded(history) == unite(one, other) == unite(other, one)


@given(histories, events())
def test_the_version_grows_with_every_report_and_every_receipt(history, event):
    before = folded(history)
    absorbed = absorb(before, event)

    if absorbed.outcome is Outcome.REPEATED:
        assert document(absorbed.state) == document(before)
    else:
        assert document(absorbed.state).version > document(before).version


@given(histories)
def test_one_version_is_one_document_along_every_history(history):
    seen: dict[int, SessionDocument] = {}
    for count in range(1, len(history) + 1):
        row = document(folded(history[:count]))
        assert seen.setdefault(row.version, row) == row


@given(histories, st.data())
def test_a_retry_moves_the_version_and_the_last_receipt_and_nothing_else(history, data):
    event = data.draw(st.sampled_from(history))
    later = max(e.received_at for e in history)
    retry = event.model_copy(update={"received_at": later.replace(year=later.year + 1), "push_id": "p1"})
    before, after = document(folded(history)), document(folded([*history, retry]))

    assert after.version > before.version
    assert after.last_received_at > before.last_received_at
    unmoved = {"version": 0, "last_received_at": before.last_received_at}
    assert before.model_copy(update=unmoved) == after.model_copy(update=unmoved)


@given(histories)
def test_the_state_survives_its_json(history):
    state = folded(history)

    assert state_from_json(jsontext.decode(jsontext.encode(state_to_json(state)))) == state


@given(histories)
def test_the_document_is_valid_json_of_its_own_model(history):
    row = document(folded(history))
    public = jsontext.decode(jsontext.encode(row.public()))

    assert SessionDocument.model_validate({**public, "version": int(public["version"])}, strict=False) == row
    assert 0 < row.version < 2**63


@given(histories, histories)
def test_restoring_absorbs_and_says_when_the_topic_says_less(mine, theirs):
    record = fold(KEY, None, theirs).record
    stored = fold(KEY, None, mine).stored
    assert record is not None
    restored = restore(stored, record)

    assert state_from_json(jsontext.decode(restored.stored)) == folded([*mine, *theirs])
    assert restored.says_more == (folded([*mine, *theirs]) != folded(theirs))


@given(histories, st.data())
def test_a_record_that_knows_all_that_is_stored_takes_its_place(history, data):
    count = data.draw(st.integers(1, len(history)))
    earlier, now = fold(KEY, None, history[:count]), fold(KEY, None, history)
    assert earlier.stored is not None
    assert now.record is not None

    restored = restore(earlier.stored, now.record)

    assert (restored.stored, restored.says_more) == (now.stored, False)


@given(histories)
def test_every_recording_stands_in_exactly_one_row(history):
    row = document(folded(history))
    ids = [recording.recording_id for recording in row.recordings]
    pushed = {e.digest for e in history if e.kind is EventKind.RECORD and e.source is Source.PUSH}
    named = {leg.recording_id for leg in row.legs if leg.recording_id is not None}

    assert len(ids) == len(set(ids))
    assert named <= {recording.recording_id for recording in row.recordings if recording.is_expected}
    assert bool(pushed) <= any(recording.received_at is not None for recording in row.recordings)
    # One-to-one: never more rows than things that came and names together.
    facts = sum(e.fact is ApiFact.PRESENT and e.kind is EventKind.RECORD for e in history)
    assert len(ids) <= len(pushed) + facts + len(named) + 1


@given(histories)
def test_what_is_missing_is_what_was_named_and_is_not_here(history):
    row = document(folded(history))

    assert row.recordings_missing == sum(
        r.is_expected and r.received_at is None and r.absent_at is None for r in row.recordings
    )
    assert row.recordings_received == sum(r.received_at is not None for r in row.recordings)
    assert row.recordings_expected == sum(r.is_expected for r in row.recordings)


@given(histories, events())
def test_a_filled_column_is_never_emptied_by_a_report_of_another_kind(history, event):
    before, after = document(folded(history)), document(folded([*history, event]))

    if event.kind is not EventKind.CDR:
        assert (before.legs, before.caller, before.agent_mail, before.extra) == (
            after.legs,
            after.caller,
            after.agent_mail,
            after.extra,
        )


@given(cdr_payloads, st.data())
def test_a_null_added_or_a_number_as_text_is_no_new_report(payload, data):
    model = WIRE_MODELS[EventKind.CDR]
    plain = canonical(model, payload)
    noisy = {**{f"Empty{i}": data.draw(maybe_empty) for i in range(3)}, **payload, "CallerLocation": ""}
    numbers = {"Direction", "CallType", "QueuedTimestamp", "AcceptTimestamp", "EndedTimestamp"}
    as_text = {key: str(value) if type(value) is int and key in numbers else value for key, value in noisy.items()}

    assert canonical(model, plain) == plain
    assert digest("cdr", "push", None, canonical(model, noisy)) == digest("cdr", "push", None, plain)
    assert canonical(model, as_text) == plain
