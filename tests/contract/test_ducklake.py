"""What DuckLake promises beyond the contract suite: readers beside the loader, two writers, S3, tidying."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from sinks import duckdb_extensions, ducklake
from sinks.ducklake_address import LakeAddress
from sinks.sink import (
    FencedError,
    LogPartition,
    MisconfiguredError,
    QueryRefusedError,
    Sink,
    SinkUnavailableError,
)
from sinks.warehouse import open_reader, open_sink
from tests.contract import test_sinks as contract
from tests.contract.test_sinks import Warehouse, a_batch
from tests.support.lakes import DUCKLAKE, READER, alter_ducklake, lay_out_ducklake, write_twenty
from tests.support.sessions import a_leg, a_letter, a_session


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Warehouse]:
    lay_out_ducklake(tmp_path)
    with opened(DUCKLAKE, tmp_path) as warehouse:
        yield warehouse


@pytest.fixture
def lake_in_postgres(postgres_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    with opened(in_postgres(postgres_url), tmp_path) as warehouse:
        yield warehouse


def in_postgres(url: str) -> str:
    return f"ducklake:{url}{'&' if '?' in url else '?'}data_path=files"


@contextmanager
def opened(url: str, data_dir: Path) -> Iterator[Warehouse]:
    sink = open_sink(url, data_dir=data_dir, recording_deadline_seconds=3600)
    sink.open()
    with closing(sink):
        yield Warehouse(url, data_dir, sink, alter_ducklake(data_dir, url))


@pytest.mark.parametrize(
    "promise",
    [
        contract.test_every_column_comes_back_as_it_was_sent,
        contract.test_a_mixed_batch_applies_the_new_and_skips_the_stale,
        contract.test_letters_are_counted_and_the_first_one_stays,
        contract.test_offsets_and_rows_land_together_or_not_at_all,
        contract.test_opening_again_keeps_everything,
        contract.test_queries_see_whole_sessions_while_batches_are_written,
        contract.test_a_reader_answers_without_a_loader,
    ],
    ids=lambda promise: promise.__name__.removeprefix("test_"),
)
def test_with_a_catalogue_in_postgres_too(lake_in_postgres: Warehouse, promise: Callable[[Warehouse], None]) -> None:
    promise(lake_in_postgres)


@pytest.mark.parametrize("catalogue", ["sqlite", "postgres"])
def test_a_reader_of_another_process_sees_whole_batches_while_the_loader_writes(
    request: pytest.FixtureRequest, tmp_path: Path, catalogue: str
) -> None:
    warehouse = request.getfixturevalue("lake" if catalogue == "sqlite" else "lake_in_postgres")
    write_twenty(warehouse.sink, 1)
    versions = 8
    command = [sys.executable, "-c", READER, warehouse.url, str(tmp_path), str(versions)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        for version in range(2, versions + 1):
            write_twenty(warehouse.sink, version)
        found = json.loads(reader.communicate(timeout=60)[0])

    assert found["torn"] == 0
    assert found["reads"] > 1


@pytest.mark.parametrize("catalogue", ["sqlite", "postgres"])
def test_of_two_writers_that_begin_at_once_one_lands(
    request: pytest.FixtureRequest, tmp_path: Path, catalogue: str
) -> None:
    warehouse = request.getfixturevalue("lake" if catalogue == "sqlite" else "lake_in_postgres")
    other = open_sink(warehouse.url, data_dir=tmp_path, recording_deadline_seconds=3600)
    other.open()
    rounds = 2
    with closing(other):
        for number in range(rounds):
            part = LogPartition("tccc.sessions", number)
            batches = [
                a_batch(a_session(f"s-{number}", caller=name, legs=[a_leg()]), a_session(name), offsets={part: end})
                for end, name in ((1, "one"), (2, "two"))
            ]
            outcomes = _at_once([(warehouse.sink, batches[0]), (other, batches[1])])
            assert sorted(outcomes) == ["fenced", "landed"]

    assert warehouse.rows("SELECT count(*), count(DISTINCT session_id) FROM sessions WHERE session_id LIKE 's-%'") == [
        (rounds, rounds)
    ]
    assert warehouse.rows("SELECT count(*) FROM legs") == [(rounds,)]
    assert len(warehouse.sink.offsets()) == rounds


def _at_once(writes: list[tuple[Sink, Any]]) -> list[str]:
    outcomes: list[str] = []
    start = threading.Barrier(len(writes))

    def write(number: int, sink: Sink, batch: Any) -> None:
        start.wait()
        while True:
            try:
                sink.write(batch)
            except SinkUnavailableError:
                threading.Event().wait(0.05 * (1 + number))  # out of step, as the loader's waits are
                continue
            except FencedError:
                outcomes.append("fenced")
            else:
                outcomes.append("landed")
            return

    threads = [threading.Thread(target=write, args=(number, *each)) for number, each in enumerate(writes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_lake_on_s3_is_loaded_revised_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "hush-hush",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            monkeypatch.setenv(name, value)
        urlopen(Request(f"http://{host}:{port}/calls", method="PUT")).close()
        url = "ducklake:sqlite:///catalogue.sqlite?data_path=s3://calls/lake"
        with opened(url, tmp_path) as warehouse:
            warehouse.load(a_session("a", version=1, legs=[a_leg(0), a_leg(1)]), a_session("b"), letters=[a_letter()])
            warehouse.load(a_session("a", version=2, legs=[a_leg(2)]))
        with closing(open_reader(url, data_dir=tmp_path)) as reader:
            assert reader.query("SELECT session_id, version FROM sessions ORDER BY 1").rows == [("a", 2), ("b", 1)]
            assert reader.query("SELECT leg_sequence FROM legs").rows == [(2,)]
            for elsewhere in ("s3://calls/other/x.parquet", "s3://another/x.parquet"):
                with pytest.raises(QueryRefusedError, match="disabled by configuration"):
                    reader.query(f"SELECT * FROM read_parquet('{elsewhere}')")
        with urlopen(f"http://{host}:{port}/calls?list-type=2&prefix=lake/main/sessions/") as listing:
            assert b".parquet" in listing.read()
    finally:
        server.stop()


def test_tidying_leaves_few_files_and_the_same_rows(lake: Warehouse) -> None:
    for version in range(1, 13):
        lake.load(a_session("same", version=version), a_session(f"s-{version}", legs=[a_leg()]))
    select = "SELECT session_id, version FROM sessions ORDER BY 1"
    before, files_before = lake.rows(select), live_files(lake)
    lake.sink.checkpoint()

    assert lake.rows(select) == before
    assert files_before == 12
    assert live_files(lake) == 1
    # Who began to read before that may go on for a day.
    assert len(list((lake.data_dir / "lake" / "files").rglob("sessions/*.parquet"))) > live_files(lake)


def live_files(lake: Warehouse) -> int:
    with closing(LakeAddress.parse(lake.url, lake.data_dir).attached(read_only=True)) as database:
        listed = database.execute("SELECT count(*) FROM ducklake_list_files('lake', 'sessions')").fetchone()
        assert listed is not None
        return int(listed[0])


def test_it_tidies_now_and_then_although_records_never_cease(lake: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ducklake, "COMMITS_BETWEEN_TIDYINGS", 5)
    for version in range(1, 6):
        lake.load(a_session(f"s-{version}"))

    assert live_files(lake) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM postgres_scan('host=127.0.0.1 port=1', 'public', 'x')",
        "SELECT * FROM sqlite_scan('/etc/other.sqlite', 'x')",
        "SELECT * FROM (SELECT 1) AS a, (SELECT * FROM Postgres_Query('__ducklake_metadata_lake', 'SELECT 1')) AS b",
        "SELECT * FROM query('SELECT * FROM postgres_scan(1, 2, 3)')",
        "SELECT * FROM ducklake_expire_snapshots('lake', versions => [1])",
        "WITH x AS (SELECT * FROM ducklake_cleanup_old_files('lake', cleanup_all => true)) SELECT * FROM x",
    ],
)
def test_a_query_cannot_reach_other_databases_nor_tidy(lake: Warehouse, sql: str) -> None:
    with pytest.raises(QueryRefusedError, match="cannot be called here"):
        lake.sink.query(sql)


def test_a_query_reads_no_file_beside_the_lake(lake: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for sql in (f"SELECT * FROM '{tmp_path}/secret.csv'", f"SELECT * FROM read_text('{tmp_path}/secret.csv')"):
        with pytest.raises(QueryRefusedError, match="disabled by configuration"):
            lake.sink.query(sql)


def test_a_catalogue_that_is_away_is_waited_for_and_its_password_kept(tmp_path: Path) -> None:
    for url in (
        "ducklake:postgresql://somebody:hush%2Dhush@127.0.0.1:1/nowhere?data_path=files",
        "ducklake:postgres:host=127.0.0.1 port=1 dbname=nowhere user=somebody password=hush-hush?data_path=files",
    ):
        sink = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=1)
        for attempt in (sink.open, sink.offsets, lambda sink=sink: sink.write(a_batch(a_session()))):
            with pytest.raises(SinkUnavailableError, match=r"127\.0\.0\.1") as caught:
                attempt()
            assert "hush" not in str(caught.value)
        assert "hush" not in repr(LakeAddress.parse(url, tmp_path))


def test_a_reader_finds_its_catalogue_again(lake_in_postgres: Warehouse, postgres_url: str) -> None:
    lake_in_postgres.load(a_session("a"))
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    count = "SELECT count(*) FROM sessions"
    with suppress(SinkUnavailableError):
        lake_in_postgres.rows(count)

    assert lake_in_postgres.rows(count) == [(1,)]

    batch = a_batch(a_session("b"), offsets={contract.SESSIONS_0: 2}, expected={contract.SESSIONS_0: 1})
    with suppress(SinkUnavailableError):
        lake_in_postgres.sink.write(batch)
    lake_in_postgres.sink.write(batch)

    assert lake_in_postgres.rows(count) == [(2,)]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ducklake:", "no catalogue that callweave loads"),
        ("ducklake:calls.ducklake?data_path=files", "no catalogue that callweave loads"),
        ("ducklake:duckdb:calls.duckdb", "no catalogue that callweave loads"),
        ("ducklake:sqlite:", "no catalogue that callweave loads"),
        ("ducklake:sqlite:///c.sqlite?data_pth=files", "unknown option 'data_pth'"),
        ("ducklake:postgres:dbname=x password=hush", "without data_path"),
    ],
)
def test_an_address_that_names_no_lake_is_one_clear_sentence(tmp_path: Path, url: str, says: str) -> None:
    for attempt in (
        lambda: open_sink(url, data_dir=tmp_path, recording_deadline_seconds=1),
        lambda: open_reader(url, data_dir=tmp_path),
    ):
        with pytest.raises(MisconfiguredError) as caught:
            attempt()
        assert says in str(caught.value)
        assert "hush" not in str(caught.value)


def test_a_catalogue_knows_where_its_files_are(tmp_path: Path) -> None:
    lay_out_ducklake(tmp_path)
    elsewhere = open_sink(DUCKLAKE.replace("lake/files", "other"), data_dir=tmp_path, recording_deadline_seconds=1)
    with pytest.raises(MisconfiguredError, match="cannot be attached"):
        elsewhere.open()


def test_a_reader_says_that_there_is_no_lake_yet(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailableError, match="loader creates it"):
        open_reader(DUCKLAKE, data_dir=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_extension_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duckdb_extensions, "find_spec", lambda _: None)
    with (
        closing(duckdb.connect(config={"extension_directory": "/nonexistent"})) as connection,
        pytest.raises(MisconfiguredError, match=r"pip install 'callweave\[ducklake\]'"),
    ):
        duckdb_extensions.load_extension(connection, "ducklake")
