"""The topics as an AsyncAPI 3 document: names, keys, payloads, how the broker keeps them."""

from typing import Any

from callweave import __version__
from callweave.contracts.json_schemas import inlined, json_schemas
from schemas.records import RECORDS
from schemas.topics import DEAD_LETTERS, EVENT_TOPICS, KEYED_TOPICS, RECONCILE, SESSIONS, TOPICS, Topic

DEFAULT_PREFIX = "tccc."
_SESSION_KEY = {
    "type": "string",
    "description": "<SdkAppId>:<SessionId> in UTF-8: everything about one session is in one partition, in order",
    "examples": ["1400000001:3f1c0a52-0d6e-4c6b-9a55-7a1d2c3b4e01"],
}
_OTHER_KEYS = {
    DEAD_LETTERS.suffix: {"type": "string", "description": "dead_letter_id"},
    RECONCILE.suffix: {"type": "string", "description": "<SdkAppId>:<hours since 1970>"},
    **{
        suffix: {"type": "string", "description": f"{', '.join(record.KEY)}, with a tab between; times in milliseconds"}
        for suffix, record in RECORDS.items()
    },
}


def asyncapi_document() -> dict[str, Any]:
    """The document, for the default prefix."""
    schemas = json_schemas()
    payloads = payload_schemas()
    topics = [topic for topic in (*TOPICS, *KEYED_TOPICS) if topic.suffix in payloads]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "callweave topics",
            "version": __version__,
            "description": "What callweave publishes to Kafka. Topic names begin with KAFKA__TOPIC_PREFIX "
            f"(default {DEFAULT_PREFIX}).",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.suffix: _channel(topic) for topic in topics},
        "operations": {f"read_{topic.suffix}": _operation(topic) for topic in topics},
        "components": {
            "messages": {topic.suffix: _message(topic, payloads[topic.suffix]) for topic in topics},
            "schemas": {name: inlined(schema) for name, schema in schemas.items()},
        },
    }


def payload_schemas() -> dict[str, str]:
    """By the topic's suffix: the name of the schema of its values."""
    schemas = json_schemas()
    return {
        SESSIONS.suffix: _named(schemas, "session"),
        DEAD_LETTERS.suffix: _named(schemas, "dead_letter"),
        RECONCILE.suffix: _named(schemas, "reconcile"),
        **{topic.suffix: _named(schemas, "event") for topic in EVENT_TOPICS},
        **{topic.suffix: _named(schemas, topic.suffix) for topic in KEYED_TOPICS},
    }


def _named(schemas: dict[str, dict[str, Any]], kind: str) -> str:
    return next(name for name in schemas if name.startswith(f"{kind}.v"))


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name(DEFAULT_PREFIX),
        "description": topic.carries,
        "messages": {topic.suffix: {"$ref": f"#/components/messages/{topic.suffix}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name(DEFAULT_PREFIX),
                "topicConfiguration": {
                    name: value.split(",") if name == "cleanup.policy" else int(value)
                    for name, value in topic.config.items()
                    if name in ("cleanup.policy", "retention.ms", "max.message.bytes")
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(topic: Topic) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{topic.suffix}"},
        "summary": f"callweave sends {topic.carries}",
    }


def _message(topic: Topic, schema: str) -> dict[str, Any]:
    return {
        "name": topic.suffix,
        "title": topic.carries,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "bindings": {"kafka": {"key": _OTHER_KEYS.get(topic.suffix, _SESSION_KEY), "bindingVersion": "0.5.0"}},
    }
