"""A log entry as the spool holds it, and back, with its original `received_at`. What it cannot read is a letter."""

from datetime import datetime

from ingest.push_log import LogEntry
from ingest.spool_file import SpooledRow, StoredRow
from schemas import jsontext
from schemas.dead_letter import DeadLetter, NotALetterError, Reason, Stage, decode_letter
from schemas.events import NotAnEventError, decode_event
from schemas.models import instant_ms


def to_row(entry: LogEntry) -> SpooledRow:
    """Encode an entry."""
    event = entry.event
    received_at = event.received_at if event is not None else entry.letters[0].occurred_at
    return SpooledRow(
        received_ms=instant_ms(received_at),
        key=None if event is None else event.key,
        event=None if event is None else event.encoded(),
        raw=entry.raw,
        letters=b"[" + b",".join(letter.encoded() for letter in entry.letters) + b"]",
    )


def to_entry(stored: StoredRow, now: datetime) -> LogEntry:
    """Decode an entry. One that the disk changed becomes a letter with all that is left of it."""
    row = stored.row
    problem = "its checksum is wrong"
    if stored.is_whole:
        try:
            event = None if row.event is None else decode_event(row.key, row.event)
            return LogEntry(event, row.raw, _letters(row.letters))
        except (NotAnEventError, NotALetterError, jsontext.NotJsonError) as exc:
            problem = str(exc)
    return LogEntry(None, row.raw, (_letter(row, problem, now),))


def _letters(encoded: bytes) -> tuple[DeadLetter, ...]:
    letters = jsontext.decode(encoded)
    if not isinstance(letters, list):
        raise NotALetterError("its letters are no list")
    return tuple(decode_letter(jsontext.encode(letter)) for letter in letters)


def _letter(row: SpooledRow, problem: str, now: datetime) -> DeadLetter:
    return DeadLetter.of(
        Stage.RECEIVE,
        Reason.UNDECODABLE,
        f"an entry of the spool cannot be read any more ({problem}); this is the body as received",
        raw=row.raw,
        occurred_at=now,
    )
