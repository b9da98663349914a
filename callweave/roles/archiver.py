"""The archiver's process."""

import asyncio
from contextlib import AsyncExitStack

import structlog
import uvloop
from prometheus_client import REGISTRY

from callweave.archiving import archive_of, wired_archiver
from callweave.roles.hosting import hosted, set_when_told
from callweave.settings import MisconfiguredError, Settings
from ingest.archiver.archiver import Archiver
from ingest.archiver.store import StoreError, StoreFullError

log = structlog.get_logger(__name__)


def archiver_role(settings: Settings, *, supervised: bool) -> int:
    """Keep files until it is told to stop; the exit status."""
    return uvloop.run(_archiver(settings, supervised=supervised))


async def _archiver(settings: Settings, *, supervised: bool) -> int:
    try:
        await asyncio.to_thread(archive_of(settings).probe)
    except StoreFullError as exc:
        log.warning("archive_refuses", problem=str(exc))  # it starts, and goes on once there is room
    except StoreError as exc:
        raise MisconfiguredError(f"{exc}: check CALLWEAVE_ARCHIVER__STORE") from exc
    stop = asyncio.Event()
    running: list[Archiver] = []
    async with hosted(
        settings,
        "archiver",
        lambda: None if running else "reading in Kafka what is archived",
        supervised=supervised,
        degraded_because=lambda: running[0].degraded_because() if running else None,
    ):
        stopper = asyncio.create_task(set_when_told(stop))
        try:
            async with AsyncExitStack() as held:
                archiver = await held.enter_async_context(wired_archiver(settings, REGISTRY))
                running.append(archiver)
                log.info("archiver_started")
                await archiver.run(stop)
        finally:
            stopper.cancel()
        log.info("archiver_stopped")
        return 0
