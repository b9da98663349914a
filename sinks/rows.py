"""Session documents -> Arrow tables, column by column; the columns are those of `schemas.columns` and nothing else.

The rule: a document that does not fit is named and left out, and the others are laid out without it. Documents of a
newer callweave (unknown fields) and of an older one (nullable columns missing) fit.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple

import pyarrow as pa

from schemas import jsontext
from schemas.columns import CHILDREN, SESSION_VERSIONS, SESSIONS, Column, ColumnType, Table
from schemas.events import session_key
from schemas.session import document_digest
from sinks.refused import refused

INT64_MAX: Final = 2**63 - 1
STAMPED: Final = "loaded_at"
"""The one column of `sessions` that no document carries: the sink stamps it when it commits."""

ARROW_TYPES: Final[Mapping[ColumnType, pa.DataType]] = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.FRACTION: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.INSTANT: pa.timestamp("us", "UTC"),
    ColumnType.JSON: pa.string(),
    ColumnType.BYTES: pa.binary(),
}
# Checked by ourselves: Arrow would cut 1.5 to 1 where an integer is due, and say nothing.
_JSON_TYPES: Final[Mapping[ColumnType, frozenset[type]]] = {
    ColumnType.TEXT: frozenset({str}),
    ColumnType.INTEGER: frozenset({int}),
    ColumnType.FRACTION: frozenset({int, float}),
    ColumnType.BOOLEAN: frozenset({bool}),
    ColumnType.INSTANT: frozenset({str}),
    ColumnType.JSON: frozenset({dict}),
    ColumnType.BYTES: frozenset(),
}
_STATE: Final = b',"state":{'


class SessionKey(NamedTuple):
    """What identifies a session in every table."""

    sdk_app_id: int
    session_id: str


@dataclass(frozen=True, slots=True)
class Document:
    """A public session document as it stands in the log, with what orders it: the highest (version, digest) wins."""

    key: SessionKey
    version: int
    digest: str
    body: Mapping[str, Any]

    @property
    def rank(self) -> tuple[int, str]:
        """What a higher one of replaces this document."""
        return self.version, self.digest


@dataclass(frozen=True, slots=True)
class SessionRows:
    """Documents as Arrow tables, sorted by key. `bounds[table][i]` is where the i-th session's rows begin."""

    keys: tuple[SessionKey, ...]
    tables: Mapping[str, pa.Table]
    bounds: Mapping[str, Sequence[int]]

    def __len__(self) -> int:
        return len(self.keys)

    def slice(self, start: int, stop: int) -> "SessionRows":
        """Some of the sessions, with all of their rows."""
        return SessionRows(
            self.keys[start:stop],
            {
                name: table.slice(self.bounds[name][start], self.bounds[name][stop] - self.bounds[name][start])
                for name, table in self.tables.items()
            },
            {
                name: [bound - bounds[start] for bound in bounds[start : stop + 1]]
                for name, bounds in self.bounds.items()
            },
        )

    def without(self, keys: Container[SessionKey]) -> "SessionRows":
        """The sessions but these, with all of their rows."""
        kept = [position for position, key in enumerate(self.keys) if key not in keys]
        if len(kept) == len(self):
            return self
        tables, bounds = {}, {}
        for name, table in self.tables.items():
            rows_of = [range(*self.bounds[name][position : position + 2]) for position in kept]
            tables[name] = table.take(pa.array(chain.from_iterable(rows_of), pa.int64()))
            bounds[name] = list(accumulate(map(len, rows_of), initial=0))
        return SessionRows(tuple(self.keys[position] for position in kept), tables, bounds)


class NotADocumentError(ValueError):
    """A value of the sessions topic that is no session document. The message says what is wrong with it."""


class _UnfitError(ValueError):
    """Some document does not fit its columns."""


VersionsOf = Callable[[SessionKey, Any], list[dict[str, Any]]]
"""Rows of `session_versions`, told by the state beside a session's document; none where it cannot be read."""


def read_document(key: bytes | None, value: bytes, versions_of: VersionsOf | None = None) -> Document:
    """Read a Kafka record of the sessions topic, as far as is needed to order it."""
    try:
        envelope = (_without_state(value) if versions_of is None else None) or jsontext.decode(value)
    except jsontext.NotJsonError as exc:
        raise NotADocumentError(str(exc)) from exc
    body = envelope.get("session") if isinstance(envelope, dict) else None
    if not isinstance(body, dict):
        raise NotADocumentError("the value holds no session document")
    app, session, version = body.get("sdk_app_id"), body.get("session_id"), body.get("version")
    if type(app) is not int or not 0 < app <= INT64_MAX:
        raise NotADocumentError("sdk_app_id is no usable application id")
    if not isinstance(session, str) or not session:
        raise NotADocumentError("session_id is no text")
    if not isinstance(version, str) or not version.isascii() or not version.isdigit() or int(version[:20]) > INT64_MAX:
        raise NotADocumentError("version is no 64-bit integer written as text")
    try:
        # The topic is compacted by key: under a wrong one, a document would outlive or remove another session's.
        if key != session_key(app, session):
            raise NotADocumentError("the record's key is not that of its session")
        digest = document_digest(body)
    except UnicodeEncodeError as exc:
        raise NotADocumentError("the document holds text that is no Unicode") from exc
    except RecursionError as exc:
        raise NotADocumentError("the document is nested too deeply") from exc
    if versions_of is not None:
        # Beside the digest: what orders documents is what was published.
        body = {**body, SESSION_VERSIONS.name: versions_of(SessionKey(app, session), envelope.get("state"))}
    return Document(SessionKey(app, session), int(version), digest, body)


def _without_state(value: bytes) -> dict[str, Any] | None:
    """The envelope up to its state, which is half of it, and which nothing here asks for; None where it is not laid out
    as the worker writes it. A document may hold the same words: then what is before them is no JSON by itself.
    """
    head, found, _ = value.partition(_STATE)
    if not found:
        return None
    try:
        envelope: dict[str, Any] = jsontext.decode(head + b"}")
        version = envelope["session"]["version"]
        is_whole = value.endswith(b'},"version":"%b"}' % version.encode())
    except (jsontext.NotJsonError, KeyError, TypeError, AttributeError, UnicodeEncodeError):
        return None
    return envelope if is_whole else None


def key_in(value: bytes) -> bytes | None:
    """The key that a value's own session document calls for, where no record carries it; None where it has none."""
    try:
        body = jsontext.decode(value)["session"]
        return session_key(body["sdk_app_id"], body["session_id"])
    except (jsontext.NotJsonError, KeyError, TypeError, IndexError, UnicodeEncodeError):
        return None


def stamped(sessions: pa.Table, now: datetime) -> pa.Table:
    """Rows of `sessions` with the moment of their commit."""
    moment = pa.scalar(now, ARROW_TYPES[ColumnType.INSTANT])
    return sessions.append_column(STAMPED, pa.repeat(moment, sessions.num_rows))


def lay_out(documents: Iterable[Document]) -> tuple[SessionRows, dict[SessionKey, str]]:
    """Arrow tables of at most one document a session, and the sessions left out because theirs does not fit."""
    # Sorted, so that all writers of a warehouse lock its rows in the same order.
    ordered = sorted(documents, key=lambda document: document.key)
    try:
        return _tables(ordered), {}
    except _UnfitError:
        pass  # the slow way finds out who it is
    unfit = refused(len(ordered), lambda start, stop: _problem(ordered[start:stop]))
    fitting = [document for position, document in enumerate(ordered) if position not in unfit]
    return _tables(fitting), {ordered[position].key: reason for position, reason in unfit.items()}


def _problem(documents: Sequence[Document]) -> str | None:
    try:
        _tables(documents)
    except _UnfitError as exc:
        return str(exc)
    return None


def _tables(documents: Sequence[Document]) -> SessionRows:
    tables = {SESSIONS.name: _sessions_table(documents)}
    bounds: dict[str, Sequence[int]] = {SESSIONS.name: range(len(documents) + 1)}
    for table in CHILDREN:
        tables[table.name], bounds[table.name] = _child_table(table, documents)
    return SessionRows(tuple(document.key for document in documents), tables, bounds)


def _sessions_table(documents: Sequence[Document]) -> pa.Table:
    known: dict[str, Sequence[Any]] = {
        "version": [document.version for document in documents],
        "document_digest": [document.digest for document in documents],
    }
    columns = [column for column in SESSIONS.columns if column.name != STAMPED]
    told = [column.name for column in columns if column.name not in known]
    values = known | _by_column(told, [document.body for document in documents])
    return pa.table({column.name: _array(SESSIONS, column, values[column.name]) for column in columns})


def _child_table(table: Table, documents: Sequence[Document]) -> tuple[pa.Table, list[int]]:
    # A document from before there were such children has none; whatever else stands there must be a list.
    lists = [document.body.get(table.name, []) for document in documents]
    _expect(table.name, lists, frozenset({list}))
    counts = [len(items) for items in lists]
    items = list(chain.from_iterable(lists))
    _expect(f"{table.name}[]", items, frozenset({dict}))
    parents: dict[str, Sequence[Any]] = {
        name: list(chain.from_iterable(map(repeat, values, counts)))
        for name, values in (
            ("sdk_app_id", [document.key.sdk_app_id for document in documents]),
            ("session_id", [document.key.session_id for document in documents]),
        )
    }
    told = [column.name for column in table.columns if column.name not in parents]
    values = parents | _by_column(told, items)
    arrays = {column.name: _array(table, column, values[column.name]) for column in table.columns}
    return pa.table(arrays), list(accumulate(counts, initial=0))


def _by_column(names: Sequence[str], bodies: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """What each of the bodies says under each of these names (two at least); None where it says nothing."""
    try:
        rows = list(map(itemgetter(*names), bodies))
    except KeyError:  # they are of an older callweave
        rows = [tuple(map(body.get, names)) for body in bodies]
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())


def _array(table: Table, column: Column, values: Sequence[Any]) -> pa.Array:
    where = f"{table.name}.{column.name}"
    _expect(where, values, _JSON_TYPES[column.type] | ({type(None)} if column.nullable else frozenset()))
    try:
        match column.type:
            case ColumnType.INSTANT:
                return pa.array(values, pa.string()).cast(ARROW_TYPES[column.type])
            case ColumnType.JSON:
                texts = [None if value is None else jsontext.encode(value).decode() for value in values]
                return pa.array(texts, pa.string())
            case _:
                return pa.array(values, ARROW_TYPES[column.type])
    except OverflowError as exc:
        raise _UnfitError(f"{where} holds an integer over 64 bits") from exc
    except UnicodeEncodeError as exc:
        raise _UnfitError(f"{where} holds text that is no Unicode") from exc
    except pa.ArrowInvalid as exc:
        raise _UnfitError(f"{where} holds what is no {column.type.value}") from exc


def _expect(where: str, values: Sequence[Any], allowed: frozenset[type]) -> None:
    strangers = set(map(type, values)) - allowed
    if strangers:
        found = ", ".join(sorted(_NAMES.get(stranger, stranger.__name__) for stranger in strangers))
        raise _UnfitError(f"{where} holds {found}")


_NAMES: Final[Mapping[type, str]] = {
    type(None): "nothing",
    bool: "a boolean",
    int: "a number",
    float: "a fractional number",
    str: "text",
    list: "an array",
    dict: "an object",
}
