"""What is known of every file: the newest record of each, by session; and what a document changes in it. Pure.

The rule: the topic is the memory. What stands here was acknowledged by Kafka, so dying at any point costs repeats.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ingest.archiver.wanted import FileKey, WantedFile, WantedSession
from schemas import jsontext
from schemas.archive import FileStatus, LegalHold, RecordingFile
from schemas.keyed import KeyedRecord

SessionKey = tuple[int, str]

SETTLED: Final[frozenset[FileStatus]] = frozenset({"deleted", "erased", "refused"})
"""What no new report wakes again."""


@dataclass(slots=True)
class Shelf:
    """The files, each as its encoded record (half a kilobyte), and the sessions that are held."""

    _files: dict[SessionKey, dict[FileKey, bytes]] = field(default_factory=dict)
    _held: dict[SessionKey, LegalHold] = field(default_factory=dict)
    _copies: Counter[str] = field(default_factory=Counter)
    _statuses: Counter[FileStatus] = field(default_factory=Counter)

    def take(self, records: Iterable[KeyedRecord]) -> None:
        """Note records that are in Kafka; the later one of a key counts."""
        for record in records:
            match record:
                case RecordingFile():
                    self._take_file(record)
                case LegalHold():
                    place = record.sdk_app_id, record.session_id
                    if place not in self._held or record.asked_at >= self._held[place].asked_at:
                        self._held[place] = record

    def file(self, session: SessionKey, key: FileKey) -> RecordingFile | None:
        """What is known of one file."""
        encoded = self._files.get(session, {}).get(key)
        return None if encoded is None else _decoded(encoded)

    def files_of(self, session: SessionKey) -> dict[FileKey, RecordingFile]:
        """What is known of a session's files."""
        return {key: _decoded(encoded) for key, encoded in self._files.get(session, {}).items()}

    def all_files(self) -> Iterator[RecordingFile]:
        """Every file."""
        for files in list(self._files.values()):
            for encoded in list(files.values()):
                yield _decoded(encoded)

    def is_held(self, session: SessionKey) -> bool:
        """Whether a session's files must be kept."""
        held = self._held.get(session)
        return held is not None and held.is_held

    def copies_of(self, path: str) -> int:
        """How many rows a kept file serves."""
        return self._copies[path]

    @property
    def statuses(self) -> Mapping[FileStatus, int]:
        """How many files are how."""
        return self._statuses

    def _take_file(self, record: RecordingFile) -> None:
        files = self._files.setdefault((record.sdk_app_id, record.session_id), {})
        key = file_key(record)
        before = _decoded(files[key]) if key in files else None
        if before is not None:
            if record.asked_at < before.asked_at:
                return
            self._count(before, -1)
        self._count(record, 1)
        files[key] = record.encoded()

    def _count(self, record: RecordingFile, by: int) -> None:
        self._statuses[record.status] += by
        if record.status == "stored" and record.path is not None:
            self._copies[record.path] += by


def file_key(record: RecordingFile) -> FileKey:
    """Which file of its session."""
    return record.file_kind, record.recording_id


def changes(
    known: Mapping[FileKey, RecordingFile], wanted: WantedSession, *, now: datetime, delay: timedelta
) -> list[RecordingFile]:
    """What a document of a session changes: files that are new, have another id, or another address."""
    gone = {key: record for key, record in known.items() if key not in wanted.files}
    found: list[RecordingFile] = []
    for key, file in wanted.files.items():
        record = known.get(key)
        if record is not None:
            if _has_news(record, file):
                found.append(_waiting(wanted, file, now=now, due=now, first_seen_at=record.first_seen_at))
            continue
        twin = _twin(gone, file)
        if twin is None:
            found.append(_waiting(wanted, file, now=now, due=now + delay))
            continue
        del gone[file_key(twin)]
        found.append(_updated(twin, recording_id=file.key[1], names=file.names, asked_at=now))
        found.append(_updated(twin, status="replaced", path=None, addresses={}, next_attempt_at=None, asked_at=now))
    found += [
        _updated(record, status="replaced", addresses={}, next_attempt_at=None, asked_at=now)
        for record in gone.values()
        if record.status == "waiting"
    ]
    return found


def _twin(gone: Mapping[FileKey, RecordingFile], file: WantedFile) -> RecordingFile | None:
    """The file under the id that it had before a CDR named it."""
    return next(
        (
            record
            for (kind, _), record in gone.items()
            if kind == file.key[0]
            and file.address_digest
            and record.address_digest == file.address_digest
            and record.status in ("stored", "waiting")
        ),
        None,
    )


def _has_news(record: RecordingFile, file: WantedFile) -> bool:
    """Whether a document tells another address of a file that is not here."""
    if record.status in SETTLED or record.status == "stored" or not file.addresses:
        return False
    return record.addresses != file.addresses if record.status == "waiting" else _is_other(record, file)


def _is_other(record: RecordingFile, file: WantedFile) -> bool:
    return record.address_digest != file.address_digest


def _waiting(
    wanted: WantedSession, file: WantedFile, *, now: datetime, due: datetime, first_seen_at: datetime | None = None
) -> RecordingFile:
    kind, recording_id = file.key
    return RecordingFile(
        sdk_app_id=wanted.sdk_app_id,
        session_id=wanted.session_id,
        file_kind=kind,
        recording_id=recording_id,
        asked_at=now,
        status="waiting",
        problem=None,
        path=None,
        sha256=None,
        size_bytes=None,
        content_type=None,
        duration_seconds=None,
        fetched_from=None,
        attempts_count=0,
        generated_at=file.generated_at,
        first_seen_at=first_seen_at or now,
        next_attempt_at=due,
        stored_at=None,
        deleted_at=None,
        addresses=file.addresses,
        address_digest=file.address_digest,
        names=file.names,
    )


def _updated(record: RecordingFile, **changes: object) -> RecordingFile:
    return record.model_copy(update=changes)


def _decoded(encoded: bytes) -> RecordingFile:
    return RecordingFile.model_validate(jsontext.decode(encoded), strict=False)
