"""Each kind of difference that is planted in a warehouse is found, and none in one that agrees."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from callweave.simulator.facts import Call, Leg, Recording, SeatUser, Session, Voicemail
from callweave.simulator.ledger import LedgerError, note_push, note_session, write_ledger
from callweave.simulator.pushes import Outcome, Push, Sent
from callweave.verify import Kind, Verification, compare

APP = 1_400_000_001
TABLES = """
create table sessions (sdk_app_id bigint, session_id varchar, version bigint, has_cdr boolean, direction varchar,
    call_type varchar, caller varchar, callee varchar, customer_number varchar, line_number varchar,
    started_at timestamptz, queued_at timestamptz, rang_at timestamptz, answered_at timestamptz, ended_at timestamptz,
    ivr_seconds bigint, wait_seconds bigint, talk_seconds bigint, end_status varchar, hung_up_by varchar,
    skill_group_id bigint, skill_group_name varchar, agent_mail varchar, agent_name varchar, leg_count bigint,
    recordings_expected bigint, recordings_received bigint, recordings_missing bigint, voicemail_count bigint,
    uui varchar, user_remark varchar, first_received_at timestamptz, last_received_at timestamptz, source varchar,
    extra json, loaded_at timestamptz);
create table legs (sdk_app_id bigint, session_id varchar, leg_sequence bigint, agent_mail varchar, agent_phone varchar,
    leg_type varchar, started_at timestamptz, rang_at timestamptz, answered_at timestamptz, ended_at timestamptz,
    end_status varchar, recording_id varchar, skill_group_id bigint, skill_group_name varchar, transfer_from varchar,
    transfer_from_type varchar, transfer_to varchar, transfer_to_type varchar, extra json);
create table recordings (sdk_app_id bigint, session_id varchar, recording_id varchar, is_expected boolean,
    received_at timestamptz, absent_at timestamptz, side varchar, leg_sequence bigint, endpoint_user varchar,
    generated_at timestamptz, url varchar, custom_url varchar, matched_by varchar, pushed_recording_id varchar,
    source varchar, extra json);
create table voicemails (sdk_app_id bigint, session_id varchar, voicemail_id varchar, endpoint_user varchar,
    generated_at timestamptz, url varchar, received_at timestamptz, source varchar, extra json);
create table dead_letters (dead_letter_id varchar, raw blob, seen_count bigint);

insert into sessions values (1400000001, 's-1', 5, true, 'inbound', 'inbound', '008613900000001', '008602155500100',
    '008613900000001', '008602155500100', '2023-11-14 22:13:20+00', '2023-11-14 22:13:35+00', '2023-11-14 22:13:40+00',
    '2023-11-14 22:13:45+00', '2023-11-14 22:15:00+00', 15, 10, 75, 'ok', 'user', 11, 'orders', 'ann@example.com',
    'Ann', 2, 3, 2, 1, 1, NULL, NULL, '2026-11-24 10:00:00+00', '2026-11-24 10:00:01+00', 'push',
    '{"SeatUser": {"UserId": "u-ann"}, "Duration": 75, "Big": 9007199254740993}', '2026-11-24 10:00:02+00');
insert into legs values (1400000001, 's-1', 0, 'ann@example.com', NULL, 'staffSeat', '2023-11-14 22:13:40+00',
    '2023-11-14 22:13:40+00', '2023-11-14 22:13:44+00', '2023-11-14 22:15:00+00', 'ok', 'rec-ann', NULL, NULL, NULL,
    NULL, NULL, NULL, '{"SkillGroupPriority": 0}'),
    (1400000001, 's-1', 1, 'ann@example.com', NULL, 'staffSeat', '2023-11-14 22:13:40+00',
    '2023-11-14 22:13:40+00', NULL, '2023-11-14 22:15:00+00', 'seatGiveUp', 'rec-never', NULL, NULL, NULL,
    NULL, NULL, NULL, '{"SkillGroupPriority": 0}');
insert into recordings values
    (1400000001, 's-1', 'rec-root', true, '2026-11-24 10:00:01+00', NULL, 'customer', NULL, '008613900000001',
    '2023-11-14 22:15:10+00', 'http://r.example/root.mp3', NULL, 'recording_id', 'rec-root', 'push', NULL),
    (1400000001, 's-1', 'rec-ann', true, '2026-11-24 10:00:01+00', NULL, 'agent', 0, 'ann@example.com',
    '2023-11-14 22:15:11+00', 'http://r.example/ann.mp3', NULL, 'recording_id', 'rec-ann', 'push', NULL),
    (1400000001, 's-1', 'rec-never', true, NULL, NULL, 'agent', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (1400000001, 's-2', 'derived-by-us', false, '2026-11-24 10:00:01+00', NULL, NULL, NULL, 'bo@example.com',
    '2023-11-14 22:15:11+00', 'http://r.example/nameless.mp3', NULL, NULL, NULL, 'push', NULL);
insert into voicemails values (1400000001, 's-1', 'digest', '13900000001', '2023-11-14 22:15:20+00',
    'http://v.example/1.mp3', '2026-11-24 10:00:01+00', 'push', NULL);
insert into sessions (sdk_app_id, session_id, version, has_cdr, leg_count, recordings_expected, recordings_received,
    recordings_missing, voicemail_count, first_received_at, last_received_at, loaded_at)
    values (1400000001, 's-2', 5, false, 0, 0, 1, 0, 0, '2026-11-24 10:00:00+00', '2026-11-24 10:00:00+00',
    '2026-11-24 10:00:02+00');
-- Sessions that the ledger does not know, one of them under the id of one that it knows, are nobody's concern.
insert into sessions (sdk_app_id, session_id) values (1400000002, 's-1'), (1400000001, 'other');
insert into dead_letters values ('d-1', '{broken'::blob, 2), ('d-2', 'not of this run'::blob, 1);
"""
CALL = Call(
    caller="008613900000001",
    callee="008602155500100",
    direction=0,
    call_type=2,
    started=1_700_000_000,
    queued=1_700_000_015,
    rang=1_700_000_020,
    answered=1_700_000_025,
    ended=1_700_000_100,
    duration=75,
    ivr_seconds=15,
    end_status="ok",
    hung_up_by="user",
    skill_group_id=11,
    skill_group_name="orders",
    record_id="rec-root",
    seat_user=SeatUser(mail="ann@example.com", name="Ann", user_id="u-ann"),
    legs=(
        Leg(
            sequence=0,
            mail="ann@example.com",
            started=1_700_000_020,
            rang=1_700_000_020,
            answered=1_700_000_024,
            ended=1_700_000_100,
            record_id="rec-ann",
        ),
        Leg(
            sequence=1,
            mail="ann@example.com",
            started=1_700_000_020,
            rang=1_700_000_020,
            ended=1_700_000_100,
            end_status="seatGiveUp",
            record_id="rec-never",
        ),
    ),
    unknown={"Big": 9_007_199_254_740_993},
)
WHOLE = Session(
    sdk_app_id=APP,
    session_id="s-1",
    calls=(CALL,),
    recordings=(
        Recording(record_id="rec-root", endpoint_user="008613900000001", timestamp=1_700_000_110,
                  url="http://r.example/root.mp3"),
        Recording(record_id="rec-ann", endpoint_user="ann@example.com", timestamp=1_700_000_111,
                  url="http://r.example/ann.mp3"),
    ),
    voicemails=(Voicemail(endpoint_user="13900000001", timestamp=1_700_000_120, url="http://v.example/1.mp3"),),
)  # fmt: skip
NAMELESS = Session(
    sdk_app_id=APP,
    session_id="s-2",
    calls=(CALL,),
    recordings=(
        Recording(record_id="", endpoint_user="bo@example.com", timestamp=1_700_000_111,
                  url="http://r.example/nameless.mp3"),
    ),
)  # fmt: skip
NEVER_SENT = Session(sdk_app_id=APP, session_id="s-3", calls=(CALL,))
LETTER_SESSION_ID = "0f0f0f0f-0000-4000-8000-000000000001"


class Warehouse:
    """A DuckDB in memory, asked the way the loader's port is: JSON-like cells."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("set timezone = 'UTC'")
        self._connection.execute(TABLES)
        self.asked: list[str] = []

    def plant(self, statement: str) -> None:
        self._connection.execute(statement)

    def query(self, select: str) -> list[dict[str, object]]:
        self.asked.append(select)
        cursor = self._connection.execute(select)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, map(self._cell, row), strict=True)) for row in cursor.fetchall()]

    def _cell(self, value: object) -> object:
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat()
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        return str(value) if type(value) is int and abs(value) > 2**53 else value

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    opened = Warehouse()
    yield opened
    opened.close()


def sent(content: str, order: int, *, outcome: Outcome = "answered", raw: bytes = b"", letter: bool = False) -> Sent:
    push = Push(
        push_uuid=f"uuid-{content}",
        content=content,
        query="action=cdr&version=1",
        raw=raw or f"body of {content} {order}".encode(),
        leaves_letter=letter,
    )
    return Sent(
        push=push,
        outcome=outcome,
        deliveries=0 if outcome == "withheld" else 2,
        answered_deliveries=2 if outcome == "answered" else 0,
        answered_at=1_700_000_000.5 if outcome == "answered" else None,
        settled_order=order,
    )


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_all(*more: tuple[Session, list[Sent]], useless: bytes = b"{broken", doubt: bool = False) -> Path:
        last: Outcome = "uncertain" if doubt else "answered"
        of_whole = [sent("cdr:0", 0), sent("record:0", 1), sent("record:1", 2, outcome=last), sent("voicemail:0", 3)]
        of_nameless = [sent("record:0", 4), sent("cdr:0", 5, outcome="withheld")]
        of_never = [sent("cdr:0", 6, outcome="withheld")]
        told = [(WHOLE, of_whole), (NAMELESS, of_nameless), (NEVER_SENT, of_never), *more]
        path = tmp_path / "ledger.jsonl"
        write_ledger(
            path,
            {"seed": 1},
            [note_session(session, [note_push(one) for one in pushes]) for session, pushes in told],
            [note_push(sent("broken_json", 9, raw=useless))],
        )
        return path

    return write_all


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
