"""What each role may do in Kafka, and nothing more: least privilege, made of the one list of topics.

The rule: READ and WRITE bring DESCRIBE with them (Kafka's own rule), so nothing is listed that is implied. Test runs of
the real broker with its authorizer on hold the roles to exactly this.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest

from callweave.kafka import admin_client
from callweave.settings import Settings
from callweave.topics import topics_of, worker_group
from schemas.topics import (
    ARCHIVE_TOPICS,
    DEAD_LETTERS,
    ENRICHMENT_TOPICS,
    EVENT_TOPICS,
    KEYED_TOPICS,
    LEGAL_HOLDS,
    RECONCILE,
    SESSIONS,
    SUPPRESSIONS,
    Topic,
)


class Client(StrEnum):
    """Who talks to Kafka: the roles, and the person or the job that runs the other commands."""

    RECEIVER = "receiver"
    WORKER = "worker"
    LOADER = "loader"
    RECONCILE = "reconcile"
    ARCHIVER = "archiver"
    DASHBOARD = "dashboard"
    OPERATOR = "operator"


class Operation(IntEnum):
    """Kafka's numbers."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10


class Resource(IntEnum):
    """Kafka's numbers."""

    TOPIC = 2
    GROUP = 3


_LITERAL: Final = 3
_ALLOW: Final = 3
_EVERY_HOST: Final = "*"
PRINCIPAL_PREFIX: Final = "User:callweave-"


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One permission."""

    client: Client
    resource: Resource
    name: str
    operation: Operation

    def command(self, principal_prefix: str) -> str:
        """The call of Kafka's own tool that gives it."""
        words = ["kafka-acls.sh", "--bootstrap-server", "$BOOTSTRAP", "--command-config", "$CONFIG", "--add", "--force"]
        words += ["--allow-principal", f"{principal_prefix}{self.client}"]
        words += ["--operation", _WORDS[self.operation], f"--{self.resource.name.lower()}", self.name]
        return " ".join(f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in words)


_WORDS: Final = {
    Operation.READ: "Read",
    Operation.WRITE: "Write",
    Operation.CREATE: "Create",
    Operation.DESCRIBE: "Describe",
    Operation.DESCRIBE_CONFIGS: "DescribeConfigs",
}


def acls_of(settings: Settings) -> list[Acl]:
    """Everything that is to be allowed, sorted; without enrichment, nothing about its topics."""
    there = topics_of(settings)
    prefix = settings.kafka.topic_prefix

    def on(client: Client, operation: Operation, topics: tuple[Topic, ...]) -> Iterator[Acl]:
        for topic in topics:
            if topic in there:
                yield Acl(client, Resource.TOPIC, topic.name(prefix), operation)

    group = worker_group(settings)
    return sorted(
        [
            *on(Client.RECEIVER, Operation.WRITE, (*EVENT_TOPICS, DEAD_LETTERS)),
            *on(Client.WORKER, Operation.READ, (*EVENT_TOPICS, SESSIONS)),
            *on(Client.WORKER, Operation.WRITE, (SESSIONS, DEAD_LETTERS)),
            Acl(Client.WORKER, Resource.GROUP, group, Operation.READ),
            *on(Client.LOADER, Operation.READ, (SESSIONS, DEAD_LETTERS, RECONCILE, *KEYED_TOPICS)),
            *on(Client.LOADER, Operation.WRITE, (DEAD_LETTERS,)),
            *on(Client.RECONCILE, Operation.READ, (RECONCILE, *_while_enriching(settings), *ENRICHMENT_TOPICS)),
            *on(Client.RECONCILE, Operation.WRITE, (*EVENT_TOPICS, DEAD_LETTERS, RECONCILE, *ENRICHMENT_TOPICS)),
            # Whoever passes on what people said reads first who was erased.
            *(
                acl
                for client in (Client.RECEIVER, Client.WORKER, Client.LOADER, Client.RECONCILE)
                for acl in on(client, Operation.READ, (SUPPRESSIONS,))
            ),
            *_of_the_archiver(settings),
            # The pushes of one call stand in the sessions topic alone; of the others the page asks for their ends.
            *on(Client.DASHBOARD, Operation.READ, (SESSIONS,)),
            *on(Client.DASHBOARD, Operation.DESCRIBE, tuple(topic for topic in there if topic != SESSIONS)),
            Acl(Client.DASHBOARD, Resource.GROUP, group, Operation.DESCRIBE),
            # Creates and checks topics, looks at calls and letters, replays letters, erases, holds.
            *on(Client.OPERATOR, Operation.CREATE, there),
            *on(Client.OPERATOR, Operation.DESCRIBE_CONFIGS, there),
            *on(Client.OPERATOR, Operation.READ, there),
            *on(Client.OPERATOR, Operation.WRITE, (*EVENT_TOPICS, DEAD_LETTERS, LEGAL_HOLDS, SUPPRESSIONS)),
            Acl(Client.OPERATOR, Resource.GROUP, group, Operation.DESCRIBE),
        ]
    )


def _of_the_archiver(settings: Settings) -> Iterator[Acl]:
    if settings.archiver.is_on:
        prefix = settings.kafka.topic_prefix
        yield Acl(Client.ARCHIVER, Resource.GROUP, f"{prefix}archiver", Operation.READ)
        for topic in (SESSIONS, *ARCHIVE_TOPICS):
            yield Acl(Client.ARCHIVER, Resource.TOPIC, topic.name(prefix), Operation.READ)
        for topic in ARCHIVE_TOPICS:
            yield Acl(Client.ARCHIVER, Resource.TOPIC, topic.name(prefix), Operation.WRITE)


def _while_enriching(settings: Settings) -> tuple[Topic, ...]:
    return (SESSIONS,) if settings.enrich.is_on else ()


async def apply_acls(settings: Settings, acls: list[Acl], principal_prefix: str) -> None:
    """Give them; the principal of the settings must be allowed to. Giving twice equals giving once."""
    async with admin_client(settings) as admin:
        for acl in acls:
            request = CreateAclsRequest(
                acl.resource,
                acl.name,
                _LITERAL,
                f"{principal_prefix}{acl.client}",
                _EVERY_HOST,
                acl.operation,
                _ALLOW,
            )
            # aiokafka's admin client has no public call for ACLs (0.14), and any broker takes this one.
            response = await admin._send_request(request)  # noqa: SLF001
            for code, message in response.creation_responses:
                if code:
                    raise for_code(code)(message or acl.name)
