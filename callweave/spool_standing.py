"""What waits in the receiver's spool, read from its file: whether or not the receiver runs, and whether Kafka does."""

import time
from dataclasses import dataclass

from callweave.runtime import Runtime
from callweave.settings import Settings
from ingest.spool_file import SpoolSickError, look_into


@dataclass(frozen=True, slots=True)
class SpoolStanding:
    """The spool of this data directory, now."""

    entries: int
    bytes_count: int
    oldest_age_seconds: float | None
    first_id: int
    last_id: int
    problem: str | None

    def __str__(self) -> str:
        """For a person."""
        if self.oldest_age_seconds is None:
            return f"{self.entries} pushes"
        return f"{self.entries} pushes ({self.bytes_count} bytes), the oldest for {self.oldest_age_seconds:.0f} s"

    def is_before(self, now: "SpoolStanding") -> bool:
        """Whether something that was there when this was noted is still there."""
        return self.entries > 0 and now.entries > 0 and now.first_id <= self.last_id


def spool_standing(settings: Settings) -> SpoolStanding:
    """Look into the spool."""
    directory = settings.spool_dir
    try:
        found = look_into(directory)
    except SpoolSickError as exc:
        return SpoolStanding(0, 0, None, 0, 0, f"the spool in {directory} cannot be read: {exc}")
    problem = None
    if found.entries and Runtime(settings.data_dir).role("receiver") is None:
        problem = f"nobody drains the spool in {directory}: start the receiver"
    elif found.files_set_aside:
        problem = (
            f"{found.files_set_aside} damaged spool files were set aside in {directory}:"
            " when their calls are accounted for, remove them"
        )
    oldest = found.oldest_received_ms
    age = None if oldest is None else max(0.0, time.time() - oldest / 1000)
    return SpoolStanding(found.entries, found.bytes_count, age, found.first_id, found.last_id, problem)
