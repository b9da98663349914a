"""Project: derive the session document from the state. Pure, so that one state always gives one document.

All choices between reports are made here and below, never when a report arrives (architecture.md law 2). The document
is made as the JSON values that are published; `SessionDocument` describes and checks it (ADR 0021).
"""

from collections import defaultdict
from typing import Any, NamedTuple, Self

from schemas import derived
from schemas.canonical import Reading, fields_of
from schemas.endpoint import normalize_endpoint
from schemas.events import EventKind
from schemas.models import OwnModel, instant_text_of_ms
from schemas.session import SESSION_SCHEMA_VERSION, Leg, SessionDocument
from schemas.suppression import ERASED_FIELD, Erasure, erasure_in, says_nothing
from schemas.version import session_version
from schemas.wire import CdrPush, Kind, LegObject, WireModel
from streams.core.disagreements import list_disagreements
from streams.core.merge import MergedCdr, MergedLeg, merge_cdr
from streams.core.recordings import Carrier, match_recordings, source_text
from streams.core.state import Report, SessionState
from streams.core.voicemails import list_voicemails


class Columns(NamedTuple):
    """What fills a row: the column of each of TCCC's fields, those that are taken as they are and times.

    A row begins as a copy of `empty`, in which nothing is known and the columns stand in the order in which JSON is
    written; so only what is known is set, and there is nothing to sort.
    """

    empty: dict[str, Any]
    plain: dict[str, str]
    times: dict[str, str]

    @classmethod
    def of(cls, model: type[WireModel], row: type[OwnModel]) -> Self:
        """The columns of a row that a wire model fills."""
        plain: dict[str, str] = {}
        times: dict[str, str] = {}
        for name, wire in fields_of(model).items():
            if wire.column is not None and wire.column in row.model_fields and wire.of is None:
                (times if wire.kind is Kind.TIME else plain)[name] = wire.column
        return cls(dict.fromkeys(sorted(row.model_fields)), plain, times)


_LEG_COLUMNS = Columns.of(LegObject, Leg)
_ROOT_COLUMNS = Columns.of(CdrPush, SessionDocument)
_KINDS = tuple(EventKind)
_NOTHING_OF_A_CDR = MergedCdr(Reading(), Reading())


def project(sdk_app_id: int, session_id: str, state: SessionState) -> SessionDocument:
    """Derive the document of a session with at least one report."""
    return SessionDocument.of_public(project_public(sdk_app_id, session_id, state))


def project_public(sdk_app_id: int, session_id: str, state: SessionState) -> dict[str, Any]:
    """The same as the JSON values that are published: what runs for every report of every session."""
    assert state.reports, "a session without a report does not exist"
    ranked = ranked_reports(state)
    by_kind: dict[EventKind, list[tuple[str, Report]]] = {kind: [] for kind in _KINDS}
    first_ms, last_ms, receipt_count = ranked[-1][1].first_ms, 0, 0
    has_cdr = False
    erasure: Erasure | None = None
    for item in ranked:
        report = item[1]
        last_ms = max(last_ms, report.last_ms)
        receipt_count += len(report.receipts)
        has_cdr = has_cdr or report.kind is EventKind.CDR
        if ERASED_FIELD not in report.payload:
            by_kind[report.kind].append(item)
            continue
        erasure = erasure_in(report.payload) or erasure
        if not says_nothing(report.payload):
            left = {name: value for name, value in report.payload.items() if name != ERASED_FIELD}
            by_kind[report.kind].append((item[0], report._replace(payload=left)))
    cdrs = [report for _, report in by_kind[EventKind.CDR]]
    cdr = merge_cdr([report.payload for report in cdrs]) if cdrs else _NOTHING_OF_A_CDR
    root = cdr.root.values
    direction = derived.direction_text(root.get("Direction"))
    call_type = derived.call_type_text(root.get("CallType"))
    customer, line = derived.customer_and_line(direction, call_type, root.get("Caller"), root.get("Callee"))
    recordings = match_recordings(_names(cdr, customer), by_kind[EventKind.RECORD])
    voicemails = list_voicemails(by_kind[EventKind.VOICEMAIL])
    counts = _count(recordings)
    queued, answered, ended = root.get("QueuedTimestamp"), root.get("AcceptTimestamp"), root.get("EndedTimestamp")
    # With a CDR that erasing emptied, too: the version only grows.
    version = session_version(has_cdr=has_cdr, last_received_ms=last_ms, receipt_count=receipt_count)
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
        "recordings_expected": counts.expected,
        "recordings_received": counts.received,
        "recordings_missing": counts.missing,
        "voicemail_count": len(voicemails),
        "first_received_at": instant_text_of_ms(first_ms),
        "last_received_at": instant_text_of_ms(last_ms),
        "source": source_text({report.source for report in cdrs}),
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
    row = columns.empty.copy()
    plain, times = columns.plain, columns.times
    for name, value in values.items():
        if name in plain:
            row[plain[name]] = value
        elif name in times:
            row[times[name]] = instant_text_of_ms(value)
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
            people = frozenset([normalize_endpoint(values[field]) for field in ("Mail", "Phone") if field in values])
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


class _Counts(NamedTuple):
    expected: int
    received: int
    missing: int


def _count(recordings: list[dict[str, Any]]) -> _Counts:
    expected = received = missing = 0
    for row in recordings:
        is_expected, received_at = row["is_expected"], row["received_at"]
        expected += is_expected
        received += received_at is not None
        missing += derived.is_missing(is_expected=is_expected, received_at=received_at, absent_at=row["absent_at"])
    return _Counts(expected, received, missing)
