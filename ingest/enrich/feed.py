"""Sessions as the worker publishes them, read for those whose details are wanted.

Nothing is committed: a reading that begins as far back as sessions are asked for meets every one of them.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ingest.enrich.details import WantedSession, wanted_session
from schemas.models import instant_ms

_RECORDS_AT_ONCE: Final = 500
_PAUSE_SECONDS: Final = 0.5


class Feed(Protocol):
    """Gives sessions that have something to tell."""

    async def poll(self) -> list[WantedSession]:
        """What came since; soon, and maybe nothing."""
        ...


class SessionFeed:
    """A Feed over the topic `sessions`. The consumer is started, and belongs to whoever made it."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], *, since: datetime) -> None:
        self._consumer = consumer
        self._partitions = list(partitions)
        self._since = since
        self._is_assigned = False

    async def poll(self) -> list[WantedSession]:
        """Read on; nothing while Kafka is away."""
        try:
            if not self._is_assigned:
                await self._assign()
            found: dict[Any, list[Any]] = await self._consumer.getmany(timeout_ms=500, max_records=_RECORDS_AT_ONCE)
        except (KafkaError, OSError):
            await asyncio.sleep(_PAUSE_SECONDS)
            return []
        values = [record.value for records in found.values() for record in records if record.value is not None]
        return [wanted for wanted in map(wanted_session, values) if wanted is not None]

    async def _assign(self) -> None:
        partitions = self._partitions
        self._consumer.assign(partitions)
        # The ends first: what is written between the two questions must not be stepped over.
        ends = await self._consumer.end_offsets(partitions)
        # A session that ended since then has its newest record after that: records carry the time of their writing.
        places = await self._consumer.offsets_for_times(dict.fromkeys(partitions, instant_ms(self._since)))
        for partition in partitions:
            place = places.get(partition)
            self._consumer.seek(partition, ends[partition] if place is None else place.offset)
        self._is_assigned = True
