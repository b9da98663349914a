"""ClickHouse, over its HTTP: a warehouse without transactions.

The rule: rows first, offsets last, and everything may be written twice. A document replaces its session by its rank, a
letter's sighting is known by its record's place, and what a reader sees is the views that put them together.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, TypeVar
from uuid import uuid4

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.columns import CHILDREN, DEAD_LETTERS, SESSIONS
from schemas.topics import RECORDING_FILES
from sinks.clickhouse_layout import (
    ASKED_STORED,
    COMMIT,
    COMMITS,
    COUNTED,
    LETTERS_STORED,
    RANK,
    SESSIONS_STORED,
    SIGHTINGS,
    catalogue_after,
    layout_digest,
    nested,
    own_columns,
    upgrade,
    views,
)
from sinks.clickhouse_query import ClickHouseReader
from sinks.clickhouse_session import ACCESS_DENIED, Address, fault_of
from sinks.clickhouse_sql import text_literal as _literal
from sinks.ddl import META
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.letters import LetterRow, letter_table
from sinks.migrations import Found, Wanted, inserted_note, layout_notes, plan, record, refuse_to_begin
from sinks.refused import refused
from sinks.rows import STAMPED, SessionKey, SessionRows
from sinks.sink import (
    NOTHING_NEW,
    PSEUDONYMISED,
    Batch,
    Fault,
    FencedError,
    LettersRejectedError,
    LogPartition,
    Migration,
    MisconfiguredError,
    QueryLimits,
    QueryResult,
    RowsRejectedError,
    SinkUnavailableError,
    Written,
    utc_now,
)

_ANSWER_SECONDS: Final = 300.0
_INSERT: Final = {
    # The answer must mean that the rows are there.
    "async_insert": 0,
    # An equal block is no repetition: the log may hold it twice, and compaction moves it (law 9).
    "insert_deduplicate": 0,
}
_QUERY_BYTES_MAX: Final = 256 * 1024 * 1024
"""The question about what stands there names every session of the batch; the record of a migration every statement."""
_MARK_BITS: Final = 16
_FORGOTTEN_AT_ONCE: Final = 500
_T = TypeVar("_T")
_INSTANT: Final = pa.timestamp("us", "UTC")


class ClickHouseSink:
    """A database of a ClickHouse server."""

    def __init__(
        self,
        url: str,
        *,
        recording_deadline_seconds: int,
        may_migrate: bool = True,
        kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._address = Address(url)
        self._deadline_seconds = recording_deadline_seconds
        self._kpi_rules = kpi_rules
        self._may_migrate = may_migrate
        self._clock = clock
        self._reader = ClickHouseReader(self._address)
        self._client: Client | None = None
        # Two loaders that commit at once have one of them before the other, and both see which.
        self._mark = secrets.randbits(_MARK_BITS)

    def open(self) -> None:
        """Connect; create or upgrade what is in the database, or refuse to."""
        if self._may_migrate:
            self.migrate()
        else:
            refuse_to_begin(self.pending(), self._address)

    def pending(self) -> Migration:
        """What opening would do to tables and views."""
        with self._in_our_words(), self._in_a_dbas_words():
            return self._planned(self._connected())

    def migrate(self) -> Migration:
        """Do that, and record it. Each statement may be run twice, so two that do it at once do no harm."""
        with self._in_our_words(), self._in_a_dbas_words():
            client = self._connected()
            migration = self._planned(client)
            for statement in (*migration.statements, *migration.notes):
                client.command(statement, settings={"max_query_size": _QUERY_BYTES_MAX})
            return migration

    def offsets(self) -> dict[LogPartition, int]:
        """The stored offsets."""
        with self._in_our_words():
            return _standing(self._connected()).offsets

    def write(self, batch: Batch) -> Written:
        """Land the batch: rows, letters, then the offsets that make it done."""
        with self._in_our_words():
            try:
                return self._write(self._connected(), batch)
            except ClickHouseError as exc:
                if fault_of(exc) is Fault.DATA:
                    raise self._refusal(batch, exc) from exc
                raise

    def forget(self, sessions: Sequence[SessionKey], letters: Sequence[str]) -> None:
        """Mutations that are waited for: the parts are written anew without the rows, replaced versions included."""
        with self._in_our_words():
            client = self._connected()
            for some in _slices(sessions):
                unmarked = f"(erasure IS NULL OR erasure != '{PSEUDONYMISED}')"
                _delete(client, SESSIONS_STORED, f"({_named(some)}) AND {unmarked}")
                _delete(client, ASKED_STORED[RECORDING_FILES.suffix], f"({_named(some)})")
            for some_letters in _slices(letters):
                listed = ", ".join(map(_literal, some_letters))
                for table in (LETTERS_STORED, SIGHTINGS):
                    _delete(client, table, f"dead_letter_id IN ({listed})")

    def checkpoint(self) -> None:
        """ClickHouse merges by itself."""

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008 - a frozen value
        """Run exactly one SELECT, from any thread."""
        return self._reader.query(sql, limits)

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()
        self._drop()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Client:
        if self._client is None:
            self._client = self._address.connect(answer_seconds=_ANSWER_SECONDS)
        return self._client

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            with self._address.in_our_words():
                yield
        except SinkUnavailableError:
            # Whatever state the connections are in: the next attempt begins with new ones.
            self._drop()
            raise

    @contextmanager
    def _in_a_dbas_words(self) -> Iterator[None]:
        try:
            yield
        except ClickHouseError as exc:
            if getattr(exc, "code", None) == ACCESS_DENIED:
                raise MisconfiguredError(
                    f"{self._address}: {self._address.plain(exc)}: let a user with CREATE, ALTER, SELECT and INSERT on "
                    f"{self._address.database}.* run `callweave warehouse apply`, or hand a DBA what "
                    "`callweave warehouse apply --dry-run` prints; the user of WAREHOUSE__URL needs SELECT and INSERT"
                ) from exc
            raise

    def _planned(self, client: Client) -> Migration:
        existing = _catalogue(client)
        meta: dict[str, str] = {}
        if META.name in existing:
            meta = dict(_rows(client, 'SELECT "key", "value" FROM callweave_meta FINAL'))
        found = Found(existing, meta)
        later = catalogue_after(existing)
        wanted = Wanted(
            upgrade(existing),
            views(later, recording_deadline_seconds=self._deadline_seconds, kpi_rules=self._kpi_rules),
            (),  # they are parts of the tables and views
            layout_digest(later, recording_deadline_seconds=self._deadline_seconds, kpi_rules=self._kpi_rules),
        )
        statements = plan(found, wanted)
        if not statements:
            return Migration()
        notes = [inserted_note(key, value) for key, value in layout_notes(found, wanted).items()]
        told = record(statements, wanted.digest, now="now64(6, 'UTC')", literal=_literal)
        # The record holds all the others, and is longer than a server takes unasked.
        return Migration(statements, (*notes, told), opening=(f"SET max_query_size = {_QUERY_BYTES_MAX}",))

    def _write(self, client: Client, batch: Batch) -> Written:
        standing = _standing(client)
        there = {partition: standing.offsets.get(partition) for partition in batch.offsets}
        if there != {partition: batch.expected[partition] for partition in batch.offsets}:
            if there == dict(batch.offsets):
                # The commit of an earlier attempt succeeded although its answer was lost.
                return NOTHING_NEW
            raise FencedError(there)
        now = self._commit_time(standing)
        applied = _replace_sessions(client, batch.sessions, now)
        _note_letters(client, batch.letters, now)
        _replace_keyed(client, batch.keyed, now)
        _move_offsets(client, batch.offsets, self._next_number(standing), now)
        return Written(applied, len(batch.sessions) - len(applied), len(batch.letters))

    def _commit_time(self, standing: "_Standing") -> datetime:
        # Never backwards, whatever the clock does: incremental models take loaded_at for their watermark.
        now = self._clock()
        return now if standing.updated_at is None else max(now, standing.updated_at + timedelta(microseconds=1))

    def _next_number(self, standing: "_Standing") -> int:
        # After what was seen before the rows were written: a loader that slept in between comes too late, and its
        # commit counts for nothing.
        return ((standing.number >> _MARK_BITS) + 1) << _MARK_BITS | self._mark

    def _refusal(self, batch: Batch, exc: ClickHouseError) -> Exception:
        client = self._connected()
        # A table that checks what the real one checks, and keeps nothing.
        trial = f"callweave_trial_{uuid4().hex}"
        client.command(f"CREATE TABLE {trial} AS {SESSIONS_STORED} ENGINE = Null")

        def attempt(start: int, stop: int) -> str | None:
            try:
                _insert(client, trial, _session_table(batch.sessions.slice(start, stop), self._clock()))
            except ClickHouseError as refusal:
                if fault_of(refusal) is Fault.DATA:
                    return self._address.plain(refusal)
                raise
            return None

        try:
            found = refused(len(batch.sessions), attempt)
        finally:
            client.command(f"DROP TABLE {trial}")
        if found:
            return RowsRejectedError({batch.sessions.keys[position]: reason for position, reason in found.items()})
        if not batch.letters:
            return exc
        return LettersRejectedError(f"ClickHouse refuses a dead letter: code {getattr(exc, 'code', None)}")


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the commits say: how far every partition is, and the number and time of the latest commit."""

    offsets: dict[LogPartition, int]
    number: int
    updated_at: datetime | None


def _standing(client: Client) -> _Standing:
    rows = _rows(
        client,
        f'SELECT topic, "partition", argMax(next_offset, {COMMIT}), max({COMMIT}), max(updated_at) '  # noqa: S608
        f'FROM {COMMITS} GROUP BY topic, "partition"',
    )
    return _Standing(
        {LogPartition(topic, partition): next_offset for topic, partition, next_offset, _, _ in rows},
        max((number for *_, number, _ in rows), default=0),
        max((updated_at for *_, updated_at in rows), default=None),
    )


def _move_offsets(client: Client, offsets: Mapping[LogPartition, int], number: int, now: datetime) -> None:
    if not offsets:
        return
    # One insert is one block, so all partitions move at once.
    _insert(
        client,
        COMMITS,
        pa.table(
            {
                "topic": [partition.topic for partition in offsets],
                "partition": [partition.partition for partition in offsets],
                "next_offset": list(offsets.values()),
                "updated_at": pa.array([now] * len(offsets), _INSTANT),
                COMMIT: pa.array([number] * len(offsets), pa.uint64()),
            }
        ),
    )


def _replace_sessions(client: Client, sessions: SessionRows, now: datetime) -> frozenset[SessionKey]:
    there = _ranks(client, sessions.keys)
    ranks = _ranks_of(sessions)
    winners = [at for at, key in enumerate(sessions.keys) if ranks[at] > there.get(key, -1)]
    if not winners:
        return frozenset()
    table = _session_table(sessions, now)
    # Those that lose would do no harm, but cost their room until they are merged away.
    _insert(client, SESSIONS_STORED, table if len(winners) == len(table) else table.take(winners))
    return frozenset(sessions.keys[at] for at in winners)


def _ranks(client: Client, keys: Sequence[SessionKey]) -> dict[SessionKey, int]:
    if not keys:
        return {}
    asked = _named(keys)
    rows = _rows(
        client,
        f"SELECT sdk_app_id, session_id, max({RANK}) FROM {SESSIONS_STORED} "  # noqa: S608 - quoted
        f"WHERE {asked} GROUP BY sdk_app_id, session_id",
    )
    return {SessionKey(app, session): rank for app, session, rank in rows}


def _slices(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _FORGOTTEN_AT_ONCE):
        yield items[start : start + _FORGOTTEN_AT_ONCE]


def _named(keys: Sequence[SessionKey]) -> str:
    # A list of texts for each application: a list of pairs takes ClickHouse four times as long to read.
    return " OR ".join(
        f"(sdk_app_id = {app} AND session_id IN ({', '.join(_literal(key.session_id) for key in group)}))"
        for app, group in groupby(keys, lambda key: key.sdk_app_id)
    )


def _delete(client: Client, table: str, condition: str) -> None:
    # The connection answers when every replica has done it.
    client.command(
        f"ALTER TABLE {table} DELETE WHERE {condition}",
        settings={"mutations_sync": 2, "max_query_size": _QUERY_BYTES_MAX},
    )


def _ranks_of(sessions: SessionRows) -> list[int]:
    parents = sessions.tables[SESSIONS.name]
    return [
        (version << 128) | int(digest, 16)
        for version, digest in zip(parents["version"].to_pylist(), parents["document_digest"].to_pylist(), strict=True)
    ]


def _session_table(sessions: SessionRows, now: datetime) -> pa.Table:
    parents = sessions.tables[SESSIONS.name]
    columns = {name: parents[name] for name in parents.column_names}
    columns[STAMPED] = pa.array([now] * len(sessions), _INSTANT)
    for child in CHILDREN:
        rows = sessions.tables[child.name].combine_chunks()
        bounds = pa.array(sessions.bounds[child.name], pa.int32())
        for column in own_columns(child):
            # The lists share the bounds, and the values stay where they are.
            columns[nested(child, column.name)] = pa.ListArray.from_arrays(bounds, _whole(rows[column.name]))
    return pa.table(columns)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.array([], column.type)


def _note_letters(client: Client, letters: Sequence[LetterRow], now: datetime) -> None:
    if not letters:
        return
    listed = ", ".join(_literal(row.letter.dead_letter_id) for row in letters)
    known = {
        letter_id
        for (letter_id,) in _rows(
            client,
            f"SELECT DISTINCT dead_letter_id FROM {LETTERS_STORED} WHERE dead_letter_id IN ({listed})",  # noqa: S608
        )
    }
    # The first record of a letter is its row, so what stands there stays.
    if new := [row for row in letters if row.letter.dead_letter_id not in known]:
        table = letter_table(new).drop_columns(list(COUNTED))
        _insert(client, LETTERS_STORED, table.append_column("stored_at", pa.array([now] * len(new), _INSTANT)))
    _insert(client, SIGHTINGS, _sightings(letters, now))


def _sightings(letters: Sequence[LetterRow], now: datetime) -> pa.Table:
    records = [record for row in letters for record in (row.records or (row,))]
    topics, partitions, offsets = zip(*(record.place for record in records), strict=True)
    whole = letter_table(records).select(
        ["dead_letter_id", *(name for name in DEAD_LETTERS.column_names if name in COUNTED)]
    )
    return (
        whole.append_column("topic", pa.array(topics))
        .append_column("partition", pa.array(partitions))
        .append_column("offset", pa.array(offsets))
        .append_column("stored_at", pa.array([now] * len(records), _INSTANT))
    )


def _replace_keyed(client: Client, keyed: Mapping[str, pa.Table], now: datetime) -> None:
    for name, rows in keyed.items():
        stamps = pa.array([now] * rows.num_rows, _INSTANT)
        _insert(client, ASKED_STORED[name], rows.append_column(STAMPED, stamps))


def _insert(client: Client, table: str, rows: pa.Table) -> None:
    client.insert_arrow(table, rows.combine_chunks(), settings=_INSERT)


def _rows(client: Client, sql: str) -> list[Any]:
    return list(client.query(sql, settings={"max_query_size": _QUERY_BYTES_MAX}).result_rows)


def _catalogue(client: Client) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    rows = _rows(client, "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()")
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = kind
    return found
