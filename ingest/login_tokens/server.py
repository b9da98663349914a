"""The running door: listens in plain HTTP or TLS, within the receiver's kind of bounds, and stops without haste."""

import asyncio
import contextlib

from aiohttp import web

from ingest.identity_provider import IdentityProvider
from ingest.json_server import JsonAppRunner, ListenError
from ingest.limits import DoorLimits
from ingest.login_tokens.door import LoginDesk
from ingest.tls import Certificates
from ingest.tls_site import TlsSite

_LIMITS = DoorLimits(request_seconds_max=30.0, connections_max=500, requests_in_flight_max=100)
_CLOSING_SECONDS = 2.0


class LoginServer:
    """Serves one desk."""

    def __init__(
        self,
        desk: LoginDesk,
        host: str,
        port: int,
        *,
        tls: Certificates | None = None,
        provider: IdentityProvider | None = None,
    ) -> None:
        self._desk = desk
        self._host = host
        self._port = port
        self._tls = tls
        self._provider = provider
        self._runner: JsonAppRunner | None = None
        self._site: web.TCPSite | None = None
        self._background: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        """Scheme, host and the port that was really taken."""
        assert self._site is not None, "the server was not started"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._site.port}"

    def unready(self) -> str | None:
        """Why nobody can be answered just now; None where everybody can."""
        if self._site is None:
            return "not listening"
        return None if self._provider is None else self._provider.unready()

    def degraded(self) -> str | None:
        """What an operator should know although requests are answered."""
        return self._desk.degraded_because() or (None if self._tls is None else self._tls.warning())

    async def start(self) -> None:
        """Listen; raise ListenError where that is not possible."""
        runner = JsonAppRunner(
            self._desk.application(),
            on_refusal=lambda _status: None,
            limits=_LIMITS,
            on_limit=lambda _reason: None,
            shutdown_seconds=_CLOSING_SECONDS,
            access_log=None,
        )
        await runner.setup()
        site: web.TCPSite
        if self._tls is None:
            site = web.TCPSite(runner, self._host, self._port)
        else:
            site = TlsSite(runner, self._host, self._port, tls=self._tls.context, on_plain=lambda: None)
        try:
            await site.start()
        except OSError as exc:
            await runner.cleanup()
            raise ListenError(
                f"cannot listen on {self._host}:{self._port}: {exc.strerror or exc};"
                " stop what uses it, or set CALLWEAVE_LOGIN_TOKENS__HOST and CALLWEAVE_LOGIN_TOKENS__PORT"
            ) from exc
        self._runner, self._site = runner, site
        if self._tls is not None:
            self._background.append(asyncio.create_task(self._tls.watch()))
        if self._provider is not None:
            self._background.append(asyncio.create_task(self._provider.fetch()))

    async def stop(self, grace_seconds: float) -> bool:
        """Stop accepting, answer what was accepted; whether all was answered in time."""
        runner, site = self._runner, self._site
        if runner is None or site is None:
            return True
        self._runner = self._site = None
        for task in self._background:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await site.stop()
        drained = runner.json_server is None or await runner.json_server.drain(grace_seconds)
        await runner.cleanup()
        return drained
