"""Project: derive the session document from the state. Pure, so that one state always gives one document.

All choices between reports are made here and below, never when a report arrives (architecture.md law 2). The document
is made as the JSON values that are published; `SessionDocument` describes and checks it (ADR 0021).
"""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from schemas import derived
from schemas.canonical import Reading, fields_of
from schemas.endpoint import normalize_endpoint
from schemas.events import EventKind
from schemas.models import instant_text_of_ms
from schemas.session import SESSION_SCHEMA_VERSION, SessionDocument
from schemas.suppression import ERASED_FIELD, Erasure, erasure_in, says_nothing
from schemas.version import session_version
from schemas.wire import CdrPush, Kind, LegObject, WireModel
from streams.core.disagreements import list_disagreements
from streams.core.merge import MergedCdr, MergedLeg, merge_cdr
from streams.core.recordings import Carrier, match_recordings, source_text
from streams.core.state import Report, SessionState
from streams.core.voicemails import list_voicemails

Columns = tuple[tuple[str, str, bool], ...]
"""(TCCC's field, the column it fills, whether it is a time)."""


def _columns(model: type[WireModel]) -> Columns:
    return tuple(
        (name, wire.column, wire.kind is Kind.TIME)
        for name, wire in fields_of(model).items()
        if wire.column is not None and wire.of is None
    )


_LEG_COLUMNS = _columns(LegObject)
_ROOT_COLUMNS = tuple(column for column in _columns(CdrPush) if column[1] in SessionDocument.model_fields)
_NOTHING_OF_A_CDR = MergedCdr(Reading(), Reading())


def project(sdk_app_id: int, session_id: str, state: SessionState) -> SessionDocument:
    """Derive the document of a session with at least one report."""
    return SessionDocument.of_public(project_public(sdk_app_id, session_id, state))


def project_public(sdk_app_id: int, session_id: str, state: SessionState) -> dict[str, Any]:
    """The same as the JSON values that are published: what runs for every report of every session."""
    assert state.reports, "a session without a report does not exist"
    ranked = ranked_reports(state)
    by_kind: dict[EventKind, list[tuple[str, Report]]] = defaultdict(list)
    erasure: Erasure | None = None
    for digest, report in ranked:
        if ERASED_FIELD not in report.payload:
            by_kind[report.kind].append((digest, report))
            continue
        erasure = erasure_in(report.payload) or erasure
        if not says_nothing(report.payload):
            left = {name: value for name, value in report.payload.items() if name != ERASED_FIELD}
            by_kind[report.kind].append((digest, replace(report, payload=left)))
    cdrs = [report for _, report in by_kind[EventKind.CDR]]
    cdr = merge_cdr([report.payload for report in cdrs]) if cdrs else _NOTHING_OF_A_CDR
    root = cdr.root.values
    direction = derived.direction_text(root.get("Direction"))
    call_type = derived.call_type_text(root.get("CallType"))
    customer, line = derived.customer_and_line(direction, call_type, root.get("Caller"), root.get("Callee"))
    recordings = match_recordings(_names(cdr, customer), by_kind[EventKind.RECORD])
    voicemails = list_voicemails(by_kind[EventKind.VOICEMAIL])
    reports = [report for _, report in ranked]
    last_ms = max(report.last_ms for report in reports)
    queued, answered, ended = root.get("QueuedTimestamp"), root.get("AcceptTimestamp"), root.get("EndedTimestamp")
    version = session_version(
        # Also of one that erasing emptied, for the version only grows.
        has_cdr=any(report.kind is EventKind.CDR for report in reports),
        last_received_ms=last_ms,
        receipt_count=sum(len(report.receipts) for report in reports),
    )
    document = _filled(_ROOT_COLUMNS, root)
    document |= {
        "schema_version": SESSION_SCHEMA_VERSION,
        "sdk_app_id": sdk_app_id,
        "session_id": session_id,
        "version": str(version),
        "has_cdr": bool(cdrs),
        "direction": direction,
        "call_type": call_type,
        "customer_number": customer,
        "line_number": line,
        "wait_seconds": derived.wait_seconds(queued, answered, ended),
        "talk_seconds": derived.talk_seconds(answered, ended),
        "agent_mail": cdr.agent.values.get("Mail"),
        "agent_name": cdr.agent.values.get("Name"),
        "leg_count": len(cdr.legs),
        "recordings_expected": sum(row["is_expected"] for row in recordings),
        "recordings_received": sum(row["received_at"] is not None for row in recordings),
        "recordings_missing": sum(_is_missing(row) for row in recordings),
        "voicemail_count": len(voicemails),
        "first_received_at": instant_text_of_ms(min(report.first_ms for report in reports)),
        "last_received_at": instant_text_of_ms(last_ms),
        "source": source_text(report.source for report in cdrs),
        "extra": _extra(cdr),
        "erasure": erasure,
        "legs": [_leg(leg) for leg in cdr.legs],
        "recordings": recordings,
        "voicemails": voicemails,
        "field_disagreements": list_disagreements(cdrs),
    }
    return document


def ranked_reports(state: SessionState) -> list[tuple[str, Report]]:
    """A session's reports, the deciding one first: first received latest, then the larger digest (law 4)."""
    return sorted(state.reports.items(), key=_rank, reverse=True)


def _rank(item: tuple[str, Report]) -> tuple[int, str]:
    return item[1].first_ms, item[0]


def _filled(columns: Columns, values: dict[str, Any]) -> dict[str, Any]:
    """A row's columns from the fields that fill them; times as text."""
    row: dict[str, Any] = {}
    for name, column, is_time in columns:
        value = values.get(name)
        row[column] = instant_text_of_ms(value) if is_time and value is not None else value
    return row


def _names(cdr: MergedCdr, customer: str | None) -> dict[str, list[Carrier]]:
    """Who names which recording in the merged session, root first: one name for each RecordId."""
    names: dict[str, list[Carrier]] = defaultdict(list)
    if "RecordId" in cdr.root.values:
        people = frozenset() if customer is None else frozenset({normalize_endpoint(customer)})
        names[cdr.root.values["RecordId"]].append(Carrier(None, people, cdr.root.values.get("EndedTimestamp")))
    for leg in cdr.legs:
        values = leg.reading.values
        if "RecordId" in values:
            people = frozenset(normalize_endpoint(values[field]) for field in ("Mail", "Phone") if field in values)
            names[values["RecordId"]].append(Carrier(leg.sequence, people, values.get("EndedTimestamp")))
    return names


def _leg(leg: MergedLeg) -> dict[str, Any]:
    row = _filled(_LEG_COLUMNS, leg.reading.values)
    row["leg_sequence"] = leg.sequence
    row["extra"] = leg.reading.rest or None
    return row


def _extra(cdr: MergedCdr) -> dict[str, Any] | None:
    extra = dict(cdr.root.rest)
    if cdr.agent.rest:
        extra["SeatUser"] = cdr.agent.rest
    return extra or None


def _is_missing(row: dict[str, Any]) -> bool:
    return derived.is_missing(
        is_expected=row["is_expected"], received_at=row["received_at"], absent_at=row["absent_at"]
    )
