"""What the archiver counts."""

from collections.abc import Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas.archive import FileStatus


class ArchiverMetrics:
    """The archiver's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._files = Gauge("callweave_archive_files", "Recordings and voicemails", ["status"], registry=registry)
        attempts = Counter("callweave_archive_attempts_total", "Tries to fetch a file", ["outcome"], registry=registry)
        self.stored = attempts.labels("stored")
        self.failed = attempts.labels("failed")
        self.bytes = Counter("callweave_archive_bytes_total", "Bytes that came into the archive", registry=registry)
        self.vanishing = Gauge(
            "callweave_archive_vanishing_files",
            "Files that are not in the archive and that TCCC deletes within 14 days",
            registry=registry,
        )
        self.oldest_waiting = Gauge(
            "callweave_archive_oldest_waiting_seconds",
            "How long the oldest waiting file has been known",
            registry=registry,
        )
        self.show({})

    def show(self, statuses: Mapping[FileStatus, int]) -> None:
        """Show how many files are how."""
        for status in get_args(FileStatus):
            self._files.labels(status).set(statuses.get(status, 0))
