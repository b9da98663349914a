"""Records -> what is to be written: the best document of each session, letters to count, letters to write. Pure.

The rule: an unusable document is taken out by itself, and the next best one of its session takes its place, so that it
does not matter how the log was cut into batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from schemas.dead_letter import DeadLetter, NotALetterError, Reason, ReplayOutcome, Stage, decode_letter
from schemas.keyed import KeyedRecord
from schemas.reconcile import HourRecord
from schemas.records import NotARecordError, decode_keyed, read_keyed
from schemas.topics import MESSAGE_BYTES_MAX
from sinks.halt import HaltError
from sinks.letters import LetterRow, sighting, tally
from sinks.log import Record
from sinks.rows import (
    Document,
    NotADocumentError,
    SessionKey,
    SessionRows,
    VersionsOf,
    key_in,
    lay_out,
    read_document,
)
from sinks.windows import NotAWindowError, latest, read_window

RAW_BYTES_MAX: Final = MESSAGE_BYTES_MAX // 4 * 3 - 64 * 1024
"""Of a letter: base64 makes 4 bytes of 3, and a letter must fit into a message. What exceeds it is cut, and counted."""

NO_KEYED_TOPICS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a record of the sessions topic, of the hours of the API, or of `sinks.keyed`'s, cannot be loaded."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Intake:
    """A haul, read. Documents and unusable records are known by their position in it."""

    records: Sequence[Record]
    documents: Mapping[int, Document]
    unusable: Mapping[int, Unusable]
    sightings: Mapping[int, LetterRow]
    windows: Sequence[HourRecord] = ()
    keyed: Mapping[str, Sequence[KeyedRecord]] = field(default_factory=dict)
    retried: frozenset[int] = frozenset()
    """Positions of letters that ask for another try at their document (`DeadLetter.asks_the_loader`)."""

    def best(self) -> dict[SessionKey, int]:
        """The position of each session's document of the highest (version, digest)."""
        chosen: dict[SessionKey, int] = {}
        for position, document in self.documents.items():
            rival = chosen.get(document.key)
            if rival is None or document.rank > self.documents[rival].rank:
                chosen[document.key] = position
        return chosen

    def without(self, sessions: Mapping[SessionKey, str], reason: Reason) -> "Intake":
        """The intake with the best documents of these sessions unusable, for the reasons given."""
        chosen = self.best()
        out = {chosen[key]: Unusable(reason, detail) for key, detail in sessions.items()}
        kept = {position: document for position, document in self.documents.items() if position not in out}
        return replace(self, documents=kept, unusable={**self.unusable, **out})

    def verdicts(self) -> list[bool]:
        """Of documents, and hours that are none, in order: whether they are unusable. New tries say nothing new."""
        return [position in self.unusable for position in sorted({*self.documents, *self.unusable} - self.retried)]

    def letters_due(self) -> list[int]:
        """The positions that a letter must be written about. There is no letter about a letter."""
        return sorted(set(self.unusable) - self.retried)

    def letters(self) -> list[LetterRow]:
        """What is to be written about letters, with what came of those that were tried again."""
        return tally(
            replace(row, replay_outcome=self._outcome(position)) if position in self.retried else row
            for position, row in self.sightings.items()
        )

    def _outcome(self, position: int) -> str:
        unusable = self.unusable.get(position)
        if unusable is None:
            return ReplayOutcome.LOADED
        return ReplayOutcome.FAILED_AGAIN.because(f"{unusable.reason}: {unusable.detail}")


def take_in(
    records: Sequence[Record],
    *,
    letters_topic: str,
    windows_topic: str | None = None,
    keyed_topics: Mapping[str, str] = NO_KEYED_TOPICS,
    versions_of: VersionsOf | None = None,
) -> Intake:
    """Read a haul; `keyed_topics` are those of `sinks.keyed`, each with its table; `versions_of` tells the history.

    A record of the dead-letter topic that is no letter halts: no letter can be written about it.
    """
    documents: dict[int, Document] = {}
    unusable: dict[int, Unusable] = {}
    sightings: dict[int, LetterRow] = {}
    keyed: dict[str, list[KeyedRecord]] = {}
    windows: list[HourRecord] = []
    retried: set[int] = set()
    for position, record in enumerate(records):
        if record.value is None:
            continue  # a tombstone: the state was retired, the warehouse keeps its rows
        if record.partition.topic == letters_topic:
            sightings[position] = _letter(record, record.value)
            if not sightings[position].letter.asks_the_loader:
                continue
            retried.add(position)
        try:
            letter = sightings[position].letter if position in retried else None
            table = keyed_topics.get(record.partition.topic if letter is None else letter.topic or "")
            if table is not None:
                row = _keyed_record(table, record.key, record.value, letter)
                keyed.setdefault(table, []).append(row)
            elif letter is not None:
                documents[position] = document_of(letter, versions_of)
            elif record.partition.topic == windows_topic:
                windows.append(read_window(record.key, record.value))
            else:
                documents[position] = read_document(record.key, record.value, versions_of)
        except (NotADocumentError, NotAWindowError, NotARecordError) as exc:
            unusable[position] = Unusable(Reason.SCHEMA_VIOLATION, str(exc))
    return Intake(records, documents, unusable, sightings, latest(windows), keyed, frozenset(retried))


def _keyed_record(table: str, key: bytes | None, value: bytes, letter: DeadLetter | None) -> KeyedRecord:
    return decode_keyed(table, key, value) if letter is None else read_keyed(table, letter.raw)


def document_of(letter: DeadLetter, versions_of: VersionsOf | None = None) -> Document:
    """The session document that a letter of stage `load` is about. Raises NotADocumentError."""
    if letter.is_cut:
        raise NotADocumentError(f"only the first {len(letter.raw)} of its {letter.raw_bytes_count} bytes were kept")
    return read_document(key_in(letter.raw), letter.raw, versions_of)


def prepare(intake: Intake) -> tuple[Intake, SessionRows]:
    """Lay out the best document of each session; those that do not fit become unusable."""
    while True:
        rows, unfit = lay_out(intake.documents[position] for position in intake.best().values())
        if not unfit:
            return intake, rows
        intake = intake.without(unfit, Reason.SCHEMA_VIOLATION)


def letter_about(record: Record, unusable: Unusable, *, occurred_at: datetime) -> DeadLetter:
    """The dead letter of an unusable record, the Kafka value whole where it fits."""
    raw = record.value or b""
    return DeadLetter.of(
        Stage.LOAD,
        unusable.reason,
        unusable.detail,
        raw=raw[:RAW_BYTES_MAX],
        raw_bytes_count=len(raw),
        occurred_at=occurred_at,
        origin=record.place,
    )


def _letter(record: Record, value: bytes) -> LetterRow:
    try:
        return sighting(decode_letter(value), record.place)
    except (NotALetterError, ValueError) as exc:
        topic, partition, offset = record.place
        raise HaltError(
            f"the record at offset {offset} of {topic}, partition {partition}, is no dead letter, and there is no "
            "letter about a letter: somebody else writes to this topic, or a newer callweave does (upgrade this one)"
        ) from exc
