"""`current.sql`: the promised tables as views over the files, for any DuckDB; and a reader that runs it.

The rule: files only add, so whoever reads keeps, of each session, the highest (version, digest), and counts, of each
letter, every commit once. Whatever a compaction is doing meanwhile, the answer is the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import duckdb

from schemas.columns import (
    CHILDREN,
    COLUMNED_VIEWS,
    DEAD_LETTERS,
    RECONCILE_WINDOWS,
    SESSIONS,
    Column,
    ColumnType,
    Table,
)
from sinks import ddl
from sinks.ddl import literal, names, quoted
from sinks.duckdb_query import CONFIG, run_query
from sinks.keyed import ASKED_TABLES, VERSION
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.parquet_files import COMMITS_FOLDER, LETTERS_FOLDER, SESSIONS_FOLDER, readable_sessions
from sinks.rows import STAMPED
from sinks.sink import QueryLimits, QueryResult, SinkUnavailableError

CURRENT_SQL: Final = "current.sql"
META_FILE: Final = "callweave.json"
MIGRATIONS_FILE: Final = "callweave_migrations.json"
FILES_VARIABLE: Final = "callweave_files"
COMMIT_NUMBER: Final = "commit_number"
PARENT_KEY: Final = SESSIONS.key
_COUNTED: Final = ("seen_count", "last_seen_at", "replayed_at", "replay_outcome")

_LETTERS: Final = """
WITH told AS (
    SELECT * FROM {files}
    QUALIFY row_number() OVER (PARTITION BY dead_letter_id, commit_number) = 1
),
ranked AS (SELECT *, row_number() OVER (PARTITION BY dead_letter_id ORDER BY commit_number) AS nth FROM told),
totals AS (
    SELECT
        dead_letter_id,
        CAST(sum(CASE WHEN nth = 1 THEN greatest(seen_count, 1) ELSE seen_count END) AS BIGINT) AS seen_count,
        max(last_seen_at) AS last_seen_at,
        max(replayed_at) AS replayed_at,
        arg_max(replay_outcome, (replayed_at, commit_number)) FILTER (WHERE replayed_at IS NOT NULL) AS replay_outcome
    FROM ranked GROUP BY dead_letter_id
)
SELECT {columns} FROM ranked AS r INNER JOIN totals AS t ON t.dead_letter_id = r.dead_letter_id WHERE r.nth = 1
"""
_OFFSETS: Final = """
WITH commits AS (
    SELECT decode(value) AS commit FROM parquet_kv_metadata({folders}) WHERE decode(key) = 'callweave'
),
latest AS (
    SELECT unnest(CAST(commit -> 'offsets' AS JSON[])) AS moved FROM commits
    QUALIFY row_number() OVER (ORDER BY CAST(commit ->> 'commit' AS BIGINT) DESC) = 1
)
SELECT
    moved ->> 0 AS topic,
    CAST(moved ->> 1 AS BIGINT) AS "partition",
    CAST(moved ->> 2 AS BIGINT) AS next_offset,
    CAST(moved ->> 3 AS TIMESTAMPTZ) AS updated_at
FROM latest
"""
_HEAD: Final = """\
-- callweave: the current rows of this Parquet warehouse, for any DuckDB: .read current.sql
-- Made anew whenever the loader starts; if the folder has moved, start it once, or change the paths.
-- Every mention of a table lists the files anew. For a query that joins tables while the loader writes, list them once:
--   SET VARIABLE {variable} = (SELECT list(file) FROM glob({pattern}));
"""


class ParquetReader:
    """A Parquet warehouse, for queries only, in any process and beside the loader."""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            script = (root / CURRENT_SQL).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise SinkUnavailableError(
                f"there is no warehouse at {root} yet: the loader creates it when it runs"
            ) from None
        except OSError as exc:
            raise SinkUnavailableError(f"the warehouse at {root} cannot be read: {exc.strerror}") from exc
        self._database = duckdb.connect(config=CONFIG)
        self._database.execute("SET GLOBAL TimeZone = 'UTC'")
        self._database.execute(script)
        for statement in (
            f"SET GLOBAL allowed_directories = [{literal(f'{root}/')}]",
            "SET GLOBAL enable_external_access = false",
            "SET GLOBAL lock_configuration = true",
        ):
            self._database.execute(statement)

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT within the limits, from any thread."""
        try:
            files = [str(path) for path in readable_sessions(self._root)]
        except OSError as exc:
            raise SinkUnavailableError(f"the warehouse at {self._root} cannot be read: {exc.strerror}") from exc
        with closing(self._database.cursor()) as cursor:
            # One list for the whole query: sessions and their children are those of one moment.
            cursor.execute(f"SET VARIABLE {FILES_VARIABLE} = [{', '.join(map(literal, files))}]")
            return run_query(cursor, sql, limits)

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()


def current_sql(root: Path, *, recording_deadline_seconds: int, kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID) -> str:
    """The script."""
    views = dict(_views(root))
    for name in ddl.VIEWS:
        views[name] = ddl.view(name, recording_deadline_seconds=recording_deadline_seconds, kpi_rules=kpi_rules)
    pattern = literal(_pattern(root, SESSIONS_FOLDER))
    head = _HEAD.format(variable=FILES_VARIABLE, pattern=pattern)
    created = [f"CREATE OR REPLACE VIEW {quoted(name)} AS\n{select.strip()}" for name, select in views.items()]
    return head + ";\n\n".join([*created, *ddl.comments(COLUMNED_VIEWS)]) + ";\n"


def files_of(root: Path, folder: str) -> str:
    """A folder's rows, replaced files and older layouts too, as a table function."""
    return _rows_in(literal(_pattern(root, folder)))


def _chosen_files(root: Path) -> str:
    """The files of sessions that the reader's connection has listed, else all of this moment."""
    return _rows_in(f"coalesce(getvariable('{FILES_VARIABLE}'), [{literal(_pattern(root, SESSIONS_FOLDER))}])")


def _rows_in(files: str) -> str:
    return f"read_parquet({files}, union_by_name = true, hive_partitioning = false)"


def _pattern(root: Path, folder: str) -> str:
    return str(root / folder / "**" / "*.parquet")


def highest(source: str) -> str:
    """SELECT of the highest (version, digest) of each session."""
    return (
        f"SELECT * FROM {source} QUALIFY row_number() OVER "  # noqa: S608 - names of our own
        "(PARTITION BY sdk_app_id, session_id ORDER BY version DESC, document_digest DESC) = 1"
    )


def _highest_by_place(root: Path) -> str:
    """The same rows as `highest`, for lists: they are not carried through the sorting, only fetched for who won."""
    files = _chosen_files(root).removesuffix(")") + ", filename = true, file_row_number = true)"
    place = f"{names(PARENT_KEY)}, filename, file_row_number"
    return f"{files} INNER JOIN (SELECT {place} FROM ({highest(files)})) AS winners USING ({place})"  # noqa: S608


def latest_asked(table: Table, source: str) -> str:
    """SELECT of what was asked for last about each key. Of equal moments the first stands, of an hour's the last."""
    later = "DESC" if table is RECONCILE_WINDOWS else "ASC"
    return (
        f"SELECT * FROM {source} QUALIFY row_number() OVER "  # noqa: S608 - names of our own
        f"(PARTITION BY {names(table.key)} ORDER BY {VERSION} DESC, {STAMPED} {later}) = 1"
    )


def child_rows(child: Table, source: str) -> str:
    """SELECT of the rows that lie as a list in their sessions' rows."""
    return f"SELECT {names(PARENT_KEY)}, unnest({quoted(child.name)}) AS child FROM {source}"  # noqa: S608


def _views(root: Path) -> Iterator[tuple[str, str]]:
    meta = literal(str(root / META_FILE))
    yield (
        ddl.META.name,
        f"SELECT key, value FROM read_json({meta}, columns = {{key: 'VARCHAR', value: 'VARCHAR'}})",  # noqa: S608
    )
    types = ", ".join(f"{column.name}: {literal(ddl.DUCKDB.types[column.type])}" for column in ddl.MIGRATIONS.columns)
    migrations = literal(str(root / MIGRATIONS_FILE))
    yield ddl.MIGRATIONS.name, f"SELECT * FROM read_json({migrations}, columns = {{{types}}})"  # noqa: S608 - our own
    folders = ", ".join(literal(str(root / folder / "*.parquet")) for folder in (COMMITS_FOLDER, LETTERS_FOLDER))
    yield ddl.OFFSETS.name, _OFFSETS.format(folders=f"[{folders}]")
    yield "callweave_current", highest(_chosen_files(root))
    yield (
        SESSIONS.name,
        f"SELECT {', '.join(_read(column, '') for column in SESSIONS.columns)} FROM callweave_current",  # noqa: S608
    )
    for child in CHILDREN:
        own = [column for column in child.columns if column.name not in PARENT_KEY]
        columns = ", ".join([names(PARENT_KEY), *(_read(column, "child.") for column in own)])
        yield child.name, f"SELECT {columns} FROM ({child_rows(child, _highest_by_place(root))})"  # noqa: S608
    for name, table in ASKED_TABLES.items():
        columns = ", ".join(_read(column, "") for column in table.columns)
        yield name, f"SELECT {columns} FROM ({latest_asked(table, files_of(root, name))})"  # noqa: S608
    letters = ", ".join(_read(column, "t." if column.name in _COUNTED else "r.") for column in DEAD_LETTERS.columns)
    yield DEAD_LETTERS.name, _LETTERS.format(files=files_of(root, LETTERS_FOLDER), columns=letters)


def _read(column: Column, prefix: str) -> str:
    name = quoted(column.name)
    return f"CAST({prefix}{name} AS JSON) AS {name}" if column.type is ColumnType.JSON else f"{prefix}{name}"
