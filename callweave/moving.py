"""`callweave topics copy`: what topics of another prefix hold, into those of this one, with another partition count.

The rule: everything but `sessions`, which a worker makes anew of the events (their order is of no account, nor is their
repetition), and `dead_letters`, whose sightings the warehouse has counted. Who is erased goes before what they said.
"""

from collections.abc import Callable
from functools import partial
from itertools import chain

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from callweave.kafka import admin_client, partitions_of, plain_consumer, plain_producer, read_now
from callweave.settings import MisconfiguredError, Settings
from callweave.topics import problems_of_topics, topics_of
from schemas.topics import DEAD_LETTERS, MESSAGE_BYTES_MAX, SESSIONS, SUPPRESSIONS, Topic

Progress = Callable[[str, int, int], None]
_RECORDS_AT_ONCE = 2_000


async def copy_topics(settings: Settings, from_prefix: str, progress: Progress) -> dict[str, int]:
    """Copy what is there now, with its time; how many records of each topic. Twice adds nothing to any session."""
    if from_prefix == settings.kafka.topic_prefix:
        raise MisconfiguredError(
            f"{from_prefix} is the prefix of these settings: set CALLWEAVE_KAFKA__TOPIC_PREFIX to the new one"
        )
    if problems := await problems_of_topics(settings):
        raise MisconfiguredError(f"the topics to copy to are not as they must be: {problems}")
    kept = [topic for topic in topics_of(settings) if topic not in (SESSIONS, DEAD_LETTERS)]
    kept.sort(key=lambda topic: topic is not SUPPRESSIONS)
    async with admin_client(settings) as admin, plain_producer(settings) as producer:
        there = set(await admin.list_topics())
        if SESSIONS.name(from_prefix) not in there:
            raise MisconfiguredError(
                f"Kafka has no topic {SESSIONS.name(from_prefix)}: is {from_prefix} the old prefix?"
            )
        return {
            topic.name(from_prefix): await _copy(settings, admin, producer, topic, from_prefix, progress)
            for topic in kept
            if topic.name(from_prefix) in there
        }


async def _copy(
    settings: Settings,
    admin: AIOKafkaAdminClient,
    producer: AIOKafkaProducer,
    topic: Topic,
    from_prefix: str,
    progress: Progress,
) -> int:
    source, target = topic.name(from_prefix), topic.name(settings.kafka.topic_prefix)
    copied = 0
    async with plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer:
        partitions = await partitions_of(admin, [source])
        told = partial(progress, f"copying {source}")
        async for found in read_now(consumer, partitions, records_max=_RECORDS_AT_ONCE, told=told):
            sent = [
                await producer.send(
                    target, record.value, record.key, timestamp_ms=record.timestamp, headers=list(record.headers)
                )
                for record in chain.from_iterable(found.values())
            ]
            for acknowledged in sent:
                await acknowledged
            copied += len(sent)
    return copied
