"""Reconcile's process, and its single readings: a span of time, or a session."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime

import structlog
import uvloop
from prometheus_client import REGISTRY

from callweave.accounts import needed_accounts
from callweave.enriching import wired_enricher
from callweave.reconciling import wired_reconciler
from callweave.roles.hosting import hosted, set_when_told, utc_now
from callweave.settings import MisconfiguredError, Settings
from ingest.enrich.enricher import Enricher
from ingest.reconcile.reconciler import Reconciler
from ingest.reconcile.standing import Standing
from ingest.reconcile.windows import Hour, unsettled_hours
from ingest.reconcile.working import run_until

log = structlog.get_logger(__name__)

Told = Callable[[int, int], None]
"""Hours done, hours in all."""


def reconcile_role(settings: Settings, *, supervised: bool) -> int:
    """Read what is due until it is told to stop; the exit status."""
    return uvloop.run(_continuously(settings, supervised=supervised))


def reconcile_span(
    settings: Settings, first: datetime, last: datetime, *, again: bool, tell: Told
) -> tuple[list[Standing], bool]:
    """Read a span once; how each application stands, and whether all of it was read."""
    return uvloop.run(_span(settings, first, last, again=again, tell=tell))


def reconcile_session(
    settings: Settings, session_id: str, sdk_app_ids: Sequence[int]
) -> tuple[dict[int, int], list[Standing]]:
    """Ask for one session; events published by application, and how each application stands."""
    return uvloop.run(_session(settings, session_id, sdk_app_ids))


async def _continuously(settings: Settings, *, supervised: bool) -> int:
    needed_accounts(settings)
    stop = asyncio.Event()
    running: list[Reconciler] = []
    enriching: list[Enricher] = []

    def not_ready_because() -> str | None:
        return running[0].not_ready_because() if running else "reading in Kafka which hours were read"

    def degraded_because() -> str | None:
        return enriching[0].degraded_because() if enriching else None

    async with hosted(
        settings, "reconcile", not_ready_because, supervised=supervised, degraded_because=degraded_because
    ):
        stopper = asyncio.create_task(set_when_told(stop))
        try:
            async with AsyncExitStack() as held:
                wired = await held.enter_async_context(wired_reconciler(settings, REGISTRY))
                workers = [wired.reconciler.run(stop)]
                if settings.enrich.is_on:
                    enricher = await held.enter_async_context(wired_enricher(settings, wired.clients, REGISTRY))
                    enriching.append(enricher)
                    workers.append(enricher.run(stop))
                running.append(wired.reconciler)
                log.info("reconcile_started", applications=len(wired.reconciler.standings))
                await run_until(stop, workers)
        finally:
            stopper.cancel()
        log.info("reconcile_stopped")
        return 0


async def _span(
    settings: Settings, first: datetime, last: datetime, *, again: bool, tell: Told
) -> tuple[list[Standing], bool]:
    stop = asyncio.Event()
    stopper = asyncio.create_task(set_when_told(stop))
    try:
        async with wired_reconciler(settings, REGISTRY) as wired:
            now = utc_now()
            if again:
                wired.progress.forget_before(now)
            apps = wired.reconciler.standings
            known = wired.progress.asked
            wanted = {app: unsettled_hours(app, known, first, last, timing=wired.timing, now=now) for app in apps}
            total, done = sum(map(len, wanted.values())), 0
            tell(0, total)

            def on_done(_hour: Hour) -> None:
                nonlocal done
                done += 1
                tell(done, total)

            await wired.reconciler.read_hours(lambda app: wanted[app], stop, on_done)
            return list(apps.values()), not stop.is_set()
    finally:
        stopper.cancel()


async def _session(
    settings: Settings, session_id: str, sdk_app_ids: Sequence[int]
) -> tuple[dict[int, int], list[Standing]]:
    unknown = set(sdk_app_ids) - {app for account in needed_accounts(settings) for app in account.sdk_app_ids}
    if unknown:
        raise MisconfiguredError(f"no key reads SdkAppId {min(unknown)}: add it to CALLWEAVE_API__SDK_APP_IDS")
    async with wired_reconciler(settings, REGISTRY) as wired:
        found = await wired.reconciler.read_session(session_id, sdk_app_ids)
        return found, list(wired.reconciler.standings.values())
