"""Fields that TCCC adds: in `extra` at once, counted by a view of every warehouse, proposed as columns by doctor."""

from contextlib import closing
from datetime import timedelta

import pytest

from callweave.doctor import _fields_of_tomorrow
from callweave.new_fields import column_name, new_fields
from callweave.settings import Settings
from sinks.extra_places import EXTRA_PLACES
from sinks.warehouse import open_sink
from tests.contract.test_sinks import a_batch
from tests.support.lakes import DUCKLAKE, PARQUET, lay_out_ducklake
from tests.support.loading import DUCKDB
from tests.support.sessions import RECEIVED_AT, a_leg, a_recording, a_session, a_voicemail

LATER = RECEIVED_AT + timedelta(days=1)
DOCUMENTED = {"Duration": 60, "TelLocation": {"City": "x"}, "SeatUser": {"Nick": "n"}, "AIAgentId": 7}


@pytest.fixture(params=["duckdb", "postgres", "clickhouse", "ducklake", "parquet"])
def warehouse(request, tmp_path):
    if request.param == "ducklake":
        lay_out_ducklake(tmp_path)
    url = {"duckdb": DUCKDB, "ducklake": DUCKLAKE, "parquet": PARQUET}.get(request.param)
    url = url or request.getfixturevalue(f"{request.param}_url")
    sink = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=3600)
    sink.open()
    sink.write(
        a_batch(
            a_session("known", extra=DOCUMENTED, legs=[a_leg(0, extra={"SkillGroupPriority": 1})]),
            a_session("nothing"),
            a_session("one", extra={**DOCUMENTED, "Mood": "good", "SeatUser": {"Nick": "n", "Desk": 4}}),
            a_session(
                "two",
                last_received_at=LATER,
                extra={"Mood": "bad", "MoodTimestamp": 1_790_000_000, "O\"dd '": [1.5]},
                legs=[a_leg(0, extra={"Mood": 0.5}), a_leg(1, extra={"Mood": True})],
                recordings=[a_recording("r", extra={"Codec": {"name": "opus"}})],
                voicemails=[a_voicemail("v", extra={"Seconds": 12})],
            ),
        )
    )
    with closing(sink):
        yield sink, Settings.model_validate({"data_dir": tmp_path, "warehouse": {"url": url}})


def test_unknown_members_are_counted_by_name_and_type_and_documented_ones_are_not(warehouse):
    sink, _ = warehouse
    rows = sink.query("SELECT table_name, field, value_type, row_count FROM unknown_fields").rows
    seen = sink.query("SELECT first_seen_at, last_seen_at FROM unknown_fields WHERE field = 'Mood' LIMIT 1").rows

    assert rows == [
        ("sessions", "Mood", "text", 2),
        ("legs", "Mood", "boolean", 1),
        ("legs", "Mood", "number", 1),
        ("recordings", "Codec", "object", 1),
        ("sessions", "MoodTimestamp", "integer", 1),
        ("sessions", "O\"dd '", "array", 1),
        ("sessions", "SeatUser.Desk", "integer", 1),
        ("voicemails", "Seconds", "integer", 1),
    ]
    assert [(first, last) for first, last in seen] == [(RECEIVED_AT, LATER)]


def test_every_proposed_query_finds_the_rows_that_were_counted(warehouse):
    sink, settings = warehouse
    sink.close()
    found = new_fields(settings)
    sink.open()

    assert len(found) == 8
    for field in found:
        rows = sink.query(field.query).rows
        assert sum(value is not None for *_, value in rows) >= field.row_count, field.query


def test_doctor_names_each_with_its_count_its_type_and_how_to_read_it_and_nothing_else(warehouse):
    sink, settings = warehouse
    sink.close()
    findings = [finding for finding in _fields_of_tomorrow(settings) if finding.is_ok]

    assert len(findings) == 8
    assert findings[0].finding.startswith(
        "Mood in 2 rows of sessions, text, last 2026-11-25T03:55:00.123000Z: read it "
    )
    assert not any("TelLocation" in finding.finding for finding in findings)


def test_a_proposal_says_where_the_column_would_be_defined(warehouse):
    sink, settings = warehouse
    sink.close()
    by_name = {(field.table, field.name, field.value_type): field for field in new_fields(settings)}
    moment, desk, mixed = (
        by_name["sessions", "MoodTimestamp", "integer"],
        by_name["sessions", "SeatUser.Desk", "integer"],
        by_name["legs", "Mood", "boolean"],
    )

    assert moment.wire_line == 'CdrPush: MoodTimestamp: Annotated[datetime | None, Wire(Kind.TIME, "mood_at")] = None'
    assert moment.document_line.startswith("SessionDocument: mood_at: Instant | None = Field(")
    assert desk.wire_line == 'AgentObject: Desk: Annotated[int | None, Wire(Kind.NUMBER, "agent_desk")] = None'
    assert mixed.document_line.startswith("Leg: mood: ")
    assert moment.ddl is None or moment.ddl.startswith("ALTER TABLE")


@pytest.mark.parametrize(
    ("field", "kind", "name"),
    [
        ("Mood", "text", "mood"),
        ("IVRDuration2", "integer", "ivr_duration2"),
        ("HoldTimestamp", "integer", "hold_at"),
        ("HoldTimestamp", "text", "hold_timestamp"),
        ("HoldDuration", "integer", "hold_seconds"),
        ("SeatUser.Desk", "text", "agent_desk"),
        ("O\"dd '", "text", "o_dd"),
        ("2nd", "text", "field_2nd"),
        ("中文", "text", "field"),
    ],
)
def test_columns_are_named_as_the_others_are(field, kind, name):
    assert column_name(field, kind) == name


def test_each_place_knows_the_fields_that_its_wire_model_names():
    assert all("SdkAppId" in place.documented or place.table == "legs" or place.member for place in EXTRA_PLACES)
    assert {place.table for place in EXTRA_PLACES} == {"sessions", "legs", "recordings", "voicemails"}
