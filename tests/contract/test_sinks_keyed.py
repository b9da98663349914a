"""What every warehouse promises of tables that are a topic each: one row a key, the later answer, however it came."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.archive import RecordingFile
from schemas.enrichment import (
    Agent,
    AgentEvent,
    AgentStatus,
    AgentStatusRead,
    SessionDetail,
    SkillGroup,
)
from schemas.keyed import KeyedRecord
from schemas.models import instant_of_ms
from sinks.intake import take_in
from sinks.keyed import keyed_rows
from sinks.log import Record
from sinks.rows import lay_out, read_document
from sinks.sink import Batch, LogPartition, Sink
from sinks.warehouse import open_sink
from tests.support.lakes import DUCKLAKE, PARQUET, lay_out_ducklake
from tests.support.sessions import APP, a_leg, a_recording, a_session, session_record

START = instant_of_ms(1_763_985_600_000)  # 2025-11-24 12:00 UTC
ANN = "ann@example.com"
PLACE = LogPartition("tccc.agents", 0)
TOPICS = {f"tccc.{name}": name for name in ("agents", "agent_status")}


@pytest.fixture(params=["duckdb", "postgres", "clickhouse", "ducklake", "parquet"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    if request.param == "ducklake":
        lay_out_ducklake(tmp_path)
    urls = {"duckdb": "duckdb:///calls.duckdb", "ducklake": DUCKLAKE, "parquet": PARQUET}
    url = urls.get(request.param) or request.getfixturevalue(f"{request.param}_url")
    opened = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=3600)
    opened.open()
    with closing(opened):
        yield opened


def load(sink: Sink, *records: tuple[str, KeyedRecord], sessions: Any = ()) -> None:
    """Write one batch."""
    by_table: dict[str, list[KeyedRecord]] = {}
    for name, record in records:
        by_table.setdefault(name, []).append(record)
    stored = sink.offsets().get(PLACE)
    rows, _ = lay_out(read_document(*session_record(session)) for session in sessions)
    sink.write(Batch(rows, (), {PLACE: (stored or 0) + 1}, {PLACE: stored}, keyed=keyed_rows(by_table)))


def at(seconds: int) -> Any:
    return START + timedelta(seconds=seconds)


def an_agent(asked: int, name: str | None, **changes: Any) -> tuple[str, Agent]:
    values: dict[str, Any] = {
        "sdk_app_id": APP, "agent_mail": ANN, "asked_at": at(asked), "valid_from": at(-3600), "valid_to": None,
        "agent_name": name, "nick": "A\t\\N", "agent_phone": None, "staff_number": "7", "extension_number": None,
        "role_id": 3, "skill_group_ids": "1,2", "extra": {"Wild": [1, "\n\\"]}, **changes,
    }  # fmt: skip
    return "agents", Agent(**values)


def a_status(seconds: int, status: str, *, sequence: int = 0, asked: int = 0) -> tuple[str, AgentStatus]:
    return "agent_status", AgentStatus(
        sdk_app_id=APP, agent_mail=ANN, changed_at=at(seconds), status_sequence=sequence, asked_at=at(asked),
        status=status, session_id=None, reason=None, staff_number=None,
    )  # fmt: skip


def an_event(sequence: int, seconds: int, kind: str, *, session: str = "held") -> tuple[str, AgentEvent]:
    return "agent_events", AgentEvent(
        sdk_app_id=APP, session_id=session, event_sequence=sequence, asked_at=at(900), occurred_at=at(seconds),
        event_type=kind, agent_mail=ANN, staff_number=None, extra=None,
    )  # fmt: skip


def a_detail(event_count: int, *, session: str = "held", is_known: bool = True) -> tuple[str, SessionDetail]:
    return "session_details", SessionDetail(
        sdk_app_id=APP, session_id=session, asked_at=at(900), session_ended_at=at(60), is_known=is_known,
        event_count=event_count,
    )  # fmt: skip


def test_the_later_answer_counts_whatever_the_batches_were(sink: Sink) -> None:
    load(sink, an_agent(10, "first"))
    load(sink, an_agent(30, "third"), an_agent(20, "second"))
    load(sink, an_agent(20, "second again"))
    load(sink, an_agent(30, "of the same moment"))

    assert sink.query("SELECT agent_name, nick, role_id FROM agents").rows == [("third", "A\t\\N", 3)]


def a_file(asked: int, status: str, **changes: Any) -> tuple[str, RecordingFile]:
    values: dict[str, Any] = {
        "sdk_app_id": APP, "session_id": "s", "file_kind": "recording", "recording_id": "1700000110~8613900000001",
        "asked_at": at(asked), "status": status, "problem": None, "path": None, "sha256": None, "size_bytes": None,
        "content_type": None, "duration_seconds": None, "fetched_from": None, "attempts_count": asked,
        "generated_at": at(0), "first_seen_at": at(1), "next_attempt_at": None, "stored_at": None, "deleted_at": None,
        "addresses": {"url": "https://r.example/a.mp3"}, **changes,
    }  # fmt: skip
    return "recording_files", RecordingFile(**values)


def test_a_files_fate_replaces_what_was_said_of_it_before(sink: Sink) -> None:
    load(sink, a_file(2, "stored", path="sha256/ab/ab.mp3", size_bytes=7, duration_seconds=1.25))
    load(sink, a_file(1, "waiting", problem="HTTP 403"))

    columns = "session_id, recording_id, status, problem, path, size_bytes, duration_seconds, attempts_count"
    assert sink.query(f"SELECT {columns} FROM recording_files").rows == [
        ("s", "1700000110~8613900000001", "stored", None, "sha256/ab/ab.mp3", 7, 1.25, 2)
    ]


def test_the_archive_is_counted_beside_completeness_and_among_the_numbers(sink: Sink) -> None:
    ended = datetime.now(UTC) - timedelta(days=80, hours=1)
    ids = ("stored", "waiting", "older", "lost", "refused", "deleted", "absent", "replaced", "unknown")
    made = {"has_cdr": True, "started_at": ended, "ended_at": ended, "direction": "inbound", "call_type": "inbound"}
    call = a_session("s", **made, recordings=[a_recording(name) for name in ids])
    bare = a_session("bare", **{**made, "ended_at": ended - timedelta(hours=2)}, recordings=[a_recording("none")])
    files = [a_file(2, "waiting" if name == "older" else name, recording_id=name, generated_at=ended - timedelta(
        days=7 if name == "older" else 3)) for name in ids[:-1]]  # fmt: skip
    load(sink, *files, a_file(2, "stored", file_kind="voicemail", recording_id="v"), sessions=(call, bare))

    archive = "archive_due, archive_stored, archive_missing, archive_days_left_min"
    assert sink.query(f"SELECT {archive} FROM completeness ORDER BY hour").rows == [(0, 0, 0, None), (7, 3, 4, 2)]
    numbers = "archive_due_count, archived_count, archive_coverage, archive_days_left_min"
    rows = sink.query("SELECT SUM(archive_due_count), SUM(archived_count) FROM kpi_daily_recording").rows
    assert [tuple(map(int, row)) for row in rows] == [(6, 2)], "voicemails are no recordings"
    told = sink.query(f"SELECT {numbers} FROM kpi_daily_recording WHERE archive_due_count > 0").rows
    assert told == [(6, 2, pytest.approx(1 / 3), 2)]


def test_loading_a_batch_again_changes_nothing_not_even_its_time(sink: Sink) -> None:
    load(sink, an_agent(10, "Ann"), a_status(0, "free"))
    before = [sink.query(f"SELECT * FROM {name}").rows for name in ("agents", "agent_status")]
    load(sink, an_agent(10, "Ann"), a_status(0, "free"))

    assert before == [sink.query(f"SELECT * FROM {name}").rows for name in ("agents", "agent_status")]


def test_hold_and_mute_are_added_up_by_session(sink: Sink) -> None:
    held = a_session("held", started_at=at(0), answered_at=at(0), ended_at=at(60), talk_seconds=60)
    silent = a_session("silent", started_at=at(0), answered_at=at(0), ended_at=at(60), talk_seconds=60)
    events = [
        an_event(0, 10, "StaffHold"), an_event(1, 12, "StaffMute"), an_event(2, 17, "StaffUnhold"),
        an_event(3, 20, "StaffUnmute"), an_event(4, 50, "StaffHold"),
        an_event(5, 55, "StaffUnhold"),  # of an answer that said more once: no row of the session's any more
    ]  # fmt: skip
    load(sink, *events, a_detail(5), a_detail(0, session="silent"), a_detail(0, session="x", is_known=False),
         sessions=(held, silent))  # fmt: skip

    rows = sink.query(
        "SELECT session_id, hold_count, hold_seconds, mute_count, mute_seconds, talk_without_hold_seconds "
        "FROM session_hold ORDER BY 1"
    ).rows
    assert rows == [("held", 2, 7 + 10, 1, 8, 60 - 17), ("silent", 0, 0, 0, 0, 60)]


def test_occupancy_is_counted_by_utc_day_and_ends_where_the_history_was_read(sink: Sink) -> None:
    day = 24 * 3600
    half = 12 * 3600
    read = AgentStatusRead(
        sdk_app_id=APP, agent_mail=ANN, asked_at=at(0), read_from=at(-day), read_to=at(day + 100), recent=("x",)
    )
    load(
        sink,
        a_status(0, "free"),
        a_status(600, "busy"),
        a_status(1200, "afterCallWork"),
        a_status(1260, "free"),
        a_status(half - 60, "busy"),  # over midnight
        a_status(half + 60, "offline"),
        a_status(day, "free"),
        a_status(day, "rest", sequence=1),
        ("agent_status_reads", read),
    )

    rows = sink.query(
        "SELECT day, free_seconds, busy_seconds, after_call_work_seconds, rest_seconds, offline_seconds, occupancy "
        "FROM agent_occupancy ORDER BY day"
    ).rows
    assert [(str(row[0])[:10], *row[1:6]) for row in rows] == [
        ("2025-11-24", 600 + half - 60 - 1260, 660, 60, 0, 0),
        ("2025-11-25", 0, 60, 0, 100, half - 60),
    ]
    assert rows[0][6] == pytest.approx(720 / (720 + 600 + half - 1320))
    assert rows[1][6] == 1.0


def test_a_leg_has_the_names_of_its_own_time(sink: Sink) -> None:
    legs = [a_leg(0, agent_mail=ANN, skill_group_id=1, skill_group_name="as pushed", started_at=at(0))]
    later = [a_leg(0, agent_mail=ANN, skill_group_id=2, skill_group_name="as pushed", started_at=at(7200))]
    group: dict[str, Any] = {
        "sdk_app_id": APP, "skill_group_id": 1, "asked_at": at(0), "valid_from": at(-60), "valid_to": None,
        "skill_group_name": "sales", "alias": None, "skill_group_type": 0, "max_concurrency": 1, "extra": None,
    }  # fmt: skip
    load(
        sink,
        an_agent(10, "Ann Old"),  # never closed: the process died before it could
        an_agent(20, "Ann New", valid_from=at(3600)),
        ("skill_groups", SkillGroup(**group)),
        sessions=(a_session("early", legs=legs), a_session("late", legs=later), a_session("nobody", legs=[])),
    )

    rows = sink.query("SELECT session_id, agent_name, skill_group_name FROM leg_names ORDER BY 1").rows
    assert rows == [("early", "Ann Old", "sales"), ("late", "Ann New", "as pushed")]


def test_a_record_that_does_not_fit_is_taken_out_by_itself() -> None:
    good = an_agent(10, "Ann")[1]
    values = [
        good.encoded(),
        b"{",
        good.encoded().replace(b'"7"', b"7"),
        good.encoded().replace(b"Ann", b"\\u0000"),
        None,
    ]
    records = [Record(PLACE, offset, good.key, value) for offset, value in enumerate(values)]
    stranger = Record(PLACE, 9, b"another key", good.encoded())
    intake = take_in([*records, stranger], letters_topic="tccc.dead_letters", keyed_topics=TOPICS)

    assert intake.keyed == {"agents": [good]}
    assert sorted(intake.unusable) == [1, 2, 3, 5]
    assert not any("Ann" in unusable.detail for unusable in intake.unusable.values())
