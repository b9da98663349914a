"""Topics and permissions as calls of Kafka's own tools, for those whose platform team makes them."""

import shlex
from collections.abc import Iterator

from callweave.acls import PRINCIPAL_PREFIX, acls_of
from callweave.settings import ArchiverSettings, EnrichSettings, Settings
from callweave.topics import expected_partitions
from schemas.topics import KEYED_TOPICS, TOPICS

_HEAD = """\
#!/bin/sh
# Generated from schemas/topics.py (`make deploy-files`). BOOTSTRAP: the brokers; CONFIG: a file with the credentials of
# a Kafka administrator.{more}
set -eu
"""
_FULL = Settings.model_construct(
    enrich=EnrichSettings.model_construct(directory=True), archiver=ArchiverSettings.model_construct(store="on")
)
"""The default prefix and partition count, with everything on."""


def topics_script() -> str:
    """Every topic, as `callweave topics apply` would make it, with three replicas."""
    lines = [_HEAD.format(more=" The last eight only where ENRICH__… (six) and ARCHIVER__STORE (two) are set.")]
    for topic in (*TOPICS, *KEYED_TOPICS):
        words = ["--create", "--if-not-exists", "--topic", topic.name(_FULL.kafka.topic_prefix)]
        words += ["--partitions", str(expected_partitions(topic, _FULL)), "--replication-factor", "3"]
        for key, value in {**topic.config, "min.insync.replicas": "2"}.items():
            words += ["--config", f"{key}={value}"]
        called = " ".join(map(shlex.quote, words))
        lines.append(f'kafka-topics.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" {called}')
    return "\n".join(lines) + "\n"


def acls_script() -> str:
    """Every permission."""
    return "\n".join([_HEAD.format(more=""), *_permissions()]) + "\n"


def _permissions() -> Iterator[str]:
    client = None
    for acl in acls_of(_FULL):
        if acl.client is not client:
            client = acl.client
            yield f"# {client.value}"
        yield acl.command(PRINCIPAL_PREFIX)
