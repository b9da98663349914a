"""What every warehouse promises: one suite, run over each of them.

Tables are compared as a reader sees them, through the sink's own read-only query.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest

from callweave.completeness import read_hours
from callweave.expiring import read_expiring
from callweave.reading import DirectQuestions
from schemas import jsontext
from schemas.columns import COMPLETENESS, RECONCILE_WINDOWS, RECORDINGS, SESSIONS, TABLES
from schemas.dead_letter import DeadLetter
from schemas.reconcile import HourRecord
from schemas.session import SessionDocument
from sinks import clickhouse_layout
from sinks.ddl import DUCKDB, POSTGRES, VIEWS
from sinks.keyed import keyed_rows
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.kpi.views import KPI_VIEWS
from sinks.letters import sighting, tally
from sinks.rows import SessionKey, lay_out, read_document
from sinks.sink import (
    Batch,
    FencedError,
    LogPartition,
    MisconfiguredError,
    QueryLimits,
    QueryRefusedError,
    QueryTooSlowError,
    RowsRejectedError,
    Sink,
    SinkUnavailableError,
    Written,
)
from sinks.warehouse import open_reader, open_sink
from tests.support.clickhouse import ClickHouseServer, database_of
from tests.support.lakes import DUCKLAKE, PARQUET, alter_ducklake, alter_parquet, lay_out_ducklake
from tests.support.sessions import (
    APP,
    RECEIVED_AT,
    a_call,
    a_disagreement,
    a_leg,
    a_letter,
    a_recording,
    a_session,
    a_voicemail,
    an_hour,
    session_record,
)

SESSIONS_0 = LogPartition("tccc.sessions", 0)
SESSIONS_1 = LogPartition("tccc.sessions", 1)
LETTERS_0 = LogPartition("tccc.dead_letters", 0)
WINDOWS_0 = LogPartition("tccc.reconcile", 0)
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
DEADLINE_SECONDS = 3600
SPEAK_DUCKDB = ("duckdb:", "ducklake:", "parquet:")


@dataclass
class Warehouse:
    """A warehouse under test: the sink that writes it, and how to get another one or to change it by hand."""

    url: str
    data_dir: Path
    sink: Sink
    alter: Callable[[str], None]

    def another(
        self,
        *,
        recording_deadline_seconds: int = DEADLINE_SECONDS,
        kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
    ) -> Sink:
        return open_sink(
            self.url,
            data_dir=self.data_dir,
            recording_deadline_seconds=recording_deadline_seconds,
            kpi_rules=kpi_rules,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.sink.query(sql).rows

    def load(self, *documents: SessionDocument, letters: Sequence[DeadLetter] = ()) -> Written:
        """Write a batch whose offsets follow what is stored."""
        stored = self.sink.offsets().get(SESSIONS_0)
        return self.sink.write(
            a_batch(*documents, letters=letters, offsets={SESSIONS_0: (stored or 0) + 1}, expected={SESSIONS_0: stored})
        )

    def ask(self, *windows: HourRecord) -> Written:
        """Write a batch of hours of the API."""
        stored = self.sink.offsets().get(WINDOWS_0)
        moved = {WINDOWS_0: (stored or 0) + len(windows)}
        asked = keyed_rows({RECONCILE_WINDOWS.name: windows})
        return self.sink.write(Batch(a_batch().sessions, (), moved, {WINDOWS_0: stored}, asked))

    def completeness(self, *columns: str) -> dict[datetime, tuple[Any, ...]]:
        """Some columns of `completeness`, by hour."""
        rows = self.rows(f"SELECT hour, {', '.join(columns)} FROM completeness ORDER BY sdk_app_id, hour")
        return {row[0].astimezone(UTC): row[1:] for row in rows}


def a_batch(
    *documents: SessionDocument,
    letters: Sequence[DeadLetter] = (),
    offsets: Mapping[LogPartition, int] | None = None,
    expected: Mapping[LogPartition, int | None] | None = None,
) -> Batch:
    rows, unfit = lay_out(read_document(*session_record(document)) for document in documents)
    assert not unfit
    seen = tally(sighting(letter, (*LETTERS_0, position)) for position, letter in enumerate(letters))
    moved = offsets or {}
    return Batch(rows, seen, moved, expected or dict.fromkeys(moved))


@pytest.fixture(params=["duckdb", "postgres", "clickhouse", "ducklake", "parquet"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    if request.param == "duckdb":
        url, alter = "duckdb:///calls.duckdb", _alter_duckdb(tmp_path / "calls.duckdb")
    elif request.param == "clickhouse":
        url = request.getfixturevalue("clickhouse_url")
        alter = _alter_clickhouse(request.getfixturevalue("clickhouse_server"), url)
    elif request.param == "ducklake":
        lay_out_ducklake(tmp_path)
        url, alter = DUCKLAKE, alter_ducklake(tmp_path)
    elif request.param == "parquet":
        url, alter = PARQUET, alter_parquet(tmp_path / "files")
    else:
        url = request.getfixturevalue("postgres_url")
        alter = _alter_postgres(url)
    sink = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=DEADLINE_SECONDS)
    sink.open()
    with closing(sink):
        yield Warehouse(url, tmp_path, sink, alter)


@pytest.fixture
def postgres(postgres_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    sink = open_sink(postgres_url, data_dir=tmp_path, recording_deadline_seconds=DEADLINE_SECONDS)
    sink.open()
    with closing(sink):
        yield Warehouse(postgres_url, tmp_path, sink, _alter_postgres(postgres_url))


def _alter_duckdb(path: Path) -> Callable[[str], None]:
    def alter(sql: str) -> None:
        import duckdb

        with duckdb.connect(path) as connection:
            connection.execute(sql)

    return alter


def _alter_postgres(url: str) -> Callable[[str], None]:
    def alter(sql: str) -> None:
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.encode())

    return alter


def _alter_clickhouse(server: ClickHouseServer, url: str) -> Callable[[str], None]:
    def alter(sql: str) -> None:
        # As the storage has it: children lie in the session's row, and rows are changed by a mutation.
        sql = re.sub(r"TABLE sessions ", "TABLE callweave_sessions ", sql)
        sql = re.sub(
            r"TABLE recordings DROP COLUMN (\w+)", r"TABLE callweave_sessions DROP COLUMN `recordings.\1`", sql
        )
        sql = re.sub(r"UPDATE (\w+) SET (.*)", r"ALTER TABLE \1 UPDATE \2 SETTINGS mutations_sync = 1", sql)
        server.execute(sql, database_of(url))

    return alter


# Batches and versions


def test_an_empty_batch_changes_nothing(warehouse: Warehouse) -> None:
    written = warehouse.sink.write(a_batch())

    assert (written.applied, written.stale_count, written.letter_count) == (frozenset(), 0, 0)
    assert warehouse.sink.offsets() == {}


def test_a_batch_of_offsets_only_moves_them(warehouse: Warehouse) -> None:
    warehouse.sink.write(a_batch(offsets={SESSIONS_0: 7, LETTERS_0: 3}))

    assert warehouse.sink.offsets() == {SESSIONS_0: 7, LETTERS_0: 3}
    assert warehouse.rows("SELECT count(*) FROM sessions") == [(0,)]


def test_the_same_documents_twice_equal_once(warehouse: Warehouse) -> None:
    document = a_session(version=5, legs=[a_leg(0), a_leg(1)], leg_count=2)
    first = warehouse.load(document)
    before = warehouse.rows("SELECT * FROM sessions")
    second = warehouse.load(document)

    assert first.applied == {SessionKey(APP, "s-1")}
    assert (second.applied, second.stale_count) == (frozenset(), 1)
    assert warehouse.rows("SELECT * FROM sessions") == before
    assert warehouse.rows("SELECT count(*) FROM legs") == [(2,)]


def test_an_older_version_is_ignored_with_its_children(warehouse: Warehouse) -> None:
    warehouse.load(a_session(version=5, caller="new"))
    written = warehouse.load(a_session(version=4, caller="old", legs=[a_leg(0)], leg_count=1))

    assert written.stale_count == 1
    assert warehouse.rows("SELECT caller FROM sessions") == [("new",)]
    assert warehouse.rows("SELECT * FROM legs") == []


def test_of_equal_versions_the_larger_digest_stays_whatever_the_order(warehouse: Warehouse) -> None:
    one, other = a_session("a", caller="1"), a_session("a", caller="2")
    wins = max((one, other), key=lambda document: read_document(*session_record(document)).digest)
    for document in (one, other, one):
        warehouse.load(document)

    assert warehouse.rows("SELECT caller FROM sessions") == [(wins.caller,)]


def test_a_newer_document_replaces_all_children(warehouse: Warehouse) -> None:
    warehouse.load(
        a_session(
            version=1,
            legs=[a_leg(0), a_leg(1), a_leg(2)],
            recordings=[a_recording("r-1"), a_recording("r-2")],
            voicemails=[a_voicemail("v-1")],
        )
    )
    warehouse.load(a_session(version=2, legs=[a_leg(1, agent_mail="a@b")], recordings=[a_recording("r-3")]))

    assert warehouse.rows("SELECT leg_sequence, agent_mail FROM legs") == [(1, "a@b")]
    assert warehouse.rows("SELECT recording_id FROM recordings") == [("r-3",)]
    assert warehouse.rows("SELECT * FROM voicemails") == []


def test_a_mixed_batch_applies_the_new_and_skips_the_stale(warehouse: Warehouse) -> None:
    warehouse.load(a_session("a", version=5), a_session("b", version=5), a_session("untouched", version=1))
    written = warehouse.load(
        a_session("a", version=6, caller="newer"), a_session("b", version=4), a_session("c", version=1)
    )

    assert written.applied == {SessionKey(APP, "a"), SessionKey(APP, "c")}
    assert written.stale_count == 1
    assert warehouse.rows("SELECT session_id, version, caller FROM sessions ORDER BY session_id") == [
        ("a", 6, "newer"),
        ("b", 5, None),
        ("c", 1, None),
        ("untouched", 1, None),
    ]


def test_sessions_of_two_applications_with_one_id_are_two(warehouse: Warehouse) -> None:
    warehouse.load(a_session("same", legs=[a_leg(0)]), a_session("same", sdk_app_id=INT64_MAX, legs=[a_leg(0)]))
    warehouse.load(a_session("same", sdk_app_id=INT64_MAX, version=2))

    assert warehouse.rows("SELECT sdk_app_id, version FROM sessions ORDER BY 1") == [(APP, 1), (INT64_MAX, 2)]
    assert warehouse.rows("SELECT sdk_app_id FROM legs") == [(APP,)]


# Values


def test_every_column_comes_back_as_it_was_sent(warehouse: Warehouse) -> None:
    nasty = "tab\t newline\n return\r quote\" ' backslash\\ \\.\n\\.\n\\N , 电话 😀 \u2028 \x01 \x7f"
    moment = datetime(2026, 11, 24, 3, 55, 0, 999000, tzinfo=UTC)
    last_moment = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    full = _filled(a_session("full", version=INT64_MAX), nasty, moment, INT64_MAX)
    full = full.model_copy(
        update={
            "started_at": datetime(1970, 1, 1, tzinfo=UTC),
            "ended_at": last_moment,
            "ivr_seconds": INT64_MIN,
            "caller": "",
            "legs": [_filled(a_leg(INT64_MIN), nasty, moment, INT64_MIN)],
            "recordings": [_filled(a_recording(nasty), nasty, last_moment, 0)],
            "voicemails": [_filled(a_voicemail(nasty), nasty, moment, 0)],
        }
    )
    warehouse.load(full, a_session("empty"))

    _same_as_document(warehouse, full)
    _same_as_document(warehouse, a_session("empty"))


def _filled(model: Any, text: str, moment: datetime, number: int) -> Any:
    """Fill every field that has a column: what the test is about is that none is forgotten or confused."""
    values: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        kinds = str(info.annotation)
        if getattr(model, name) is not None:
            continue
        if "dict" in kinds:
            values[name] = {"big": 2**70, "text": text, "of": {"deep": [1, {"x": None}, 1.5]}, "digits": int("9" * 400)}
        elif "Literal['customer'" in kinds:
            values[name] = "agent"
        elif "Literal['recording_id'" in kinds:
            values[name] = "endpoint_user"
        elif "Datetime" in kinds:
            values[name] = moment
        else:
            values[name] = number if "int" in kinds else f"{name} {text}"
    return model.model_copy(update=values)


def _same_as_document(warehouse: Warehouse, document: SessionDocument) -> None:
    own = f"WHERE session_id = '{document.session_id}'"
    for table in TABLES[:4]:
        members = [document] if table is SESSIONS else getattr(document, table.name)
        result = warehouse.sink.query(f"SELECT * FROM {table.name} {own}")
        assert set(table.column_names) <= set(result.columns)
        rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
        assert len(rows) == len(members)
        for row, member in zip(rows, members, strict=True):
            expected = {name: getattr(member, name) for name in type(member).model_fields if name in row}
            found = {name: row[name] for name in expected}
            if found["extra"] is not None:
                found["extra"] = jsontext.decode(found["extra"].encode())
            assert found == expected


def test_a_document_of_a_newer_callweave_lands_without_its_new_fields(warehouse: Warehouse) -> None:
    key, value = session_record(a_session("new", legs=[a_leg(0)]))
    whole = jsontext.decode(value)
    whole["session"] |= {"schema_version": 9, "mood": "fine"}
    whole["session"]["legs"][0]["hat"] = "red"
    rows, unfit = lay_out([read_document(key, jsontext.encode(whole))])
    warehouse.sink.write(Batch(rows, (), {}, {}))

    assert not unfit
    assert warehouse.rows("SELECT session_id FROM sessions") == [("new",)]


def test_loaded_at_is_the_commit_and_never_goes_backwards(warehouse: Warehouse) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    warehouse.load(a_session("a"))
    _set_clock(warehouse.sink, RECEIVED_AT - timedelta(days=900))
    warehouse.load(a_session("b"))
    first, second = (row[0] for row in warehouse.rows("SELECT loaded_at FROM sessions ORDER BY session_id"))

    assert before < first < second


def _set_clock(sink: Any, moment: datetime) -> None:
    sink._clock = lambda: moment


# Dead letters


def test_letters_are_counted_and_the_first_one_stays(warehouse: Warehouse) -> None:
    first = a_letter(b"\x00\xff raw", received_at=RECEIVED_AT, headers={"Host": "h"}, action="cdr", origin=("t", 1, 2))
    later = a_letter(
        b"\x00\xff raw",
        received_at=RECEIVED_AT + timedelta(hours=1),
        occurred_at=RECEIVED_AT + timedelta(hours=1),
        origin=("t", 3, 4),
    )
    warehouse.load(letters=[first, first])
    warehouse.load(letters=[later, a_letter(b"other")])

    assert warehouse.rows(
        "SELECT raw, raw_bytes_count, seen_count, received_at, occurred_at, last_seen_at, topic, "
        f'"partition", "offset", action, headers FROM dead_letters WHERE dead_letter_id = \'{first.dead_letter_id}\''
    ) == [
        (
            b"\x00\xff raw",
            6,
            3,
            RECEIVED_AT,
            RECEIVED_AT,
            RECEIVED_AT + timedelta(hours=1),
            "t",
            1,
            2,
            "cdr",
            _json_text(warehouse, '{"Host":"h"}'),
        )
    ]
    assert warehouse.rows("SELECT count(*) FROM dead_letters") == [(2,)]


def _json_text(warehouse: Warehouse, text: str) -> str:
    # Postgres writes JSON back in its own spacing.
    return text.replace(":", ": ") if warehouse.url.startswith("postgresql") else text


def test_a_replay_is_told_beside_the_history_and_is_no_sighting(warehouse: Warehouse) -> None:
    letter = a_letter()
    later = RECEIVED_AT + timedelta(hours=1)
    failed = letter.replayed(RECEIVED_AT + timedelta(minutes=1), "FAILED_AGAIN: UNDECODABLE", (*LETTERS_0, 0))
    told = "SELECT seen_count, last_seen_at, occurred_at, replayed_at, replay_outcome FROM dead_letters"
    warehouse.load(letters=[letter, letter, failed])
    warehouse.load(letters=[letter.replayed(later, "PUBLISHED", (*LETTERS_0, 0))])

    assert warehouse.rows(told) == [(2, RECEIVED_AT, RECEIVED_AT, later, "PUBLISHED")]

    # An older replay that is read again says nothing new, and a later sighting counts and keeps what is told.
    warehouse.load(letters=[failed])
    warehouse.load(letters=[a_letter(occurred_at=later)])

    assert warehouse.rows(told) == [(3, later, RECEIVED_AT, later, "PUBLISHED")]


def test_a_letter_of_which_only_the_replay_is_left_was_seen_once(warehouse: Warehouse) -> None:
    place = (*LETTERS_0, 5)
    warehouse.load(letters=[a_letter().replayed(RECEIVED_AT, "KNOWN", place)])

    assert warehouse.rows('SELECT seen_count, topic, "partition", "offset", raw FROM dead_letters') == [
        (1, *place, b"not json")
    ]


def test_a_letter_without_a_place_takes_that_of_its_record(warehouse: Warehouse) -> None:
    warehouse.load(letters=[a_letter()])

    assert warehouse.rows('SELECT topic, "partition", "offset", headers FROM dead_letters') == [(*LETTERS_0, 0, None)]


# Offsets


def test_offsets_and_rows_land_together_or_not_at_all(warehouse: Warehouse) -> None:
    warehouse.sink.write(a_batch(offsets={SESSIONS_0: 5}))
    with pytest.raises(FencedError):
        warehouse.sink.write(
            a_batch(
                a_session("not here"),
                letters=[a_letter()],
                offsets={SESSIONS_1: 9, SESSIONS_0: 6},
                expected={SESSIONS_1: None, SESSIONS_0: 4},
            )
        )

    assert warehouse.sink.offsets() == {SESSIONS_0: 5}
    assert warehouse.rows("SELECT count(*) FROM sessions") == [(0,)]
    assert warehouse.rows("SELECT count(*) FROM dead_letters") == [(0,)]


def test_a_loader_that_expects_nothing_is_fenced_by_one_that_was_here(warehouse: Warehouse) -> None:
    warehouse.sink.write(a_batch(offsets={SESSIONS_0: 5}))
    with pytest.raises(FencedError):
        warehouse.sink.write(a_batch(offsets={SESSIONS_0: 6}))


def test_a_batch_that_has_landed_is_not_counted_again(warehouse: Warehouse) -> None:
    # The connection broke while the commit was answered: the loader writes the same batch again.
    batch = a_batch(a_session(), letters=[a_letter()], offsets={SESSIONS_0: 1})
    warehouse.sink.write(batch)
    written = warehouse.sink.write(batch)

    assert written.applied == frozenset()
    assert warehouse.rows("SELECT seen_count FROM dead_letters") == [(1,)]


def test_offsets_may_go_back_when_they_are_expected(warehouse: Warehouse) -> None:
    warehouse.sink.write(a_batch(offsets={SESSIONS_0: 500}))
    warehouse.sink.write(a_batch(offsets={SESSIONS_0: 3}, expected={SESSIONS_0: 500}))

    assert warehouse.sink.offsets() == {SESSIONS_0: 3}


# Opening


def test_opening_again_keeps_everything(warehouse: Warehouse) -> None:
    warehouse.load(a_session("kept"))
    warehouse.sink.close()
    warehouse.sink.open()
    warehouse.sink.open()

    assert warehouse.rows("SELECT session_id FROM sessions") == [("kept",)]
    assert warehouse.sink.offsets() == {SESSIONS_0: 1}


def test_a_table_that_lacks_a_column_gets_it(warehouse: Warehouse) -> None:
    warehouse.load(a_session("old", uui="lost with its column"))
    warehouse.sink.close()
    for view in reversed(VIEWS):  # those that read others first
        warehouse.alter(f"DROP VIEW {view}")
    warehouse.alter("ALTER TABLE sessions DROP COLUMN uui")
    warehouse.alter("ALTER TABLE recordings DROP COLUMN source")
    warehouse.sink.open()
    warehouse.load(a_session("new", uui="here"))

    assert warehouse.rows("SELECT session_id, uui FROM sessions ORDER BY 1") == [("new", "here"), ("old", None)]
    assert "source" in warehouse.sink.query("SELECT * FROM session_recordings").columns


def test_a_strangers_table_is_left_alone(warehouse: Warehouse) -> None:
    warehouse.sink.close()
    warehouse.alter("DROP TABLE callweave_meta")

    with pytest.raises(MisconfiguredError, match="callweave did not make"):
        warehouse.another().open()


def test_a_column_of_another_type_is_refused_by_name(warehouse: Warehouse) -> None:
    warehouse.sink.close()
    for view in reversed(VIEWS):  # those that read others first
        warehouse.alter(f"DROP VIEW {view}")
    warehouse.alter("ALTER TABLE sessions ALTER COLUMN leg_count TYPE VARCHAR(10)")

    with pytest.raises(MisconfiguredError, match=r"sessions\.leg_count"):
        warehouse.another().open()


def test_the_layout_of_a_newer_callweave_is_refused(warehouse: Warehouse) -> None:
    warehouse.sink.close()
    warehouse.alter("UPDATE callweave_meta SET value = '99' WHERE key = 'layout_version'")

    with pytest.raises(MisconfiguredError, match="newer callweave"):
        warehouse.another().open()


def test_columns_carry_their_descriptions(warehouse: Warehouse) -> None:
    if warehouse.url.startswith(SPEAK_DUCKDB):
        sql = "SELECT comment FROM duckdb_columns() WHERE table_name = 'sessions' AND column_name = 'uui'"
    elif warehouse.url.startswith("clickhouse"):
        sql = (
            "SELECT comment FROM system.columns "
            "WHERE database = currentDatabase() AND table = 'sessions' AND name = 'uui'"
        )
    else:
        sql = (
            "SELECT col_description('sessions'::regclass, ordinal_position::int) FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name = 'sessions' AND column_name = 'uui'"
        )

    assert warehouse.rows(sql) == [("Data passed along at dial time",)]


# Views


def test_the_columns_of_a_view_have_plain_names_and_those_that_are_promised(warehouse: Warehouse) -> None:
    promised = {view.name: view.column_names for view in KPI_VIEWS}
    of_recordings = {*RECORDINGS.column_names, "started_at", "ended_at", "skill_group_name"}
    for view in VIEWS:
        columns = warehouse.sink.query(f"SELECT * FROM {view}").columns

        assert [name for name in columns if not name.isidentifier()] == [], view
        assert len(set(columns)) == len(columns), view
        assert columns == promised.get(view, columns), view
        assert "recordings" not in view or of_recordings <= set(columns), view
    assert promised.keys() <= set(VIEWS)


def test_session_recordings_names_the_agent_of_the_leg_else_of_the_session(warehouse: Warehouse) -> None:
    warehouse.load(
        a_session(
            agent_mail="last@x",
            agent_name="Last",
            caller="+861",
            legs=[
                a_leg(0, agent_mail="first@x"),
                a_leg(1, agent_mail="last@x"),
                a_leg(2, agent_phone="10086"),
                a_leg(3),
            ],
            recordings=[
                a_recording("a", leg_sequence=0, url="u", custom_url="c"),
                a_recording("b", leg_sequence=1, url="u"),
                a_recording("c", leg_sequence=2),
                a_recording("d", leg_sequence=3),
                a_recording("e", side="customer"),
            ],
        )
    )

    assert warehouse.rows(
        "SELECT recording_id, agent_mail, agent_phone, agent_name, best_url, caller FROM session_recordings ORDER BY 1"
    ) == [
        ("a", "first@x", None, None, "c", "+861"),
        ("b", "last@x", None, "Last", "u", "+861"),
        ("c", None, "10086", None, None, "+861"),
        ("d", "last@x", None, "Last", None, "+861"),
        ("e", "last@x", None, "Last", None, "+861"),
    ]


def test_missing_recordings_are_expected_not_here_not_absent_and_overdue(warehouse: Warehouse) -> None:
    now = datetime.now(UTC)
    long_ago, just_now = now - timedelta(seconds=DEADLINE_SECONDS + 60), now - timedelta(seconds=60)
    answered = {"legs": [a_leg(0, answered_at=long_ago), a_leg(1)], "ended_at": long_ago, "last_received_at": just_now}
    warehouse.load(
        a_session(
            "ended long ago",
            **answered,
            recordings=[
                a_recording("answered leg", leg_sequence=0, side="agent"),
                a_recording("unanswered leg", leg_sequence=1, side="agent"),
                a_recording("customer", side="customer"),
                a_recording("here", received_at=just_now),
                a_recording("absent", absent_at=just_now),
                a_recording("nobody named it", is_expected=False),
            ],
        ),
        a_session("ended just now", ended_at=just_now, last_received_at=long_ago, recordings=[a_recording()]),
        a_session("no end, quiet", last_received_at=long_ago, recordings=[a_recording("no end")]),
        a_session("no end, fresh", last_received_at=just_now, recordings=[a_recording()]),
    )

    assert warehouse.rows("SELECT recording_id, leg_answered FROM missing_recordings ORDER BY 1") == [
        ("answered leg", True),
        ("customer", False),
        ("no end", False),
        ("unanswered leg", False),
    ]
    ages = warehouse.rows("SELECT age_seconds, overdue_seconds FROM missing_recordings")
    assert all(age - overdue == DEADLINE_SECONDS and 0 < overdue < 600 for age, overdue in ages)


def test_another_deadline_is_written_into_the_view_at_start(warehouse: Warehouse) -> None:
    just_now = datetime.now(UTC) - timedelta(seconds=60)
    warehouse.load(a_session(ended_at=just_now, recordings=[a_recording()]))
    count = "SELECT count(*) FROM missing_recordings"
    before = warehouse.rows(count)
    warehouse.sink.close()
    warehouse.sink = warehouse.another(recording_deadline_seconds=10)
    warehouse.sink.open()
    with closing(warehouse.sink):
        assert (before, warehouse.rows(count)) == ([(0,)], [(1,)])


def test_changed_rules_of_the_numbers_count_every_day_anew(warehouse: Warehouse) -> None:
    start = datetime(2026, 11, 24, 23, 59, 0, tzinfo=UTC)
    call = {"has_cdr": True, "direction": "inbound", "call_type": "inbound", "started_at": start, "queued_at": start}
    answer = start + timedelta(seconds=25)
    warehouse.load(a_session(**call, answered_at=answer, ended_at=answer, legs=[a_leg(0, answered_at=answer)]))
    count = "SELECT day, answered_in_target_count FROM kpi_daily"
    before = warehouse.rows(count)
    warehouse.sink.close()
    warehouse.sink = warehouse.another(kpi_rules=(KpiRules(time_zone="Asia/Shanghai", target_seconds=25),))
    warehouse.sink.open()
    with closing(warehouse.sink):
        assert before == [(start.date(), 0)]
        assert warehouse.rows(count) == [(start.date() + timedelta(days=1), 1)]


def test_completeness_stands_beside_the_numbers_of_its_hours(warehouse: Warehouse) -> None:
    nine = datetime(2026, 11, 24, 9, tzinfo=UTC)
    call = {"direction": "inbound", "call_type": "inbound", "recordings_expected": 1, "recordings_missing": 1}
    late = nine + timedelta(hours=5)
    warehouse.load(a_call("a", nine + timedelta(minutes=30), **call), a_call("b", late, direction="inbound"))
    numbers = "SELECT completeness, completeness_is_final FROM kpi_daily"
    before = warehouse.rows(numbers)
    warehouse.ask(an_hour(nine - timedelta(hours=1)), an_hour(nine, is_final=True))

    assert before == [(None, None)]
    assert warehouse.rows(numbers) == [(pytest.approx(2 / 3), False)]
    hours = "SELECT hour, completeness, completeness_is_final FROM kpi_hourly_line ORDER BY hour"
    assert [(row[0].astimezone(UTC), *row[1:]) for row in warehouse.rows(hours)] == [
        (nine, pytest.approx(1 / 2), True),
        (late - timedelta(hours=1), None, None),
    ]


def test_a_warehouse_tells_what_its_numbers_mean(warehouse: Warehouse) -> None:
    told = warehouse.rows("SELECT definition_id, source, is_given, view_names FROM kpi_definitions")
    by_id = {row[0]: row[1:] for row in told}

    assert len(by_id) == len(told)
    assert by_id["service_level_genesys"] == ("Genesys", True, "kpi_hourly_skill_group,kpi_hourly_line,kpi_daily")
    assert {name for name, row in by_id.items() if not row[1]} >= {"hold_seconds", "aht_seconds", "occupancy"}


# Disagreements and completeness


def test_disagreements_are_replaced_with_their_session(warehouse: Warehouse) -> None:
    warehouse.load(a_session(version=1, field_disagreements=[a_disagreement("Caller"), a_disagreement("CallType")]))
    warehouse.load(a_session(version=2, field_disagreements=[a_disagreement("Caller", api_value="c")]))

    assert warehouse.rows("SELECT field, pushed_value, api_value, api_asked_at FROM field_disagreements") == [
        ("Caller", "a", "c", RECEIVED_AT)
    ]


NINE, TEN = datetime(2026, 11, 24, 9, tzinfo=UTC), datetime(2026, 11, 24, 10, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def test_of_an_hours_readings_the_one_asked_for_last_counts(warehouse: Warehouse) -> None:
    first, second = an_hour(NINE, row_count=1, is_final=False, asked_at=TEN), an_hour(NINE, row_count=2)
    for windows in ((first,), (second, first), (second,), (first,)):
        warehouse.ask(*windows)

    assert warehouse.rows("SELECT window_start, row_count, is_final FROM reconcile_windows") == [(NINE, 2, True)]
    assert warehouse.sink.offsets() == {WINDOWS_0: 5}


def test_completeness_has_the_columns_that_are_promised(warehouse: Warehouse) -> None:
    warehouse.load(a_call("a", NINE))
    if warehouse.url.startswith("clickhouse"):
        described = warehouse.rows(
            "SELECT name, type, comment FROM system.columns "
            "WHERE database = currentDatabase() AND table = 'completeness' ORDER BY position"
        )
        assert described == [
            (column.name, f"Nullable({kind})" if column.nullable else kind, column.description)
            for column in COMPLETENESS.columns
            for kind in [clickhouse_layout.TYPES[column.type]]
        ]
        return
    schema = "main" if warehouse.url.startswith(SPEAK_DUCKDB) else "public"
    found = warehouse.rows(
        "SELECT column_name, data_type FROM information_schema.columns "
        f"WHERE table_name = 'completeness' AND table_schema = '{schema}' ORDER BY ordinal_position"
    )
    dialect = DUCKDB if warehouse.url.startswith(SPEAK_DUCKDB) else POSTGRES

    assert found == [(column.name, dialect.types[column.type]) for column in COMPLETENESS.columns]


def test_completeness_counts_what_is_known_pushed_recovered_and_missing(warehouse: Warehouse) -> None:
    warehouse.load(
        a_call("pushed", NINE + MINUTE, "push", recordings_expected=2, recordings_received=1, recordings_missing=1),
        a_call("both", NINE + 59 * MINUTE, "push+api", recordings_received=1),
        a_call(
            "lost",
            NINE,
            "api",
            recordings_expected=2,
            recordings_received=1,
            recordings=[
                a_recording("r-1", received_at=TEN, source="api"),
                a_recording("r-2", absent_at=TEN),
                a_recording("r-3", received_at=TEN, source="push"),
            ],
        ),
        a_call("next", TEN, "push"),
    )
    warehouse.ask(an_hour(NINE, unusable_count=1))

    assert warehouse.completeness(*COMPLETENESS.column_names[2:15]) == {
        NINE: (2, 3, 2, 1, 1, 0, 1, 4, 3, 1, 1, 1, (3 + 4 - 1) / (3 + 1 + 4)),
        TEN: (0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1.0),
    }


def test_a_session_without_a_cdr_is_missing_where_its_first_track_was_made(warehouse: Warehouse) -> None:
    warehouse.load(
        a_session(
            "tracks",
            recordings=[a_recording(generated_at=TEN + MINUTE)],
            voicemails=[a_voicemail(generated_at=NINE + MINUTE)],
        ),
        a_session("nothing but a receipt"),
        a_call("no end", TEN, ended_at=None),
    )

    assert warehouse.completeness("sessions_without_cdr", "sessions_in_warehouse", "share") == {
        RECEIVED_AT.replace(minute=0, second=0, microsecond=0): (1, 0, 0.0),
        NINE: (1, 1, 0.5),
    }


def test_an_hour_is_final_when_all_hours_in_which_its_calls_began_are(warehouse: Warehouse) -> None:
    hours = [NINE + number * HOUR for number in range(-6, 4)]
    warehouse.load(
        a_call("short", hours[5] + MINUTE, started_at=hours[5]),
        a_call("long", hours[6] + MINUTE, started_at=hours[1] + MINUTE),
        a_call("nonsense", hours[9] + MINUTE, started_at=datetime(1970, 1, 2, tzinfo=UTC)),
    )
    never = warehouse.completeness("asked_at", "is_final")
    warehouse.ask(*(an_hour(start, is_final=start != hours[2]) for start in hours))
    before = warehouse.completeness("is_final")
    warehouse.ask(an_hour(hours[2], asked_at=TEN + timedelta(days=9)))
    after = warehouse.completeness("is_final")

    assert never == dict.fromkeys((hours[5], hours[6], hours[9]), (None, False))
    # The first has no hour before it, and the third none that is final; six waits for the third, in which nothing is.
    assert [start for start in hours if not before[start][0]] == [hours[at] for at in (0, 2, 3, 6, 9)]
    assert [start for start in hours if not after[start][0]] == [hours[0], hours[9]]
    warehouse.ask(*(an_hour(hours[9] - number * HOUR) for number in range(25)))
    assert warehouse.completeness("is_final")[hours[9]] == (True,)


def test_an_hour_that_was_asked_for_and_held_nothing_is_complete_knowledge(warehouse: Warehouse) -> None:
    warehouse.ask(an_hour(NINE), an_hour(TEN), an_hour(TEN, sdk_app_id=7, window_end=TEN + MINUTE, is_final=False))

    rows = warehouse.rows("SELECT sdk_app_id, hour, share, read_to, is_final FROM completeness ORDER BY 1, 2")

    assert rows == [
        (7, TEN, None, TEN + MINUTE, False),
        (APP, NINE, None, TEN, False),
        (APP, TEN, None, TEN + HOUR, True),
    ]


# Queries


REFUSED = (
    "DELETE FROM sessions",
    "INSERT INTO callweave_meta VALUES ('a', 'b')",
    "CREATE TABLE x (a INT)",
    "DROP TABLE sessions",
    "SELECT 1; SELECT 2",
    "SELECT 1; DELETE FROM sessions",
    "SELECT 1; COMMIT; DELETE FROM sessions",
    "COMMIT",
    "",
    "-- nothing",
    "SET search_path TO x",
    "SELECT * FROM no_such_table",
    "SELECT FROM WHERE",
    "COPY sessions TO 'x.csv'",
)


def test_a_query_can_do_nothing_but_select(warehouse: Warehouse) -> None:
    warehouse.load(a_session())
    for at, sql in enumerate(REFUSED, 1):
        with pytest.raises(QueryRefusedError):
            pytest.fail(f"{sql!r} was answered: {warehouse.sink.query(sql)}")

        assert warehouse.rows("SELECT count(*) FROM sessions") == [(at,)], sql
        assert warehouse.sink.write(a_batch(a_session(f"still writable {at}"))).applied, sql


def test_a_query_sees_neither_files_nor_our_variables(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    sink = open_sink("duckdb:///calls.duckdb", data_dir=tmp_path, recording_deadline_seconds=1)
    sink.open()
    with closing(sink):
        for sql in (
            f"SELECT * FROM read_csv('{secret}')",
            f"SELECT * FROM '{secret}'",
            f"SELECT * FROM read_text('{secret}')",
            f"SELECT * FROM glob('{tmp_path}/*')",
            "SELECT * FROM sql",
            "SELECT * FROM limits",
            "SELECT * FROM batch_sessions",
            "SET enable_external_access = true",
        ):
            with pytest.raises(QueryRefusedError):
                sink.query(sql)


def test_too_many_rows_are_cut_and_said_to_be(warehouse: Warehouse) -> None:
    warehouse.load(*(a_session(f"s-{number}") for number in range(5)))
    cut = warehouse.sink.query("SELECT session_id FROM sessions ORDER BY 1 -- all", QueryLimits(rows_max=3))
    whole = warehouse.sink.query("SELECT session_id FROM sessions", QueryLimits(rows_max=5))

    assert (cut.columns, cut.rows, cut.truncated) == (("session_id",), [("s-0",), ("s-1",), ("s-2",)], True)
    assert (len(whole.rows), whole.truncated) == (5, False)


def test_a_query_that_takes_too_long_is_stopped(warehouse: Warehouse) -> None:
    series = dict.fromkeys(("duckdb", "ducklake", "parquet"), "range(1000000)") | {"clickhouse": "numbers(1000000)"}
    numbers = series.get(warehouse.url.partition(":")[0], "generate_series(1, 1000000)")
    with pytest.raises(QueryTooSlowError):
        warehouse.sink.query(f"SELECT count(*) FROM {numbers} a, {numbers} b", QueryLimits(seconds_max=0.2))

    assert warehouse.rows("SELECT 1") == [(1,)]


def test_queries_see_whole_sessions_while_batches_are_written(warehouse: Warehouse) -> None:
    stop = threading.Event()
    seen: list[tuple[Any, ...]] = []
    faults: list[Exception] = []

    def read() -> None:
        while not stop.is_set():
            try:
                seen.extend(
                    warehouse.rows(
                        "SELECT s.version, (SELECT count(*) FROM legs AS l WHERE l.session_id = s.session_id) "
                        "FROM sessions AS s"
                    )
                )
            except Exception as exc:  # noqa: BLE001 - shown by the test
                faults.append(exc)
                return

    reader = threading.Thread(target=read)
    warehouse.load(a_session(version=1, legs=[a_leg(0)]))
    reader.start()
    for version in range(2, 12):
        warehouse.load(a_session(version=version, legs=[a_leg(number) for number in range(version)]))
    stop.set()
    reader.join()

    assert faults == []
    assert seen
    assert all(version == legs for version, legs in seen)


# Faults


def test_a_server_that_is_away_is_a_matter_of_waiting(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://somebody:hush-hush@127.0.0.1:1/nowhere"
    sink = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=1)
    for attempt in (sink.open, sink.offsets, lambda: sink.query("SELECT 1"), lambda: sink.write(a_batch(a_session()))):
        with pytest.raises(SinkUnavailableError) as caught:
            attempt()
        assert "127.0.0.1:1/nowhere" in str(caught.value)
        assert "hush" not in str(caught.value)


def test_a_lost_connection_is_a_matter_of_waiting(postgres: Warehouse) -> None:
    postgres.load(a_session("a"))
    postgres.alter(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    batch = a_batch(a_session("b"), offsets={SESSIONS_0: 2}, expected={SESSIONS_0: 1})
    with pytest.raises(SinkUnavailableError):
        postgres.sink.write(batch)
    postgres.sink.write(batch)

    assert postgres.sink.offsets() == {SESSIONS_0: 2}
    assert postgres.rows("SELECT count(*) FROM sessions") == [(2,)]


def test_a_locked_table_is_a_matter_of_waiting(postgres: Warehouse) -> None:
    import psycopg

    postgres.load(a_session("a"))
    _hurry(postgres.sink)
    with psycopg.connect(postgres.url) as other:
        other.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SinkUnavailableError):
            postgres.load(a_session("b"))
    postgres.load(a_session("b"))

    assert postgres.rows("SELECT count(*) FROM sessions") == [(2,)]


def _hurry(sink: Any) -> None:
    sink._connected().execute("SET lock_timeout = '100ms'")


def test_a_file_that_another_process_has_open_names_that_process(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path / "calls.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        sink = open_sink("duckdb:///calls.duckdb", data_dir=tmp_path, recording_deadline_seconds=1)
        for attempt in (sink.open, lambda: open_reader("duckdb:///calls.duckdb", data_dir=tmp_path)):
            with pytest.raises(SinkUnavailableError, match=str(other.pid)):
                attempt()
        other.communicate()
    assert os.path.exists(tmp_path / "calls.duckdb")  # noqa: PTH110
    sink.open()
    sink.close()


def test_a_refused_session_is_named_and_the_rest_can_land(postgres: Warehouse) -> None:
    # Longer than an index entry may be, and not compressible.
    monster = "".join(chr(0x4E00 + (number * 7919) % 20000) for number in range(10_000))
    good = [a_session(f"s-{number}", legs=[a_leg(0)]) for number in range(20)]
    twins = a_session("twins", legs=[a_leg(1), a_leg(1)])
    nul = a_session("nul", caller="\x00")
    offsets = {SESSIONS_0: 30}
    with pytest.raises(RowsRejectedError) as caught:
        postgres.sink.write(a_batch(*good[:10], a_session(monster), twins, nul, *good[10:], offsets=offsets))
    nothing_landed = (postgres.rows("SELECT count(*) FROM sessions"), postgres.sink.offsets())
    postgres.sink.write(a_batch(*good, offsets=offsets))

    reasons = caught.value.sessions
    assert {key: reason.partition(":")[0] for key, reason in reasons.items()} == {
        SessionKey(APP, monster): "54000",
        SessionKey(APP, "twins"): "23505",
        SessionKey(APP, "nul"): "22021",
    }
    assert nothing_landed == ([(0,)], {})
    assert postgres.rows("SELECT count(*) FROM sessions") == [(20,)]
    assert postgres.rows("SELECT count(*) FROM legs") == [(20,)]


def test_two_writers_leave_the_highest_version_with_its_own_children(postgres: Warehouse) -> None:
    import random

    other = postgres.another()
    other.open()
    faults: list[Exception] = []

    def write(sink: Sink, seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(15):
                versions = [chance.randrange(1, 50) for _ in range(10)]
                batch = [
                    a_session(f"s-{number}", version=version, legs=[a_leg(leg) for leg in range(version % 7)])
                    for number, version in enumerate(versions)
                ]
                chance.shuffle(batch)
                sink.write(a_batch(*batch))
            sink.write(a_batch(*(a_session(f"s-{number}", version=60 + seed) for number in range(0, 10, 2))))
        except Exception as exc:  # noqa: BLE001 - shown by the test
            faults.append(exc)

    writers = [threading.Thread(target=write, args=(sink, seed)) for seed, sink in enumerate((postgres.sink, other))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    other.close()
    rows = postgres.rows(
        "SELECT s.session_id, s.version, count(l.leg_sequence) FROM sessions AS s "
        "LEFT JOIN legs AS l ON l.session_id = s.session_id GROUP BY 1, 2 ORDER BY 1"
    )

    assert faults == []
    assert len(rows) == 10
    assert all(legs == (0 if version >= 60 else version % 7) for _, version, legs in rows)
    assert all(version == 61 for name, version, _ in rows if int(name[2:]) % 2 == 0)


@pytest.mark.parametrize(("version", "stays"), [(7, (7, 2)), (3, (5, 1))], ids=["newer", "older"])
def test_a_session_that_another_writer_brings_meanwhile_is_waited_for(
    postgres: Warehouse, version: int, stays: tuple[int, int]
) -> None:
    postgres.load(a_session("s-1", version=5, legs=[a_leg(1)]), a_session("s-2"))
    brought = a_batch(*(a_session(name, version=version, legs=[a_leg(1), a_leg(2)]) for name in ("s-0", "s-1", "s-2")))
    with psycopg.connect(postgres.url) as other, psycopg.connect(postgres.url, autocommit=True) as watching:
        for table in ("sessions", "legs"):
            other.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE session_id = 's-1'".encode())
            other.execute(f"DELETE FROM {table} WHERE session_id = 's-1'".encode())
        other.commit()
        for table in ("sessions", "legs"):
            other.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}".encode())
        written: list[Written] = []
        writer = threading.Thread(target=lambda: written.append(postgres.sink.write(brought)))
        writer.start()
        waiting = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY sessions%'"
        deadline = monotonic() + 60
        while writer.is_alive() and not watching.execute(waiting).fetchall():
            assert monotonic() < deadline, "the writer neither waits nor ends"
        waited = writer.is_alive()
        other.commit()
        writer.join()

    rows = postgres.rows(
        "SELECT s.version, count(l.leg_sequence) FROM sessions AS s LEFT JOIN legs AS l USING (session_id) "
        "WHERE s.session_id = 's-1' GROUP BY 1"
    )
    assert waited
    assert rows == [stays]
    assert len(written) == 1
    assert written[0].stale_count == (0 if version == 7 else 1)
    assert postgres.rows("SELECT count(*) FROM legs WHERE session_id IN ('s-0', 's-2')") == [(4,)]


# Addresses


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("clickhouse://u:hush@h", "no ClickHouse address"),
        ("clickhouse://u:hush@h:port/d", "no ClickHouse address"),
        ("clickhouse://u:hush@h/d?secure=perhaps", "no ClickHouse address"),
        ("clickhouse://u:hush@h/d?nonsense=1", "no ClickHouse address"),
        ("ducklake:postgres:x", "ducklake address"),
        ("mysql://u:hush@h/d", "'mysql'"),
        ("duckdb://calls.duckdb", "duckdb:///relative"),
        ("duckdb:///", "duckdb:///relative"),
        ("postgresql://u:hush@h:notaport:x/d?nonsense=1", "no PostgreSQL address"),
        ("calls.duckdb", "duckdb:///"),
    ],
)
def test_an_address_that_names_no_warehouse_is_one_clear_sentence(tmp_path: Path, url: str, says: str) -> None:
    for attempt in (
        lambda: open_sink(url, data_dir=tmp_path, recording_deadline_seconds=1),
        lambda: open_reader(url, data_dir=tmp_path),
    ):
        with pytest.raises(MisconfiguredError) as caught:
            attempt()
        assert says in str(caught.value)
        assert "hush" not in str(caught.value)


def test_a_reader_answers_without_a_loader(warehouse: Warehouse) -> None:
    warehouse.load(a_session("here"))
    warehouse.sink.close()
    with closing(open_reader(warehouse.url, data_dir=warehouse.data_dir)) as reader:
        assert reader.query("SELECT session_id, first_received_at FROM sessions").rows == [("here", RECEIVED_AT)]
        with pytest.raises(QueryRefusedError):
            reader.query("DELETE FROM sessions")


def test_a_reader_says_that_there_is_no_warehouse_yet(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailableError, match="loader creates it"):
        open_reader("duckdb:///calls.duckdb", data_dir=tmp_path)


def test_an_absolute_address_is_absolute(tmp_path: Path) -> None:
    sink = open_sink(f"duckdb:///{tmp_path}/far/away.duckdb", data_dir=Path("elsewhere"), recording_deadline_seconds=1)
    sink.open()
    sink.close()

    assert (tmp_path / "far" / "away.duckdb").exists()


def test_recordings_that_tccc_soon_deletes_are_counted_in_every_warehouse(warehouse: Warehouse) -> None:
    now = NINE

    def made(days_ago: float, **more: Any) -> Any:
        at = now - timedelta(days=days_ago)
        return a_recording(f"r-{days_ago}", **{"received_at": at, "generated_at": at, "source": "push", **more})

    warehouse.load(
        a_session(
            "s",
            recordings=[
                made(89),
                made(80, generated_at=None),
                made(65),
                made(91),  # gone already
                made(10),
                made(85, received_at=None),  # never came: there is no address to lose
            ],
        )
    )

    assert read_expiring(DirectQuestions(warehouse.sink), now) == {7: 1, 14: 2, 30: 3}


def test_the_hours_of_a_span_are_read_in_every_warehouse(warehouse: Warehouse) -> None:
    warehouse.load(a_call("in", NINE, "push"), a_call("after", TEN, "push"))
    hours = read_hours(DirectQuestions(warehouse.sink), NINE, TEN, applications=[], only=False)

    assert [(hour.start, hour.counts["sessions_in_warehouse"]) for hour in hours] == [(NINE, 1)]
