"""Many small files -> few: the hours that are over, then the days that are over, then the letters.

The rule: a merged file appears beside what it replaces, and that goes only when no reader can still hold it. Readers
keep of each session the highest version, wherever it lies, so they see the same rows before, meanwhile and after.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from time import time
from typing import Final

import duckdb

from sinks.ddl import literal
from sinks.keyed import ASKED_TABLES
from sinks.parquet_files import (
    LETTERS_FOLDER,
    SESSIONS_FOLDER,
    StoredFile,
    hour_of,
    numbered,
    numbered_files,
    publish_file,
    replaced_files,
    session_files,
    sessions_folder,
)
from sinks.parquet_query import highest, latest_asked
from sinks.sink import Compaction

REPLACED_KEPT_SECONDS: Final = 900.0
"""How long a file stays after it was replaced: longer than any query of ours may take."""
BYTES_AT_ONCE: Final = 64 * 1024 * 1024
"""What one merging reads at most; a file of half of it is left alone."""
_BYTES_A_CALL: Final = 4 * BYTES_AT_ONCE
_FLAT: Final = (LETTERS_FOLDER, *ASKED_TABLES)
_FLAT_FILES_MIN: Final = 50
_KEPT: Final[Mapping[str, Callable[[str], str]]] = {
    SESSIONS_FOLDER: highest,
    **{name: partial(latest_asked, table) for name, table in ASKED_TABLES.items()},
    LETTERS_FOLDER: lambda source: f"SELECT * FROM {source}",  # noqa: S608 - names of our own
}
"""What readers would keep of a few files' rows. Of letters all: they are counted."""
_HOUR_IS_OVER_AFTER: Final = timedelta(minutes=1)


def compact(
    database: duckdb.DuckDBPyConnection,
    root: Path,
    now: datetime,
    *,
    replaced_kept_seconds: float = REPLACED_KEPT_SECONDS,
) -> Compaction:
    """Merge what is due, up to a bound, and remove what was replaced long enough ago."""
    removed = _remove_replaced(root, replaced_kept_seconds)
    merged = made = budget = 0
    has_more = False
    for group in _due(root, now):
        if budget >= _BYTES_A_CALL:
            has_more = True
            break
        budget += sum(file.bytes_count for file in group)
        _merge(database, root, group, now)
        merged += len(group)
        made += 1
    return Compaction(merged, made, removed, has_more)


def _remove_replaced(root: Path, kept_seconds: float) -> int:
    removed = 0
    for files in (session_files(root), *(numbered_files(root / folder) for folder in _FLAT)):
        for file, by in replaced_files(files).items():
            if time() - by.path.stat().st_mtime >= kept_seconds:
                file.path.unlink(missing_ok=True)
                removed += 1
    for folder in (root / SESSIONS_FOLDER).glob("sdk_app_id=*/hour=*"):
        if not any(folder.iterdir()):
            folder.rmdir()
    return removed


def _due(root: Path, now: datetime) -> Iterator[list[StoredFile]]:
    """Groups of files to be made one, each within its bound."""
    this_hour = hour_of(now - _HOUR_IS_OVER_AFTER)
    today = this_hour[:10]
    files = _live(session_files(root))
    over = [file for file in files if file.period[:13] < this_hour and (len(file.period) > 10 or file.period < today)]

    def target(file: StoredFile) -> tuple[str, str]:
        return file.group, file.period[:10] if file.period[:10] < today else file.period

    for _, group in groupby(sorted(over, key=lambda file: (*target(file), file.first)), key=target):
        yield from _runs(group)
    for folder in _FLAT:
        rows = _live(numbered_files(root / folder))[:-1]  # not the last: the latest commit may be a file of letters
        if len(rows) >= _FLAT_FILES_MIN:
            yield from _runs(rows)


def _live(files: list[StoredFile]) -> list[StoredFile]:
    gone = replaced_files(files)
    return [file for file in files if file not in gone]


def _runs(files: Iterable[StoredFile]) -> Iterator[list[StoredFile]]:
    """Neighbours that together stay within the bound; what is large already separates them."""
    run: list[StoredFile] = []
    size = 0
    for file in files:
        is_large = file.bytes_count >= BYTES_AT_ONCE // 2
        if run and (is_large or size + file.bytes_count > BYTES_AT_ONCE):
            if len(run) > 1:
                yield run
            run, size = [], 0
        if not is_large:
            run.append(file)
            size += file.bytes_count
    if len(run) > 1:
        yield run


def _merge(database: duckdb.DuckDBPyConnection, root: Path, group: list[StoredFile], now: datetime) -> None:
    paths = ", ".join(literal(str(file.path)) for file in group)
    source = f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
    prefix = numbered(min(file.first for file in group), max(file.last for file in group))
    folder = group[0].group if group[0].group in _FLAT else SESSIONS_FOLDER
    select = _KEPT[folder](source)

    def write(path: Path) -> None:
        database.execute(f"COPY ({select}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")

    if folder in _FLAT:
        publish_file(root / folder, f"{prefix}_merged", write, with_digest=False)
    else:
        period = group[0].period
        if period[:10] < hour_of(now - _HOUR_IS_OVER_AFTER)[:10]:
            period = period[:10]
        publish_file(sessions_folder(root, int(group[0].group), period), f"{prefix}_merged", write)
