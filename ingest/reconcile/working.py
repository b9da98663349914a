"""Workers side by side until they are done or told to stop; one that fails is a bug, and ends all of them."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any


async def run_until(stop: asyncio.Event, workers: Sequence[Coroutine[None, None, None]]) -> None:
    """Run them until all are done or until told to stop; what they are in the middle of is left, and repeated."""
    tasks = [asyncio.ensure_future(worker) for worker in workers]
    stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    running: set[asyncio.Future[Any]] = {*tasks, stopping}
    try:
        while not stopping.done() and running > {stopping}:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a worker that failed is a bug, and ends the process
    finally:
        stopping.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
