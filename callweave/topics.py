"""`callweave topics apply | check`: the broker has the topics of `schemas.topics`, as they must be.

Partition counts and clean-up decide about correctness: one key must meet in one partition of every topic, and the
session topic must be compacted and nothing else.
"""

from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from callweave.kafka import admin_client
from callweave.settings import Settings
from schemas.topics import ARCHIVE_TOPICS, ENRICHMENT_TOPICS, TOPICS, Topic


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """One topic, and what is wrong with it (None: nothing)."""

    name: str
    partitions: int
    problem: str | None


async def apply_topics(settings: Settings) -> list[str]:
    """Create what is missing; the names of what was created. Existing topics are left as they are (see `check`)."""
    async with admin_client(settings) as admin:
        existing = set(await admin.list_topics())
        wanted = [topic for topic in topics_of(settings) if topic.name(settings.kafka.topic_prefix) not in existing]
        if not wanted:
            return []
        response = await admin.create_topics([_new_topic(topic, settings) for topic in wanted])
        for name, code, *_ in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(name)
        return [topic.name(settings.kafka.topic_prefix) for topic in wanted]


async def check_topics(settings: Settings) -> list[TopicFinding]:
    """Compare every topic with what it must be."""
    async with admin_client(settings) as admin:
        existing = set(await admin.list_topics())
        return [await _finding(admin, topic, settings, existing) for topic in topics_of(settings)]


async def problems_of_topics(settings: Settings) -> str:
    """What is wrong with the topics, in one line; empty where nothing is."""
    findings = await check_topics(settings)
    return "; ".join(f"{finding.name} {finding.problem}" for finding in findings if finding.problem)


def topics_of(settings: Settings) -> tuple[Topic, ...]:
    """The topics that are needed: those of enrichment and of the archive only where these are on."""
    enrichment = ENRICHMENT_TOPICS if settings.enrich.is_on else ()
    archive = ARCHIVE_TOPICS if settings.archiver.is_on else ()
    return (*TOPICS, *enrichment, *archive)


def worker_group(settings: Settings) -> str:
    """The worker's consumer group."""
    return f"{settings.kafka.topic_prefix}worker"


def expected_partitions(topic: Topic, settings: Settings) -> int:
    """The configured count; the dead letters have one."""
    return settings.kafka.partitions if topic.partitioned else 1


def _new_topic(topic: Topic, settings: Settings) -> NewTopic:
    factor = settings.kafka.replication_factor
    return NewTopic(
        topic.name(settings.kafka.topic_prefix),
        expected_partitions(topic, settings),
        factor,
        topic_configs={**topic.config, "min.insync.replicas": str(max(1, factor - 1))},
    )


async def _finding(admin: AIOKafkaAdminClient, topic: Topic, settings: Settings, existing: set[str]) -> TopicFinding:
    name = topic.name(settings.kafka.topic_prefix)
    if name not in existing:
        return TopicFinding(name, 0, "does not exist: run `callweave topics apply`")
    described = await admin.describe_topics([name])
    partitions = len(described[0]["partitions"])
    wanted = expected_partitions(topic, settings)
    if partitions != wanted:
        return TopicFinding(
            name,
            partitions,
            f"has {partitions} partitions instead of {wanted}: set CALLWEAVE_KAFKA__PARTITIONS to what it was made "
            "with; where partitions were added, move to another prefix (`callweave topics copy`, docs/scaling.md), "
            "because a session's records must meet in one partition",
        )
    configured = await _config_of(admin, name)
    for key, value in topic.config.items():
        if _as_set(configured.get(key, "")) != _as_set(value):
            return TopicFinding(name, partitions, f"has {key}={configured.get(key)} instead of {value}")
    return TopicFinding(name, partitions, None)


async def _config_of(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for response in responses for resource in response.resources for entry in resource[4]}


def _as_set(value: str) -> set[str]:
    return set(value.split(","))
