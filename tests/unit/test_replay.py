"""What a replay would do about a letter: pure, from the letter and what its session holds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callweave.letters import (
    ADVICE,
    LetterFilter,
    SeenLetter,
    counts_by_reason,
    hex_lines,
    moment_of,
    text_of,
)
from callweave.replay import Deed, allowed, judge, plan
from callweave.settings import MisconfiguredError, Settings
from ingest.normalize import ReceivedPush, normalize
from ingest.reconcile.rows import row_events
from schemas.dead_letter import DeadLetter, Reason, ReplayOutcome, Stage, decode_letter
from schemas.events import NormalizedEvent
from streams.core.fold import fold
from streams.core.state import REPORTS_MAX
from tests.support.events import an_event
from tests.support.pushes import a_cdr, body_of, without
from tests.support.sessions import RECEIVED_AT, a_letter, a_session, session_record

PLACE = ("tccc.dead_letters", 0, 7)
LATER = RECEIVED_AT + timedelta(days=1)
LIMIT = 1024 * 1024


def seen(letter: DeadLetter, **changes: Any) -> SeenLetter:
    return replace(SeenLetter(letter, PLACE, 2, letter.occurred_at), **changes)


def written_by_the_door(body: bytes, *, headers: dict[str, str] | None = None, limit: int = LIMIT) -> DeadLetter:
    push = ReceivedPush.of(body, headers=headers or {}, action="cdr", received_at=RECEIVED_AT)
    (letter,) = normalize(push, body_bytes_max=limit).letters
    return letter


def written_by_the_worker(event: NormalizedEvent, raw: bytes, headers: dict[str, str]) -> DeadLetter:
    return DeadLetter.of(
        Stage.ABSORB,
        Reason.BOUND_EXCEEDED,
        "full",
        raw=raw,
        occurred_at=LATER,
        received_at=event.received_at,
        headers=headers,
        origin=("tccc.cdr", 3, 9),
    )


def the_event(body: bytes, **headers: str) -> NormalizedEvent:
    push = ReceivedPush.of(body, headers=headers, action="cdr", received_at=RECEIVED_AT)
    event = normalize(push).event
    assert event is not None
    return event


def test_a_letter_of_the_door_becomes_the_event_that_it_would_have_been() -> None:
    body = body_of(a_cdr())
    letter = DeadLetter.of(
        Stage.RECEIVE,
        Reason.UNDECODABLE,
        "an older callweave could not read it",
        raw=body,
        occurred_at=RECEIVED_AT,
        received_at=RECEIVED_AT,
        action="cdr",
        headers={"X-TCCC-PUSH-UUID": "p-1"},
    )
    found = plan(seen(letter), body_bytes_max=LIMIT)

    assert (found.deed, found.outcome) == (Deed.PUBLISH, ReplayOutcome.PUBLISHED)
    assert found.event == the_event(body, **{"X-TCCC-PUSH-UUID": "p-1"})


def test_a_letter_of_the_worker_becomes_the_very_receipt_that_it_refused() -> None:
    body = body_of(a_cdr())
    for headers in ({"X-TCCC-PUSH-UUID": "p-1"}, {}):
        event = the_event(body, **headers)
        letter = written_by_the_worker(event, body, {"X-TCCC-PUSH-UUID": event.push_id})

        assert plan(seen(letter), body_bytes_max=LIMIT).event == event


def test_an_event_of_the_api_has_no_body_and_is_published_as_it_stands_in_its_letter() -> None:
    event = an_event("cdr", {"Direction": 0}, source="api")
    letter = written_by_the_worker(event, event.encoded(), {})

    assert plan(seen(letter), body_bytes_max=LIMIT).event == event


def test_a_body_that_looks_like_an_event_is_a_push_where_the_door_wrote_the_letter() -> None:
    event = an_event("cdr", {"Direction": 0}, source="api")
    found = plan(seen(written_by_the_door(event.encoded())), body_bytes_max=LIMIT)

    assert (found.event, found.failed) == (None, True)


def test_what_is_still_useless_fails_again_and_says_why() -> None:
    letter = written_by_the_door(body_of(without(a_cdr(), "SessionId")))
    found = plan(seen(letter), body_bytes_max=LIMIT)

    assert (found.deed, found.failed) == (Deed.NOTHING, True)
    assert found.outcome_text == "FAILED_AGAIN: UNKEYABLE: no usable SessionId: it must be a filled text or a number"
    assert found.would().startswith("would fail again: UNKEYABLE")


def test_what_the_api_said_is_never_replayed_as_a_push() -> None:
    row = {"SessionId": "s-1", "StartTimestamp": "never"}
    said = row_events(row, sdk_app_id=1400000001, asked_at=RECEIVED_AT, absent_after=timedelta(hours=24))
    found = plan(seen(said.letters[0]), body_bytes_max=LIMIT)

    assert (found.event, found.failed) == (None, True)
    assert "`callweave reconcile --session` asks it again" in found.detail


def test_a_field_that_no_warehouse_holds_fails_again_beside_its_row() -> None:
    letter = written_by_the_door(body_of(a_cdr(StartTimestamp="never")))
    found = plan(seen(letter), body_bytes_max=LIMIT)

    assert letter.reason is Reason.SCHEMA_VIOLATION
    assert found.failed
    assert "its session has its row" in found.detail


def test_bytes_that_were_cut_cannot_be_replayed() -> None:
    letter = a_letter(b"{", raw_bytes_count=5_000_000)

    assert "only the first 1 of its 5000000 bytes" in plan(seen(letter), body_bytes_max=LIMIT).detail


def test_a_receipt_that_its_session_has_is_known_and_nothing_is_published() -> None:
    event = the_event(body_of(a_cdr()))
    letter = written_by_the_worker(event, body_of(a_cdr()), {"X-TCCC-PUSH-UUID": event.push_id})
    folded = fold(event.key, None, [event])
    assert folded.stored is not None
    (found,) = judge([plan(seen(letter), body_bytes_max=LIMIT)], {event.key: folded.stored})

    assert (found.deed, found.outcome, found.event) == (Deed.NOTHING, ReplayOutcome.KNOWN, None)


def test_a_session_without_room_is_told_before_anything_is_published() -> None:
    full = [an_event("cdr", {"UserRemark": str(number)}) for number in range(REPORTS_MAX)]
    stored = fold(full[0].key, None, full).stored
    assert stored is not None
    event = an_event("cdr", {"UserRemark": "one more"})
    letter = written_by_the_worker(event, event.encoded(), {})
    (found,) = judge([plan(seen(letter), body_bytes_max=LIMIT)], {event.key: stored})

    assert (found.deed, found.failed) == (Deed.NOTHING, True)
    assert "BOUND_EXCEEDED" in found.detail


def test_two_letters_of_one_receipt_are_judged_one_after_the_other() -> None:
    event = an_event("cdr", {"Direction": 0}, source="api")
    letters = [written_by_the_worker(event, event.encoded(), {}) for _ in range(2)]
    found = judge([plan(seen(letter), body_bytes_max=LIMIT) for letter in letters], {})

    assert [replay.outcome for replay in found] == [ReplayOutcome.PUBLISHED, ReplayOutcome.KNOWN]


def test_a_document_is_for_the_loader_to_try_and_a_misfit_is_told_at_once() -> None:
    good = session_record(a_session())[1]
    for raw, deed in (
        (good, Deed.ASK_THE_LOADER),
        (good.replace(b'"leg_count":0', b'"leg_count":"x"'), Deed.NOTHING),
        (b"garbage", Deed.NOTHING),
    ):
        letter = DeadLetter.of(Stage.LOAD, Reason.SINK_REJECTED, "no", raw=raw, occurred_at=LATER)
        found = plan(seen(letter), body_bytes_max=LIMIT)

        assert (found.deed, found.failed) == (deed, deed is Deed.NOTHING)


def test_a_replay_is_a_record_of_the_letter_itself_with_its_whole_history() -> None:
    letter = a_letter(headers={"a": "b"}, received_at=RECEIVED_AT)
    told = decode_letter(letter.replayed(LATER, "KNOWN", PLACE).encoded())

    assert (told.raw, told.headers, told.occurred_at) == (letter.raw, {"a": "b"}, letter.occurred_at)
    assert (told.topic, told.partition, told.offset) == PLACE
    assert (told.replayed_at, told.replay_outcome) == (LATER, "KNOWN")
    assert b"replay" not in letter.encoded()


def test_every_reason_has_its_advice_in_one_sentence() -> None:
    assert set(ADVICE) == set(Reason)
    assert all(text.endswith(".") and ". " not in text for text in ADVICE.values())


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (LetterFilter(), True),
        (LetterFilter(reason="UNDECODABLE", stage="receive", action="cdr"), True),
        (LetterFilter(reason="UNKEYABLE"), False),
        (LetterFilter(stage="load"), False),
        (LetterFilter(action="record"), False),
        (LetterFilter(topic="dead_letters"), True),
        (LetterFilter(topic="tccc.dead_letters"), True),
        (LetterFilter(topic="letters"), False),
        (LetterFilter(since=LATER), True),
        (LetterFilter(since=LATER + timedelta(seconds=1)), False),
        (LetterFilter(until=RECEIVED_AT), True),
        (LetterFilter(until=RECEIVED_AT - timedelta(seconds=1)), False),
    ],
)
def test_letters_are_chosen_by_what_they_are_and_when_they_were_seen(wanted: LetterFilter, takes: bool) -> None:
    assert wanted.takes(seen(a_letter(action="cdr"), last_seen_at=LATER)) is takes


def test_counts_are_of_letters_and_of_sightings_the_most_first() -> None:
    letters = [seen(a_letter(b"a")), seen(a_letter(b"b")), seen(written_by_the_door(b"[]"))]

    assert [(row["reason"], row["letters"], row["seen_count"]) for row in counts_by_reason(letters)] == [
        ("UNDECODABLE", 2, 4),
        ("SCHEMA_VIOLATION", 1, 2),
    ]


def test_times_are_written_as_people_write_them() -> None:
    assert moment_of("90m", "--since", LATER) == LATER - timedelta(minutes=90)
    assert moment_of("2026-11-24", "--since", LATER) == datetime(2026, 11, 24, tzinfo=UTC)
    assert moment_of("2026-11-24T11:55+08:00", "--since", LATER) == datetime(2026, 11, 24, 3, 55, tzinfo=UTC)
    with pytest.raises(MisconfiguredError, match="--until 'later' is no time"):
        moment_of("later", "--until", LATER)


def test_bytes_are_text_only_where_a_terminal_may_show_them() -> None:
    assert text_of('{"a": "李"}\r\n\t'.encode()) == '{"a": "李"}\r\n\t'
    assert text_of(b"\x1b[2J") is None
    assert text_of(b"\xff") is None
    assert hex_lines(b"\x1f\x8bAB" + b"z" * 14) == [
        "00000000  1f 8b 41 42 7a 7a 7a 7a 7a 7a 7a 7a 7a 7a 7a 7a  ..ABzzzzzzzzzzzz",
        "00000010  7a 7a                                            zz",
    ]


TWO_TENANTS = [{"name": name, "sdk_app_ids": [app], "url_token": f"{name}-token"} for name, app in (("n", 1), ("s", 2))]


@pytest.mark.parametrize(
    ("app", "reason", "settings", "deed"),
    [
        (1, Reason.FOREIGN_APP, {}, Deed.PUBLISH),
        (1, Reason.FOREIGN_APP, {"receiver": {"sdk_app_ids": [1]}}, Deed.PUBLISH),
        (1, Reason.FOREIGN_APP, {"receiver": {"sdk_app_ids": [2]}}, Deed.NOTHING),
        (1, Reason.FOREIGN_APP, {"tenants": TWO_TENANTS}, Deed.NOTHING),
        (1, Reason.UNDECODABLE, {"tenants": TWO_TENANTS}, Deed.PUBLISH),
        (3, Reason.UNDECODABLE, {"tenants": TWO_TENANTS}, Deed.NOTHING),
    ],
)
def test_a_replay_opens_no_account_that_the_door_keeps_shut(
    app: int, reason: Reason, settings: dict[str, Any], deed: Deed
) -> None:
    letter = DeadLetter.of(
        Stage.RECEIVE, reason, "x", raw=body_of(a_cdr(SdkAppId=app)), occurred_at=RECEIVED_AT, action="cdr"
    )

    replay = allowed(plan(seen(letter), body_bytes_max=LIMIT), Settings.model_validate(settings))

    assert replay.deed is deed
    assert ("FOREIGN_APP" in (replay.outcome_text or "")) == (deed is Deed.NOTHING)
