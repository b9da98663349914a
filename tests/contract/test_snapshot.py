"""The published copy of the DuckDB warehouse: whole, consistent, and open to any process while the loader writes."""

import asyncio
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from callweave.reading import open_questions
from callweave.settings import Settings
from sinks.duckdb import DuckDbSink
from sinks.sink import Migration, SinkUnavailableError
from sinks.snapshot import SnapshotError, Snapshots
from tests.contract.test_sinks import a_batch
from tests.support.loading import Log
from tests.support.program import Program, eventually
from tests.support.sessions import a_leg, a_session, session_record

READER = """
import json, sys, time
import duckdb

path, reads, torn, last = sys.argv[1], 0, 0, -1
while last < int(sys.argv[2]):
    with duckdb.connect(path, read_only=True) as copy:
        sessions, legs, rows, last = copy.execute(
            "select (select count(*) from sessions), (select sum(leg_count) from sessions),"
            " (select count(*) from legs), (select max(version) from sessions)"
        ).fetchone()
    reads += 1
    torn += legs != rows or sessions != 20
print(json.dumps({"reads": reads, "torn": torn}))
"""


@pytest.fixture
def sink(tmp_path):
    warehouse = DuckDbSink(tmp_path / "calls.duckdb", recording_deadline_seconds=60)
    warehouse.open()
    with closing(warehouse):
        yield warehouse


def write(sink: DuckDbSink, version: int) -> None:
    legs = version % 5
    sink.write(
        a_batch(
            *(
                a_session(f"s-{number}", version=version, leg_count=legs, legs=[a_leg(at) for at in range(legs)])
                for number in range(20)
            )
        )
    )


def test_nobody_reads_a_warehouse_whose_tables_are_still_being_made(tmp_path, monkeypatch):
    sink, said = DuckDbSink(tmp_path / "calls.duckdb", recording_deadline_seconds=60), []
    planned = sink._planned

    def asked_meanwhile(writer: duckdb.DuckDBPyConnection) -> Migration:
        with pytest.raises(SinkUnavailableError) as refused:
            sink.query("SELECT count(*) FROM sessions")
        said.append(str(refused.value))
        return planned(writer)

    monkeypatch.setattr(sink, "_planned", asked_meanwhile)
    with closing(sink):
        sink.open()
        assert said == ["the warehouse is not open yet"]
        assert sink.query("SELECT count(*) FROM sessions").rows == [(0,)]


def test_a_reader_of_another_process_always_sees_a_consistent_copy_while_batches_are_written(sink, tmp_path):
    snapshots = Snapshots(sink, tmp_path / "published" / "calls.duckdb", 1)
    write(sink, 1)
    snapshots.publish()
    versions = 60
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(snapshots.path), str(versions)], stdout=subprocess.PIPE, text=True
    )
    try:
        for version in range(2, versions + 1):
            write(sink, version)
            snapshots.publish()
        found = json.loads(reader.communicate(timeout=60)[0])
    finally:
        reader.kill()

    assert found["torn"] == 0
    assert found["reads"] > 1


def test_a_query_that_is_under_way_keeps_no_copy_from_being_whole(sink, tmp_path):
    import duckdb

    write(sink, 1)
    snapshots = Snapshots(sink, tmp_path / "copy.duckdb", 1)
    cursor = sink._database.cursor()
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    assert cursor.execute("SELECT max(version) FROM sessions").fetchone() == (1,)
    write(sink, 2)
    try:
        snapshots.publish()
    except SnapshotError:
        return  # told, and tried again: that is allowed
    with duckdb.connect(tmp_path / "copy.duckdb", read_only=True) as copy:
        assert copy.execute("SELECT min(version), max(version) FROM sessions").fetchone() == (2, 2)


def test_the_file_stays_the_loaders_own_after_a_copy_was_published(sink, tmp_path):
    write(sink, 1)
    Snapshots(sink, tmp_path / "copy.duckdb", 1).publish()
    other = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    refused = subprocess.run(
        [sys.executable, "-c", other, str(tmp_path / "calls.duckdb")], capture_output=True, text=True, check=False
    )

    assert "Conflicting lock" in refused.stderr


WHOLE = (
    "select (select count(*) from sessions), (select coalesce(sum(leg_count), 0) from sessions),"
    " (select count(*) from legs), (select coalesce(max(version), 0) from sessions)"
)


async def test_readers_find_no_error_and_no_torn_count_while_the_loader_writes_at_full_speed(
    kafka, topic_prefix, tmp_path
):
    import duckdb

    log = Log(kafka, topic_prefix)
    program = Program(tmp_path / "data", kafka, topic_prefix, {"WAREHOUSE__SNAPSHOT_SECONDS": "0.2"})
    program.run("topics", "apply")
    versions, sessions = 60, 50
    records = [
        session_record(a_session(f"s-{at}", version=version, leg_count=legs, legs=[a_leg(leg) for leg in range(legs)]))
        for version in range(1, versions + 1)
        for at in range(sessions)
        for legs in [(version + at) % 5]
    ]
    settings = Settings.model_validate({"data_dir": tmp_path / "data"})
    asked, copies = [], []
    with program.role("loader"):
        # Idle it is before it has made its tables, too.
        eventually(lambda: program.run("sql", "select 1 from sessions", expect=None).returncode == 0)
        sending = asyncio.create_task(log.send(log.sessions, records))
        async with asyncio.timeout(60):
            while not asked or asked[-1][3] < versions:
                with open_questions(settings) as questions:
                    asked.append((await asyncio.to_thread(questions.ask, WHOLE)).rows[0])
                published = tmp_path / "data" / "published" / "calls.duckdb"
                if published.exists():
                    with duckdb.connect(published, read_only=True) as copy:
                        copies.append(copy.execute(WHOLE).fetchone())
        await sending

    assert [row for row in [*asked, *copies] if row[1] != row[2]] == []
    assert len({tuple(row) for row in asked}) > 1, "it was asked while something was written"
    assert copies


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Resting:
    """A warehouse that is a file of text."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def settled_file(self) -> Path | None:
        return self.path


def test_a_copy_is_due_when_something_was_written_and_the_last_one_is_old_enough(tmp_path):
    (tmp_path / "w").write_text("1")
    clock = Clock()
    snapshots = Snapshots(Resting(tmp_path / "w"), tmp_path / "copy", 300, clock)

    assert snapshots.is_due(), "what an earlier process wrote may not have been published"
    snapshots.publish()
    clock.now += 1000
    assert not snapshots.is_due()
    snapshots.note_write()
    assert snapshots.is_due()
    snapshots.publish()
    snapshots.note_write()
    assert not snapshots.is_due()
    assert not Snapshots(Resting(tmp_path / "w"), tmp_path / "copy", 0, clock).is_due()


def test_a_copy_that_fails_leaves_the_one_before_and_nothing_else(tmp_path):
    (tmp_path / "w").write_text("1")
    resting = Resting(tmp_path / "w")
    snapshots = Snapshots(resting, tmp_path / "published" / "copy", 300)
    snapshots.publish()
    resting.path = tmp_path / "gone"
    with pytest.raises(SnapshotError, match="no copy could be published"):
        snapshots.publish()
    resting.path = None
    with pytest.raises(SnapshotError, match="try again"):
        snapshots.publish()

    assert [(path.name, path.read_text()) for path in (tmp_path / "published").iterdir()] == [("copy", "1")]
    assert snapshots.has_news is False


def test_the_command_publishes_with_and_without_a_loader(kafka, topic_prefix, tmp_path):
    program = Program(tmp_path / "data", kafka, topic_prefix, {"WAREHOUSE__SNAPSHOT_SECONDS": "0"})
    nothing = program.run("snapshot", expect=1)
    program.run("topics", "apply")
    published = tmp_path / "data" / "published" / "calls.duckdb"
    with program.role("loader"):
        eventually(lambda: program.run("sql", "select 1 from sessions", expect=None).returncode == 0)
        beside = json.loads(program.run("snapshot", "--json", "--to", str(tmp_path / "mine.duckdb")).stdout)
    published.unlink()
    alone = program.run("snapshot").stdout.strip()

    assert "there is no warehouse at" in nothing.stderr
    assert beside["path"] == str(tmp_path / "mine.duckdb")
    assert (tmp_path / "mine.duckdb").stat().st_size == beside["bytes"]
    assert alone == str(published)
    assert published.exists()
