"""How a Parquet warehouse lies on disk: folders, file names, which file replaces which, and files that appear whole.

The rule: a name tells everything that is needed to know whether a file still counts, so there is no list that could
disagree with the folder. `<first commit>-<last commit>_<what>_<digest>.parquet`, below application and hour or day.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Final

SESSIONS_FOLDER: Final = "sessions"
LETTERS_FOLDER: Final = "dead_letters"
COMMITS_FOLDER: Final = "commits"
UNFINISHED: Final = ".unfinished"
"""Ends the name of a file that is being written: nobody reads those."""
_SESSIONS_FILE: Final = re.compile(
    r"sessions/sdk_app_id=(?P<app>\d+)/(?:hour|day)=(?P<period>[0-9T-]+)/(?P<first>\d{12})-(?P<last>\d{12})_.*\.parquet"
)
_NUMBERED: Final = re.compile(r"(?P<first>\d{12})-(?P<last>\d{12})(?:_merged)?\.parquet")
_SPELLED_MAX: Final = 6


@dataclass(frozen=True)
class StoredFile:
    """A file of one group (an application's sessions, the letters), with the commits whose rows it holds."""

    path: Path
    group: str
    period: str
    first: int
    last: int

    @cached_property
    def bytes_count(self) -> int:
        """Its size."""
        return self.path.stat().st_size

    def is_replaced_by(self, other: "StoredFile") -> bool:
        """Whether the other one holds all of this one's rows, or newer ones of the same sessions."""
        return (
            other.path != self.path
            and other.group == self.group
            and other.first <= self.first
            and self.last <= other.last
            and self.period.startswith(other.period)
            and (other.first, other.last, other.period) != (self.first, self.last, self.period)
        )


def sessions_folder(root: Path, app: int, period: str) -> Path:
    """Where an application's sessions of one hour (`2026-11-24T03`) or day (`2026-11-24`) lie."""
    kind = "hour" if "T" in period else "day"
    return root / SESSIONS_FOLDER / f"sdk_app_id={app}" / f"{kind}={period}"


def session_files(root: Path) -> list[StoredFile]:
    """All files of sessions, replaced ones too, by application and commit."""
    found = [
        StoredFile(path, match["app"], match["period"], int(match["first"]), int(match["last"]))
        for path in (root / SESSIONS_FOLDER).rglob("*.parquet")
        if (match := _SESSIONS_FILE.fullmatch(path.relative_to(root).as_posix()))
    ]
    return sorted(found, key=lambda file: (int(file.group), file.first, file.last))


def numbered_files(folder: Path) -> list[StoredFile]:
    """Files of letters, of hours of the API, or of commits, by commit."""
    found = [
        StoredFile(path, folder.name, "", int(match["first"]), int(match["last"]))
        for path in folder.glob("*.parquet")
        if (match := _NUMBERED.fullmatch(path.name))
    ]
    return sorted(found, key=lambda file: (file.first, file.last))


def replaced_files(files: Iterable[StoredFile]) -> dict[StoredFile, StoredFile]:
    """Of these, the ones that another one replaces, and which."""
    listed = list(files)
    wide: dict[tuple[str, str], list[StoredFile]] = {}
    for file in listed:
        if file.first < file.last:
            wide.setdefault((file.group, file.period[:10]), []).append(file)
    candidates = ((file, other) for file in listed for other in wide.get((file.group, file.period[:10]), ()))
    return {file: other for file, other in candidates if file.is_replaced_by(other)}


def readable_sessions(root: Path) -> list[Path]:
    """The files of sessions that count at this moment: committed and not replaced, and the layouts."""
    number = max(map(commit_number, committed(root)), default=0)
    files = session_files(root)
    gone = replaced_files(files)
    layouts = sorted((root / SESSIONS_FOLDER).glob("*.parquet"))
    return layouts + [file.path for file in files if file.last <= number and file not in gone]


def committed(root: Path) -> list[Path]:
    """The latest commit of those with letters, and of those without."""
    folders = (root / COMMITS_FOLDER, root / LETTERS_FOLDER)
    return [files[-1] for folder in folders if (files := commits_in(folder))]


def commits_in(folder: Path) -> list[Path]:
    """A folder's commits, in order; merged letters are none."""
    return [file.path for file in numbered_files(folder) if file.first == file.last]


def commit_number(path: Path) -> int:
    """Of a commit's file."""
    return int(path.name.partition("-")[0])


def numbered(first: int, last: int) -> str:
    """The beginning of a name."""
    return f"{first:012d}-{last:012d}"


def spelled(ranges: Iterable[tuple[int, int, int]]) -> str:
    """Partitions with their first and last offset, as names carry them; of many the first few."""
    parts = [f"p{partition}.{first}-{last}" for partition, first, last in sorted(ranges)]
    more = [f"{len(parts) - _SPELLED_MAX}more"] if len(parts) > _SPELLED_MAX else []
    return "+".join([*parts[:_SPELLED_MAX], *more]) or "nowhere"


def hour_of(moment: datetime) -> str:
    """The hour that a commit belongs to."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H")


def publish_file(folder: Path, prefix: str, write: Callable[[Path], None], *, with_digest: bool = True) -> Path:
    """Write beside, fsync, rename, fsync the folder: the file is there whole, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{prefix}.{os.getpid()}{UNFINISHED}"
    try:
        write(unfinished)
        _sync(unfinished)
        name = f"{prefix}_{_digest_of(unfinished)}" if with_digest else prefix
        target = folder / f"{name}.parquet"
        unfinished.replace(target)
        for changed in (folder, folder.parent, folder.parent.parent):
            _sync(changed)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    return target


def unfinished_files(root: Path) -> Iterator[Path]:
    """What a killed process left half-way."""
    return root.rglob(f"*{UNFINISHED}")


def _digest_of(file: Path) -> str:
    digest = blake2b(digest_size=8)
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
