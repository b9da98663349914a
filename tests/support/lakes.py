"""Warehouses made of files, as the contract suite takes them: an address, and a way to change them by hand."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from sinks.ducklake_address import LAKE, LakeAddress
from sinks.warehouse import open_sink

DUCKLAKE = "ducklake:sqlite:///lake/catalogue.sqlite?data_path=lake/files"
_RETYPED = re.compile(r"ALTER TABLE (\w+) ALTER COLUMN (\w+) TYPE (.+)")


def lay_out_ducklake(data_dir: Path) -> None:
    """An empty lake of deadline 3600, copied: to lay one out takes a second, and the suite wants many."""
    shutil.copytree(_laid_out_lake() / "lake", data_dir / "lake")
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
