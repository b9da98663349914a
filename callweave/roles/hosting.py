"""What every role's process has: a clock, an admin port, an entry in runtime.json, and a graceful stop."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web

from callweave.admin import AdminServer
from callweave.garbage import YOUNG_OBJECTS, settle_garbage
from callweave.permissions import PermissionWatch
from callweave.role_metrics import role_registry
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import Settings
from schemas.metrics import Role


def utc_now() -> datetime:
    """The one clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def hosted(  # noqa: PLR0913  (what a role says of itself, and how it is hosted)
    settings: Settings,
    role: str,
    not_ready_because: Callable[[], str | None],
    *,
    supervised: bool,
    degraded_because: Callable[[], str | None] = lambda: None,
    not_live_because: Callable[[], str | None] = lambda: None,
    routes: Iterable[web.AbstractRouteDef] = (),
    token: str | None = None,
    young_objects: int = YOUNG_OBJECTS,
) -> AsyncIterator[Callable[..., None]]:
    """Serve the admin port and keep the role's entry in runtime.json, for as long as it runs."""
    permissions = PermissionWatch(settings, role)

    def or_forbidden(because: Callable[[], str | None]) -> Callable[[], str | None]:
        return lambda: permissions.problem or because()

    if role == Role.RECEIVER:  # one that may not write takes pushes all the same: its spool has them
        degraded_because = or_forbidden(degraded_because)
    else:
        not_ready_because = or_forbidden(not_ready_because)
    admin = AdminServer(
        settings.admin,
        not_ready_because=not_ready_because,
        degraded_because=degraded_because,
        not_live_because=not_live_because,
        routes=routes,
        takes_next_free_port=supervised,
        registries=[role_registry(Role(role), not_ready_because, settings.kafka)],
    )
    url = await admin.start()
    runtime = Runtime(settings.data_dir)

    def publish(push_url: str | None = None, page_url: str | None = None) -> None:
        runtime.publish(role, RoleEntry(os.getpid(), admin_url=url, push_url=push_url, page_url=page_url, token=token))

    publish()
    settle_garbage(young_objects)
    watching = asyncio.create_task(permissions.keep())
    try:
        yield publish
    finally:
        watching.cancel()
        runtime.withdraw(role, os.getpid())
        await admin.stop()


async def told_to_stop() -> None:
    """Return once SIGTERM or SIGINT came."""
    stop = asyncio.Event()
    await set_when_told(stop)


async def set_when_told(stop: asyncio.Event) -> None:
    """Set the event once SIGTERM or SIGINT came."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()
