"""A small warehouse and the ledger that it agrees with, for tests that plant a difference."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from callweave.simulator.facts import Call, Leg, Recording, SeatUser, Session, Voicemail
from callweave.simulator.ledger import note_push, note_session, write_ledger
from callweave.simulator.pushes import Outcome, Push, Sent

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


def write_a_ledger(
    path: Path, *more: tuple[Session, list[Sent]], useless: bytes = b"{broken", doubt: bool = False
) -> Path:
    """The ledger of what `Warehouse` holds. `doubt`: the answer to one recording was lost."""
    last: Outcome = "uncertain" if doubt else "answered"
    of_whole = [sent("cdr:0", 0), sent("record:0", 1), sent("record:1", 2, outcome=last), sent("voicemail:0", 3)]
    of_nameless = [sent("record:0", 4), sent("cdr:0", 5, outcome="withheld")]
    of_never = [sent("cdr:0", 6, outcome="withheld")]
    told = [(WHOLE, of_whole), (NAMELESS, of_nameless), (NEVER_SENT, of_never), *more]
    write_ledger(
        path,
        {"seed": 1},
        [note_session(session, [note_push(one) for one in pushes]) for session, pushes in told],
        [note_push(sent("broken_json", 9, raw=useless))],
    )
    return path
