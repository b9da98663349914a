"""The worker's process."""

import asyncio
import os

import uvloop

from callweave.admin import AdminServer
from callweave.kafka import faust_broker
from callweave.roles.hosting import utc_now
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import Settings
from streams import metrics
from streams.worker import WorkerOptions, build_worker, run_worker


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
            breaker=settings.dead_letters.limits,
        )
    )
    metrics.READY.set_function(lambda: float(worker.not_ready_because is None))
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
