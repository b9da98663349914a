"""The page's process. It writes nothing, and nothing waits for it."""

import structlog
import uvloop

from callweave.dashboard.server import DashboardServer
from callweave.roles.hosting import hosted, told_to_stop
from callweave.settings import Settings

log = structlog.get_logger(__name__)


def dashboard_role(settings: Settings, *, supervised: bool) -> int:
    """Serve the page until it is told to stop; the exit status."""
    return uvloop.run(_dashboard(settings, supervised=supervised))


async def _dashboard(settings: Settings, *, supervised: bool) -> int:
    server = DashboardServer(settings, takes_next_free_port=supervised)
    async with hosted(settings, "dashboard", server.unready, supervised=supervised) as publish:
        await server.start()
        publish(page_url=server.url)
        log.info("dashboard_listens", url=server.url, auth=settings.dashboard.auth)
        await told_to_stop()
        await server.stop()
        log.info("dashboard_stopped")
        return 0
