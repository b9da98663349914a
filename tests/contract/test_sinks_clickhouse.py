"""What ClickHouse promises without transactions: whatever lands in part, or twice, or too late, does no harm."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.columns import SESSIONS
from sinks import clickhouse
from sinks.clickhouse import ClickHouseSink
from sinks.letters import LetterRow, sighting, tally
from sinks.rows import SessionKey, lay_out, read_document
from sinks.sink import (
    Batch,
    FencedError,
    LogPartition,
    MisconfiguredError,
    QueryLimits,
    QueryRefusedError,
    RowsRejectedError,
    SinkUnavailableError,
)
from sinks.warehouse import open_reader, open_sink
from tests.support.clickhouse import ClickHouseServer, database_of
from tests.support.sessions import APP, a_leg, a_letter, a_recording, a_session, session_record

SESSIONS_0 = LogPartition("tccc.sessions", 0)
LETTERS_0 = LogPartition("tccc.dead_letters", 0)


@pytest.fixture
def sink(clickhouse_url: str) -> Iterator[ClickHouseSink]:
    sink = a_sink(clickhouse_url)
    with closing(sink):
        yield sink


def a_sink(url: str) -> ClickHouseSink:
    sink = ClickHouseSink(url, recording_deadline_seconds=3600)
    sink.open()
    return sink


def a_batch(*documents: Any, letters: Any = (), start: int | None = None, stop: int = 0) -> Batch:
    rows, _ = lay_out(read_document(*session_record(document)) for document in documents)
    return Batch(rows, letters, {SESSIONS_0: stop} if stop else {}, {SESSIONS_0: start})


def seen(*places: int) -> list[LetterRow]:
    """The tally of one letter's records at these offsets."""
    return tally(sighting(a_letter(), (*LETTERS_0, place)) for place in places)


def rows(sink: ClickHouseSink, sql: str) -> list[tuple[Any, ...]]:
    return sink.query(sql).rows


class CutOffError(Exception):
    """The loader was killed here."""


@pytest.mark.parametrize("before", ["_replace_sessions", "_note_letters", "_replace_keyed", "_move_offsets"])
def test_cut_off_before_any_step_and_read_again_with_other_bounds_it_counts_once(
    clickhouse_url: str, sink: ClickHouseSink, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    cut = a_batch(a_session("a"), a_session("b"), letters=seen(0, 1, 2), stop=5)
    with monkeypatch.context() as patched:
        patched.setattr(clickhouse, before, _cut_off)
        with pytest.raises(CutOffError):
            sink.write(cut)
    offsets_of_the_cut = sink.offsets()
    with closing(a_sink(clickhouse_url)) as next_life:
        next_life.write(a_batch(a_session("a"), letters=seen(0, 1), stop=3))
        next_life.write(a_batch(a_session("b"), letters=seen(2, 3), start=3, stop=6))

    assert offsets_of_the_cut == {}
    assert sink.offsets() == {SESSIONS_0: 6}
    assert rows(sink, "SELECT session_id FROM sessions ORDER BY 1") == [("a",), ("b",)]
    assert rows(sink, "SELECT seen_count FROM dead_letters") == [(4,)]


def _cut_off(*_: object) -> None:
    raise CutOffError


def test_a_loader_that_slept_between_its_rows_and_its_offsets_moves_nothing(
    clickhouse_url: str, sink: ClickHouseSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.write(a_batch(a_session("a", version=1), stop=1))
    note_letters = clickhouse._note_letters

    def sleep(*_: object) -> None:
        monkeypatch.setattr(clickhouse, "_note_letters", note_letters)
        with closing(a_sink(clickhouse_url)) as other:
            other.write(a_batch(a_session("a", version=2, caller="new"), start=1, stop=2))
            other.write(a_batch(a_session("b"), start=2, stop=3))

    monkeypatch.setattr(clickhouse, "_note_letters", sleep)
    sink.write(a_batch(a_session("a", version=1, caller="late"), start=1, stop=9))
    with pytest.raises(FencedError):
        sink.write(a_batch(a_session("never"), start=9, stop=10))

    assert sink.offsets() == {SESSIONS_0: 3}
    assert rows(sink, "SELECT next_offset FROM callweave_offsets") == [(3,)]
    assert rows(sink, "SELECT session_id, caller FROM sessions ORDER BY 1") == [("a", "new"), ("b", None)]


def test_of_two_commits_at_once_everybody_sees_the_same(
    clickhouse_url: str, sink: ClickHouseSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink._mark = 7
    note_letters = clickhouse._note_letters

    def sleep(*_: object) -> None:
        monkeypatch.setattr(clickhouse, "_note_letters", note_letters)
        with closing(a_sink(clickhouse_url)) as other:
            other._mark = 8
            other.write(a_batch(a_session("b"), stop=2))

    monkeypatch.setattr(clickhouse, "_note_letters", sleep)
    sink.write(a_batch(a_session("a"), stop=9))

    assert sink.offsets() == {SESSIONS_0: 2}
    assert rows(sink, "SELECT next_offset FROM callweave_offsets") == [(2,)]
    assert rows(sink, "SELECT count(*) FROM sessions") == [(2,)]


def test_rows_that_a_stale_writer_adds_are_never_seen(sink: ClickHouseSink) -> None:
    # As if two loaders had both looked before either wrote: the rank decides, and not the order of the inserts.
    new = a_session("a", version=2, legs=[a_leg(0)])
    old = a_session("a", version=1, legs=[a_leg(0), a_leg(1)], recordings=[a_recording()])
    sink.write(a_batch(new))
    table = clickhouse._session_table(a_batch(old).sessions, sink._clock())
    clickhouse._insert(sink._connected(), "callweave_sessions", table)

    assert rows(sink, "SELECT version FROM sessions") == [(2,)]
    assert rows(sink, "SELECT leg_sequence FROM legs") == [(0,)]
    assert rows(sink, "SELECT * FROM recordings") == []
    sink._connected().command("OPTIMIZE TABLE callweave_sessions FINAL")
    assert rows(sink, "SELECT version FROM sessions") == [(2,)]


def test_a_refused_session_is_named_and_the_rest_can_land(
    clickhouse_server: ClickHouseServer, clickhouse_url: str, sink: ClickHouseSink
) -> None:
    clickhouse_server.execute(
        "ALTER TABLE callweave_sessions ADD CONSTRAINT known CHECK ifNull(caller, '') != 'nobody'",
        database_of(clickhouse_url),
    )
    good = [a_session(f"s-{number}", legs=[a_leg(0)]) for number in range(5)]
    with pytest.raises(RowsRejectedError) as caught:
        sink.write(a_batch(*good, a_session("bad", caller="nobody"), letters=seen(0), stop=6))
    nothing_landed = rows(sink, "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM dead_letters)")
    sink.write(a_batch(*good, letters=seen(0), stop=6))

    assert list(caught.value.sessions) == [SessionKey(APP, "bad")]
    assert nothing_landed == [(0, 0)]
    assert rows(sink, "SELECT count(*) FROM sessions") == [(5,)]
    tables = clickhouse_server.execute("SHOW TABLES LIKE 'callweave_trial%'", database_of(clickhouse_url))
    assert tables.strip() == ""


def test_an_older_program_beside_a_newer_schema_writes_and_keeps_what_it_does_not_know(
    clickhouse_server: ClickHouseServer, clickhouse_url: str, sink: ClickHouseSink
) -> None:
    sink.write(a_batch(a_session("before", legs=[a_leg(0), a_leg(1)])))
    for sql in (
        "ALTER TABLE callweave_sessions ADD COLUMN mood Nullable(String)",
        "ALTER TABLE callweave_sessions ADD COLUMN `legs.hat` Array(Nullable(String))",
        "ALTER TABLE callweave_letters ADD COLUMN colour Nullable(String)",
        "ALTER TABLE callweave_sessions UPDATE mood = 'fine' WHERE true SETTINGS mutations_sync = 1",
    ):
        clickhouse_server.execute(sql, database_of(clickhouse_url))
    older = ClickHouseSink(clickhouse_url, recording_deadline_seconds=99)
    older.open()
    with closing(older):
        older.write(a_batch(a_session("after", legs=[a_leg(0), a_leg(1)]), letters=seen(0)))

    assert rows(sink, "SELECT session_id, mood FROM sessions ORDER BY 1") == [("after", None), ("before", "fine")]
    assert rows(sink, "SELECT session_id, leg_sequence, hat FROM legs ORDER BY 1, 2") == [
        (session, leg, None) for session in ("after", "before") for leg in (0, 1)
    ]
    assert rows(sink, "SELECT colour FROM dead_letters") == [(None,)]


def test_a_child_column_that_is_added_is_null_in_the_rows_that_stand_there(
    clickhouse_server: ClickHouseServer, clickhouse_url: str, sink: ClickHouseSink
) -> None:
    sink.write(a_batch(a_session("old", legs=[a_leg(0, leg_type="x"), a_leg(1)])))
    sink.close()
    clickhouse_server.execute("ALTER TABLE callweave_sessions DROP COLUMN `legs.leg_type`", database_of(clickhouse_url))
    sink.open()
    sink.write(a_batch(a_session("new", legs=[a_leg(0, leg_type="y")])))

    assert rows(sink, "SELECT session_id, leg_sequence, leg_type FROM legs ORDER BY 1, 2") == [
        ("new", 0, "y"),
        ("old", 0, None),
        ("old", 1, None),
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM url('http://127.0.0.1:1/x', CSV, 'a Int64')",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT * FROM s3('http://127.0.0.1:1/x', CSV, 'a Int64')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "WITH 1 AS x INSERT INTO callweave_meta VALUES ('a', 'b', now())",
        "SELECT 1 INTO OUTFILE 'x'",
        "SELECT 1 FORMAT JSON",
        "EXPLAIN SELECT 1",
        "SYSTEM FLUSH LOGS",
        "KILL QUERY WHERE true",
    ],
)
def test_a_query_reaches_nothing_but_the_database(sink: ClickHouseSink, sql: str) -> None:
    with pytest.raises(QueryRefusedError):
        sink.query(sql)


def test_a_query_may_begin_with_comments_and_brackets_and_end_with_a_semicolon(sink: ClickHouseSink) -> None:
    assert sink.query("-- why\n/* and\nhow */ (SELECT 1 AS x);").rows == [(1,)]
    empty = sink.query("WITH 1 AS one SELECT one, session_id FROM sessions; ")
    assert (empty.columns, empty.rows) == (("one", "session_id"), [])


def test_the_limit_of_rows_is_that_of_the_answer_and_no_inner_one(sink: ClickHouseSink) -> None:
    sink.write(a_batch(*(a_session(f"s-{number}", legs=[a_leg(0)]) for number in range(5))))
    inner = "SELECT session_id FROM sessions UNION ALL SELECT session_id FROM legs"
    sql = f"SELECT count(*), (SELECT count(*) FROM ({inner}) AS u) FROM sessions JOIN legs USING (session_id)"

    assert sink.query(sql, QueryLimits(rows_max=1)).rows == [(5, 10)]
    assert sink.query(inner, QueryLimits(rows_max=7)).truncated
    columns = sink.query("SELECT * FROM sessions WHERE false", QueryLimits(rows_max=1)).columns
    assert set(SESSIONS.column_names) <= set(columns)


def test_texts_within_lists_are_texts(sink: ClickHouseSink) -> None:
    assert sink.query("SELECT ['a', 'b'] AS x, map('k', 'v') AS y").rows == [(["a", "b"], {"k": "v"})]


def test_without_a_match_an_outer_join_gives_null(sink: ClickHouseSink) -> None:
    sink.write(a_batch(a_session("a")))

    assert rows(
        sink, "SELECT s.session_id, l.leg_sequence FROM sessions AS s LEFT JOIN legs AS l USING (session_id)"
    ) == [("a", None)]


def test_a_server_that_is_away_or_does_not_let_us_in_is_a_matter_of_waiting(
    tmp_path: Path, clickhouse_url: str
) -> None:
    away = "clickhouse://somebody:hush-hush@127.0.0.1:1/nowhere"
    stranger = clickhouse_url.replace(":hush-hush@", ":hush-wrong@")
    for url, says in ((away, "cannot be reached"), (stranger, "516")):
        sink = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=1)
        reader = open_reader(url, data_dir=tmp_path)
        for attempt in (
            sink.open,
            sink.offsets,
            lambda sink=sink: sink.write(a_batch(a_session())),
            lambda sink=sink: sink.query("SELECT 1"),
            lambda reader=reader: reader.query("SELECT 1"),
        ):
            with pytest.raises(SinkUnavailableError) as caught:
                attempt()
            assert says in str(caught.value)
            assert "hush" not in str(caught.value)


def test_a_user_without_grants_is_told_which(sink: ClickHouseSink, monkeypatch: pytest.MonkeyPatch) -> None:
    from clickhouse_connect.driver.exceptions import DatabaseError

    def refuse(*_: object) -> None:
        raise DatabaseError("Not enough privileges", code=497)

    monkeypatch.setattr(clickhouse, "_catalogue", refuse)
    with pytest.raises(MisconfiguredError, match="the user of WAREHOUSE__URL needs SELECT and INSERT"):
        sink.open()


def test_a_letter_that_is_refused_halts(
    clickhouse_server: ClickHouseServer, clickhouse_url: str, sink: ClickHouseSink
) -> None:
    from sinks.sink import LettersRejectedError

    clickhouse_server.execute(
        "ALTER TABLE callweave_letters ADD CONSTRAINT known CHECK stage != 'receive'", database_of(clickhouse_url)
    )
    with pytest.raises(LettersRejectedError):
        sink.write(a_batch(a_session("a"), letters=seen(0), stop=1))

    assert sink.offsets() == {}


def test_a_letter_keeps_its_first_content_and_the_counts_of_a_topic_made_anew_go_on(sink: ClickHouseSink) -> None:
    again = sighting(a_letter(), (*LETTERS_0, 0))
    sink.write(a_batch(letters=seen(0, 1)))
    later = again.letter.occurred_at.replace(year=2027)
    sink.write(a_batch(letters=tally([replace(again, last_seen_at=later)])))

    assert rows(sink, 'SELECT seen_count, last_seen_at, "offset" FROM dead_letters') == [(3, later, 0)]


def test_closing_twice_equals_closing_once(sink: ClickHouseSink) -> None:
    sink.close()
    sink.close()
    with suppress(SinkUnavailableError):
        assert rows(sink, "SELECT 1") == [(1,)]
