"""The loader's process."""

import asyncio
from collections.abc import Awaitable
from functools import partial

import structlog
import uvloop
from prometheus_client import REGISTRY

from callweave.accounts import api_accounts
from callweave.completeness_metrics import CompletenessMetrics, keep_showing
from callweave.discretion import LoadersDiscretion, masks_of
from callweave.garbage import YOUNG_OBJECTS_OF_HAULS
from callweave.history import versions_of
from callweave.kafka import client_options
from callweave.loader_door import loader_routes
from callweave.log_identity import read_topic_ids
from callweave.roles.hosting import hosted, set_when_told, utc_now
from callweave.runtime import new_token
from callweave.settings import Settings
from callweave.stall import StallWatch, watch_loader
from callweave.suppression_list import SuppressionList, following
from callweave.tracing import tracing_of
from callweave.warehouses import sink_of
from schemas.metrics import Role
from sinks.halt import HaltError
from sinks.loader import LOADED_TOPICS, Loader, LoaderSettings
from sinks.sink import Sink
from streams.engine.halt import ExitStatus

log = structlog.get_logger(__name__)


def loader_role(settings: Settings, *, supervised: bool) -> int:
    """Run the loader until it is told to stop; the exit status."""
    return uvloop.run(_loader(settings, supervised=supervised))


async def _loader(settings: Settings, *, supervised: bool) -> int:
    sink = sink_of(settings)
    options = LoaderSettings(
        breaker=settings.dead_letters.limits,
        snapshot_file=settings.snapshot_file,
        snapshot_seconds=settings.warehouse.snapshot_seconds,
    )
    prefix = settings.kafka.topic_prefix
    listed = SuppressionList(settings)
    loader = Loader.over_kafka(
        client_options(settings),
        prefix,
        sink,
        options,
        registry=REGISTRY,
        topic_ids=partial(read_topic_ids, settings, [topic.name(prefix) for topic in LOADED_TOPICS]),
        versions_of=versions_of(settings, utc_now),
        discretion=LoadersDiscretion(listed, masks_of(settings), sink),
        tracing=tracing_of(settings, Role.LOADER),
    )
    token = new_token()
    routes = loader_routes(sink, loader, token)
    stop = asyncio.Event()
    watch = StallWatch(settings.worker.stall_seconds_max)
    async with (
        following(listed),
        hosted(
            settings,
            "loader",
            lambda: loader.status().reason,
            supervised=supervised,
            routes=routes,
            token=token,
            not_live_because=watch.stalled_because,
            young_objects=YOUNG_OBJECTS_OF_HAULS,
        ),
    ):
        watching = asyncio.create_task(watch_loader(watch, loader.status))
        stopper = asyncio.create_task(set_when_told(stop))
        showing = asyncio.create_task(_show_completeness(settings, sink))
        try:
            if await _is_first(listed.known_or_wait(), stop.wait()):
                await loader.run(stop)
        except HaltError as exc:
            log.error("loader_halted", reason=str(exc))
            return ExitStatus.HALTED
        finally:
            stopper.cancel()
            showing.cancel()
            watching.cancel()
        log.info("loader_stopped")
        return 0


async def _is_first(known: Awaitable[None], stopped: Awaitable[object]) -> bool:
    """Wait until who is erased is known, or the stop comes; whether it was the former."""
    waiting = asyncio.ensure_future(known)
    stopping = asyncio.ensure_future(stopped)
    await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    waiting.cancel()
    return waiting.done() and not waiting.cancelled()


async def _show_completeness(settings: Settings, sink: Sink) -> None:
    apps = [app for account in api_accounts(settings) for app in account.sdk_app_ids]
    await keep_showing(
        CompletenessMetrics(REGISTRY, apps),
        sink,
        sdk_app_ids=apps,
        every_seconds=settings.completeness.metrics_seconds,
        now=utc_now,
    )
