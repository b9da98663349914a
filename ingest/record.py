"""Keeps masked pushes as lines of JSON in a directory, for later study of what TCCC really sends (`--record`).

The rule: it never holds up a push. A thread writes; what it cannot write in time is counted and left out, and when the
directory holds more than its bound, the oldest file goes.
"""

import contextlib
import json
import os
import queue
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter

from schemas import metrics as listed

BYTES_MAX = 256 * 1024 * 1024
"""The default bound of a directory of records."""

_WAITING_MAX = 1_000
_FILES = 8  # the oldest eighth goes at a time
_PATTERN = "pushes-*.jsonl"

_log = structlog.stdlib.get_logger(__name__)


class RecordError(Exception):
    """The directory cannot be used; the message says why."""


class PushRecorder:
    """A Recorder over a directory."""

    def __init__(self, directory: Path, *, registry: CollectorRegistry, bytes_max: int = BYTES_MAX) -> None:
        self._directory = directory
        self._file_bytes_max = max(1, bytes_max // _FILES)
        self._bytes_max = bytes_max
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_WAITING_MAX)
        self._kept = Counter(**listed.PUSH_RECORDS.arguments, registry=registry)
        self._left_out = Counter(**listed.PUSH_RECORDS_LEFT_OUT.arguments, registry=registry)
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            (directory / ".probe").write_bytes(b"")
            (directory / ".probe").unlink()
        except OSError as exc:
            raise RecordError(f"pushes cannot be kept in {directory}: {exc.strerror}; choose another --record") from exc
        self._file_number = 0
        self._thread = threading.Thread(target=self._write_all, name="push-recorder", daemon=True)
        self._thread.start()

    def record(self, entry: Mapping[str, Any]) -> None:
        """Keep one entry."""
        try:
            self._waiting.put_nowait(json.dumps(entry).encode() + b"\n")
        except queue.Full:
            self._left_out.inc()

    def close(self) -> None:
        """Write what waits, and stop."""
        self._waiting.put(None)
        self._thread.join(timeout=10)

    def _write_all(self) -> None:
        path = self._next_path()
        while (line := self._waiting.get()) is not None:
            try:
                self._make_room(len(line))
                if path.exists() and path.stat().st_size + len(line) > self._file_bytes_max:
                    path = self._next_path()
                with open(path, "ab", opener=_private) as file:
                    file.write(line)
            except OSError as exc:
                self._left_out.inc()
                _log.error("push_record_failed", error=exc.strerror, advice="make room, or stop without --record")
            else:
                self._kept.inc()

    def _next_path(self) -> Path:
        self._file_number += 1
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        return self._directory / f"pushes-{started}-{self._file_number:04d}.jsonl"

    def _make_room(self, needed: int) -> None:
        files = sorted(self._directory.glob(_PATTERN))
        held = sum(file.stat().st_size for file in files)
        for oldest in files:
            if held + needed <= self._bytes_max:
                return
            held -= oldest.stat().st_size
            with contextlib.suppress(FileNotFoundError):
                oldest.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
