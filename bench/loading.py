"""Loading, for each warehouse: sessions a second with children into a table that holds many, beside a plain append.

`make bench-loading SESSIONS=1000000` (`python -m bench.loading`), and the works `loader-duckdb` and `loader-postgres`
of `make bench`. A third of each batch are newer versions of sessions anywhere in the table. Two appends write the same
Arrow tables into the same warehouse, in turns with the loader's own batches, and neither asks what stands there, nor
keeps offsets: the bare one into tables without keys and indexes, the indexed one into tables that have an index for
each key and each index of ours. What counts are the ratios.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from bench.contestants import Contestants
from bench.machine import FULL, cpu_seconds, new_topics, process, rss_bytes
from bench.many_sessions import publish_sessions
from bench.results import Result, Run
from callweave import __version__
from callweave.runtime import Runtime
from schemas.columns import CHILDREN, SESSION_TABLES, SESSIONS, ColumnType, Table
from sinks import clickhouse_layout, clickhouse_session, ddl
from sinks.copy_text import copy_text
from sinks.ducklake_address import LAKE, LakeAddress
from sinks.postgres import SESSION_INDEXES
from sinks.rows import ARROW_TYPES, STAMPED, SessionKey, SessionRows
from sinks.sink import Batch, LogPartition, QueryLimits, Sink
from sinks.warehouse import open_reader, open_sink
from tests.support import clickhouse, postgres

WAREHOUSES = ("duckdb", "postgres", "clickhouse", "ducklake", "parquet")
URLS = {
    "duckdb": "duckdb:///calls.duckdb",
    "ducklake": "ducklake:sqlite:///catalogue.sqlite",
    "parquet": "parquet:///files",
}
QUERIES = {
    "count of sessions": "SELECT count(*) FROM sessions",
    "sums by direction": "SELECT direction, count(*), sum(talk_seconds) FROM sessions GROUP BY 1",
    "legs by agent": "SELECT agent_mail, count(*) FROM legs GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
    "one session": "SELECT * FROM sessions WHERE sdk_app_id = 1400000001 AND session_id = 's-000000012345'",
}
GUARANTEES = {
    "duckdb": "rows and offsets in one transaction, highest version stays, log fsynced",
    "postgres": "rows and offsets in one transaction, highest version stays; fsync off, as in the tests",
    "clickhouse": "rows before offsets, highest version stays, fsynced",
    "ducklake": "rows and offsets in one transaction, highest version stays",
    "parquet": "rows before the commit's file, highest version stays, fsynced",
}
FROM_KAFKA = 80_000 if FULL else 40_000
FROM_KAFKA_SECONDS_MAX = 300.0
STANDING = 1_000_000 if FULL else 200_000
APPENDED = "none: rows are added, and may be there twice"
APPENDED_INDEXED = "none: rows are added, and may be there twice, but are found by their keys"
SERVER_SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "8GB"}
"""Of Postgres, for all who load into it: whoever holds a million sessions gives it more than its 128 MB."""
CHILDREN_EACH = {"legs": 2, "recordings": 3}
PARTITION = LogPartition("tccc.sessions", 0)
Append = Callable[[SessionRows], None]


@contextmanager
def timed_round(result: Result, batch: int) -> Iterator[None]:
    """One batch. CPU and memory are this process's: those of a server are not in them."""
    begun, cpu = time.perf_counter(), time.process_time()
    yield
    rate = batch / (time.perf_counter() - begun)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result.runs.append(Run(rate, time.process_time() - cpu, memory))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sessions", type=int, default=1_000_000, help="that stand there already")
    options.add_argument("--batch", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--read", action="store_true", help="ask some questions afterwards, too")
    options.add_argument("warehouses", nargs="*", default=WAREHOUSES)
    asked = options.parse_args()
    results = []
    for name in asked.warehouses:
        measured = measure(name, asked.sessions, batch=asked.batch, rounds=asked.rounds, read=asked.read)
        results += [result.as_json() for result in measured]
        ours = [run.rate for run in measured[0].runs]
        say(f"{name}: {statistics.median(ours):,.0f} sessions/s ({min(ours):,.0f} to {max(ours):,.0f})")
        for append in measured[1:]:
            ratios = [run.rate / load for load, run in zip(ours, append.runs, strict=True)]
            cpu = [load.cpu_seconds / run.cpu_seconds for load, run in zip(measured[0].runs, append.runs, strict=True)]
            say(
                f"{name}: {statistics.median(ratios):.2f} times the time of {append.contestant} "
                f"({min(ratios):.2f} to {max(ratios):.2f}), {statistics.median(cpu):.2f} times its CPU in this process"
            )
    print(json.dumps({"results": results}, indent=2))


def loader_duckdb(_: Path, __: Contestants, rounds: int) -> list[Result]:
    """The work of `make bench`."""
    return of_the_bench("duckdb", rounds)


def loader_postgres(_: Path, __: Contestants, rounds: int) -> list[Result]:
    """Likewise; the server is the tests' own, fsync off."""
    return of_the_bench("postgres", rounds)


def of_the_bench(name: str, rounds: int) -> list[Result]:
    """Three batches a round, so that each way is the first as often as the others."""
    whole = Result(f"loader-{name}", "callweave-from-kafka", __version__, "sessions/s", GUARANTEES[name])
    whole.extra["what"] = "the loader's process: records in Kafka to committed rows, sessions that are new"
    results = [*measure(name, STANDING, rounds=3 * rounds, whole=whole), whole]
    for result in results:
        result.extra["sessions_that_stood_there"] = STANDING
    return results


def measure(
    name: str, sessions: int, *, batch: int = 10_000, rounds: int = 5, read: bool = False, whole: Result | None = None
) -> list[Result]:
    """Load one warehouse: callweave's result, then the appends'."""
    # One name is promised for DuckDB's append, and one for Postgres's; the others follow the latter.
    appended = "arrow-append" if name == "duckdb" else f"arrow-append-{name}"
    ours = Result(f"loader-{name}", "callweave", __version__, "sessions/s", GUARANTEES[name])
    plain = Result(f"loader-{name}", appended, pa.__version__, "sessions/s", APPENDED)
    indexed = Result(f"loader-{name}", f"{appended}-indexed", pa.__version__, "sessions/s", APPENDED_INDEXED)
    with tempfile.TemporaryDirectory(prefix="callweave-bench-") as place, ExitStack() as stack:
        folder = Path(place)
        url = stack.enter_context(an_address(name))
        sink = open_sink(url, data_dir=folder, recording_deadline_seconds=3600)
        stack.enter_context(closing(sink))
        sink.open()
        appends = [(plain, stack.enter_context(APPENDS[name](url, folder)))]
        if name in INDEXED:
            appends.append((indexed, stack.enter_context(INDEXED[name](url, folder))))
        step, offset = 50_000, 0
        for start in range(0, sessions, step):
            rows = rows_of(range(start, min(start + step, sessions)), version=1)
            offset = load(sink, rows, offset)
            for _, append in appends:
                append(rows)
        sink.checkpoint()
        for number, rows in enumerate(batches(sessions, batch, rounds)):
            turns = [(ours, None), *appends]
            # In turns, and not always the same one first: what else the machine does strikes all.
            first = number % len(turns)
            for result, append in (*turns[first:], *turns[:first]):
                with timed_round(result, batch):
                    if append is None:
                        offset = load(sink, rows, offset)
                    else:
                        append(rows)
        if read:
            ask(name, url, folder, sink)
        if whole is not None:
            sink.close()
            whole.runs += [from_kafka(url, folder, number) for number in range(rounds // 3)]
    return [ours, *(result for result, _ in appends)]


def from_kafka(url: str, folder: Path, number: int) -> Run:
    """`callweave loader` over records that lie in Kafka, into the same warehouse."""
    prefix, first = new_topics(), number * FROM_KAFKA
    asyncio.run(publish_sessions(prefix, first, first + FROM_KAFKA))
    environment = {
        "CALLWEAVE_KAFKA__TOPIC_PREFIX": prefix,
        "CALLWEAVE_ADMIN__PORT": "0",
        "CALLWEAVE_DATA_DIR": str(folder),
        "CALLWEAVE_WAREHOUSE__URL": url,
    }
    with process([sys.executable, "-m", "callweave", "loader"], environment) as child:
        begun: tuple[int, float, float] | None = None
        deadline = time.monotonic() + FROM_KAFKA_SECONDS_MAX
        while time.monotonic() < deadline:
            applied, now, cpu = sessions_applied(folder, child.pid), time.perf_counter(), cpu_seconds(child.pid)
            if begun is None and applied >= FROM_KAFKA // 4:
                # What came before is starting: libraries, the first copy for readers, the first look at completeness.
                begun = applied, now, cpu
            if begun is not None and applied >= FROM_KAFKA:
                assert begun[0] < FROM_KAFKA, "all was loaded at once: too few sessions to measure"
                rate = (FROM_KAFKA - begun[0]) / (now - begun[1])
                return Run(rate, cpu - begun[2], rss_bytes(child.pid))
            time.sleep(0.01)
        raise TimeoutError(f"the loader did not load {FROM_KAFKA} sessions")


def sessions_applied(folder: Path, pid: int) -> int:
    """As the loader tells."""
    entry = Runtime(folder).role("loader")
    if entry is None or entry.admin_url is None or entry.pid != pid:
        return 0
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{entry.admin_url}/status", timeout=30) as answer:
        return int(json.load(answer)["sessions_applied"])


@contextmanager
def an_address(name: str) -> Iterator[str]:
    """An empty warehouse."""
    with ExitStack() as stack:
        match name:
            case "postgres":
                server = stack.enter_context(postgres.session_postgres(SERVER_SETTINGS))
                yield stack.enter_context(postgres.fresh_database(server))
            case "clickhouse":
                engine = stack.enter_context(clickhouse.session_clickhouse())
                yield stack.enter_context(clickhouse.fresh_database(engine))
            case _:
                yield URLS[name]


@contextmanager
def into_duckdb(_: str, folder: Path, *, indexed: bool = False) -> Iterator[Append]:
    with closing(duckdb.connect(folder / ("indexed.duckdb" if indexed else "plain.duckdb"))) as database:
        database.execute("SET checkpoint_threshold = '256MB'")
        append = appending(database)
        for table in SESSION_TABLES if indexed else ():
            database.execute(f"CREATE INDEX {table.name}_key ON {table.name} ({ddl.names(table.key)})")
        yield append


@contextmanager
def into_ducklake(_: str, folder: Path) -> Iterator[Append]:
    address = LakeAddress.parse("ducklake:sqlite:///plain.sqlite", folder)
    with closing(address.attached(read_only=False)) as database:
        database.execute(f"USE {LAKE}")
        yield appending(database)


def appending(database: duckdb.DuckDBPyConnection) -> Append:
    for table in SESSION_TABLES:
        database.execute(ddl.create_table(ddl.DUCKDB, unstamped(table)))

    def append(rows: SessionRows) -> None:
        database.execute("BEGIN")
        for name, table in rows.tables.items():
            database.register("arrived", table)
            database.execute(f"INSERT INTO {name} BY NAME SELECT * FROM arrived")  # noqa: S608 - names of our own
            database.unregister("arrived")
        database.execute("COMMIT")

    return append


@contextmanager
def into_postgres(url: str, _: Path, *, indexed: bool = False) -> Iterator[Append]:
    prefix = "indexed" if indexed else "plain"
    with psycopg.connect(url) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        for table in SESSION_TABLES:
            columns = ", ".join(
                f"{ddl.quoted(column.name)} {ddl.POSTGRES.types[column.type]}" for column in unstamped(table).columns
            )
            connection.execute(f"CREATE TABLE {prefix}_{table.name} ({columns})".encode())
            wanted = [table.key, *(SESSION_INDEXES.values() if table is SESSIONS else ())] if indexed else []
            for columns_of_index in wanted:
                connection.execute(f"CREATE INDEX ON {prefix}_{table.name} ({ddl.names(columns_of_index)})".encode())
        connection.commit()

        def append(rows: SessionRows) -> None:
            with connection.cursor() as cursor:
                for name, table in rows.tables.items():
                    with cursor.copy(
                        f"COPY {prefix}_{name} ({ddl.names(table.column_names)}) FROM STDIN".encode()
                    ) as copy:
                        copy.write(copy_text(table))
            connection.commit()

        yield append


@contextmanager
def into_clickhouse(url: str, _: Path) -> Iterator[Append]:
    with closing(clickhouse_session.Address(url).connect(answer_seconds=300)) as client:
        for table in SESSION_TABLES:
            columns = ", ".join(
                f"{ddl.quoted(column.name)} Nullable({clickhouse_layout.TYPES[column.type]})"
                for column in unstamped(table).columns
            )
            client.command(f"CREATE TABLE plain_{table.name} ({columns}) ENGINE = MergeTree ORDER BY tuple()")

        def append(rows: SessionRows) -> None:
            for name, table in rows.tables.items():
                if table.num_rows:
                    client.insert_arrow(f"plain_{name}", table)

        yield append


@contextmanager
def into_parquet(_: str, folder: Path) -> Iterator[Append]:
    appended = folder / "appended"
    appended.mkdir()

    def append(rows: SessionRows) -> None:
        for name, table in rows.tables.items():
            path = appended / f"{name}-{time.monotonic_ns()}.parquet"
            pq.write_table(table, path, compression="zstd")
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    yield append


APPENDS = {
    "duckdb": into_duckdb,
    "postgres": into_postgres,
    "clickhouse": into_clickhouse,
    "ducklake": into_ducklake,
    "parquet": into_parquet,
}


INDEXED = {"duckdb": partial(into_duckdb, indexed=True), "postgres": partial(into_postgres, indexed=True)}


def unstamped(table: Table) -> Table:
    """A table as its Arrow rows have it: who only appends stamps nothing."""
    return Table(
        table.name, table.purpose, table.key, tuple(column for column in table.columns if column.name != STAMPED)
    )


def batches(base: int, batch: int, rounds: int) -> Iterator[SessionRows]:
    """Two thirds new sessions, one third newer versions of old ones, anywhere."""
    new = batch * 2 // 3
    for number in range(rounds):
        old = range(number, base, max(1, base // (batch - new)))[: batch - new]
        first = base + number * new
        yield rows_of([*old, *range(first, first + batch - len(old))], version=2 + number)


def load(sink: Sink, rows: SessionRows, offset: int) -> int:
    end = offset + len(rows)
    written = sink.write(Batch(rows, (), {PARTITION: end}, {PARTITION: offset or None}))
    assert len(written.applied) == len(rows)
    return end


def ask(name: str, url: str, folder: Path, sink: Sink) -> None:
    """What a few questions cost."""
    reader = sink if name == "duckdb" else open_reader(url, data_dir=folder)
    for label, sql in QUERIES.items():
        seconds = min(timed(lambda sql=sql: reader.query(sql, QueryLimits())) for _ in range(3))
        say(f"{name}: {label} {1000 * seconds:.0f} ms")
    say(f"{name}: tidying {timed(sink.checkpoint):.1f} s")


def rows_of(numbers: list[int] | range, *, version: int) -> SessionRows:
    """Sessions of these numbers: two legs and three recordings each, every column filled."""
    keys = tuple(SessionKey(1_400_000_001, f"s-{number:012d}") for number in numbers)
    wanted = pa.table({"n": pa.array(numbers, pa.int64())})
    with duckdb.connect() as maker:
        maker.execute("SET TimeZone = 'UTC'")
        maker.register("wanted", wanted)
        tables = {SESSIONS.name: made(maker, SESSIONS, "wanted", version)}
        bounds = {SESSIONS.name: list(range(len(keys) + 1))}
        for child in CHILDREN:
            each = CHILDREN_EACH.get(child.name, 0)
            tables[child.name] = made(maker, child, f"wanted, range({each}) AS c(c) ORDER BY n, c", version)
            bounds[child.name] = [each * at for at in range(len(keys) + 1)]
    return SessionRows(keys, tables, bounds)


def made(maker: duckdb.DuckDBPyConnection, table: Table, source: str, version: int) -> pa.Table:
    fixed = {
        "sdk_app_id": "1400000001",
        "session_id": "format('s-{:012d}', n)",
        "version": str(version),
        "direction": "CASE WHEN n % 3 = 0 THEN 'inbound' ELSE 'outbound' END",
    }
    fixed |= {name: "c" for name in ("leg_sequence",) if table.name == "legs"}
    fixed |= {name: "format('r-{}', c)" for name in ("recording_id",) if table.name == "recordings"}
    by_type = {
        ColumnType.TEXT: "format('{:x}', hash(n))",
        ColumnType.INTEGER: "n % 1000",
        ColumnType.BOOLEAN: "n % 2 = 0",
        ColumnType.INSTANT: "make_timestamp(1790000000000000 + n * 1000000)",
        ColumnType.JSON: "NULL",
        ColumnType.BYTES: "NULL",
    }
    columns = [column for column in table.columns if column.name != STAMPED]
    cells = ", ".join(f'{fixed.get(column.name, by_type[column.type])} AS "{column.name}"' for column in columns)
    schema = pa.schema([pa.field(column.name, ARROW_TYPES[column.type]) for column in columns])
    return maker.execute(f"SELECT {cells} FROM {source}").to_arrow_table().cast(schema)  # noqa: S608


def timed(deed: Callable[[], object]) -> float:
    begun = time.perf_counter()
    deed()
    return time.perf_counter() - begun


def say(line: str) -> None:
    """Beside the JSON, and at once."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
