"""A stall is told only with proof: input waits, what we depend on answers, and nothing has moved for long enough."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import ClientSession

from callweave import supervisor as supervising
from callweave.admin import AdminServer
from callweave.runtime import RoleEntry
from callweave.settings import AdminSettings, Settings, WorkerSettings
from callweave.stall import Progress, StallWatch, watch_loader
from callweave.supervisor import Child, Supervisor
from sinks.sink import LogPartition
from sinks.status import PartitionStatus


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def watched(*looks: tuple[float, int, int] | str) -> str | None:
    """What a watch of 100 s says after looks (moment, position, waiting), or after "away"."""
    clock = Clock()
    watch = StallWatch(100.0, clock)
    for look in looks:
        if isinstance(look, str):
            watch.excuse()
            continue
        clock.now, position, waiting = look
        watch.observe({"partition 3 of tccc.cdr": Progress(position, waiting)})
    return watch.stalled_because()


def every_ten_seconds(position: int, waiting: int, *, start: int = 0, stop: int = 101) -> list[tuple[float, int, int]]:
    return [(float(moment), position, waiting) for moment in range(start, stop, 10)]


def test_input_that_waits_without_progress_is_a_stall_and_says_which() -> None:
    said = watched(*every_ten_seconds(7, 20))

    assert said is not None
    assert "partition 3 of tccc.cdr has made no progress for 100 s although Kafka answers and 20 records wait" in said


def test_one_second_less_is_none() -> None:
    assert watched(*every_ten_seconds(7, 20, stop=91), (99.0, 7, 20)) is None


def test_any_progress_starts_the_count_anew() -> None:
    assert watched(*every_ten_seconds(7, 20, stop=91), *every_ten_seconds(8, 19, start=95, stop=190)) is None


def test_nothing_waiting_is_no_stall() -> None:
    assert watched(*every_ten_seconds(7, 0, stop=1000)) is None


def test_input_that_comes_after_a_long_silence_starts_the_count_then() -> None:
    assert watched(*every_ten_seconds(7, 0, stop=1000), (1000.0, 7, 1)) is None


def test_a_dependency_that_was_away_is_no_stall() -> None:
    assert watched(*every_ten_seconds(7, 20, stop=91), "away", *every_ten_seconds(7, 20, start=95, stop=190)) is None


def test_a_process_that_slept_does_not_count_its_sleep() -> None:
    assert watched((0.0, 7, 20), (10.0, 7, 20), (500.0, 7, 20), (510.0, 7, 20)) is None


def test_a_partition_that_went_to_another_worker_is_forgotten() -> None:
    clock = Clock()
    watch = StallWatch(100.0, clock)
    for _ in range(12):
        watch.observe({"partition 1 of t": Progress(1, 5)})
        clock.now += 10
    assert watch.stalled_because() is not None

    watch.observe({})

    assert watch.stalled_because() is None


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (a watch has nobody to tell)
        await asyncio.sleep(0.02)


async def test_a_loader_that_stands_still_is_told_and_one_that_waits_for_its_warehouse_is_not() -> None:
    entry = PartitionStatus(LogPartition("t.sessions", 1), next_offset=5, end_offset=9)
    status = SimpleNamespace(reason=None, partitions=(entry,))
    watch = StallWatch(0.2)
    watching = asyncio.create_task(watch_loader(watch, lambda: status))  # type: ignore[arg-type, return-value]
    try:
        async with asyncio.timeout(60):
            await until(lambda: watch.stalled_because() is not None)
            status.reason = "the warehouse does not answer"
            await until(lambda: watch.stalled_because() is None)
    finally:
        watching.cancel()


async def test_liveness_answers_503_with_the_sentence() -> None:
    reason: list[str | None] = [None]
    admin = AdminServer(AdminSettings(port=0), not_ready_because=lambda: None, not_live_because=lambda: reason[0])
    url = await admin.start()
    try:
        async with ClientSession() as session:
            async with session.get(f"{url}/health/live") as answer:
                assert (answer.status, await answer.json()) == (200, {"live": True, "reason": None})
            reason[0] = "partition 3 of tccc.cdr has made no progress"
            async with session.get(f"{url}/health/live") as answer:
                assert (answer.status, await answer.json()) == (503, {"live": False, "reason": reason[0]})
    finally:
        await admin.stop()


async def test_the_supervisor_ends_a_role_that_is_not_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "LIVENESS_LOOK_SECONDS", 0.05)
    reason: list[str | None] = [None]
    admin = AdminServer(AdminSettings(port=0), not_ready_because=lambda: None, not_live_because=lambda: reason[0])
    url = await admin.start()
    settings = Settings.model_construct(data_dir=tmp_path, worker=WorkerSettings())
    said: list[str] = []
    supervisor = Supervisor(settings, config=None, say=said.append, ready=said.append)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    child = Child("worker", process)
    supervisor._children["worker"] = child
    supervisor._runtime.publish("worker", RoleEntry(process.pid, admin_url=url))
    asking = asyncio.create_task(supervisor._end_when_not_live(child, process))
    try:
        await asyncio.sleep(0.3)
        assert process.returncode is None, "a live role is left alone"
        reason[0] = "partition 3 of tccc.cdr has made no progress"
        async with asyncio.timeout(60):
            await process.wait()
            await asking
        assert said == ["the worker is not live, ending it: partition 3 of tccc.cdr has made no progress"]
    finally:
        asking.cancel()
        await admin.stop()
        if process.returncode is None:
            process.kill()
