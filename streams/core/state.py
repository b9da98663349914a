"""What is remembered of one session: every distinct report with its receipts (architecture.md law 2).

A state is a union of reports. Absorbing is commutative, associative and idempotent, so order, repetition and the split
over restarts and workers cannot matter. Nothing derived is stored here; `streams.core.project` derives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from schemas import jsontext
from schemas.events import ApiFact, EventKind, NormalizedEvent, Source
from schemas.models import instant_ms

STATE_SCHEMA_VERSION: Final = 1

REPORTS_MAX = 256
REPORT_BYTES_MAX = 4 * 1024 * 1024
"""Bounds of one session: what exceeds them is a dead letter (BOUND_EXCEEDED), and the session stays whole."""

_KINDS = {kind.value: kind for kind in EventKind}
_SOURCES = {source.value: source for source in Source}
_FACTS = {fact.value: fact for fact in ApiFact}

RECEIPTS_KEPT_MAX = 8
"""Of one report, the earliest receipts are kept one by one: TCCC delivers a push four times at most."""


class Report(NamedTuple):
    """One distinct content about one session, and when it was received: (milliseconds, push id), earliest first.

    A tuple, for several are made whenever a session is touched.
    """

    kind: EventKind
    source: Source
    fact: ApiFact | None
    payload: dict[str, Any]
    bytes_count: int
    receipts: tuple[tuple[int, str], ...]
    last_ms: int

    @property
    def first_ms(self) -> int:
        """First receipt, milliseconds since 1970."""
        return self.receipts[0][0]

    def united(self, other: Self) -> Self:
        """The same report with the receipts of both."""
        receipts = tuple(sorted({*self.receipts, *other.receipts})[:RECEIPTS_KEPT_MAX])
        return self._replace(receipts=receipts, last_ms=max(self.last_ms, other.last_ms))


@dataclass(frozen=True, slots=True)
class SessionState:
    """Reports by digest."""

    reports: Mapping[str, Report]

    @property
    def bytes_count(self) -> int:
        """Bytes of all payloads."""
        return sum([report.bytes_count for report in self.reports.values()])

    @property
    def last_ms(self) -> int:
        """Last receipt of any report, milliseconds since 1970; retirement counts from it."""
        return max([report.last_ms for report in self.reports.values()])

    def with_report(self, digest: str, report: Report) -> Self:
        """This state and one report more, or with one report replaced."""
        return type(self)({**self.reports, digest: report})


EMPTY = SessionState({})


def report_of(event: NormalizedEvent) -> Report:
    """The report that an event is one receipt of."""
    received_ms = instant_ms(event.received_at)
    return Report(
        event.kind,
        event.source,
        event.fact,
        event.payload,
        bytes_count=len(jsontext.encode(event.payload)),
        receipts=((received_ms, event.push_id),),
        last_ms=received_ms,
    )


def state_to_json(state: SessionState) -> dict[str, Any]:
    """The state as it stands in `tccc.sessions` and in the store."""
    return {
        "reports": {
            digest: {
                "bytes_count": report.bytes_count,
                "fact": str(report.fact) if report.fact else None,
                "kind": str(report.kind),
                "last_ms": report.last_ms,
                "payload": report.payload,
                "receipts": [[received_ms, push_id] for received_ms, push_id in report.receipts],
                "source": str(report.source),
            }
            for digest, report in state.reports.items()
        },
        "schema_version": STATE_SCHEMA_VERSION,
    }


def state_from_json(document: dict[str, Any]) -> SessionState:
    """Read a state back; KeyError, TypeError or ValueError where it is none."""
    if document["schema_version"] != STATE_SCHEMA_VERSION:
        raise ValueError(f"state schema version {document['schema_version']!r} is not {STATE_SCHEMA_VERSION}")
    return SessionState(
        {
            digest: Report(
                _KINDS[report["kind"]],
                _SOURCES[report["source"]],
                _FACTS[report["fact"]] if report["fact"] else None,
                report["payload"],
                report["bytes_count"],
                tuple([(received_ms, push_id) for received_ms, push_id in report["receipts"]]),
                report["last_ms"],
            )
            for digest, report in document["reports"].items()
        }
    )
