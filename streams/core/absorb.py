"""Absorb: fold a report, or a whole other state, into a session's state.

Laws: absorbing twice equals absorbing once; order is irrelevant; uniting two halves equals absorbing the whole
(architecture.md law 2, within the bounds of `streams.core.state`).
"""

from enum import StrEnum
from typing import NamedTuple

from schemas.events import NormalizedEvent
from streams.core.state import REPORT_BYTES_MAX, REPORTS_MAX, Report, SessionState, report_of


class Outcome(StrEnum):
    """What an event did to its session."""

    APPLIED = "applied"  # a report that was not known
    DUPLICATE = "duplicate"  # a further receipt of a known report
    REPEATED = "repeated"  # the very receipt was known: the log was read again
    REFUSED = "refused"  # over the bounds: a dead letter, and nothing changed


class Absorbed(NamedTuple):
    """The state after an event, and what the event did."""

    state: SessionState
    outcome: Outcome


def absorb(state: SessionState, event: NormalizedEvent) -> Absorbed:
    """Fold one event in. A refused one changes nothing."""
    return _absorb_report(state, event.digest, report_of(event))


def unite(state: SessionState, other: SessionState) -> SessionState:
    """Fold another state of the same session in, as restoring does. Reports over the bounds are left out."""
    for digest, report in sorted(other.reports.items(), key=lambda item: (item[1].first_ms, item[0])):
        state = _absorb_report(state, digest, report).state
    return state


def is_within_bounds(state: SessionState) -> bool:
    """Whether absorbing its reports one by one would refuse none."""
    return len(state.reports) <= REPORTS_MAX and state.bytes_count <= REPORT_BYTES_MAX


def _absorb_report(state: SessionState, digest: str, report: Report) -> Absorbed:
    known = state.reports.get(digest)
    if known is not None:
        united = known.united(report)
        if united == known:
            return Absorbed(state, Outcome.REPEATED)
        return Absorbed(state.with_report(digest, united), Outcome.DUPLICATE)
    if len(state.reports) >= REPORTS_MAX or state.bytes_count + report.bytes_count > REPORT_BYTES_MAX:
        return Absorbed(state, Outcome.REFUSED)
    return Absorbed(state.with_report(digest, report), Outcome.APPLIED)
