"""What the Parquet warehouse promises beyond the contract suite: readers of any kind, commits, compaction."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sinks import parquet, parquet_compaction
from sinks.parquet import ParquetSink
from sinks.parquet_compaction import compact
from sinks.parquet_files import numbered_files, readable_sessions, session_files
from sinks.sink import LogPartition, MisconfiguredError, SinkUnavailableError
from sinks.warehouse import open_sink
from tests.contract.test_sinks import LETTERS_0, SESSIONS_0, SESSIONS_1, a_batch
from tests.support.lakes import PARQUET, READER, write_twenty
from tests.support.sessions import APP, a_leg, a_letter, a_session

TOPIC_ID = LogPartition("tccc.sessions", -1)
NOON = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
EVERYTHING = (
    "SELECT s.session_id, s.version, s.caller, count(l.leg_sequence) FROM sessions AS s "
    "LEFT JOIN legs AS l ON l.session_id = s.session_id GROUP BY ALL ORDER BY 1"
)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def sink(tmp_path: Path, clock: Clock) -> Iterator[ParquetSink]:
    warehouse = ParquetSink(tmp_path / "files", recording_deadline_seconds=3600, clock=clock)
    warehouse.open()
    with closing(warehouse):
        yield warehouse


def write(sink: ParquetSink, *documents: Any, end: int | None = None) -> None:
    stored = sink.offsets().get(SESSIONS_0)
    offsets = {SESSIONS_0: end or (stored or 0) + len(documents)}
    sink.write(a_batch(*documents, offsets=offsets, expected={SESSIONS_0: stored}))


def names(root: Path) -> list[str]:
    return [file.path.relative_to(root).as_posix() for file in session_files(root)]


def test_a_file_lies_by_application_and_hour_and_its_name_tells_its_offsets(sink, tmp_path):
    sink.write(
        a_batch(
            a_session("a"),
            a_session("b", sdk_app_id=7),
            offsets={SESSIONS_0: 180, SESSIONS_1: 9, LETTERS_0: 4, TOPIC_ID: 2**60},
        )
    )
    found = names(tmp_path / "files")

    assert [name.rpartition("_")[0] for name in found] == [
        "sessions/sdk_app_id=7/hour=2026-11-24T12/000000000001-000000000001_p0.0-179+p1.0-8",
        f"sessions/sdk_app_id={APP}/hour=2026-11-24T12/000000000001-000000000001_p0.0-179+p1.0-8",
    ]
    assert len({name.rpartition("_")[2] for name in found}) == 2, "each has a digest of its own"


def test_what_is_stale_is_not_even_written(sink, tmp_path):
    write(sink, a_session("a", version=5), a_session("b", version=1))
    before = names(tmp_path / "files")
    stored = sink.offsets()
    written = sink.write(
        a_batch(a_session("a", version=4), a_session("b", version=1), offsets={SESSIONS_0: 9}, expected=stored)
    )

    assert (written.applied, written.stale_count) == (frozenset(), 2)
    assert names(tmp_path / "files") == before


def test_any_duckdb_reads_current_sql(sink, tmp_path):
    write(sink, a_session("a", version=1, legs=[a_leg(0), a_leg(1)]), a_session("b"))
    write(sink, a_session("a", version=2, caller="new", legs=[a_leg(2)]))
    with duckdb.connect() as anybody:
        anybody.execute((tmp_path / "files" / "current.sql").read_text())
        found = anybody.execute(EVERYTHING).fetchall()
        offsets = anybody.execute("SELECT topic, next_offset FROM callweave_offsets").fetchall()

    assert found == sink.query(EVERYTHING).rows == [("a", 2, "new", 1), ("b", 1, None, 0)]
    assert offsets == [("tccc.sessions", 3)]


def test_a_reader_of_another_process_sees_whole_batches_while_files_come_and_are_merged(tmp_path):
    clock = Clock(NOON)
    sink = ParquetSink(tmp_path / "files", recording_deadline_seconds=3600, clock=clock)
    sink.open()
    write_twenty(sink, 1)
    versions = 15
    command = [sys.executable, "-c", READER, PARQUET, str(tmp_path), str(versions)]
    with closing(sink), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        for version in range(2, versions + 1):
            clock.now += timedelta(minutes=29)
            write_twenty(sink, version)
        found = json.loads(reader.communicate(timeout=60)[0])

    assert found["torn"] == 0
    assert found["reads"] > 1
    assert any("_merged_" in name for name in names(tmp_path / "files"))


def test_hours_that_are_over_become_a_file_each_then_their_day_one(sink, tmp_path, clock):
    root = tmp_path / "files"
    for version in range(1, 7):
        clock.now = NOON + timedelta(minutes=20 * version)
        write(sink, a_session("same", version=version, legs=[a_leg(0)]), a_session(f"s-{version}"))
        write(sink, a_session(f"t-{version}"))
    rows = sink.query(EVERYTHING).rows
    counts = [len(readable_sessions(root)) - 1]
    for later in (timedelta(hours=1), timedelta(days=1)):
        clock.now += later
        while sink.compact().files_made:
            pass
        assert sink.query(EVERYTHING).rows == rows
        counts.append(len(readable_sessions(root)) - 1)

    assert counts == [6, 3, 1], "the hour of 13 was merged when 14 began"
    assert [name for name in names(root) if "/day=2026-11-24/" in name] == [
        name for name in names(root) if "000000000001-000000000012_merged_" in name
    ]


def test_what_was_merged_stays_for_its_readers_and_goes_later(sink, tmp_path, clock):
    root = tmp_path / "files"
    for version in range(1, 4):
        write(sink, a_session("same", version=version))
    rows = sink.query(EVERYTHING).rows
    clock.now += timedelta(hours=2)
    before = set(names(root))
    sink.compact()
    meanwhile = set(names(root))
    later = compact(sink._opened(), root, clock.now, replaced_kept_seconds=0)

    assert before < meanwhile
    assert later.removed_count == 3
    assert set(names(root)) == meanwhile - before
    assert sink.query(EVERYTHING).rows == rows


def test_one_call_merges_no_more_than_its_bound(sink, tmp_path, clock, monkeypatch):
    size = 1 + max(path.stat().st_size for path in _written(sink, tmp_path, 6))
    monkeypatch.setattr(parquet_compaction, "BYTES_AT_ONCE", 2 * size + 100)
    monkeypatch.setattr(parquet_compaction, "_BYTES_A_CALL", 2 * size)
    clock.now += timedelta(hours=2)
    first = sink.compact()

    assert first.has_more
    assert 2 <= first.merged_count < 6
    assert len(sink.query("SELECT * FROM sessions").rows) == 6


def _written(sink: ParquetSink, tmp_path: Path, count: int) -> list[Path]:
    for number in range(count):
        write(sink, a_session(f"s-{number}"))
    return [file.path for file in session_files(tmp_path / "files")]


def test_letters_are_merged_and_still_counted_once_each(sink, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_compaction, "_FLAT_FILES_MIN", 3)
    letters = tmp_path / "files" / "dead_letters"
    for end in range(1, 6):
        expected = {LETTERS_0: end - 1 or None}
        sink.write(a_batch(letters=[a_letter(), a_letter(b"other")], offsets={LETTERS_0: end}, expected=expected))
    seen = "SELECT seen_count FROM dead_letters ORDER BY 1"
    counts = [sink.query(seen).rows]
    sink.compact()
    counts.append(sink.query(seen).rows)
    compact(sink._opened(), tmp_path / "files", NOON, replaced_kept_seconds=0)
    counts.append(sink.query(seen).rows)
    sink.close()
    sink.open()

    assert counts == [[(5,), (5,)]] * 3
    assert [(file.first, file.last) for file in numbered_files(letters)] == [(1, 4), (5, 5)]
    assert sink.offsets() == {LETTERS_0: 5}


def test_killed_before_its_commit_a_batch_was_never_there(sink, tmp_path, monkeypatch):
    write(sink, a_session("kept", caller="old"))
    before = names(tmp_path / "files")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "publish_commit", killed)
        with pytest.raises(KeyboardInterrupt):
            write(sink, a_session("kept", version=2, caller="new"), a_session("more"))
    left_behind = set(names(tmp_path / "files")) - set(before)
    seen_meanwhile = sink.query(EVERYTHING).rows
    sink.close()
    sink.open()
    opened_again = names(tmp_path / "files")
    write(sink, a_session("kept", version=2, caller="new"), a_session("more"))

    assert len(left_behind) == 1
    assert seen_meanwhile == [("kept", 1, "old", 0)]
    assert opened_again == before
    assert sink.query(EVERYTHING).rows == [("kept", 2, "new", 0), ("more", 1, None, 0)]


def test_killed_while_it_lays_out_it_does_so_again(tmp_path, monkeypatch):
    warehouse = ParquetSink(tmp_path / "files", recording_deadline_seconds=3600)
    whole, published = parquet.publish_file, 0

    def killed_later(*arguments: Any, **options: Any) -> Path:
        nonlocal published
        published += 1
        if published > 2:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "publish_file", killed_later)
        with pytest.raises(KeyboardInterrupt):
            warehouse.open()
    warehouse.close()
    warehouse.open()
    with closing(warehouse):
        write(warehouse, a_session("a"))
        assert warehouse.query(EVERYTHING).rows == [("a", 1, None, 0)]


def test_of_two_loaders_of_one_folder_the_second_waits_and_says_for_whom(sink, tmp_path):
    second = open_sink(PARQUET, data_dir=tmp_path, recording_deadline_seconds=3600)
    for attempt in (second.open, second.offsets, lambda: second.write(a_batch(a_session()))):
        with pytest.raises(SinkUnavailableError, match=str(os.getpid())):
            attempt()
    sink.close()
    second.open()
    second.close()


def test_a_disk_that_is_full_is_waited_for(sink, tmp_path, monkeypatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    write(sink, a_session("a"))
    with monkeypatch.context() as patched:
        patched.setattr(parquet, "publish_commit", full)
        with pytest.raises(SinkUnavailableError, match="No space left"):
            write(sink, a_session("b"))
    write(sink, a_session("b"))

    assert sink.query("SELECT count(*) FROM sessions").rows == [(2,)]
    assert not list((tmp_path / "files").rglob("*.unfinished"))


def test_a_query_sees_no_file_beside_the_warehouse(sink, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for sql in (f"SELECT * FROM '{tmp_path}/secret.csv'", f"SELECT * FROM glob('{tmp_path}/*.csv')"):
        with pytest.raises(Exception, match="disabled by configuration"):
            sink.query(sql)


def test_commits_without_letters_do_not_heap_up(sink, tmp_path):
    for end in range(1, 80):
        sink.write(a_batch(offsets={SESSIONS_0: end}, expected={SESSIONS_0: end - 1 or None}))

    assert len(numbered_files(tmp_path / "files" / "commits")) <= 51
    assert sink.offsets() == {SESSIONS_0: 79}


@pytest.mark.parametrize("url", ["parquet:", "parquet:///", "parquet://host/folder", "parquet:folder"])
def test_an_address_that_names_no_folder_is_one_clear_sentence(tmp_path, url):
    with pytest.raises(MisconfiguredError, match="parquet:///relative"):
        open_sink(url, data_dir=tmp_path, recording_deadline_seconds=1)
