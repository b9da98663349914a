"""One call, whole: the picture, its rows, every push and retry, and what is missing of it and why."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from callweave.dashboard.lacking import lacking
from callweave.dashboard.panels import Panel, Table
from callweave.dashboard.personal import personal_of, shown
from callweave.dashboard.timeline import Timeline, draw
from callweave.session_report import SessionReport
from schemas.columns import FIELD_DISAGREEMENTS, LEGS, RECORDINGS, SESSIONS, VOICEMAILS
from schemas.models import Privacy

_OF_THE_LOADER: Final = "document_digest"
_HIDDEN_COLUMNS: Final = frozenset({"sdk_app_id", "session_id", _OF_THE_LOADER})
PUSH_COLUMNS: Final = ("received_at", "kind", "source", "push_id", "report", "nth")
"""`nth`: 1 is the first receipt of a content; more are retries, or the same content pushed anew."""


def call_panel(report: SessionReport, *, deadline_seconds: int, kafka_problem: str | None) -> Panel:
    """Everything of one call, from what the warehouse and the session topic say."""
    session = next(iter(report.rows.get("sessions", [])), None)
    legs = report.rows.get("legs", [])
    recordings = report.rows.get("recordings", [])
    timeline = None if session is None else draw(session, legs)
    findings = lacking(session, legs, recordings, deadline_seconds=deadline_seconds, now=datetime.now(UTC))
    tables = {
        "pushes": _pushes(report),
        "legs": _table(LEGS.column_names, legs),
        "recordings": _table(RECORDINGS.column_names, recordings),
        "voicemails": _table(VOICEMAILS.column_names, report.rows.get("voicemails", [])),
        "field_disagreements": _table(
            FIELD_DISAGREEMENTS.column_names, (report.published or {}).get("field_disagreements", [])
        ),
        "session": _fields(session),
    }
    published = None if report.published is None else report.published["version"]
    facts = {
        "sdk_app_id": report.sdk_app_id,
        "session_id": report.session_id,
        "is_known": report.is_known,
        "version": None if session is None else str(session["version"]),
        "published_version": published,
        "is_behind": session is not None and published is not None and str(session["version"]) != published,
        "lacking": [asdict(finding) for finding in findings],
        "kafka_problem": kafka_problem,
        "warehouse_problem": report.warehouse_problem,
        "timeline": None if timeline is None else _masked(timeline),
    }
    personal = {
        "timeline": None if timeline is None else timeline.as_json(),
        "payloads": {entry["digest"][:8]: entry["payload"] for entry in report.reports},
    }
    return Panel(tables, facts, personal)


def _pushes(report: SessionReport) -> Table:
    rows = [
        [receipt["received_at"], entry["kind"], entry["source"], receipt["push_id"], entry["digest"][:8], nth]
        for entry in report.reports
        for nth, receipt in enumerate(entry["receipts"], 1)
    ]
    return Table(PUSH_COLUMNS, sorted(rows, key=lambda row: (str(row[0]), row[5])))


def _table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> Table:
    names = tuple(name for name in columns if name not in _HIDDEN_COLUMNS)
    return Table(names, [[row.get(name) for name in names] for row in rows], personal=personal_of(names))


def _fields(session: dict[str, Any] | None) -> Table:
    """The session's row, as one row: only what is filled."""
    shown = (name for name in SESSIONS.column_names if name != _OF_THE_LOADER)
    names = tuple(name for name in shown if session is not None and session.get(name) is not None)
    return Table(names, [] if session is None else [[session[name] for name in names]], personal=personal_of(names))


def _masked(timeline: Timeline) -> dict[str, Any]:
    picture = timeline.as_json()
    for lane in picture["lanes"]:
        lane["who"] = shown(lane["who"], Privacy.ENDPOINT)
    for transfer in picture["transfers"]:
        transfer["to"] = shown(transfer["to"], Privacy.ENDPOINT)
    return picture
