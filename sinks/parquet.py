"""The warehouse that is a folder of Parquet files, for everything that reads Parquet; one loader appends to it.

The rule: sessions first, whole, one row each; then the commit, by the appearance of one file. What is older than what
lies there is not written at all, which an index of (version, digest) in memory decides.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.columns import DEAD_LETTERS, SESSION_TABLES, SESSIONS, ColumnType
from schemas.topics import SESSIONS as SESSIONS_TOPIC
from sinks import ddl
from sinks.ddl import META, MIGRATIONS, OFFSETS, Catalogue, Dialect, names
from sinks.duckdb_query import CONFIG
from sinks.keyed import ASKED_TABLES
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.migrations import LAID_OUT_BY, LAYOUT_VERSION, PROGRAM_VERSION, Found, migration_id, refuse_to_begin
from sinks.parquet_commits import NO_COMMIT, latest_commit, publish_commit
from sinks.parquet_compaction import compact
from sinks.parquet_files import (
    COMMITS_FOLDER,
    LETTERS_FOLDER,
    SESSIONS_FOLDER,
    hour_of,
    numbered,
    numbered_files,
    publish_file,
    session_files,
    sessions_folder,
    spelled,
    unfinished_files,
)
from sinks.parquet_forgetting import forget
from sinks.parquet_query import (
    CURRENT_SQL,
    META_FILE,
    MIGRATIONS_FILE,
    PARENT_KEY,
    ParquetReader,
    child_rows,
    current_sql,
    files_of,
    highest,
)
from sinks.parquet_rows import ASKED_SCHEMAS, LETTERS_SCHEMA, SESSIONS_SCHEMA, asked_rows, nested
from sinks.rows import SessionKey, SessionRows
from sinks.sink import (
    NOTHING_NEW,
    Batch,
    Compaction,
    FencedError,
    LogPartition,
    Migration,
    MisconfiguredError,
    QueryLimits,
    QueryResult,
    SinkUnavailableError,
    Written,
    utc_now,
)

FILES: Final = Dialect(
    "parquet",
    # JSON lies as text, for readers that know no JSON; the views of current.sql make it JSON again.
    {**ddl.DUCKDB.types, ColumnType.JSON: "VARCHAR"},
    primary_keys=False,
)
_LOCK_FILE: Final = ".loader.lock"
_LAYOUT: Final = "_layout"
_LAYOUTS: Final = (
    (SESSIONS_FOLDER, SESSIONS_SCHEMA),
    (LETTERS_FOLDER, LETTERS_SCHEMA),
    *ASKED_SCHEMAS.items(),
    (COMMITS_FOLDER, LETTERS_SCHEMA),
)
_INDEX: Final = "CREATE OR REPLACE TABLE known (sdk_app_id BIGINT, session_id VARCHAR, version BIGINT, digest VARCHAR)"
_WINNERS: Final = """
SELECT b.position FROM batch AS b
LEFT JOIN known AS k ON k.sdk_app_id = b.sdk_app_id AND k.session_id = b.session_id
WHERE k.session_id IS NULL OR (b.version, b.digest) > (k.version, k.digest)
ORDER BY b.position
"""
_FORGET: Final = """
DELETE FROM known USING won
WHERE won.sdk_app_id = known.sdk_app_id AND won.session_id = known.session_id
"""


class ParquetSink:
    """A folder."""

    def __init__(
        self,
        root: Path,
        *,
        recording_deadline_seconds: int,
        may_migrate: bool = True,
        kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._root = root
        self._may_migrate = may_migrate
        self._deadline_seconds = recording_deadline_seconds
        self._kpi_rules = kpi_rules
        self._clock = clock
        self._lock: int | None = None
        self._index: duckdb.DuckDBPyConnection | None = None
        self._commit = NO_COMMIT
        self._reader: ParquetReader | None = None

    def open(self) -> None:
        """Create or upgrade the folder, or refuse to; clear what a killed loader left, learn what lies there."""
        if self._may_migrate:
            self.migrate()
        else:
            refuse_to_begin(self.pending(), self._root)
        with self._in_our_words():
            self._opened()
            self._reader = self._reader or ParquetReader(self._root)

    def pending(self) -> Migration:
        """What opening would do to the folder; needs no lock, so it may be asked beside a loader."""
        with self._in_our_words():
            return self._planned()

    def migrate(self) -> Migration:
        """Do that, and record it, under the loader's lock."""
        with self._in_our_words():
            self._opened()
            migration = self._planned()
            if migration.is_needed:
                self._lay_out(migration)
        return migration

    def offsets(self) -> dict[LogPartition, int]:
        """The offsets of the latest commit."""
        with self._in_our_words():
            self._opened()
            return {partition: next_offset for partition, (next_offset, _) in self._commit.offsets.items()}

    def write(self, batch: Batch) -> Written:
        """Sessions, then the commit."""
        with self._in_our_words():
            return self._write(self._opened(), batch)

    def forget(self, sessions: Sequence[SessionKey], letters: Sequence[str]) -> None:
        """Write every file anew that holds such a row, replaced files too, and remove it at once."""
        with self._in_our_words():
            self._opened()
            forget(self._root, sessions, letters)

    def checkpoint(self) -> None:
        """Merge small files, within bounds."""
        self.compact()

    def compact(self) -> Compaction:
        """Merge small files, within bounds; what was done."""
        with self._in_our_words():
            return compact(self._opened(), self._root, self._clock())

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT, from any thread."""
        reader = self._reader
        if reader is None:
            raise SinkUnavailableError("the warehouse is not open yet")
        return reader.query(sql, limits)

    def close(self) -> None:
        """Let go of the folder."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._drop()

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if self._index is None:
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._root / _LOCK_FILE)
            self._commit = latest_commit(self._root)
            self._clear()
            index = duckdb.connect(config=CONFIG)
            index.execute(_INDEX)
            if any((self._root / SESSIONS_FOLDER).glob("*.parquet")):
                rows = highest(files_of(self._root, SESSIONS_FOLDER))
                columns = "sdk_app_id, session_id, version, document_digest"
                index.execute(f"INSERT INTO known SELECT {columns} FROM ({rows})")  # noqa: S608 - names of our own
            self._index = index
        return self._index

    def _clear(self) -> None:
        """Remove what was never committed: its records are read again."""
        for file in unfinished_files(self._root):
            file.unlink(missing_ok=True)
        asked = chain.from_iterable(numbered_files(self._root / name) for name in ASKED_TABLES)
        for stored in (*session_files(self._root), *asked):
            if stored.last > self._commit.number:
                stored.path.unlink(missing_ok=True)

    def _drop(self) -> None:
        if self._index is not None:
            self._index.close()
        if self._lock is not None:
            os.close(self._lock)
        self._index = self._lock = None

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self._drop()
            raise SinkUnavailableError(f"the warehouse at {self._root}: {exc.strerror or exc}") from exc
        except (duckdb.IOException, duckdb.OutOfMemoryException) as exc:
            self._drop()
            raise SinkUnavailableError(f"the warehouse at {self._root}: {exc}") from exc
        except MisconfiguredError:
            self._drop()
            raise

    def _planned(self) -> Migration:
        meta = _read_meta(self._root / META_FILE)
        found = Found(self._existing(has_meta=bool(meta)), meta)
        ddl.check_layout_version(meta.get(LAYOUT_VERSION))
        statements = ddl.upgrade(FILES, found.catalogue)
        if not found.is_ahead and self._current_sql() != _read_text(self._root / CURRENT_SQL):
            statements.append(f"-- {CURRENT_SQL}: the views over the files, made anew")
        if not statements:
            return Migration()
        what = "-- Parquet: nothing runs these. Empty files with every column are laid beside the others"
        return Migration((what, *statements))

    def _lay_out(self, migration: Migration) -> None:
        meta = _read_meta(self._root / META_FILE)
        is_ahead = Found({}, meta).is_ahead
        if not is_ahead:
            meta |= {LAYOUT_VERSION: str(ddl.LAYOUT_VERSION), LAID_OUT_BY: PROGRAM_VERSION}
        # First of all: what lies here without it is a stranger's, also if this process is killed before it is done.
        _replace_json(self._root / META_FILE, [{"key": key, "value": value} for key, value in meta.items()])
        if any(not statement.startswith("--") for statement in migration.statements):
            # Empty files that hold every column: readers join columns by name, so older files need not be touched.
            for folder, schema in _LAYOUTS:
                publish_file(self._root / folder, _LAYOUT, _writer(schema.empty_table()))
        row = {
            "migration_id": migration_id(blake2b(migration.script.encode(), digest_size=16).hexdigest()),
            "applied_at": self._clock().isoformat(),
            "program_version": PROGRAM_VERSION,
            "statement_count": len(migration.statements),
            "statements": migration.script,
        }
        known = json.loads(_read_text(self._root / MIGRATIONS_FILE) or "[]")
        _replace_json(self._root / MIGRATIONS_FILE, [*known, row])
        if not is_ahead:
            # Last of all, because it reads the others: as long as it is another, opening does all of this again.
            _replace_text(self._root / CURRENT_SQL, self._current_sql())

    def _current_sql(self) -> str:
        return current_sql(self._root, recording_deadline_seconds=self._deadline_seconds, kpi_rules=self._kpi_rules)

    def _existing(self, *, has_meta: bool) -> Catalogue:
        """Columns that lie there, of whichever file."""
        found: dict[str, dict[str, str]] = {}
        if has_meta:
            for table in (META, OFFSETS, MIGRATIONS):
                found[table.name] = {column.name: FILES.types[column.type] for column in table.columns}
        if any((self._root / SESSIONS_FOLDER).glob("*.parquet")):
            sessions = files_of(self._root, SESSIONS_FOLDER)
            found[SESSIONS.name] = self._described(f"SELECT * FROM {sessions}")  # noqa: S608 - names of our own
            for child in SESSION_TABLES[1:]:
                if child.name in found[SESSIONS.name]:
                    rows = child_rows(child, sessions)
                    found[child.name] = self._described(f"SELECT {names(PARENT_KEY)}, child.* FROM ({rows})")  # noqa: S608
        for folder, table in ((LETTERS_FOLDER, DEAD_LETTERS), *ASKED_TABLES.items()):
            if any((self._root / folder).glob("*.parquet")):
                found[table.name] = self._described(f"SELECT * FROM {files_of(self._root, folder)}")  # noqa: S608
        return found

    def _described(self, select: str) -> dict[str, str]:
        with closing(duckdb.connect(config=CONFIG)) as files:
            return {row[0]: row[1] for row in files.execute(f"DESCRIBE {select}").fetchall()}

    def _write(self, index: duckdb.DuckDBPyConnection, batch: Batch) -> Written:
        there = {
            partition: self._commit.offsets[partition][0] if partition in self._commit.offsets else None
            for partition in batch.offsets
        }
        if there != {partition: batch.expected[partition] for partition in batch.offsets}:
            # The commit of an earlier attempt appeared although its answer was lost: the rows came before it.
            if there == dict(batch.offsets):
                return NOTHING_NEW
            raise FencedError(there)
        now = self._commit_time()
        commit = self._commit.after(batch.offsets, now)
        keys = _ranked(batch.sessions)
        index.register("batch", keys)
        winners = [position for (position,) in index.execute(_WINNERS).fetchall()]
        self._publish_sessions(batch, winners, commit.number, now)
        asked = asked_rows(batch, now)
        for name, rows in asked.items():
            place = numbered(commit.number, commit.number)
            publish_file(self._root / name, place, _writer(rows), with_digest=False)
        if winners or batch.letters or batch.offsets or asked:
            publish_commit(self._root, commit, batch.letters)
        if winners:
            index.register("won", keys.take(winners))
            index.execute(_FORGET)
            index.execute("INSERT INTO known SELECT sdk_app_id, session_id, version, digest FROM won")
        is_new_hour = hour_of(self._commit.at) != hour_of(now)
        self._commit = commit
        if is_new_hour:
            # Also while records never cease to arrive.
            self.compact()
        applied = frozenset(batch.sessions.keys[position] for position in winners)
        return Written(applied, len(batch.sessions) - len(applied), len(batch.letters))

    def _publish_sessions(self, batch: Batch, winners: list[int], number: int, now: datetime) -> None:
        if not winners:
            return
        rows = nested(batch.sessions, now).take(winners)
        what = spelled(
            (partition, batch.expected.get(LogPartition(topic, partition)) or 0, next_offset - 1)
            for (topic, partition), next_offset in batch.offsets.items()
            if topic.endswith(SESSIONS_TOPIC.suffix) and partition >= 0  # below it stand the ids of topics
        )
        start = 0
        for app, positions in groupby(winners, key=lambda position: batch.sessions.keys[position].sdk_app_id):
            count = len(list(positions))
            folder = sessions_folder(self._root, app, hour_of(now))
            publish_file(folder, f"{numbered(number, number)}_{what}", _writer(rows.slice(start, count)))
            start += count

    def _commit_time(self) -> datetime:
        # Never backwards, whatever the clock does: incremental models take loaded_at for their watermark.
        return max(self._clock(), self._commit.at + timedelta(microseconds=1))


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        holder = os.read(descriptor, 20).decode(errors="replace").strip()
        os.close(descriptor)
        raise SinkUnavailableError(
            f"process {holder or 'of another loader'} loads into {path.parent}: a Parquet warehouse has one loader; "
            "stop that one, or load into another folder"
        ) from exc
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _ranked(sessions: SessionRows) -> pa.Table:
    parents = sessions.tables[SESSIONS.name]
    return pa.table(
        {
            "position": pa.array(range(len(sessions)), pa.int64()),
            **{name: parents[name] for name in (*PARENT_KEY, "version")},
            "digest": parents["document_digest"],
        }
    )


def _writer(table: pa.Table) -> Callable[[Path], None]:
    return lambda path: pq.write_table(table, path, compression="zstd")


def _read_meta(file: Path) -> dict[str, str]:
    with contextlib.suppress(FileNotFoundError):
        return {row["key"]: row["value"] for row in json.loads(file.read_text(encoding="utf-8"))}
    return {}


def _read_text(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return file.read_text(encoding="utf-8")
    return ""


def _replace_json(file: Path, rows: list[dict[str, Any]]) -> None:
    _replace_text(file, json.dumps(rows))


def _replace_text(file: Path, text: str) -> None:
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
