"""Warehouses made of files, as the contract suite takes them: an address, and a way to change them by hand."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sinks.ducklake_address import LAKE, LakeAddress
from sinks.rows import lay_out, read_document
from sinks.sink import Batch, Sink
from sinks.warehouse import open_sink
from tests.support.sessions import a_leg, a_session, session_record

DUCKLAKE = "ducklake:sqlite:///lake/catalogue.sqlite?data_path=lake/files"
PARQUET = "parquet:///files"
READER = """
import json, sys
from pathlib import Path

from sinks.warehouse import open_reader

url, data_dir, last_version = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
reads, torn, last = 0, 0, -1
reader = open_reader(url, data_dir=data_dir)
print("reading", flush=True)
while last < last_version:
    sessions, legs, rows, first, last = reader.query(
        "select (select count(*) from sessions), (select sum(leg_count) from sessions),"
        " (select count(*) from legs), (select min(version) from sessions), (select max(version) from sessions)"
    ).rows[0]
    reads += 1
    torn += legs != rows or sessions != 20 or first != last
print(json.dumps({"reads": reads, "torn": torn}))
"""
"""A program that reads until it sees a version, and counts the answers that no single commit ever made true."""
_RETYPED = re.compile(r"ALTER TABLE (\w+) ALTER COLUMN (\w+) TYPE (.+)")


_DROPPED = re.compile(r"ALTER TABLE (\w+) DROP COLUMN (\w+)")


def write_twenty(sink: Sink, version: int) -> None:
    """Twenty sessions of one version, with so many legs that any mixture shows."""
    legs = [a_leg(number) for number in range(version % 5)]
    documents = [a_session(f"s-{at}", version=version, leg_count=len(legs), legs=legs) for at in range(20)]
    rows, _ = lay_out(read_document(*session_record(document)) for document in documents)
    sink.write(Batch(rows, (), {}, {}))


def lay_out_ducklake(data_dir: Path) -> None:
    """An empty lake of deadline 3600, copied: to lay one out takes a second, and the suite wants many."""
    shutil.copytree(_laid_out_lake() / "lake", data_dir / "lake")
    settle_ducklake(data_dir)


def settle_ducklake(data_dir: Path) -> None:
    """Tell a lake that came from elsewhere where its files are now."""
    with closing(sqlite3.connect(data_dir / "lake" / "catalogue.sqlite")) as catalogue, catalogue:
        catalogue.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [f"{data_dir}/lake/files/"])


@cache
def _laid_out_lake() -> Path:
    folder = Path(mkdtemp(prefix="callweave-lake-"))
    sink = open_sink(DUCKLAKE, data_dir=folder, recording_deadline_seconds=3600)
    sink.open()
    sink.close()
    return folder


def alter_ducklake(data_dir: Path, url: str = DUCKLAKE) -> Callable[[str], None]:
    """Run a statement on the lake beside the loader."""

    def alter(sql: str) -> None:
        with closing(LakeAddress.parse(url, data_dir).attached(read_only=False)) as lake:
            lake.execute(f"USE {LAKE}")
            retyped = _RETYPED.fullmatch(sql)
            if retyped:
                # DuckLake only widens types.
                table, column, kind = retyped.groups()
                lake.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
                lake.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
            else:
                lake.execute(sql)

    return alter


def alter_parquet(root: Path) -> Callable[[str], None]:
    """What the suite does to tables by hand, done to files."""

    def alter(sql: str) -> None:
        if dropped := _DROPPED.fullmatch(sql):
            _rewrite(root, *dropped.groups())
        elif retyped := _RETYPED.fullmatch(sql):
            _rewrite(root, *retyped.groups()[:2], kind=pa.string())
        elif sql == "DROP TABLE callweave_meta":
            (root / "callweave.json").unlink()
        elif sql.startswith("UPDATE callweave_meta SET value = '99'"):
            (root / "callweave.json").write_text('[{"key": "layout_version", "value": "99"}]')
        else:
            assert sql.startswith("DROP VIEW"), sql

    return alter


def _rewrite(root: Path, table: str, column: str, kind: Any = None) -> None:
    """Files from before there was such a column, or with another type of it."""
    for path in (root / "sessions").rglob("*.parquet"):
        rows = pq.ParquetFile(path).read()
        cells = rows.to_pylist()
        schema = rows.schema
        if table == "sessions":
            place = schema.get_field_index(column)
            schema = schema.remove(place) if kind is None else schema.set(place, pa.field(column, kind))
        else:
            place = schema.get_field_index(table)
            members = [field for field in schema.field(place).type.value_type if field.name != column]
            schema = schema.set(place, pa.field(table, pa.list_(pa.struct(members))))
        if kind is not None:
            cells = [{**row, column: str(row[column])} for row in cells]
        pq.write_table(pa.Table.from_pylist(cells, schema), path)
