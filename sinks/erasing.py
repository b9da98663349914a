"""What a haul asks the warehouse to forget, and the rows that stand there, read back so that they can be reduced.

The rule: what is left of a session is written before what it replaces goes, and the offsets move last; so whoever is
killed in between does it again, and no row is lost that may stay.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from schemas import jsontext
from schemas.columns import CHILDREN, SESSION_TABLES, SESSIONS, Column, ColumnType
from schemas.models import instant_text
from schemas.session import document_digest
from schemas.suppression import Erasure, Suppressions, reduced_document
from sinks.ddl import literal, names
from sinks.discretion import is_hollow
from sinks.intake import Intake
from sinks.rows import STAMPED, Document, SessionKey
from sinks.sink import QueryLimits, Reader

_AT_ONCE: Final = 200
_LIMITS: Final = QueryLimits(rows_max=1_000_000, seconds_max=300.0)
_PARENT: Final = ("sdk_app_id", "session_id")
_NOT_IN_THE_DOCUMENT: Final = frozenset({STAMPED, "document_digest"})


def stored_documents(reader: Reader, keys: Iterable[SessionKey]) -> list[Document]:
    """The documents that stand in the warehouse, as far as they do."""
    found: list[Document] = []
    ordered = sorted(set(keys))
    for start in range(0, len(ordered), _AT_ONCE):
        found += _stored(reader, ordered[start : start + _AT_ONCE])
    return found


def refilled(reader: Reader, intake: Intake, suppressions: Suppressions) -> Intake:
    """The intake with what the warehouse still holds of hollow sessions, reduced, instead of nothing."""
    if not intake.hollow:
        return intake
    stored = {document.key: document for document in stored_documents(reader, intake.hollow)}
    documents = dict(intake.documents)
    for position, document in intake.documents.items():
        there = stored.get(document.key)
        if there is not None and document.key in intake.hollow and not is_hollow(there):
            body = reduced_document(there.body, Erasure.PSEUDONYMISED, suppressions.key, suppressions.said)
            documents[position] = following(there if there.rank > document.rank else document, body)
    return replace(intake, documents=documents)


def following(document: Document, body: Mapping[str, Any]) -> Document:
    """A document that replaces another one, and nothing that is newer than that."""
    version = document.version + 1
    whole = {**body, "version": str(version)}
    return Document(document.key, version, document_digest(whole), whole)


def named(keys: Sequence[SessionKey]) -> str:
    """A condition that these sessions meet, and as few others as can be said in every dialect of SQL."""
    conditions: list[str] = []
    for app, group in groupby(sorted(keys), key=lambda key: key.sdk_app_id):
        sessions = [key.session_id for key in group]
        # What a backslash in a literal means is not the same everywhere.
        if any("\\" in session for session in sessions):
            conditions.append(f"sdk_app_id = {int(app)}")
        else:
            conditions.append(f"(sdk_app_id = {int(app)} AND session_id IN ({', '.join(map(literal, sessions))}))")
    return f"({' OR '.join(conditions)})"


def _stored(reader: Reader, keys: Sequence[SessionKey]) -> Iterator[Document]:
    wanted = set(keys)
    bodies: dict[SessionKey, dict[str, Any]] = {}
    for table in SESSION_TABLES:
        columns = [column for column in table.columns if column.name not in _NOT_IN_THE_DOCUMENT]
        asked = names([column.name for column in columns])
        answer = reader.query(f"SELECT {asked} FROM {table.name} WHERE {named(keys)}", _LIMITS)  # noqa: S608
        for cells in answer.rows:
            row = {column.name: _json(column, cell) for column, cell in zip(columns, cells, strict=True)}
            key = SessionKey(row["sdk_app_id"], row["session_id"])
            if key not in wanted:
                continue
            if table is SESSIONS:
                bodies[key] = {**row, **{child.name: [] for child in CHILDREN}}
            elif key in bodies:
                own = {name: value for name, value in row.items() if name not in _PARENT}
                bodies[key][table.name].append(own)
    for key, body in bodies.items():
        version = int(body["version"])
        yield Document(key, version, "", {**body, "version": str(version)})


def _json(column: Column, cell: Any) -> Any:
    if cell is None:
        return None
    if column.type is ColumnType.INSTANT:
        return instant_text(cell)
    if column.type is ColumnType.JSON:
        return jsontext.decode(cell.encode()) if isinstance(cell, str) else cell
    return cell
