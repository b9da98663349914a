"""The spool's file: one SQLite database in a directory of its own, which one receiver owns.

The rule: `write` returns after the commit is fsynced (WAL, synchronous=FULL), and what cannot be read is set aside and
kept, never deleted. All calls are made from one thread (`ingest.spool_thread`), but for `look_into`.
"""

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import structlog

FILE_NAME = "spool.sqlite3"
LOCK_NAME = "spool.lock"
SET_ASIDE_MARK = ".set-aside-"

_COMPANIONS = ("", "-wal", "-shm", "-journal")
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE = 0xFF  # the rest of an extended error code says which kind of it
_ROW_BYTES = 128
"""What a row takes beside its parts: numbers, lengths, its share of the tree."""

_BEAT_BYTES = 64 * 1024
_SCHEMA = """
create table if not exists entries (
    id integer primary key autoincrement,
    received_ms integer not null,
    bytes integer not null,
    checksum integer not null,
    key blob,
    event blob,
    raw blob not null,
    letters blob not null
);
create index if not exists entries_counted on entries (received_ms, bytes);
create table if not exists pulse (space blob not null);
"""
_INSERT = "insert into entries (received_ms, bytes, checksum, key, event, raw, letters) values (?, ?, ?, ?, ?, ?, ?)"

_log = structlog.stdlib.get_logger(__name__)


class SpoolTakenError(Exception):
    """Another receiver owns the directory; the message says what to do."""


class SpoolSickError(Exception):
    """The disk does not take or give what it is asked for; the message says why. It may be well again later."""


class SpoolGoneError(SpoolSickError):
    """Somebody took the file away; there is nothing wrong with making another."""


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """One entry, encoded: an event under its key, the body as received, letters as a JSON array."""

    received_ms: int
    key: bytes | None
    event: bytes | None
    raw: bytes
    letters: bytes

    @property
    def size(self) -> int:
        """What it counts for against the bound."""
        return _ROW_BYTES + sum(len(part or b"") for part in (self.key, self.event, self.raw, self.letters))

    @property
    def checksum(self) -> int:
        """Over everything: SQLite does not notice a page that the disk changed."""
        total = zlib.crc32(b"%d" % self.received_ms)
        for part in (self.key, self.event, self.raw, self.letters):
            total = zlib.crc32(b"-" if part is None else b"%d:" % len(part), total)
            total = zlib.crc32(part or b"", total)
        return total


@dataclass(frozen=True, slots=True)
class StoredRow:
    """An entry read back. It is not whole where the disk changed it; its id means something in one opening only."""

    id: int
    opening: int
    bytes_count: int
    row: SpooledRow
    is_whole: bool

    def without_body(self) -> Self:
        """All that is needed to delete it."""
        return replace(self, row=SpooledRow(self.row.received_ms, None, None, b"", b""))


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in the spool: how much, since when, from which entry to which, and what was set aside."""

    entries: int = 0
    bytes_count: int = 0
    oldest_received_ms: int | None = None
    first_id: int = 0
    last_id: int = 0
    files_set_aside: int = 0


class SpoolFile:
    """The open file, and the lock on its directory. SpoolSickError closes the file; `open` may be called again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.files_set_aside = _count_set_aside(self.directory)
        self._path = self.directory / FILE_NAME
        self._lock: int | None = None
        self._database: sqlite3.Connection | None = None
        self._inode = 0, 0
        self.opening = 0

    @property
    def is_open(self) -> bool:
        """Whether it can be asked for something."""
        return self._database is not None

    def own(self) -> None:
        """Take the directory, if it is not ours yet; SpoolTakenError where another receiver has it."""
        path = self.directory / LOCK_NAME
        try:
            if self._lock is not None and os.fstat(self._lock).st_ino == _inode(path)[1]:
                return
            self._release()
            _make_private(self.directory)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise SpoolSickError(_words(exc)) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(descriptor)
            raise SpoolTakenError(
                f"another receiver spools into {self.directory}: stop it, or give each receiver a directory of its own"
                " (CALLWEAVE_RECEIVER__SPOOL_DIR, or --data)"
            ) from exc
        self._lock = descriptor

    def open(self) -> Standing:
        """Open the file; one that is no spool any more is set aside, and what it still tells is saved."""
        self.own()
        return self._opened(())

    def _opened(self, rescued: Sequence[SpooledRow]) -> Standing:
        self._close_database()
        try:
            try:
                self._database = _connect(self._path, is_known=self._is_still_ours())
            except sqlite3.DatabaseError as exc:
                if not is_corrupt(exc):
                    raise
                rescued = _set_aside(self._path, _words(exc))
                self._database = _connect(self._path, is_known=False)
            self._inode = _inode(self._path)
            self.opening += 1
            self.files_set_aside = _count_set_aside(self.directory)
            for path in _files_of(self._path):
                path.chmod(0o600)
            if rescued:
                self.write(rescued, ())
            return self.standing()
        except (OSError, sqlite3.Error) as exc:
            self._close_database()
            raise SpoolSickError(_words(exc)) from exc

    def write(self, rows: Iterable[SpooledRow], gone: Iterable[StoredRow]) -> None:
        """Add and delete in one fsynced commit; SpoolSickError where nothing of it is certain.

        What was read in an earlier opening is not deleted: another file may give its ids to other entries.
        """
        with self._guard() as database, database:
            database.execute("begin immediate")
            database.executemany(
                _INSERT,
                [(row.received_ms, row.size, row.checksum, row.key, row.event, row.raw, row.letters) for row in rows],
            )
            database.executemany(
                "delete from entries where id = ?", [(stored.id,) for stored in gone if stored.opening == self.opening]
            )

    def read(self, *, after: int, entries_max: int, bytes_max: int) -> list[StoredRow]:
        """The next entries in order of their arrival: at least one where there is one, else within both bounds."""
        found: list[StoredRow] = []
        size = 0
        with self._guard() as database:
            cursor = database.execute(
                "select id, bytes, checksum, received_ms, key, event, raw, letters from entries where id > ?"
                " order by id limit ?",
                (after, entries_max),
            )
            with closing(cursor):
                for number, row_bytes, checksum, *parts in cursor:
                    size += row_bytes
                    if found and size > bytes_max:
                        break
                    row = _read_back(parts)
                    is_whole = row is not None and row.checksum == checksum
                    found.append(StoredRow(number, self.opening, row_bytes, row or _remains(parts), is_whole))
        return found

    def standing(self) -> Standing:
        """Count what is there."""
        with self._guard() as database:
            return _standing(database, self.files_set_aside)

    def beat(self) -> None:
        """Show that the disk takes fsynced writes, and has room for some; SpoolSickError where it does not."""
        with self._guard() as database:
            database.execute("insert into pulse values (zeroblob(?))", (_BEAT_BYTES,))
            database.execute("delete from pulse")

    def shrink(self) -> None:
        """Give an empty spool's disk back, and with it what drained entries left on its pages: they are personal."""
        with self._guard() as database:
            if _size_of(f"{self._path}-wal"):  # something was written since
                database.execute("vacuum")
                database.execute("pragma wal_checkpoint(truncate)")

    def oldest_received_ms(self) -> int | None:
        """When the first entry was received."""
        with self._guard() as database:
            found = database.execute("select received_ms from entries order by id limit 1").fetchone()
        return None if found is None else found[0]

    def begin_anew(self, why: str) -> None:
        """Set this file aside, which turned out to be corrupt while it was in use, and open a new one."""
        self._close_database()
        self._opened(_set_aside(self._path, why))

    def close(self) -> None:
        """Close the file and give the directory back."""
        self._close_database()
        self._release()

    def shut(self) -> None:
        """Close the file and keep the directory: the disk is sick."""
        self._close_database()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()

    def _guard(self) -> "_Guarded":
        if self._database is None:
            raise SpoolSickError("the spool is not open")
        return _Guarded(self, self._database)

    def _is_still_ours(self) -> bool:
        """Whether the path still leads to the open file: what is written to an unlinked one is gone with us."""
        return _inode(self._path) == self._inode


class _Guarded:
    """One use of the database, whose errors are worded; a corrupt file is set aside, one on a sick disk is closed."""

    def __init__(self, file: SpoolFile, database: sqlite3.Connection) -> None:
        self._file = file
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        if not self._file._is_still_ours():  # noqa: SLF001  (two halves of one thing)
            self._file.shut()
            raise SpoolGoneError(f"{self._file.directory / FILE_NAME} was taken away")
        return self._database

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, (sqlite3.Error, OSError)):
            return
        if isinstance(error, sqlite3.Error) and is_corrupt(error):
            self._file.begin_anew(_words(error))
        elif not _is_full(error):  # after that the file is as it was before
            self._file.shut()
        raise SpoolSickError(_words(error)) from error


def look_into(directory: Path) -> Standing:
    """What the spool in a directory holds, whether or not its receiver runs; SpoolSickError where it cannot be read."""
    path = directory.absolute() / FILE_NAME
    aside = _count_set_aside(path.parent)
    if not path.exists():
        return Standing(files_set_aside=aside)
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=5.0)) as database:
            if database.execute("select 1 from sqlite_master where name = 'entries_counted'").fetchone() is None:
                return Standing(files_set_aside=aside)  # whoever began it was killed before it was made
            return _standing(database, aside)
    except sqlite3.Error as exc:
        raise SpoolSickError(_words(exc)) from exc


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is no database, or a damaged one."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE in _CORRUPT


def _is_full(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _connect(path: Path, *, is_known: bool) -> sqlite3.Connection:
    """Open or create; raises what SQLite raises for a file that is damaged. Reading all of a known one is spared."""
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite's companions inherit the mode
    database = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    try:
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        problems = "ok" if is_known else database.execute("pragma quick_check(1)").fetchone()[0]
        if problems != "ok":
            error = sqlite3.DatabaseError(problems)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error  # noqa: TRY301  (closed below, as after any other failure)
        database.executescript(_SCHEMA)
        database.execute("select id, received_ms, bytes, checksum, key, event, raw, letters from entries limit 0")
        _sync_directory(path.parent)
    except sqlite3.OperationalError as exc:
        database.close()
        if exc.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a database, but not one of ours
            exc.sqlite_errorcode = sqlite3.SQLITE_NOTADB
        raise
    except BaseException:
        database.close()
        raise
    return database


def _standing(database: sqlite3.Connection, aside: int) -> Standing:
    entries, bytes_count, oldest, first, last = database.execute(
        "select count(*), coalesce(sum(bytes), 0), min(received_ms), coalesce(min(id), 0), coalesce(max(id), 0)"
        " from entries"
    ).fetchone()
    return Standing(entries, bytes_count, oldest, first, last, aside)


def _set_aside(path: Path, why: str) -> list[SpooledRow]:
    """Rename a file that cannot be used, with its companions, and read from it whatever can still be read."""
    stem = path.with_name(f"{path.name}{SET_ASIDE_MARK}{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for companion in _COMPANIONS:
        with suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{stem}{companion}")
    _sync_directory(path.parent)
    rescued = _rescued(stem)
    _log.error(
        "spool_file_set_aside",
        file=str(stem),
        reason=why,
        entries_rescued=len(rescued),
        advice="entries that were in it and not yet in Kafka may be missing: keep the file, and let the reconciler ask"
        " TCCC's API for the calls of that time",
    )
    return rescued


def _rescued(path: Path) -> list[SpooledRow]:
    """Whole entries of a damaged file, as far as it can be read. Whoever gets one twice absorbs it."""
    rescued: list[SpooledRow] = []
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as database:
        for checksum, *parts in database.execute(
            "select checksum, received_ms, key, event, raw, letters from entries order by id"
        ):
            row = _read_back(parts)
            if row is not None and row.checksum == checksum:
                rescued.append(row)
    return rescued


def _read_back(parts: Sequence[Any]) -> SpooledRow | None:
    """A row of the right types, or None: SQLite keeps what it finds on a page, and types are found there too."""
    received_ms, key, event, raw, letters = parts
    fits = isinstance(received_ms, int) and isinstance(raw, bytes) and isinstance(letters, bytes)
    fits = fits and isinstance(key, bytes | None) and isinstance(event, bytes | None)
    return SpooledRow(received_ms, key, event, raw, letters) if fits else None


def _remains(parts: Sequence[Any]) -> SpooledRow:
    """All that is left of a row that is none any more."""
    raw = b" ".join(part if isinstance(part, bytes) else str(part).encode() for part in parts)
    return SpooledRow(0, None, None, raw, b"[]")


def _make_private(directory: Path) -> None:
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    for folder in missing:
        _sync_directory(folder.parent)


def _sync_directory(directory: Path) -> None:
    """Make new and renamed names durable: fsync of a file says nothing about the name that leads to it."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_of(path: Path) -> list[Path]:
    return [found for companion in _COMPANIONS if (found := Path(f"{path}{companion}")).exists()]


def _count_set_aside(directory: Path) -> int:
    found = directory.glob(f"{FILE_NAME}{SET_ASIDE_MARK}*")
    return sum(not path.name.endswith(_COMPANIONS[1:]) for path in found)


def _inode(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _size_of(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)
    return str(error)
