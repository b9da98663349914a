"""Files without the rows of somebody who is erased.

The rule: the file without them appears before the one with them goes, and that goes at once: whoever is reading it at
that moment may have to ask again. A process that is killed in between leaves both, and does it again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.topics import RECORDING_FILES
from sinks.parquet_files import LETTERS_FOLDER, numbered_files, publish_file, session_files
from sinks.rows import SessionKey
from sinks.sink import PSEUDONYMISED


def forget(root: Path, sessions: Sequence[SessionKey], letters: Sequence[str]) -> None:
    """Rewrite what holds such rows."""
    by_app: dict[str, set[str]] = {}
    for key in sessions:
        by_app.setdefault(str(key.sdk_app_id), set()).add(key.session_id)
    for file in session_files(root):
        if (gone := by_app.get(file.group)) is not None:
            _rewrite_sessions(file.path, gone)
    for file in numbered_files(root / RECORDING_FILES.suffix):
        _rewrite_files(file.path, sessions)
    if letters:
        for file in numbered_files(root / LETTERS_FOLDER):
            _rewrite_letters(file.path, set(letters))


def _rewrite_sessions(path: Path, gone: set[str]) -> None:
    asked = pa.array(sorted(gone), pa.string())
    columns = pq.read_schema(path).names
    marks = pq.read_table(path, columns=[name for name in ("session_id", "erasure") if name in columns], **_PLAIN)
    is_gone = pc.is_in(marks["session_id"], value_set=asked)
    if "erasure" in columns:
        is_marked = pc.fill_null(pc.equal(marks["erasure"], PSEUDONYMISED), False)
        is_gone = pc.and_(is_gone, pc.invert(is_marked))
    if not pc.any(is_gone).as_py():
        return
    rows = pq.read_table(path, **_PLAIN).filter(pc.invert(is_gone))
    if rows.num_rows:
        prefix = path.stem.rpartition("_")[0]  # without the digest of what it held
        publish_file(path.parent, prefix, lambda target: pq.write_table(rows, target, compression="zstd"))
    path.unlink(missing_ok=True)


def _rewrite_files(path: Path, gone: Sequence[SessionKey]) -> None:
    files = pq.read_table(path, **_PLAIN)
    keys = set(gone)
    pairs = zip(files["sdk_app_id"].to_pylist(), files["session_id"].to_pylist(), strict=True)
    _rewrite_in_place(path, files, pa.array([SessionKey(*pair) in keys for pair in pairs], pa.bool_()))


def _rewrite_letters(path: Path, gone: set[str]) -> None:
    letters = pq.read_table(path, **_PLAIN)
    _rewrite_in_place(path, letters, pc.is_in(letters["dead_letter_id"], value_set=pa.array(sorted(gone), pa.string())))


def _rewrite_in_place(path: Path, rows: pa.Table, is_gone: Any) -> None:
    if not pc.any(is_gone).as_py():
        return
    # Under its own name, and with what it tells of its commit: such a file may be the latest commit.
    left = rows.filter(pc.invert(is_gone)).replace_schema_metadata(rows.schema.metadata)
    publish_file(
        path.parent,
        path.stem,
        lambda target: pq.write_table(left, target, compression="zstd"),
        with_digest=False,
    )


_PLAIN = {"partitioning": None}
