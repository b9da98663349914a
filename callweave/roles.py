"""Wiring: each role built from the settings, with its admin port, its entry in runtime.json, and its graceful stop.

The one place where rooms are put together; it returns the exit status of the process.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
import uvloop
from aiohttp import web
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sinks.loader import Halt, Loader

from callweave.admin import AdminServer
from callweave.kafka import client_options, faust_broker
from callweave.loader_door import loader_routes
from callweave.runtime import RoleEntry, Runtime, new_token
from callweave.settings import MisconfiguredError, Settings
from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.metrics import ReceiverMetrics
from ingest.receiver import Door, ListenError, Receiver, ReceiverOptions
from sinks.warehouse import open_sink
from streams import metrics as worker_metrics
from streams.engine.halt import ExitStatus
from streams.worker import WorkerOptions, build_worker, run_worker

log = structlog.get_logger(__name__)

STOP_SECONDS_MAX = 30.0


def utc_now() -> datetime:
    """The one clock."""
    return datetime.now(UTC)


def receiver_role(settings: Settings, *, supervised: bool) -> int:
    """Run the receiver until it is told to stop."""
    return uvloop.run(_receiver(settings, supervised=supervised))


def worker_role(settings: Settings, *, supervised: bool) -> int:
    """Run the worker until it is told to stop."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    broker, credentials = faust_broker(settings)
    worker = build_worker(
        WorkerOptions(
            faust_broker=broker,
            credentials=credentials,
            topic_prefix=settings.kafka.topic_prefix,
            partitions=settings.kafka.partitions,
            state_dir=settings.state_dir,
            instance_id=settings.worker_instance_id,
            store=settings.worker.store,
            now=utc_now,
        )
    )
    worker_metrics.READY.set_function(lambda: float(worker.not_ready_because is None))
    admin = AdminServer(
        settings.admin, not_ready_because=lambda: worker.not_ready_because, takes_next_free_port=supervised
    )

    async def start_admin() -> None:
        url = await admin.start()
        Runtime(settings.data_dir).publish("worker", RoleEntry(os.getpid(), admin_url=url))

    worker.background.append(start_admin)
    try:
        return run_worker(worker)
    finally:
        Runtime(settings.data_dir).withdraw("worker", os.getpid())


def loader_role(settings: Settings, *, supervised: bool) -> int:
    """Run the loader until it is told to stop."""
    return uvloop.run(_loader(settings, supervised=supervised))


async def _receiver(settings: Settings, *, supervised: bool) -> int:
    log_options = KafkaLogOptions(connection=client_options(settings), topic_prefix=settings.kafka.topic_prefix)
    options = _receiver_options(settings)
    door = Door(options, options.authenticator(), KafkaPushLog(log_options), utc_now, ReceiverMetrics(REGISTRY))
    receiver = Receiver(door)
    async with _admin(settings, "receiver", receiver.unready, supervised=supervised) as publish:
        try:
            await receiver.start()
        except ListenError as exc:
            raise MisconfiguredError(str(exc)) from exc
        publish(push_url=push_url(receiver.url, settings))
        log.info("receiver_listens", url=receiver.url, auth=settings.receiver.auth)
        await _told_to_stop()
        answered = await receiver.stop(STOP_SECONDS_MAX)
        log.info("receiver_stopped", all_answered=answered)
        return 0 if answered else 1


async def _loader(settings: Settings, *, supervised: bool) -> int:
    sink = open_sink(
        settings.warehouse_url,
        data_dir=settings.data_dir,
        recording_deadline_seconds=settings.warehouse.recording_deadline_seconds,
    )
    loader = Loader(client_options(settings), topic_prefix=settings.kafka.topic_prefix, sink=sink)
    token = new_token()
    routes = loader_routes(sink, loader, token)
    stop = asyncio.Event()
    async with _admin(
        settings, "loader", lambda: loader.status().reason, supervised=supervised, routes=routes, token=token
    ):
        stopper = asyncio.create_task(_set_when_told(stop))
        try:
            await loader.run(stop)
        except Halt as exc:
            log.error("loader_halted", reason=str(exc))
            return ExitStatus.HALTED
        finally:
            stopper.cancel()
        log.info("loader_stopped")
        return 0


@asynccontextmanager
async def _admin(
    settings: Settings,
    role: str,
    not_ready_because: Callable[[], str | None],
    *,
    supervised: bool,
    routes: Iterable[web.AbstractRouteDef] = (),
    token: str | None = None,
) -> AsyncIterator[Callable[..., None]]:
    """The admin port and the role's entry in runtime.json, for as long as it runs."""
    admin = AdminServer(
        settings.admin, not_ready_because=not_ready_because, routes=routes, takes_next_free_port=supervised
    )
    url = await admin.start()
    runtime = Runtime(settings.data_dir)

    def publish(push_url: str | None = None) -> None:
        runtime.publish(role, RoleEntry(os.getpid(), admin_url=url, push_url=push_url, token=token))

    publish()
    try:
        yield publish
    finally:
        runtime.withdraw(role, os.getpid())
        await admin.stop()


def _receiver_options(settings: Settings) -> ReceiverOptions:
    receiver = settings.receiver
    return ReceiverOptions(
        host=receiver.host,
        port=receiver.port,
        path=receiver.path,
        body_bytes_max=receiver.body_bytes_max,
        auth=receiver.auth,
        username=receiver.username or "",
        password=_revealed(receiver.password),
        password_previous=_revealed(receiver.password_previous),
        url_token=_revealed(receiver.url_token),
    )


def _revealed(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def push_url(listening: str, settings: Settings) -> str:
    """The address to enter in TCCC's console (or, behind a proxy, its last part)."""
    url = listening.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
    token = settings.receiver.url_token
    return url if token is None else f"{url}?token={token.get_secret_value()}"


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    await _set_when_told(stop)


async def _set_when_told(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()
