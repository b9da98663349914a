"""What the archiver measures, under the names of `schemas.metrics`."""

from collections.abc import Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas import metrics as listed
from schemas.archive import FileStatus


class ArchiverMetrics:
    """The archiver's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._files = Gauge(**listed.ARCHIVE_FILES.arguments, registry=registry)
        attempts = Counter(**listed.ARCHIVE_ATTEMPTS.arguments, registry=registry)
        self.stored = attempts.labels("stored")
        self.failed = attempts.labels("failed")
        self.bytes = Counter(**listed.ARCHIVE_BYTES.arguments, registry=registry)
        self.vanishing = Gauge(**listed.ARCHIVE_VANISHING.arguments, registry=registry)
        self.oldest_waiting = Gauge(**listed.ARCHIVE_OLDEST_WAITING.arguments, registry=registry)
        self.show({})

    def show(self, statuses: Mapping[FileStatus, int]) -> None:
        """Show how many files are how."""
        for status in get_args(FileStatus):
            self._files.labels(status).set(statuses.get(status, 0))
