"""What the loader asks of Kafka: records in bounded hauls, and letters that are acknowledged when `publish` returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from schemas.dead_letter import DeadLetter
from sinks.sink import LogPartition


class Record(NamedTuple):
    """One record of a topic; `published_at` in UNIX seconds, `trace` where somebody traces it and the loader looks."""

    partition: LogPartition
    offset: int
    key: bytes | None
    value: bytes | None
    published_at: float | None = None
    trace: bytes | None = None

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it stands, as dead letters say it."""
        return (*self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Haul:
    """Records in the order of their partitions, and where every partition is to be read on from after them."""

    records: Sequence[Record]
    positions: Mapping[LogPartition, int]


class LogUnavailableError(Exception):
    """Kafka, or a topic of ours, is away. Open the source again from what is stored."""


class UndeliverableLetterError(Exception):
    """A dead letter that Kafka will never take."""


class Source(Protocol):
    """The topics that are loaded. May raise LogUnavailableError; is opened again after that."""

    async def open(self, stored: Mapping[LogPartition, int]) -> None:
        """Connect, and go on from the stored offsets; partitions without one begin at their beginning."""

    async def read(self) -> Haul:
        """What has come; without records when nothing came for a while."""

    def ends(self) -> Mapping[LogPartition, int]:
        """Where each partition ends, as far as known."""

    async def close(self) -> None:
        """Disconnect. Closing twice equals closing once."""


class Outbox(Protocol):
    """Where dead letters go."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are acknowledged. Raises LogUnavailableError or UndeliverableLetterError."""

    async def close(self) -> None:
        """Disconnect."""
