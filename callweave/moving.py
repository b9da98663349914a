"""`callweave topics copy`: what topics of another prefix hold, into those of this one, with another partition count.

The rule: everything but `sessions`, which a worker makes anew of the events (their order is of no account, nor is their
repetition), and `dead_letters`, whose sightings the warehouse has counted. Who is erased goes before what they said.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from callweave.kafka import admin_client, client_options, end_offsets, partitions_of, plain_consumer
from callweave.settings import MisconfiguredError, Settings
from callweave.topics import check_topics, topics_of
from schemas.topics import DEAD_LETTERS, MESSAGE_BYTES_MAX, SESSIONS, SUPPRESSIONS, Topic

Progress = Callable[[str, int, int], None]
_RECORDS_AT_ONCE = 2_000


async def copy_topics(settings: Settings, from_prefix: str, progress: Progress) -> dict[str, int]:
    """Copy what is there now, with its time; how many records of each topic. Twice adds nothing to any session."""
    if from_prefix == settings.kafka.topic_prefix:
        raise MisconfiguredError(
            f"{from_prefix} is the prefix of these settings: set CALLWEAVE_KAFKA__TOPIC_PREFIX to the new one"
        )
    if problems := [f"{finding.name} {finding.problem}" for finding in await check_topics(settings) if finding.problem]:
        raise MisconfiguredError(f"the topics to copy to are not as they must be: {'; '.join(problems)}")
    kept = [topic for topic in topics_of(settings) if topic not in (SESSIONS, DEAD_LETTERS)]
    kept.sort(key=lambda topic: topic is not SUPPRESSIONS)
    async with AsyncExitStack() as held:
        admin = await held.enter_async_context(admin_client(settings))
        producer = AIOKafkaProducer(
            **client_options(settings),
            acks="all",
            enable_idempotence=True,
            max_request_size=MESSAGE_BYTES_MAX,
            compression_type="zstd",
        )
        await producer.start()
        held.push_async_callback(producer.stop)
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
        ends = await end_offsets(admin, consumer, [source])
        begins = await consumer.beginning_offsets(partitions)
        total = sum(ends[tp.topic, tp.partition] - begins[tp] for tp in partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        left = {tp for tp in partitions if begins[tp] < ends[tp.topic, tp.partition]}
        while left:
            found = await consumer.getmany(*left, timeout_ms=1000, max_records=_RECORDS_AT_ONCE)
            records = [
                record for tp, some in found.items() for record in some if record.offset < ends[tp.topic, tp.partition]
            ]
            sent = [
                await producer.send(
                    target, record.value, record.key, timestamp_ms=record.timestamp, headers=list(record.headers)
                )
                for record in records
            ]
            for acknowledged in sent:
                await acknowledged
            copied += len(records)
            positions = {tp: await consumer.position(tp) for tp in partitions}
            left = {tp for tp in left if positions[tp] < ends[tp.topic, tp.partition]}
            done = sum(min(positions[tp], ends[tp.topic, tp.partition]) - begins[tp] for tp in partitions)
            progress(f"copying {source}", done, total)
    return copied
