"""Whether Kafka lets this process do what its role needs: asked of the broker, said in a sentence, asked again.

The rule: aiokafka shows a topic that one may not read as one that is not there, and waits; so the broker is asked what
is allowed. A broker that is away, or that has no authorizer, is no missing permission.
"""

import asyncio
from typing import Final

import structlog
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from callweave.acls import Acl, Client, Resource, acls_of
from callweave.kafka import admin_client, group_offsets
from callweave.log_identity import read_allowed_operations
from callweave.settings import Settings

LOOK_SECONDS: Final = 10.0
ASK_SECONDS_MAX: Final = 20.0

log = structlog.get_logger(__name__)


async def missing_permissions(settings: Settings, client: Client) -> list[Acl]:
    """What the role needs and the credentials of the settings do not have."""
    needed = [acl for acl in acls_of(settings) if acl.client is client]
    topics = sorted({acl.name for acl in needed if acl.resource is Resource.TOPIC})
    async with admin_client(settings) as admin:
        allowed = await read_allowed_operations(admin, topics)
        missing = [
            acl
            for acl in needed
            if acl.resource is Resource.TOPIC
            and (bits := allowed.get(acl.name)) is not None
            and not bits & 1 << acl.operation
        ]
        for acl in needed:
            if acl.resource is Resource.GROUP:
                try:
                    await group_offsets(admin, acl.name)
                except GroupAuthorizationFailedError:
                    missing.append(acl)
    return missing


class PermissionWatch:
    """Asks at the start, and again for as long as something is missing."""

    def __init__(self, settings: Settings, role: str) -> None:
        self._settings = settings
        self._client = Client(role) if role in set(Client) else None
        self.problem: str | None = None
        """What is missing, in a sentence."""

    async def keep(self) -> None:
        """Ask until nothing is missing; not at all for a role that needs no Kafka."""
        while self._client is not None:
            try:
                async with asyncio.timeout(ASK_SECONDS_MAX):
                    missing = await missing_permissions(self._settings, self._client)
            except (KafkaError, OSError) as exc:
                log.debug("permissions_unknown", problem=type(exc).__name__)
            else:
                was, self.problem = self.problem, _sentence(missing)
                if self.problem is None:
                    return
                if self.problem != was:
                    log.error("permissions_missing", problem=self.problem)
            await asyncio.sleep(LOOK_SECONDS)


def _sentence(missing: list[Acl]) -> str | None:
    if not missing:
        return None
    wanted = ", ".join(f"{acl.operation.name} on the {acl.resource.name.lower()} {acl.name}" for acl in missing)
    return f"Kafka does not allow this role's user {wanted}: give it, as `callweave topics acls` lists it"
