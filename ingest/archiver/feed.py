"""Sessions as the worker publishes them, from where the archiver left off.

The rule: a position is committed only after what the documents before it changed is acknowledged.
"""

import asyncio
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

_RECORDS_AT_ONCE: Final = 500
_PAUSE_SECONDS: Final = 0.5


class Feed(Protocol):
    """Gives the values of session records."""

    async def poll(self) -> list[bytes]:
        """What came since; soon, and maybe nothing."""
        ...

    async def commit(self) -> None:
        """All that was given is dealt with."""
        ...


class CommittedFeed:
    """A Feed over the topic `sessions`. The consumer is started, has a group, and belongs to whoever made it."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        # By hand: one archiver reads all of it, and a second one, which would only repeat the work, is not given half.
        self._consumer.assign(partitions)

    async def poll(self) -> list[bytes]:
        """Read on; nothing while Kafka is away."""
        try:
            found: dict[Any, list[Any]] = await self._consumer.getmany(timeout_ms=500, max_records=_RECORDS_AT_ONCE)
        except (KafkaError, OSError):
            await asyncio.sleep(_PAUSE_SECONDS)
            return []
        return [record.value for records in found.values() for record in records if record.value is not None]

    async def commit(self) -> None:
        """Where Kafka is away, the next time says more."""
        try:
            await self._consumer.commit()
        except (KafkaError, OSError):
            await asyncio.sleep(_PAUSE_SECONDS)
