"""The worker's process."""

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
import uvloop

from callweave.admin import AdminServer
from callweave.garbage import settle_garbage
from callweave.kafka import faust_broker
from callweave.log_identity import read_log_identity
from callweave.permissions import PermissionWatch
from callweave.role_metrics import role_registry
from callweave.roles.hosting import utc_now
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import MisconfiguredError, Settings
from callweave.stall import StallWatch, watch_worker
from callweave.suppression_list import SuppressionList
from callweave.tracing import tracing_of
from schemas.dead_letter import Reason, Stage
from schemas.metrics import Role
from schemas.suppression import Suppressions
from streams import metrics
from streams.engine.halt import ExitStatus, halt
from streams.engine.state_dir import StateDirectory, StateHeldError
from streams.lag import WorkerLag
from streams.worker import WorkerOptions, build_worker, run_worker

log = structlog.get_logger(__name__)


def worker_role(settings: Settings, *, supervised: bool, now: Callable[[], datetime] = utc_now) -> int:
    """Run the worker until it is told to stop."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    state_dir = StateDirectory(settings.state_dir)
    try:
        state_dir.hold()
    except StateHeldError as exc:
        log.error("worker_halted", reason=str(exc))
        return ExitStatus.HALTED
    broker, credentials = faust_broker(settings)
    listed = SuppressionList(settings)
    worker = build_worker(
        WorkerOptions(
            faust_broker=broker,
            credentials=credentials,
            topic_prefix=settings.kafka.topic_prefix,
            partitions=settings.kafka.partitions,
            state_dir=settings.state_dir,
            instance_id=settings.worker_instance_id,
            store=settings.worker.store,
            retention_days=settings.worker.retention_days,
            log_identity=partial(read_log_identity, settings),
            now=now,
            breaker=settings.dead_letters.limits,
            suppressions=partial(_list_or_halt, listed),
            prepared=listed.known_or_wait,
            tracing=tracing_of(settings, Role.WORKER),
        )
    )
    for reason in Reason:  # at 0, so that growth is seen from the first one on
        metrics.DEAD_LETTERS.labels(Stage.ABSORB.value, reason.value)
    metrics.REGISTRY.register(
        WorkerLag(worker.app, worker.lag, settings.kafka.topic_prefix, clock=lambda: now().timestamp())
    )
    watch = StallWatch(settings.worker.stall_seconds_max)
    permissions = PermissionWatch(settings, Role.WORKER)

    def not_ready_because() -> str | None:
        return permissions.problem or worker.not_ready_because

    admin = AdminServer(
        settings.admin,
        not_ready_because=not_ready_because,
        not_live_because=watch.stalled_because,
        takes_next_free_port=supervised,
        registries=[role_registry(Role.WORKER, not_ready_because, settings.kafka), metrics.REGISTRY],
    )

    async def start_admin() -> None:
        url = await admin.start()
        Runtime(settings.data_dir).publish("worker", RoleEntry(os.getpid(), admin_url=url))

    watching: list[asyncio.Task[None]] = []

    async def start_watching() -> None:
        watching.append(asyncio.create_task(watch_worker(watch, worker, settings)))
        watching.append(asyncio.create_task(permissions.keep()))

    async def start_following() -> None:
        watching.append(asyncio.create_task(listed.follow()))

    worker.background += [start_admin, start_watching, start_following]
    settle_garbage()
    try:
        return run_worker(worker)
    finally:
        Runtime(settings.data_dir).withdraw("worker", os.getpid())


def _list_or_halt(listed: SuppressionList) -> Suppressions:
    try:
        return listed.now()
    except MisconfiguredError as exc:
        halt(str(exc))
