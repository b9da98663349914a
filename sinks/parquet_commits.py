"""Commits of a Parquet warehouse: one file each, whose appearance is the commit; it holds the letters and the offsets.

The rule: a batch's sessions lie in their folders before its commit appears, and letters are told by the commit itself,
so a process that is killed at any point leaves either the batch or nothing that counts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sinks.letters import LetterRow
from sinks.parquet_files import (
    COMMITS_FOLDER,
    LETTERS_FOLDER,
    commit_number,
    commits_in,
    committed,
    numbered,
    publish_file,
)
from sinks.parquet_rows import letters_told
from sinks.sink import LogPartition

_METADATA_KEY: Final = b"callweave"
_QUIET_COMMITS_KEPT: Final = 50
"""Of commits without letters only the last counts; some stay for readers who have just listed the folder."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The state after a commit: its number and time, and each partition's next offset with when it last moved."""

    number: int
    offsets: Mapping[LogPartition, tuple[int, datetime]]
    at: datetime

    def after(self, moved: Mapping[LogPartition, int], now: datetime) -> "Commit":
        """The state when these offsets have moved."""
        changed = {partition: (next_offset, now) for partition, next_offset in moved.items()}
        return Commit(self.number + 1, {**self.offsets, **changed}, now)


NO_COMMIT: Final = Commit(0, {}, datetime.fromtimestamp(0, UTC))


def latest_commit(root: Path) -> Commit:
    """Where the warehouse is; number 0 before its first commit."""
    last = committed(root)
    if not last:
        return NO_COMMIT
    metadata = pq.read_metadata(max(last, key=commit_number)).metadata
    told = json.loads(metadata[_METADATA_KEY])
    return Commit(
        told["commit"],
        {
            LogPartition(topic, partition): (next_offset, datetime.fromisoformat(moment))
            for topic, partition, next_offset, moment in told["offsets"]
        },
        datetime.fromisoformat(told["at"]),
    )


def publish_commit(root: Path, commit: Commit, letters: Sequence[LetterRow]) -> None:
    """Make the commit appear, and forget the quiet ones long before it."""
    rows = letters_told(letters, commit.number)
    told = {
        "commit": commit.number,
        "at": commit.at.astimezone(UTC).isoformat(),
        "offsets": [
            [*partition, next_offset, moment.astimezone(UTC).isoformat()]
            for partition, (next_offset, moment) in sorted(commit.offsets.items())
        ],
    }
    table = rows.replace_schema_metadata({_METADATA_KEY: json.dumps(told)})
    folder = root / (LETTERS_FOLDER if letters else COMMITS_FOLDER)
    publish_file(folder, numbered(commit.number, commit.number), lambda path: _write(table, path), with_digest=False)
    for quiet in commits_in(root / COMMITS_FOLDER)[:-_QUIET_COMMITS_KEPT]:
        quiet.unlink(missing_ok=True)


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd")
