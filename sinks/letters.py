"""Dead letters -> rows of `dead_letters`: one row a letter, however often it was seen.

The rule: the first record of a letter is its row; later ones only count, and a replay's does not even count: it says
when, and what came of it. `raw` is laid down as the bytes it was.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Any

import pyarrow as pa

from schemas import jsontext
from schemas.columns import DEAD_LETTERS
from schemas.dead_letter import DeadLetter
from sinks.rows import ARROW_TYPES


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A letter as its table holds it. `place` is where its record stands in `dead_letters`.

    Of `seen_count` 0 are rows that only tell of a replay; a warehouse that does not know the letter counts one.
    """

    letter: DeadLetter
    raw: bytes
    place: tuple[str, int, int]
    seen_count: int
    last_seen_at: datetime
    replayed_at: datetime | None = None
    replay_outcome: str | None = None
    records: tuple["LetterRow", ...] = field(default=(), repr=False, compare=False)
    """The records that this row is the tally of, for a warehouse that cannot add to a row safely."""


def sighting(letter: DeadLetter, place: tuple[str, int, int]) -> LetterRow:
    """One record of a letter. Raises ValueError where `raw_base64` is no base64."""
    seen_count = 1 if letter.replayed_at is None else 0
    return LetterRow(
        letter, letter.raw, place, seen_count, letter.occurred_at, letter.replayed_at, letter.replay_outcome
    )


def tally(sightings: Iterable[LetterRow]) -> list[LetterRow]:
    """One row a letter, sorted by id: the first of them, with all of them counted, and the latest replay told."""
    groups: dict[str, list[LetterRow]] = {}
    for seen in sightings:
        groups.setdefault(seen.letter.dead_letter_id, []).append(seen)
    return [replace(reduce(_counted, group), records=tuple(group)) for _, group in sorted(groups.items())]


def _counted(first: LetterRow, seen: LetterRow) -> LetterRow:
    return replace(
        first,
        seen_count=first.seen_count + seen.seen_count,
        last_seen_at=max(first.last_seen_at, seen.last_seen_at),
        **_latest_replay(first, seen),
    )


def _latest_replay(first: LetterRow, seen: LetterRow) -> dict[str, Any]:
    later = first.replayed_at is None or (seen.replayed_at is not None and seen.replayed_at >= first.replayed_at)
    chosen = seen if later else first
    return {"replayed_at": chosen.replayed_at, "replay_outcome": chosen.replay_outcome}


def letter_table(rows: Sequence[LetterRow]) -> pa.Table:
    """The rows as Arrow."""
    cells = [_cells(row) for row in rows]
    return pa.table(
        {
            column.name: pa.array([cell[column.name] for cell in cells], ARROW_TYPES[column.type])
            for column in DEAD_LETTERS.columns
        }
    )


def _cells(row: LetterRow) -> dict[str, object]:
    letter = row.letter
    own_place = (letter.topic, letter.partition, letter.offset)
    topic, partition, offset = row.place if None in own_place else own_place
    return {
        "dead_letter_id": letter.dead_letter_id,
        "stage": letter.stage.value,
        "reason": letter.reason.value,
        "detail": letter.detail,
        "action": letter.action,
        "headers": jsontext.encode(letter.headers).decode() if letter.headers else None,
        "received_at": letter.received_at,
        "occurred_at": letter.occurred_at,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "raw": row.raw,
        "raw_bytes_count": letter.raw_bytes_count,
        "seen_count": row.seen_count,
        "last_seen_at": row.last_seen_at,
        "replayed_at": row.replayed_at,
        "replay_outcome": row.replay_outcome,
    }
