"""Which log a worker's state, or a warehouse's offsets, are of: the ids that Kafka gives to clusters and topics.

A topic that is deleted and made anew keeps its name and gets another id; offsets of the old one mean nothing in it.
aiokafka speaks Metadata up to version 5, which knows no topic ids; version 12 is written out here.
"""

import uuid
from collections.abc import Sequence
from io import BytesIO
from typing import Any, ClassVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAuthorizationFailedError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from callweave.kafka import admin_client
from callweave.settings import Settings
from schemas.topics import SESSIONS
from streams.engine.state_dir import LogIdentity

_NOT_TOLD = -(2**31)
"""Instead of a sum of operations: the broker does not say."""
_ID_BITS = 63
"""Of a topic's id, as the warehouse keeps it beside the offsets: in a signed 64-bit integer."""


async def read_log_identity(settings: Settings) -> LogIdentity:
    """Ask the broker."""
    name = SESSIONS.name(settings.kafka.topic_prefix)
    async with admin_client(settings) as admin:
        try:
            answer = await _ask(admin, [name])
        except NotImplementedError:  # a broker before 2.8 has no topic ids
            cluster = await admin.describe_cluster()
            described = await admin.describe_topics([name])
            return LogIdentity(cluster["cluster_id"], name, "", len(described[0]["partitions"]))
    error_code, _, topic_id, _, partitions, *_ = answer.topics[0]
    if error_code:
        raise for_code(error_code)(f"topic {name}")
    return LogIdentity(answer.cluster_id, name, str(topic_id), len(partitions))


async def read_topic_ids(settings: Settings, topics: Sequence[str]) -> dict[str, int]:
    """A number for each topic that another topic of the same name does not have; nothing where the broker has none."""
    async with admin_client(settings) as admin:
        try:
            answer = await _ask(admin, topics)
        except NotImplementedError:
            return {}
    return {
        name: topic_id.int >> (128 - _ID_BITS) for error_code, name, topic_id, *_ in answer.topics if not error_code
    }


async def read_allowed_operations(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """What we may do with each topic, as a sum of 2^(Kafka's number of the operation); nothing of topics not there."""
    try:
        answer = await _ask(admin, topics)
    except NotImplementedError:
        return {}
    allowed: dict[str, int] = {}
    for error_code, name, *_, operations, _ in answer.topics:
        if for_code(error_code) is TopicAuthorizationFailedError:
            allowed[name] = 0
        elif not error_code and operations != _NOT_TOLD:
            allowed[name] = operations
    return allowed


async def _ask(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> Any:
    return await admin._send_request(_MetadataRequest(topics))  # noqa: SLF001  (no public door for own requests)


class _Uuid:
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))

    @classmethod
    def repr(cls, value: uuid.UUID) -> str:
        return str(value)


class _MetadataResponseV12(Response):  # type: ignore[misc]  # aiokafka.protocol is untyped to us
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestV12(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponseV12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestV12]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestV12]) -> Any:
        nobody = uuid.UUID(int=0)
        return request_struct_class([(nobody, topic, {}) for topic in self._topics], False, True, {})
