"""History: the versions that a session went through, one for each receipt of its reports, told by its state. Pure.

The rule: it is a function of the state, like the document, so it does not matter which versions were published, which
of them compaction left in the topic, or in what order they are read. Personal values are named as changed, not kept.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.columns import FIELD_DISAGREEMENTS, LEGS, RECORDINGS, SESSIONS, VOICEMAILS, Table
from schemas.events import EventKind
from schemas.models import Privacy, instant_text_of_ms
from schemas.version import session_version
from streams.core.project import project_public
from streams.core.state import Report, SessionState

_MOVED_BY_EVERY_RECEIPT: Final = frozenset({"version", "last_received_at"})
_COLUMNS: Final = tuple(
    column
    for column in SESSIONS.columns
    if column.name not in {*SESSIONS.key, *_MOVED_BY_EVERY_RECEIPT, "document_digest", "loaded_at"}
)
_TOLD: Final = frozenset(
    column.name for column in _COLUMNS if column.privacy is Privacy.NONE and column.name != "line_number"
)
"""Columns whose values are told. The line is the company's number; until a corrected CDR turns its call round."""
_CHILDREN: Final = (LEGS, RECORDINGS, VOICEMAILS, FIELD_DISAGREEMENTS)
_NOTHING: Final[Mapping[str, Any]] = {}


def list_versions(sdk_app_id: int, session_id: str, state: SessionState) -> list[dict[str, Any]]:
    """Rows of `session_versions` as JSON values, oldest first; `schemas.history.SessionVersion` describes them."""
    known: dict[str, Report] = {}
    document = _NOTHING
    last_version = 0
    rows: list[dict[str, Any]] = []
    for received_ms, push_id, digest in _receipts(state):
        is_repeat = digest in known
        known[digest] = _as_known(state.reports[digest], known.get(digest), received_ms, push_id)
        version = session_version(
            has_cdr=any(report.kind is EventKind.CDR for report in known.values()),
            last_received_ms=received_ms,
            receipt_count=sum(len(report.receipts) for report in known.values()),
        )
        if version == last_version:
            continue  # the ninth and later receipts of a report are known by the last of them alone
        last_version = version
        changed: dict[str, Any] = {}
        if not is_repeat:
            after = project_public(sdk_app_id, session_id, SessionState(known))
            changed, document = _changes(document, after), after
        rows.append(
            {
                "version": version,
                "received_at": instant_text_of_ms(received_ms),
                "report_kind": known[digest].kind.value,
                "report_source": known[digest].source.value,
                "report_digest": digest,
                "push_id": push_id,
                "is_repeat": is_repeat,
                "changed": changed or None,
            }
        )
    return rows


def _receipts(state: SessionState) -> list[tuple[int, str | None, str]]:
    """Every receipt that the state knows of, in the order in which they were received."""
    receipts: list[tuple[int, str | None, str]] = []
    for digest, report in state.reports.items():
        receipts += [(received_ms, push_id, digest) for received_ms, push_id in report.receipts]
        if report.last_ms > report.receipts[-1][0]:
            receipts.append((report.last_ms, None, digest))
    return sorted(receipts, key=lambda receipt: (receipt[0], receipt[2], receipt[1] or ""))


def _as_known(report: Report, before: Report | None, received_ms: int, push_id: str | None) -> Report:
    """The report with the receipts up to this one."""
    earlier = () if before is None else before.receipts
    receipts = earlier if push_id is None else (*earlier, (received_ms, push_id))
    return report._replace(receipts=receipts, last_ms=received_ms)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for column in _COLUMNS:
        old, new = before.get(column.name), after[column.name]
        if old != new:
            changed[column.name] = {"from": old, "to": new} if column.name in _TOLD else {}
    for child in _CHILDREN:
        changed |= {f"{child.name}.{name}": {} for name in _changed_in(child, before, after)}
    return changed


def _changed_in(child: Table, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Columns of a child that differ in any of its rows, those that came or went included."""
    rows: dict[Any, list[Mapping[str, Any]]] = defaultdict(lambda: [_NOTHING, _NOTHING])
    for side, document in enumerate((before, after)):
        for row in document.get(child.name, ()):
            rows[row[child.key[-1]]][side] = row
    for name in child.column_names:
        if name not in SESSIONS.key and any(old.get(name) != new.get(name) for old, new in rows.values()):
            yield name
