"""The work `pipeline`: HTTP push to committed row, every role and the broker on this one machine.

The highest rate of pushes whose lag does not grow, what a million pushes cost each role, and how old rows are when they
come; afterwards the warehouse is asked whether it knows every session.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import uvloop

from bench.contestants import Contestants, our_version
from bench.door import pushes
from bench.load import Load, offer, send_all
from bench.machine import FULL
from bench.results import Result, Run, figure
from bench.running import Running, difference, up
from callweave.reading import open_questions
from callweave.standing import look, wait_idle

CONNECTIONS = 256
CALM_RATE = 200.0
PUSHES_EACH = 3.28  # of a session, retries among them
FIRST_RATE = 2000.0
STEP = 1.4
FINER = 1.1
SEARCH_SECONDS, HOLD_SECONDS, FRESHNESS_SECONDS = (20.0, 300.0, 60.0) if FULL else (8.0, 30.0, 15.0)
DRAIN_SECONDS_MAX = 300.0
LAG_SECONDS_MAX = 1.0  # by how much of its own time the lag may have grown: the loader commits in batches


@dataclass(frozen=True)
class Hold:
    """One rate, offered for a while."""

    rate: float
    seconds: float
    load: Load
    began_at: datetime
    ended_at: datetime
    lags: tuple[int, int]
    cpu: dict[str, float]

    @property
    def is_held(self) -> bool:
        """All of it was taken, and what waited at the end is not more than what waited in the middle."""
        waited_more = self.lags[1] - self.lags[0]
        taken_whole = self.load.offered >= 0.97 * self.rate * self.seconds
        return (
            taken_whole and not self.load.shed and not self.load.failures and waited_more <= self.rate * LAG_SECONDS_MAX
        )


class Pushing:
    """Offers rates to a running pipeline, each push once."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.sessions = 0
        self.refused = 0

    def hold(self, rate: float, seconds: float) -> Hold:
        """Push, look at the lag in the middle and at the end, then wait until everything is in the warehouse."""
        sessions = int(rate * seconds / PUSHES_EACH) + 1
        requests = pushes(sessions, first=self.sessions)
        self.sessions += sessions
        cpu, began_at = self.running.cpu(), datetime.now(UTC)
        load, lags = uvloop.run(self._offered(requests, rate, seconds))
        ended_at = datetime.now(UTC)
        self._send_the_rest(requests[load.offered :])
        self.refused += load.shed + load.failures
        pending = asyncio.run(wait_idle(self.running.settings, DRAIN_SECONDS_MAX))
        assert pending is None, f"after {DRAIN_SECONDS_MAX:g} s: {pending}"
        return Hold(rate, seconds, load, began_at, ended_at, lags, difference(cpu, self.running.cpu()))

    async def _offered(self, requests: list[bytes], rate: float, seconds: float) -> tuple[Load, tuple[int, int]]:
        pushing = asyncio.create_task(
            offer("127.0.0.1", self.running.port, requests, connections=CONNECTIONS, seconds=seconds, per_second=rate)
        )
        await asyncio.sleep(seconds / 2)
        middle = await asyncio.to_thread(self.lag)
        await asyncio.sleep(max(0.0, seconds / 2 - 0.5))
        end = await asyncio.to_thread(self.lag)
        return await pushing, (middle, end)

    def _send_the_rest(self, requests: list[bytes]) -> None:
        """So that every session is whole, and the warehouse can be asked for all of them."""
        load = uvloop.run(send_all("127.0.0.1", self.running.port, requests, connections=16))
        self.refused += load.shed + load.failures

    def lag(self) -> int:
        """What waits for the worker, for the loader and in the spool."""
        standing = look(self.running.settings)
        assert standing.worker_lag is not None
        assert standing.loader_lag is not None
        return standing.worker_lag + standing.loader_lag

    def freshness(self, hold: Hold) -> dict[str, float]:
        """Seconds from the last receipt of a session to the commit of its row, of a hold's sessions."""
        first, last = (at.strftime("%Y-%m-%d %H:%M:%S.%f+00") for at in (hold.began_at, hold.ended_at))
        statement = (
            "SELECT quantile_cont(epoch(loaded_at - last_received_at), [0.5, 0.95, 0.99]) AS seconds FROM sessions"  # noqa: S608
            f" WHERE last_received_at BETWEEN '{first}' AND '{last}'"
        )
        with open_questions(self.running.settings) as questions:
            ((answer,),) = questions.ask(statement).rows
        values = orjson.loads(answer) if isinstance(answer, str) else answer
        return dict(zip(("p50_s", "p95_s", "p99_s"), (round(value, 2) for value in values), strict=True))

    def check(self) -> None:
        """Every session is there, once."""
        with open_questions(self.running.settings) as questions:
            ((there,),) = questions.ask("SELECT count(*) FROM sessions").rows
        assert self.sessions - self.refused <= int(there) <= self.sessions, (
            f"{self.sessions} sessions were pushed, {self.refused} pushes refused, and the warehouse has {there}"
        )


def pipeline(folder: Path, _: Contestants, rounds: int) -> list[Result]:
    """Fresh at a calm rate; then the highest rate, held; then fresh at 80 % of it. One round: a search is long."""
    del rounds
    guarantee = "durable before ErrCode 0, changelog acknowledged, rows and offsets in one transaction (DuckDB)"
    result = Result("pipeline", "callweave", our_version("callweave"), "pushes/s", guarantee)
    with up(folder / "data") as running:
        pushing = Pushing(running)
        pushing.hold(CALM_RATE, 5.0)  # warm-up
        calm = pushing.freshness(pushing.hold(CALM_RATE, FRESHNESS_SECONDS))
        highest = held(pushing, search(pushing))
        at_80 = pushing.freshness(pushing.hold(0.8 * highest.rate, FRESHNESS_SECONDS))
        pushing.check()
        memory = running.memory()
    million = 1e6 / highest.load.offered
    result.runs.append(Run(highest.rate, sum(highest.cpu.values()), sum(memory.values())))
    result.extra |= {
        "held_seconds": HOLD_SECONDS,
        "door_p50_ms": figure(highest.load.p50_ms),
        "door_p95_ms": figure(highest.load.p95_ms),
        "door_p99_ms": figure(highest.load.p99_ms),
        "cpu_seconds_per_million_pushes": {role: round(cpu * million) for role, cpu in sorted(highest.cpu.items())},
        "megabytes_by_role": {role: size // 1_000_000 for role, size in sorted(memory.items())},
        "freshness_at_200_per_second": calm,
        "freshness_at_80_percent": at_80,
    }
    return [result]


def search(pushing: Pushing) -> float:
    """The highest rate that was held for a short while: in coarse steps as far as it goes, then in finer ones."""
    rate = FIRST_RATE
    while not pushing.hold(rate, SEARCH_SECONDS).is_held:
        rate /= 2
        assert rate > 1, "not even one push a second is held"
    for step in (STEP, FINER):
        while pushing.hold(step * rate, SEARCH_SECONDS).is_held:
            rate *= step
    return rate


def held(pushing: Pushing, rate: float) -> Hold:
    """The same for as long as it has to be; what only held for a short while is tried a tenth lower."""
    begun = time.monotonic()
    while not (hold := pushing.hold(rate, HOLD_SECONDS)).is_held:
        rate *= 0.9
        assert time.monotonic() - begun < 20 * HOLD_SECONDS, "no rate is held for so long"
    return hold
