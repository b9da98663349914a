"""Upgrades: from every layout that ever was, by one of two who try at once, by a DBA's script, or not at all.

And older programs beside newer layouts. `released/warehouses` holds what earlier callweaves laid out, with rows in it;
what lies there never changes.
"""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from schemas.columns import TABLES
from sinks import ddl, migrations
from sinks.ddl import ALL_TABLES
from sinks.migrations import LAID_OUT_BY, PROGRAM_VERSION
from sinks.sink import LogPartition, MisconfiguredError, Sink
from sinks.warehouse import open_sink
from tests.contract.test_sinks import a_batch
from tests.support.archives import unpack
from tests.support.clickhouse import ClickHouseServer, database_of, fresh_database
from tests.support.lakes import DUCKLAKE, PARQUET, alter_ducklake, lay_out_ducklake, settle_ducklake
from tests.support.loading import DUCKDB
from tests.support.program import Program, eventually
from tests.support.sessions import a_leg, a_letter, a_session

FROZEN = Path(__file__).parent / "released" / "warehouses"
SESSIONS_0 = LogPartition("tccc.sessions", 0)
KINDS = ("duckdb", "postgres", "clickhouse", "ducklake", "parquet")
LOADED_AT = datetime(2026, 11, 24, 4, tzinfo=UTC)
STATEMENT = re.compile(r"(?:--[^\n]*|'(?:[^'\\]|\\.|'')*'|[^';-]|-(?!-))+", re.DOTALL)
"""Of a script, as any client splits it: semicolons in texts and comments end nothing."""
APPLY = """
import sys
from pathlib import Path

from sinks.warehouse import open_sink

sink = open_sink(sys.argv[1], data_dir=Path(sys.argv[2]), recording_deadline_seconds=3600)
print("ready", flush=True)
sys.stdin.readline()
sink.migrate()
sink.close()
"""


@pytest.fixture
def clickhouse_url(clickhouse_server: ClickHouseServer) -> Iterator[str]:
    """Nothing is there before an earlier layout is."""
    with fresh_database(clickhouse_server) as url:
        yield url


def frozen(kind: str) -> list[str]:
    """The layouts that there are of a warehouse."""
    there = sorted(path.name.partition(f"-{kind}.")[0] for path in FROZEN.glob(f"*-{kind}.*"))
    # No lake was kept of the earliest ones; a lake's tables are DuckDB's, so the first layout of these stands for them.
    return [*frozen("duckdb")[:1], *there] if kind == "ducklake" else there


def script_of(path: Path) -> str:
    """A frozen layout's SQL; later ones are packed."""
    packed = path.read_bytes()
    return (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode()


class Place:
    """An empty warehouse of a kind, and how to lay out an earlier callweave's there."""

    def __init__(self, kind: str, request: pytest.FixtureRequest, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.url: str = {"duckdb": DUCKDB, "ducklake": DUCKLAKE, "parquet": PARQUET}.get(kind) or str(
            request.getfixturevalue(f"{kind}_url")
        )
        self._server: Any = request.getfixturevalue("clickhouse_server") if kind == "clickhouse" else None

    def sink(self, *, may_migrate: bool = True) -> Sink:
        return open_sink(self.url, data_dir=self.folder, recording_deadline_seconds=3600, may_migrate=may_migrate)

    def run(self, script: str) -> None:
        """Run a script as a DBA would."""
        match self.kind:
            case "duckdb":
                with closing(duckdb.connect(self.folder / "calls.duckdb")) as database:
                    database.execute(script)
            case "ducklake":
                alter_ducklake(self.folder)(script)
            case "postgres":
                with psycopg.connect(self.url, autocommit=True) as connection:
                    connection.execute(script.encode())
            case _:
                settings: dict[str, str] = {}
                for statement in filter(str.strip, STATEMENT.findall(script)):
                    if setting := re.fullmatch(r"\s*SET (\w+) = (\w+)", statement):
                        # A client's session would keep it; a request is a session of its own.
                        settings[setting[1]] = setting[2]
                        continue
                    self._server.execute(statement, database_of(self.url), **settings)

    def lay_out(self, layout: str) -> None:
        packed = FROZEN / f"{layout}-{self.kind}.tar.gz"
        if packed.exists():
            unpack(packed, self.folder)
            if self.kind == "ducklake":
                settle_ducklake(self.folder)
            return
        name = "duckdb" if self.kind == "ducklake" else self.kind
        self.run(script_of(next(FROZEN.glob(f"{layout}-{name}.sql*"))))


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, request, tmp_path)


def add(sink: Sink, *documents: Any) -> None:
    stored = sink.offsets().get(SESSIONS_0)
    sink.write(a_batch(*documents, offsets={SESSIONS_0: (stored or 0) + len(documents)}, expected={SESSIONS_0: stored}))


@pytest.mark.parametrize(("kind", "layout"), [(kind, layout) for kind in KINDS for layout in frozen(kind)])
def test_every_earlier_layout_is_upgraded_with_its_rows(kind, layout, request, tmp_path):
    place = Place(kind, request, tmp_path)
    place.lay_out(layout)
    sink = place.sink()
    with closing(sink):
        is_needed = sink.pending().is_needed
        # The latest one may be today's, and waits there for the change that it will have to survive.
        assert is_needed or layout == frozen(kind)[-1]
        sink.open()
        kept = sink.query("SELECT session_id, version, caller, loaded_at FROM sessions ORDER BY 1").rows
        offsets = dict(sink.offsets())
        assert sink.query("SELECT leg_sequence, agent_mail FROM legs ORDER BY 1").rows == [(0, "a@x"), (1, None)]
        assert sink.query("SELECT recording_id, url FROM recordings ORDER BY 1").rows == [("r-1", "u"), ("r-2", None)]
        assert sink.query("SELECT voicemail_id, url FROM voicemails").rows == [("v-1", "w")]
        extra = sink.query("SELECT extra FROM sessions WHERE session_id = 'whole'").rows[0][0]
        assert json.loads(extra) == {"Field": "it's"}
        add(sink, a_session("whole", version=3, caller="later", legs=[a_leg(0)]), a_session("new"))
        add(sink, a_session("empty", version=0))
        noted = sink.query("SELECT program_version, statement_count, statements FROM callweave_migrations").rows

        assert [(*row[:3], row[3].astimezone(UTC)) for row in kept] == [
            ("empty", 1, None, LOADED_AT),
            ("whole", 2, "+8613800000000", LOADED_AT),
        ]
        assert offsets == {SESSIONS_0: 7, LogPartition("tccc.dead_letters", 0): 2}
        assert sink.query("SELECT session_id, version, caller FROM sessions ORDER BY 1").rows == [
            ("empty", 1, None),
            ("new", 1, None),
            ("whole", 3, "later"),
        ]
        assert sink.query("SELECT count(*) FROM legs").rows == [(1,)], "children are replaced with their session"
        assert sink.query("SELECT seen_count, raw FROM dead_letters ORDER BY raw_bytes_count").rows == [
            (1, b"\0'"),
            (1, b"not json"),
        ]
        for name in (*(table.name for table in TABLES), *ddl.VIEWS):
            sink.query(f"SELECT * FROM {name}")
        assert not sink.pending().is_needed
        assert {version for version, *_ in noted} <= {PROGRAM_VERSION}
        assert all(count > 0 for _, count, _ in noted)
        assert noted or not is_needed


def test_what_a_dry_run_prints_is_all_that_a_loader_without_rights_needs(place):
    if place.kind == "parquet":
        pytest.skip("files are no statements: nobody but callweave writes them")
    if place.kind == "ducklake":
        lay_out_ducklake(place.folder)  # a lake is made by its own writer
        alter_ducklake(place.folder)("DROP VIEW missing_recordings")
        alter_ducklake(place.folder)("ALTER TABLE sessions DROP COLUMN uui")
    script = place.sink().pending().script
    refusing = place.sink(may_migrate=False)
    with pytest.raises(MisconfiguredError, match=r"callweave warehouse apply --dry-run"):
        refusing.open()
    place.run(script)
    with closing(refusing):
        refusing.open()
        add(refusing, a_session("a", legs=[a_leg(0)], uui="here"))

        assert refusing.query("SELECT session_id, uui FROM sessions").rows == [("a", "here")]
        noted = refusing.query("SELECT statements FROM callweave_migrations ORDER BY applied_at DESC LIMIT 1").rows
        assert noted[0][0].splitlines()[0] in script


def test_asking_what_is_pending_makes_nothing(place):
    sink = place.sink()
    with closing(sink):
        before = sink.pending()
        assert before.is_needed
        assert place.sink().pending().statements == before.statements
    assert [path for path in place.folder.rglob("*") if path.is_file()] == []


def test_two_that_apply_at_once_leave_one_layout(place):
    if place.kind == "ducklake":
        lay_out_ducklake(place.folder)
        alter_ducklake(place.folder)("ALTER TABLE sessions DROP COLUMN uui")
    command = [sys.executable, "-c", APPLY, place.url, str(place.folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("\n")
        one.stdin.flush()
    ends = [(one.communicate(timeout=120)[1], one.returncode) for one in both]

    # A file, and a folder, belong to one process: the other one is told who has it, and may come again.
    alone = place.kind in ("duckdb", "parquet")
    assert 0 in [status for _, status in ends]
    assert all(status == 0 or (alone and "SinkUnavailableError" in said) for said, status in ends), ends
    sink = place.sink()
    with closing(sink):
        assert not sink.pending().is_needed
        sink.open()
        add(sink, a_session("a"))
        assert sink.query("SELECT count(*) FROM sessions").rows == [(1,)]


def newer(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay out what a callweave of tomorrow has more: a table, columns, another view."""
    monkeypatch.setattr(migrations, "PROGRAM_VERSION", "99.1.0")
    for module in ("duckdb_tables", "postgres", "clickhouse", "parquet"):
        monkeypatch.setattr(f"sinks.{module}.PROGRAM_VERSION", "99.1.0", raising=False)
    with closing(place.sink()) as sink:
        sink.open()
    monkeypatch.undo()
    more = {
        "clickhouse": (
            "ALTER TABLE callweave_sessions ADD COLUMN mood Nullable(String);\n"
            "ALTER TABLE callweave_meta ADD COLUMN note Nullable(String);\n"
            "CREATE TABLE callweave_moods (a Int64) ENGINE = MergeTree ORDER BY a;\n"
            "CREATE OR REPLACE VIEW kpi_daily AS SELECT 1 AS of_tomorrow;\n"
        )
    }.get(
        place.kind,
        "ALTER TABLE sessions ADD COLUMN mood VARCHAR;\nALTER TABLE callweave_meta ADD COLUMN note VARCHAR;\n"
        "ALTER TABLE callweave_offsets ADD COLUMN note VARCHAR;\nALTER TABLE legs ADD COLUMN mood VARCHAR;\n"
        "CREATE TABLE moods (a BIGINT);\nDROP VIEW kpi_daily;\nCREATE VIEW kpi_daily AS SELECT 1 AS of_tomorrow;\n",
    )
    if place.kind == "parquet":
        folder = place.folder / "files" / "sessions"
        with closing(duckdb.connect()) as files:
            files.execute(
                f"COPY (SELECT *, 'x' AS mood FROM read_parquet('{folder}/*.parquet')) TO '{folder}/_layout_99.parquet'"
            )
        script = place.folder / "files" / "current.sql"
        script.write_text(script.read_text() + "CREATE OR REPLACE VIEW kpi_daily AS SELECT 1 AS of_tomorrow;\n")
    else:
        place.run(more)


def test_an_older_program_works_beside_a_newer_layout_and_leaves_it(place, monkeypatch):
    newer(place, monkeypatch)
    sink = place.sink(may_migrate=False)
    with closing(sink):
        assert not sink.pending().is_needed
        sink.open()
        letters = {"letters": [a_letter()]}
        sink.write(a_batch(a_session("a", version=1, legs=[a_leg(0)]), offsets={SESSIONS_0: 1}, **letters))
        add(sink, a_session("a", version=2, caller="c"))
        noted = dict(sink.query("SELECT key, value FROM callweave_meta").rows)

        assert sink.query("SELECT session_id, caller FROM sessions").rows == [("a", "c")]
        assert sink.query("SELECT of_tomorrow FROM kpi_daily").rows == [(1,)], "its views stay the newer ones"
        assert noted[LAID_OUT_BY] == "99.1.0"
        if place.kind != "clickhouse":
            assert sink.query("SELECT count(*) FROM legs").rows == [(0,)]


def test_a_column_that_an_earlier_layout_lacks_may_be_empty():
    """Else that earlier program could write no more rows: it does not know the column."""
    today = {table.name: table for table in ALL_TABLES}
    found = 0
    for path in FROZEN.glob("*-postgres.sql*"):
        for name, columns in re.findall(r"CREATE TABLE public\.(\w+) \(\n(.*?)\n\);", script_of(path), re.DOTALL):
            there = {line.split()[0].strip('"') for line in columns.splitlines()}
            added = [column for column in today[name].columns if column.name not in there]
            found += len(there)
            assert [column.name for column in added if not column.nullable] == [], f"{path.name}: {name}"
            assert there <= set(today[name].column_names), "columns are never taken away"
    assert found > 100


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("0.1.0", "0.2.0"),
        ("0.9.0", "0.10.0"),
        ("1.0.0rc1", "1.0.0"),
        ("1.0.0rc2", "1.0.0rc10"),
        ("1.0.0.dev3", "1.0.0rc1"),
        ("1.0.0.dev3", "1.0.0.dev12"),
        ("1.0.0", "1.0.0.post1"),
        ("0.1.0", "0.1.1.dev3"),
        ("", "0.1.0"),
        ("no version", "0.1.0.dev1"),
    ],
)
def test_versions_are_compared_as_pythons_packages_are(older, newer, monkeypatch):
    monkeypatch.setattr(migrations, "PROGRAM_VERSION", older)
    assert migrations.Found({}, {LAID_OUT_BY: newer}).is_ahead
    monkeypatch.setattr(migrations, "PROGRAM_VERSION", newer)
    assert not migrations.Found({}, {LAID_OUT_BY: older}).is_ahead
    assert not migrations.Found({}, {LAID_OUT_BY: newer}).is_ahead


def test_a_role_without_rights_on_tables_is_told_what_to_run_and_works_once_somebody_has(postgres_url, tmp_path):
    role = f"loader_{abs(hash(postgres_url)) % 10**8}"
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'".encode())
        owner.execute(b"REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    restricted = psycopg.conninfo.make_conninfo(postgres_url, user=role, password="x")
    try:
        url = "postgresql://?" + "&".join(
            f"{key}={value}" for key, value in psycopg.conninfo.conninfo_to_dict(restricted).items()
        )
        loader = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=3600)
        with pytest.raises(MisconfiguredError, match=r"permission denied.*callweave warehouse apply") as caught:
            loader.open()
        with closing(open_sink(postgres_url, data_dir=tmp_path, recording_deadline_seconds=3600)) as by_owner:
            by_owner.migrate()
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}".encode())
        with closing(loader):
            loader.open()
            add(loader, a_session("a", legs=[a_leg(0)]))
            assert loader.query("SELECT count(*) FROM legs").rows == [(1,)]
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(f"DROP OWNED BY {role}".encode())
            owner.execute(f"DROP ROLE {role}".encode())
    assert "DELETE on the tables" in str(caught.value)


def test_views_that_moved_are_made_anew_with_ours_on_them_and_strangers_are_named(postgres_url, tmp_path):
    sink = open_sink(postgres_url, data_dir=tmp_path, recording_deadline_seconds=3600)
    with closing(sink), psycopg.connect(postgres_url, autocommit=True) as owner:
        sink.open()
        # A view of ours as an older one had it, with columns in another place.
        owner.execute(b"DROP VIEW session_recordings")
        owner.execute(b"CREATE VIEW session_recordings AS SELECT 1 AS of_yesterday")
        owner.execute(b"CREATE VIEW a_strangers AS SELECT * FROM session_recordings")
        owner.execute(b"UPDATE callweave_meta SET value = 'older' WHERE key = 'layout_digest'")
        with pytest.raises(MisconfiguredError, match="a_strangers"):
            sink.open()
        owner.execute(b"DROP VIEW a_strangers")
        sink.open()
        assert "recording_id" in sink.query("SELECT * FROM session_recordings").columns
        comment = "SELECT obj_description('session_recordings'::regclass)"
        assert sink.query(comment).rows == [(ddl.purpose("session_recordings"),)]


def test_the_commands_apply_check_and_print(kafka, topic_prefix, tmp_path):
    program = Program(tmp_path / "data", kafka, topic_prefix, {"WAREHOUSE__MIGRATE": "refuse"})
    program.run("topics", "apply")
    lacks = program.run("warehouse", "check", expect=1)
    refused = program.run("loader", expect=2)
    printed = program.run("warehouse", "apply", "--dry-run")
    assert not (tmp_path / "data" / "calls.duckdb").exists()
    done = program.run("warehouse", "apply")
    with program.role("loader"):
        held = eventually(lambda: (found := program.run("warehouse", "apply", expect=None)).returncode == 1 and found)
        beside = program.run("warehouse", "check")

    assert "creates" in lacks.stderr
    assert "callweave warehouse apply" in refused.stderr
    assert printed.stdout.startswith("BEGIN TRANSACTION;\nCREATE TABLE")
    assert printed.stdout.endswith("COMMIT;\n")
    assert "done: this creates" in done.stderr
    assert f"by callweave {PROGRAM_VERSION}" in beside.stderr
    assert "open" in held.stderr or "lock" in held.stderr
