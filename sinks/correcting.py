"""Session documents that are laid down again: what a rebuild found, taken in and laid out as the loader does it.

The rule: the warehouse decides by rank as always, so a newer version that came meanwhile stays. A correction of equal
version gets a digest beyond every document's own, so that it replaces the row, and the log read again does not undo it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa

from schemas.columns import SESSIONS
from schemas.events import parse_session_key
from sinks.discretion import OPEN, Discretion
from sinks.intake import prepare, take_in
from sinks.log import Record
from sinks.rows import SessionKey, SessionRows, VersionsOf
from sinks.sink import Batch, LogPartition, RowsRejectedError, Sink

_NOWHERE: Final = LogPartition("", 0)
"""Corrections are read from no topic, and move no offset."""
_BEYOND: Final = "f" * 12
"""How digests of corrections begin: one of 2^48 documents has such a digest of its own."""
_SECONDS_DIGITS: Final = 8
_SECONDS: Final = slice(len(_BEYOND), len(_BEYOND) + _SECONDS_DIGITS)


@dataclass(frozen=True, slots=True)
class Correction:
    """A record as it would stand in the sessions topic; `digest`, where given, orders it instead of its own."""

    key: bytes
    value: bytes
    digest: str | None = None

    @property
    def session_key(self) -> SessionKey:
        """Whose document it is."""
        return SessionKey(*parse_session_key(self.key))


@dataclass(frozen=True, slots=True)
class Corrected:
    """The sessions that were replaced, and those that the warehouse or their columns refuse, with the reason."""

    applied: frozenset[SessionKey]
    refused: Mapping[SessionKey, str]


def correct(
    sink: Sink, corrections: Sequence[Correction], versions_of: VersionsOf | None, discretion: Discretion = OPEN
) -> Corrected:
    """Write them in one batch. What is older than what stands there, or refused, changes nothing."""
    left = list(corrections)
    refused: dict[SessionKey, str] = {}
    while True:
        rows, unfit = laid_out(left, versions_of, discretion)
        refused |= unfit
        try:
            written = sink.write(Batch(rows, (), {}, {}))
        except RowsRejectedError as exc:
            refused |= exc.sessions
            left = [correction for correction in left if correction.session_key not in exc.sessions]
            continue
        return Corrected(written.applied, refused)


def laid_out(
    corrections: Sequence[Correction], versions_of: VersionsOf | None, discretion: Discretion = OPEN
) -> tuple[SessionRows, dict[SessionKey, str]]:
    """The rows that the loader would lay down for these records, and the sessions that have none, with the reason."""
    records = [Record(_NOWHERE, at, item.key, item.value) for at, item in enumerate(corrections)]
    taken = take_in(
        records, letters_topic="dead letters are none of these", versions_of=versions_of, discretion=discretion
    )
    intake, rows = prepare(taken)
    unfit = {corrections[at].session_key: unusable.detail for at, unusable in intake.unusable.items()}
    digests = {item.session_key: item.digest for item in corrections if item.digest is not None}
    return (_with_digests(rows, digests) if digests else rows), unfit


def correcting_digest(own: str, standing: str, now: datetime) -> str:
    """A digest that orders a document after the one that stands there, also when that is a correction itself."""
    seconds = int(now.timestamp())
    if standing.startswith(_BEYOND):
        seconds = max(seconds, int(standing[_SECONDS], 16) + 1)
    kept = len(own) - len(_BEYOND) - _SECONDS_DIGITS
    return f"{_BEYOND}{seconds:0{_SECONDS_DIGITS}x}{own[:kept]}"


def _with_digests(rows: SessionRows, digests: Mapping[SessionKey, str]) -> SessionRows:
    sessions = rows.tables[SESSIONS.name]
    own = sessions["document_digest"].to_pylist()
    stamped = [digests.get(key, digest) for key, digest in zip(rows.keys, own, strict=True)]
    position = sessions.column_names.index("document_digest")
    replaced = sessions.set_column(position, "document_digest", pa.array(stamped, pa.string()))
    return SessionRows(rows.keys, {**rows.tables, SESSIONS.name: replaced}, rows.bounds)
