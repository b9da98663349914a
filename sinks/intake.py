"""Records -> what is to be written: the best document of each session, letters to count, letters to write. Pure.

The rule: an unusable document is taken out by itself, and the next best one of its session takes its place, so that it
does not matter how the log was cut into batches.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from schemas.archive import RecordingFile
from schemas.columns import RECONCILE_WINDOWS
from schemas.dead_letter import DeadLetter, NotALetterError, Reason, ReplayOutcome, Stage, decode_letter
from schemas.keyed import KeyedRecord
from schemas.records import NotARecordError, decode_keyed, read_keyed
from schemas.suppression import Erasure
from schemas.topics import MESSAGE_BYTES_MAX
from sinks.discretion import OPEN, Discretion, erasure_of, is_hollow
from sinks.halt import HaltError
from sinks.keyed import AskedRecord
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
from sinks.windows import NotAWindowError, read_window

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
    keyed: Mapping[str, Sequence[AskedRecord]] = field(default_factory=dict)
    erased: frozenset[SessionKey] = frozenset()
    """Sessions of which nothing, or nothing of a person, may stand in the warehouse any more."""
    hollow: frozenset[SessionKey] = frozenset()
    """Those of them that are pseudonymised, and of which the log holds nothing else any more."""
    erased_letters: frozenset[str] = frozenset()
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

    def without_erased(self, also: Iterable[SessionKey]) -> "Intake":
        """The intake without documents of sessions that are removed; `also` are known to be erased otherwise."""
        marked = {document.key: erasure_of(document) for document in self.documents.values() if erasure_of(document)}
        removed = {key for key, erasure in marked.items() if erasure is Erasure.REMOVED}
        kept = {
            position: document
            for position, document in self.documents.items()
            # Of a session with the mark, a document without it is older, and says what must not be said.
            if document.key not in removed and (document.key not in marked or erasure_of(document) is not None)
        }
        best = {document.key: document for document in kept.values() if document.key in marked}
        hollow = frozenset(key for key, document in best.items() if is_hollow(document))
        return replace(self, documents=kept, erased=frozenset({*marked, *also}), hollow=hollow)

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
    discretion: Discretion = OPEN,
) -> Intake:
    """Read a haul; `keyed_topics` are those of `sinks.keyed`, each with its table; `versions_of` tells the history.

    A record of the dead-letter topic that is no letter halts: no letter can be written about it.
    """
    reading = _Reading(letters_topic, windows_topic, keyed_topics, versions_of, discretion)
    for position, record in enumerate(records):
        reading.take(position, record)
    return reading.intake(records)


@dataclass(slots=True)
class _Reading:
    """A haul on its way into an intake."""

    letters_topic: str
    windows_topic: str | None
    keyed_topics: Mapping[str, str]
    versions_of: VersionsOf | None
    discretion: Discretion
    documents: dict[int, Document] = field(default_factory=dict)
    unusable: dict[int, Unusable] = field(default_factory=dict)
    sightings: dict[int, LetterRow] = field(default_factory=dict)
    keyed: dict[str, list[AskedRecord]] = field(default_factory=dict)
    retried: set[int] = field(default_factory=set)
    erased: set[SessionKey] = field(default_factory=set)
    erased_letters: set[str] = field(default_factory=set)

    def take(self, position: int, record: Record) -> None:
        """Read one record."""
        is_letter = record.partition.topic == self.letters_topic
        if record.value is None:
            # Of a session: its state was retired, the warehouse keeps its rows. Of a letter: it was erased.
            if is_letter and record.key is not None:
                self.erased_letters.add(record.key.decode("utf-8", "replace"))
            return
        letter = self._sighted(position, record, record.value) if is_letter else None
        if is_letter and letter is None:
            return
        try:
            self._take(position, record.partition.topic, record.key, record.value, letter)
        except (NotADocumentError, NotAWindowError, NotARecordError) as exc:
            self.unusable[position] = Unusable(Reason.SCHEMA_VIOLATION, str(exc))

    def intake(self, records: Sequence[Record]) -> Intake:
        """Everything that was read."""
        return Intake(
            records,
            {position: self.discretion.document(document) for position, document in self.documents.items()},
            self.unusable,
            self.sightings,
            self.keyed,
            erased_letters=frozenset(self.erased_letters),
            retried=frozenset(self.retried),
        ).without_erased(self.erased)

    def _sighted(self, position: int, record: Record, value: bytes) -> DeadLetter | None:
        """Note a letter; give it where it asks for another try at its document."""
        seen = _letter(record, value)
        kept = self.discretion.letter(seen.letter)
        if kept is None:
            self.erased_letters.add(seen.letter.dead_letter_id)
            return None
        self.sightings[position] = seen if kept is seen.letter else replace(seen, letter=kept)
        if not seen.letter.asks_the_loader:
            return None
        self.retried.add(position)
        return seen.letter

    def _take(self, position: int, topic: str, key: bytes | None, value: bytes, letter: DeadLetter | None) -> None:
        table = self.keyed_topics.get(topic if letter is None else letter.topic or "")
        if table is not None:
            row = _keyed_record(table, key, value, letter)
            if isinstance(row, RecordingFile) and row.status == "erased":
                self.erased.add(SessionKey(row.sdk_app_id, row.session_id))
            else:
                self.keyed.setdefault(table, []).append(row)
        elif letter is not None:
            self.documents[position] = document_of(letter, self.versions_of)
        elif topic == self.windows_topic:
            self.keyed.setdefault(RECONCILE_WINDOWS.name, []).append(read_window(key, value))
        else:
            self.documents[position] = read_document(key, value, self.versions_of)


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
