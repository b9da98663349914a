"""A rebuild, from the log to the warehouse: fold, compare, lay down what differs, count what the log cannot cover.

The rule: no row is ever dropped. What the log does not hold, and what the warehouse knows more of, stays as it is; a
run that is killed has replaced some sessions whole, and the next one finds the others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from callweave.discretion import check_masks
from callweave.history import versions_of
from callweave.reading import Questions, open_questions
from callweave.rebuild.comparing import (
    REPLACED,
    Comparison,
    Finding,
    Rows,
    compared,
    rows_standing,
    rows_wanted,
    uncovered,
)
from callweave.rebuild.origin import Origin
from callweave.rebuild.places import Place, opened_place
from callweave.rebuild.states import Progress, Read, States, fold_log, states_in
from callweave.settings import Settings
from schemas.columns import SESSION_TABLES, SESSION_VERSIONS, SESSIONS, Table
from schemas.events import session_key
from sinks.correcting import Correction, correcting_digest, laid_out
from sinks.discretion import OPEN, Discretion
from sinks.rows import SessionKey, VersionsOf
from sinks.warehouse import Spelling, spelling_of

_SESSIONS_AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 4 * 1024 * 1024
_KEY_BYTES_AT_ONCE: Final = 64 * 1024
"""A question names every session that it asks for, and servers bound a question's length."""


@dataclass(slots=True)
class Rebuilt:
    """What was found and done. `told` are sessions that are not equal, the first of each finding."""

    origin: Origin
    is_dry: bool
    read: Read = field(default_factory=Read)
    counts: Counter[Finding] = field(default_factory=Counter)
    columns: dict[Finding, Counter[str]] = field(default_factory=lambda: {found: Counter() for found in Finding})
    told: list[Comparison] = field(default_factory=list)
    replaced_count: int = 0
    overtaken_count: int = 0
    """The loader wrote this version or a newer one meanwhile, and that stays."""
    refused: dict[SessionKey, str] = field(default_factory=dict)
    uncovered_count: int = 0
    uncovered_told: list[SessionKey] = field(default_factory=list)

    @property
    def differing_count(self) -> int:
        """Sessions that are to be laid down."""
        return sum(self.counts[found] for found in REPLACED)

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to do."""
        return not self.refused and not (self.is_dry and self.differing_count)

    def as_json(self) -> dict[str, Any]:
        """For programs. Sessions are named, values never."""
        return {
            "from": self.origin.value,
            "dry_run": self.is_dry,
            "records_read": self.read.record_count,
            "records_unusable": self.read.unusable_count,
            "sessions_retired": self.read.retired_count,
            "sessions_in_log": sum(self.counts.values()) + len(self.refused),
            **{found.value: self.counts[found] for found in Finding},
            "columns": {
                found.value: dict(self.columns[found].most_common()) for found in Finding if self.columns[found]
            },
            "differences": [
                {
                    "sdk_app_id": told.key.sdk_app_id,
                    "session_id": told.key.session_id,
                    "finding": told.finding.value,
                    "columns": sorted(told.columns),
                }
                for told in self.told
            ],
            "replaced": self.replaced_count,
            "overtaken": self.overtaken_count,
            "refused": [
                {"sdk_app_id": key.sdk_app_id, "session_id": key.session_id, "reason": reason}
                for key, reason in self.refused.items()
            ],
            "not_covered": self.uncovered_count,
            "not_covered_sessions": [
                {"sdk_app_id": key.sdk_app_id, "session_id": key.session_id} for key in self.uncovered_told
            ],
        }


def rebuild(  # noqa: PLR0913 - what a person may say about a rebuild, and whom it has to know
    settings: Settings,
    origin: Origin,
    *,
    dry_run: bool,
    told_max: int,
    now: Callable[[], datetime],
    progress: Progress,
    discretion: Discretion = OPEN,
) -> Rebuilt:
    """Do it, or only say what would be done. `discretion`: what may be laid down, as the loader has it."""
    rebuilt = Rebuilt(origin, dry_run)
    begun_at = now()
    versions = versions_of(settings, now)
    spelling = spelling_of(settings.warehouse_url)
    asked = _asked(settings, versions, discretion, dry_run=dry_run)
    with asked as (questions, place), states_in(settings.data_dir) as states:
        if place is not None:
            check_masks(settings, questions)
        rebuilt.read = asyncio.run(fold_log(settings, origin, states, progress, discretion.suppressions))
        total = states.count()
        for chunk in _chunks(states):
            _work_off(
                rebuilt, chunk, _Side(questions, place, versions, spelling, discretion), now=now, told_max=told_max
            )
            progress("comparing sessions" if dry_run else "comparing and replacing", _seen(rebuilt), total)
        for key, loaded_at in uncovered(questions, lambda key: session_key(*key) in states, spelling):
            # What was loaded since is newer than the reading of the log, and nothing is wrong with it.
            if loaded_at < begun_at:
                rebuilt.uncovered_count += 1
                if len(rebuilt.uncovered_told) < told_max:
                    rebuilt.uncovered_told.append(key)
    return rebuilt


@dataclass(frozen=True, slots=True)
class _Side:
    """The warehouse's side; without a place nothing is written."""

    questions: Questions
    place: Place | None
    versions_of: VersionsOf | None
    spelling: Spelling
    discretion: Discretion

    @property
    def tables(self) -> list[Table]:
        """What is compared. Who keeps no history has nothing to say of what stands there of it."""
        return [table for table in SESSION_TABLES if self.versions_of is not None or table is not SESSION_VERSIONS]


@contextmanager
def _asked(
    settings: Settings, versions: VersionsOf | None, discretion: Discretion, *, dry_run: bool
) -> Iterator[tuple[Questions, Place | None]]:
    if dry_run:
        with open_questions(settings) as questions:
            yield questions, None
        return
    with opened_place(settings, versions, discretion) as place:
        yield place.questions, place


def _chunks(states: States) -> Iterator[list[Correction]]:
    chunk: list[Correction] = []
    bytes_count = key_bytes_count = 0
    for key, value in states.records():
        if chunk and (
            len(chunk) >= _SESSIONS_AT_ONCE
            or bytes_count + len(value) > _BYTES_AT_ONCE
            or key_bytes_count + len(key) > _KEY_BYTES_AT_ONCE
        ):
            yield chunk
            chunk, bytes_count, key_bytes_count = [], 0, 0
        chunk.append(Correction(key, value))
        bytes_count += len(value)
        key_bytes_count += len(key)
    if chunk:
        yield chunk


def _work_off(
    rebuilt: Rebuilt, chunk: Sequence[Correction], side: _Side, *, now: Callable[[], datetime], told_max: int
) -> None:
    rows, unfit = laid_out(chunk, side.versions_of, side.discretion)
    rebuilt.refused |= unfit
    wanted = rows_wanted(rows)
    found = {key: compared(key, wanted[key], at) for key, at in _standing(side, list(wanted)).items()}
    # The loader may have replaced a session between two of our questions: what differs is asked for once more.
    again = [key for key, about in found.items() if about.finding in (Finding.BEHIND, Finding.DIFFERENT)]
    found |= {key: compared(key, wanted[key], at) for key, at in _standing(side, again).items()}
    for about in found.values():
        rebuilt.counts[about.finding] += 1
        rebuilt.columns[about.finding].update(about.columns)
        if about.finding is not Finding.EQUAL and rebuilt.counts[about.finding] <= told_max:
            rebuilt.told.append(about)
    due = {key: about for key, about in found.items() if about.finding in REPLACED}
    if side.place is None or not due:
        return
    own = {key: parent["document_digest"] for key in due for parent in wanted[key].tables[SESSIONS.name].values()}
    corrected = side.place.correct(
        [
            Correction(item.key, item.value, _digest(due[item.session_key], own[item.session_key], now()))
            for item in chunk
            if item.session_key in due
        ]
    )
    rebuilt.refused |= corrected.refused
    rebuilt.replaced_count += len(corrected.applied)
    rebuilt.overtaken_count += len(set(due) - corrected.applied - set(corrected.refused))


def _standing(side: _Side, keys: list[SessionKey]) -> dict[SessionKey, Rows | None]:
    there = rows_standing(side.questions, keys, side.spelling, side.tables)
    return {key: there.get(key) for key in keys}


def _digest(about: Comparison, own: str, now: datetime) -> str | None:
    """Only where the document's own digest would not do: elsewhere the row is the one that the loader would write."""
    return correcting_digest(own, about.standing_digest, now) if about.finding is Finding.DIFFERENT else None


def _seen(rebuilt: Rebuilt) -> int:
    return sum(rebuilt.counts.values())
