"""Project: derive the session document from the state. Pure, so that one state always gives one document.

All choices between reports are made here and below, never when a report arrives (architecture.md law 2).
"""

from collections import defaultdict
from typing import Any

from schemas import derived
from schemas.canonical import Reading, fields_of
from schemas.endpoint import normalize_endpoint
from schemas.events import EventKind
from schemas.models import instant_of_ms
from schemas.session import Leg, Recording, SessionDocument
from schemas.version import session_version
from schemas.wire import CdrPush, LegObject
from streams.core.merge import MergedCdr, MergedLeg, merge_cdr
from streams.core.recordings import Carrier, match_recordings, source_text
from streams.core.state import Report, SessionState
from streams.core.voicemails import list_voicemails

_LEG_COLUMNS = {name: wire.column for name, wire in fields_of(LegObject).items() if wire.column}
_PLAIN_ROOT_COLUMNS = {
    name: wire.column
    for name, wire in fields_of(CdrPush).items()
    if wire.column in SessionDocument.model_fields and wire.of is None
}
_NOTHING_OF_A_CDR = MergedCdr(Reading(), Reading())


def project(sdk_app_id: int, session_id: str, state: SessionState) -> SessionDocument:
    """Derive the document of a session with at least one report."""
    assert state.reports, "a session without a report does not exist"
    # The deciding report first: first received latest, then the larger digest (law 4).
    ranked = sorted(state.reports.items(), key=lambda item: (item[1].first_ms, item[0]), reverse=True)
    by_kind: dict[EventKind, list[tuple[str, Report]]] = defaultdict(list)
    for digest, report in ranked:
        by_kind[report.kind].append((digest, report))
    cdrs = [report for _, report in by_kind[EventKind.CDR]]
    cdr = merge_cdr([report.payload for report in cdrs]) if cdrs else _NOTHING_OF_A_CDR
    root: dict[str, Any] = {column: cdr.root.values.get(name) for name, column in _PLAIN_ROOT_COLUMNS.items()}
    direction = derived.direction_text(root["direction"])
    call_type = derived.call_type_text(root["call_type"])
    customer, line = derived.customer_and_line(direction, call_type, root["caller"], root["callee"])
    recordings = match_recordings(_names(cdr, customer), by_kind[EventKind.RECORD])
    voicemails = list_voicemails(by_kind[EventKind.VOICEMAIL])
    reports = state.reports.values()
    last_ms = max(report.last_ms for report in reports)
    return SessionDocument(
        **{
            **root,
            "sdk_app_id": sdk_app_id,
            "session_id": session_id,
            "direction": direction,
            "call_type": call_type,
        },
        version=session_version(
            has_cdr=bool(cdrs),
            last_received_ms=last_ms,
            receipt_count=sum(len(report.receipts) for report in reports),
        ),
        has_cdr=bool(cdrs),
        customer_number=customer,
        line_number=line,
        wait_seconds=derived.wait_seconds(root["queued_at"], root["answered_at"], root["ended_at"]),
        talk_seconds=derived.talk_seconds(root["answered_at"], root["ended_at"]),
        agent_mail=cdr.agent.values.get("Mail"),
        agent_name=cdr.agent.values.get("Name"),
        leg_count=len(cdr.legs),
        recordings_expected=sum(row.is_expected for row in recordings),
        recordings_received=sum(row.received_at is not None for row in recordings),
        recordings_missing=sum(_is_missing(row) for row in recordings),
        voicemail_count=len(voicemails),
        first_received_at=instant_of_ms(min(report.first_ms for report in reports)),
        last_received_at=instant_of_ms(last_ms),
        source=source_text(report.source for report in cdrs),
        extra=_extra(cdr),
        legs=[_leg(leg) for leg in cdr.legs],
        recordings=recordings,
        voicemails=voicemails,
    )


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


def _leg(leg: MergedLeg) -> Leg:
    columns: dict[str, Any] = {column: leg.reading.values.get(name) for name, column in _LEG_COLUMNS.items()}
    return Leg(**{**columns, "leg_sequence": leg.sequence, "extra": leg.reading.rest or None})


def _extra(cdr: MergedCdr) -> dict[str, Any] | None:
    extra = dict(cdr.root.rest)
    if cdr.agent.rest:
        extra["SeatUser"] = cdr.agent.rest
    return extra or None


def _is_missing(row: Recording) -> bool:
    return derived.is_missing(is_expected=row.is_expected, received_at=row.received_at, absent_at=row.absent_at)
