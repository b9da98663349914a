"""Erase: what is left of a session's state once any report says that it is erased. Pure.

Laws: erasing twice equals erasing once; erasing a union equals erasing the union of what was erased before; so it does
not matter when a worker learns of it, and what an older record still says is not believed again.
"""

from schemas import jsontext
from schemas.canonical import digest
from schemas.suppression import ERASED_FIELD, Erasure, Suppressions, erasure_in
from streams.core.state import Report, SessionState


def erased(state: SessionState, suppressions: Suppressions) -> SessionState:
    """The state itself where nothing in it is erased; else every report reduced as the strongest erasure asks."""
    if not any(ERASED_FIELD in report.payload for report in state.reports.values()):
        return state  # the usual session, found out without asking each report for its erasure
    done = [erasure_in(report.payload) for report in state.reports.values()]
    if not any(done):
        return state
    asked = Erasure.REMOVED if Erasure.REMOVED in done else Erasure.PSEUDONYMISED
    if all(one is asked for one in done):
        return state
    reports: dict[str, Report] = {}
    for identity, report in state.reports.items():
        if erasure_in(report.payload) is not asked:
            identity, report = _reduced(report, asked, suppressions)  # noqa: PLW2901  (the pair is one thing)
        known = reports.get(identity)
        reports[identity] = report if known is None else known.united(report)
    return SessionState(reports)


def _reduced(report: Report, erasure: Erasure, suppressions: Suppressions) -> tuple[str, Report]:
    """What is left of a report, under the digest of that: the old one could be searched for the number."""
    payload = suppressions.reduced(report.kind, report.payload, erasure)
    identity = digest(report.kind, report.source, report.fact, payload)
    receipts = tuple(
        (received_ms, f"content:{identity}" if push_id.startswith("content:") else push_id)
        for received_ms, push_id in report.receipts
    )
    return identity, report._replace(
        payload=payload, bytes_count=len(jsontext.encode(payload)), receipts=tuple(sorted(set(receipts)))
    )
