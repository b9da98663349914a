"""Warehouses of files: sessions a second, children included, into a table that holds many, and what reading costs.

`python -m bench.lakes [--base 1000000] [--batch 10000]`. In the same run, a plain append of the same Arrow tables as
Parquet (zstd, fsync) and DuckDB's own file, so that ratios can be compared. A third of each batch are newer versions.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.columns import CHILDREN, SESSIONS, ColumnType, Table
from sinks.rows import ARROW_TYPES, STAMPED, SessionKey, SessionRows
from sinks.sink import Batch, LogPartition, QueryLimits, Sink
from sinks.warehouse import open_reader, open_sink

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
CHILDREN_EACH = {"legs": 2, "recordings": 3}
PARTITION = LogPartition("tccc.sessions", 0)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--base", type=int, default=1_000_000)
    options.add_argument("--batch", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    for name, url in URLS.items():
        with tempfile.TemporaryDirectory(prefix="callweave-bench-") as folder:
            measure(name, url, Path(folder), asked)


def measure(name: str, url: str, folder: Path, asked: argparse.Namespace) -> None:
    sink = open_sink(url, data_dir=folder, recording_deadline_seconds=3600)
    sink.open()
    offset = 0
    with closing(sink):
        for start in range(0, asked.base, 100_000):
            offset = load(sink, rows_of(range(start, min(start + 100_000, asked.base)), version=1), offset)
        sink.checkpoint()
        ours, appended = [], []
        top = asked.base
        for number in range(asked.rounds):
            new = asked.batch * 2 // 3
            revised = range(0, asked.base, max(1, asked.base // (asked.batch - new)))[: asked.batch - new]
            rows = rows_of([*revised, *range(top, top + new)], version=2 + number)
            top += new
            begun = time.perf_counter()
            offset = load(sink, rows, offset)
            ours.append(time.perf_counter() - begun)
            appended.append(append(rows, folder / "appended"))
        mine, plain = statistics.median(ours), statistics.median(appended)
        print(
            f"{name}: {asked.batch / mine:,.0f} sessions/s ({1000 * mine:.0f} ms a batch of {asked.batch:,}, "
            f"slowest {1000 * max(ours):.0f}); plain append {1000 * plain:.0f} ms, ratio {plain / mine:.2f}"
        )
        read(f"{name}, {asked.rounds} batches after its last tidying", url, folder, sink)
        print(f"{name}: tidying {timed(sink.checkpoint):.1f} s")
    print(f"{name}: opening {timed(sink.open):.1f} s")
    sink.close()


def read(title: str, url: str, folder: Path, sink: Sink) -> None:
    reader = sink if url.startswith("duckdb:") else open_reader(url, data_dir=folder)
    for label, sql in QUERIES.items():
        seconds = min(timed(lambda sql=sql: reader.query(sql, QueryLimits())) for _ in range(3))
        print(f"{title}: {label} {1000 * seconds:.0f} ms")


def load(sink: Sink, rows: SessionRows, offset: int) -> int:
    end = offset + len(rows)
    written = sink.write(Batch(rows, (), {PARTITION: end}, {PARTITION: offset or None}))
    assert len(written.applied) == len(rows)
    return end


def append(rows: SessionRows, folder: Path) -> float:
    folder.mkdir(exist_ok=True)
    begun = time.perf_counter()
    for name, table in rows.tables.items():
        path = folder / f"{name}-{time.monotonic_ns()}.parquet"
        pq.write_table(table, path, compression="zstd")
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - begun


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


if __name__ == "__main__":
    main()
