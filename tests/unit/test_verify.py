"""Each kind of difference that is planted in a warehouse is found, and none in one that agrees."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from callweave.simulator.facts import Session
from callweave.simulator.ledger import LedgerError
from callweave.verify import Kind, Verification, compare
from tests.support.planted import APP, CALL, LETTER_SESSION_ID, NAMELESS, Warehouse, sent, write_a_ledger


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    opened = Warehouse()
    yield opened
    opened.close()


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return partial(write_a_ledger, tmp_path / "ledger.jsonl")


def found(result: Verification) -> list[tuple[Kind, str, str | None]]:
    return [(difference.kind, difference.table, difference.column) for difference in result.differences]


def test_clean_warehouse_agrees(warehouse: Warehouse, write: Write):
    result = compare(write(), warehouse.query)

    assert result.differences == []
    assert result.ok
    (line,) = result.lines()
    assert line == (
        "The warehouse agrees with the ledger: 2 sessions, 2 legs, 4 recordings (3 received, 1 of 3 expected ones"
        " missing), 1 voicemails, 1 dead letters, from 6 pushes (0 given up, 2 withheld)."
    )


@pytest.mark.parametrize(
    ("statement", "difference", "message"),
    [
        (
            "update sessions set talk_seconds = 12 where session_id = 's-1' and sdk_app_id = 1400000001",
            (Kind.WRONG_VALUE, "sessions", "talk_seconds"),
            "session 1400000001:s-1: talk_seconds is 12 in the warehouse, 75 by the ledger",
        ),
        (
            "update sessions set uui = '' where session_id = 's-1' and sdk_app_id = 1400000001",
            (Kind.WRONG_VALUE, "sessions", "uui"),
            "session 1400000001:s-1: uui is  in the warehouse, NULL by the ledger",
        ),
        (
            "update sessions set ended_at = NULL where session_id = 's-1' and sdk_app_id = 1400000001",
            (Kind.WRONG_VALUE, "sessions", "ended_at"),
            "session 1400000001:s-1: ended_at is NULL in the warehouse, 2023-11-14T22:15:00Z by the ledger",
        ),
        (
            """update sessions set extra = replace(extra::varchar, '75', '"75"')::json
            where session_id = 's-1' and sdk_app_id = 1400000001""",
            (Kind.WRONG_VALUE, "sessions", "extra"),
            "session 1400000001:s-1: extra is ",
        ),
        (
            "update sessions set loaded_at = NULL where session_id = 's-2'",
            (Kind.WRONG_VALUE, "sessions", "loaded_at"),
            "session 1400000001:s-2: loaded_at is NULL in the warehouse, and never may be",
        ),
        (
            "delete from sessions where session_id = 's-1' and sdk_app_id = 1400000001",
            (Kind.MISSING_SESSION, "sessions", None),
            "session 1400000001:s-1 was answered ErrCode 0 at 22:13:20, and is in no row",
        ),
        (
            "insert into sessions (sdk_app_id, session_id) values (1400000001, 's-3')",
            (Kind.UNEXPECTED_SESSION, "sessions", None),
            "session 1400000001:s-3 is in the warehouse, and nothing of it was sent and answered",
        ),
        (
            "insert into sessions select * from sessions where session_id = 's-2'",
            (Kind.DUPLICATE_KEY, "sessions", None),
            "sessions 1400000001:s-2 has 2 rows of one key",
        ),
        (
            "delete from legs where leg_sequence = 1",
            (Kind.MISSING_ROW, "legs", None),
            "leg 1 of session 1400000001:s-1 is in no row",
        ),
        (
            "insert into legs (sdk_app_id, session_id, leg_sequence) values (1400000001, 's-1', 7)",
            (Kind.EXTRA_ROW, "legs", None),
            "leg 7 of session 1400000001:s-1 is in the warehouse, and not in the ledger",
        ),
        (
            "insert into legs select * from legs where leg_sequence = 0",
            (Kind.DUPLICATE_KEY, "legs", None),
            "legs 1400000001:s-1:0 has 2 rows of one key",
        ),
        (
            "update legs set extra = NULL where leg_sequence = 0",
            (Kind.WRONG_VALUE, "legs", "extra"),
            'leg 0 of session 1400000001:s-1: extra is NULL in the warehouse, {"SkillGroupPriority": 0} by the ledger',
        ),
        (
            "delete from recordings where recording_id = 'rec-ann'",
            (Kind.MISSING_ROW, "recordings", None),
            "recording rec-ann of session 1400000001:s-1 was answered ErrCode 0 at 22:13:20, and is in no row",
        ),
        (
            "update recordings set received_at = NULL where recording_id = 'rec-ann'",
            (Kind.WRONG_VALUE, "recordings", "received_at"),
            "recording rec-ann of session 1400000001:s-1 was answered ErrCode 0 at 22:13:20, and not received in the ",
        ),
        (
            "delete from recordings where recording_id = 'rec-never'",
            (Kind.MISSING_ROW, "recordings", None),
            "recording rec-never of session 1400000001:s-1 is named by the CDR and was never pushed, and is in no row",
        ),
        (
            "update recordings set received_at = now() where recording_id = 'rec-never'",
            (Kind.WRONG_VALUE, "recordings", "received_at"),
            "recording rec-never of session 1400000001:s-1 is named by the CDR and was never pushed, and received in ",
        ),
        (
            "insert into recordings (sdk_app_id, session_id, recording_id) values (1400000001, 's-1', 'stray')",
            (Kind.EXTRA_ROW, "recordings", None),
            "recording stray of session 1400000001:s-1 is in the warehouse, and not in the ledger",
        ),
        (
            "delete from recordings where session_id = 's-2'",
            (Kind.MISSING_ROW, "recordings", None),
            "recording http://r.example/nameless.mp3 of session 1400000001:s-2 was answered",
        ),
        (
            "update voicemails set endpoint_user = '1.39e10'",
            (Kind.WRONG_VALUE, "voicemails", "endpoint_user"),
            "voicemail http://v.example/1.mp3 of session 1400000001:s-1: endpoint_user is 1.39e10",
        ),
        (
            "insert into voicemails select * replace ('a second one' as voicemail_id) from voicemails",
            (Kind.EXTRA_ROW, "voicemails", None),
            "voicemail digest of session 1400000001:s-1 is in the warehouse, and not in the ledger",
        ),
        (
            "delete from dead_letters where dead_letter_id = 'd-1'",
            (Kind.MISSING_DEAD_LETTER, "dead_letters", None),
            "useless push uuid-broken_json (broken_json, 7 bytes) was answered ErrCode 0 at 22:13:20 and is no ",
        ),
        (
            "update dead_letters set seen_count = 1 where dead_letter_id = 'd-1'",
            (Kind.DEAD_LETTER_COUNT, "dead_letters", "seen_count"),
            "useless push uuid-broken_json (broken_json, 7 bytes) was answered 2 times, and seen_count is 1",
        ),
        (
            "insert into dead_letters values ('d-3', 'body of record:0 1'::blob, 1)",
            (Kind.UNEXPECTED_DEAD_LETTER, "dead_letters", None),
            "record:0 of session 1400000001:s-1 can be used, and became a dead letter",
        ),
        (
            "insert into dead_letters select * from dead_letters where dead_letter_id = 'd-2'",
            (Kind.DUPLICATE_KEY, "dead_letters", None),
            "dead_letters d-2 has 2 rows of one key",
        ),
    ],
)
def test_planted_difference_is_found(
    warehouse: Warehouse, write: Write, statement: str, difference: tuple[Kind, str, str | None], message: str
):
    warehouse.plant(statement)

    result = compare(write(), warehouse.query)

    assert found(result) == [difference]
    assert result.differences[0].message.startswith(message)
    assert not result.ok


def test_lost_answer_is_right_either_way(warehouse: Warehouse, write: Write):
    ledger = write(doubt=True)
    as_if_arrived = compare(ledger, warehouse.query)
    warehouse.plant(
        "update recordings set received_at = NULL, endpoint_user = NULL, generated_at = NULL, url = NULL,"
        " matched_by = NULL, pushed_recording_id = NULL, source = NULL where recording_id = 'rec-ann'"
    )
    half_done = compare(ledger, warehouse.query)
    warehouse.plant(
        "update sessions set recordings_received = 1, recordings_missing = 2"
        " where session_id = 's-1' and sdk_app_id = 1400000001"
    )
    as_if_lost = compare(ledger, warehouse.query)

    assert as_if_arrived.ok
    assert found(half_done) == [(Kind.WRONG_VALUE, "recordings", "received_at")]
    assert as_if_lost.ok


def test_field_that_no_column_holds_must_leave_a_letter(warehouse: Warehouse, write: Write):
    warehouse.plant(
        "insert into sessions select * replace ('s-4' as session_id) from sessions where session_id = 's-2'"
    )
    warehouse.plant(
        "insert into recordings select * replace ('s-4' as session_id) from recordings where session_id = 's-2'"
    )
    bad = Session(sdk_app_id=APP, session_id="s-4", calls=(CALL,), recordings=NAMELESS.recordings)
    ledger = write((bad, [sent("record:0", 8, raw=b"bad field", letter=True)]))
    without = compare(ledger, warehouse.query)
    warehouse.plant("insert into dead_letters values ('d-4', 'bad field'::blob, 1)")

    assert found(without) == [(Kind.MISSING_DEAD_LETTER, "dead_letters", None)]
    assert compare(ledger, warehouse.query).ok


def test_session_made_of_a_useless_push_is_found(warehouse: Warehouse, write: Write):
    raw = json.dumps({"SessionId": LETTER_SESSION_ID, "SdkAppId": 0}).encode()
    warehouse.plant(f"insert into sessions (sdk_app_id, session_id) values (7, '{LETTER_SESSION_ID}')")
    warehouse.plant(f"update dead_letters set raw = '{raw.decode()}'::blob where dead_letter_id = 'd-1'")

    assert found(compare(write(useless=raw), warehouse.query)) == [(Kind.UNEXPECTED_SESSION, "sessions", None)]


def test_only_the_first_of_a_kind_are_printed(warehouse: Warehouse, write: Write):
    warehouse.plant(
        "insert into legs (sdk_app_id, session_id, leg_sequence) select 1400000001, 's-1', 10 + range from range(30)"
    )

    lines = compare(write(), warehouse.query).lines()

    assert lines[0] == "30 rows that should not be there:"
    assert lines[1] == "  leg 10 of session 1400000001:s-1 is in the warehouse, and not in the ledger"
    assert lines[21] == "  and 10 more"
    assert lines[22].startswith("30 differences: 2 sessions, ")


def test_every_question_is_a_bounded_select(warehouse: Warehouse, write: Write):
    compare(write(), warehouse.query)

    assert all(asked.startswith("select ") and " order by " in asked for asked in warehouse.asked)
    assert all(" limit 5000 offset " in asked or " limit 500 offset " in asked for asked in warehouse.asked)


def test_file_that_is_no_ledger_is_told_so(warehouse: Warehouse, tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    path.write_text("hello\n")

    with pytest.raises(LedgerError, match="Line 1 of"):
        compare(path, warehouse.query)
