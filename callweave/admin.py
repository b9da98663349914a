"""The admin port of every role: `/health/live`, `/health/ready`, `/metrics`, and what a role adds. Never public."""

from collections.abc import Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, disable_created_metrics, generate_latest

from callweave.settings import AdminSettings, MisconfiguredError

PORTS_TRIED_MAX = 64


class AdminServer:
    """Serves on the configured port; under `up`, on it or the next free one."""

    def __init__(  # noqa: PLR0913  (what a role says of itself)
        self,
        settings: AdminSettings,
        *,
        not_ready_because: Callable[[], str | None],
        degraded_because: Callable[[], str | None] = lambda: None,
        not_live_because: Callable[[], str | None] = lambda: None,
        routes: Iterable[web.AbstractRouteDef] = (),
        takes_next_free_port: bool = False,
        registries: Iterable[CollectorRegistry] = (),
    ) -> None:
        self._settings = settings
        self._registries = (REGISTRY, *registries)
        self._not_ready_because = not_ready_because
        self._degraded_because = degraded_because
        self._not_live_because = not_live_because
        self._takes_next_free_port = takes_next_free_port
        app = web.Application()
        app.add_routes(
            [
                web.get("/health/live", self._live),
                web.get("/health/ready", self._ready),
                web.get("/metrics", self._metrics),
                *routes,
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        self.url = ""

    async def start(self) -> str:
        """Bind; the address."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each counter, which nobody asks for
        await self._runner.setup()
        host, first = self._settings.host, self._settings.port
        tries = PORTS_TRIED_MAX if self._takes_next_free_port and first else 1
        for port in range(first, first + tries):
            site = web.TCPSite(self._runner, host, port)
            try:
                await site.start()
            except OSError as exc:
                problem = exc
                continue
            bound = self._runner.addresses[0][1]
            self.url = f"http://{_reachable(host)}:{bound}"
            return self.url
        raise MisconfiguredError(
            f"the admin port {host}:{first} cannot be used ({problem.strerror}): set CALLWEAVE_ADMIN__PORT"
        )

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        reason = self._not_live_because()
        body: Mapping[str, object] = {"live": reason is None, "reason": reason}
        return web.json_response(body, status=200 if reason is None else 503)

    async def _ready(self, _request: web.Request) -> web.Response:
        reason = self._not_ready_because()
        body: Mapping[str, object] = {
            "ready": reason is None,
            "reason": reason,
            "degraded": self._degraded_because() if reason is None else None,
        }
        return web.json_response(body, status=200 if reason is None else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=b"".join(map(generate_latest, self._registries)), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


def _reachable(host: str) -> str:
    """An address that this machine can call for one that listens everywhere."""
    match host:
        case "0.0.0.0" | "":  # noqa: S104  (compared, not bound)
            return "127.0.0.1"
        case "::":
            return "[::1]"
        case _:
            return f"[{host}]" if ":" in host else host
