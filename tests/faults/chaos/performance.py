"""One run: set the stage, push, strike by the plan, heal, wait until idle, end everything, judge each warehouse."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg.rows import dict_row

from callweave.anomalies import Anomaly, Found, Judgement, judge
from callweave.verify import Query
from tests.faults.chaos.driver import Driver
from tests.faults.chaos.plan import Kind, Playground, Strike, draw_plan, kinds
from tests.faults.chaos.stage import LINKS, Stage, StageError, postgres_url, set_stage
from tests.faults.chaos.strikes import strike

IDLE_SECONDS_MAX = 150.0
SETTLE_SECONDS_MAX = 90.0
PROGRESS_SECONDS = 5.0
FIRST_ANSWER_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run."""

    seed: int
    seconds: float
    warehouses: tuple[str, ...]
    folder: Path
    rate: float = 60.0
    pace_seconds: float = 5.0
    only: tuple[tuple[str, str], ...] = ()  # (fault, target) pairs; none: all there are
    sabotage: str | None = None
    may_mount: bool = False
    idle_seconds_max: float = IDLE_SECONDS_MAX


@dataclass(slots=True)
class Struck:
    """A strike that was done, when (UNIX seconds), and what came of it."""

    planned: Strike
    began: float
    ended: float
    outcome: str


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    options: Options
    plan: list[Strike]
    struck: list[Struck] = field(default_factory=list)
    exits: dict[str, Counter[int]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    pushes_sent: int = 0
    deliveries: int = 0
    acknowledged: int = 0
    given_up: int = 0
    judgements: dict[str, Judgement] = field(default_factory=dict)
    ran_seconds: float = 0.0
    idle_after_seconds: float = 0.0
    judged_in_seconds: float = 0.0
    ledger_bytes: int = 0

    @property
    def anomalies(self) -> list[Found]:
        """Of all warehouses."""
        return [found for judgement in self.judgements.values() for found in judgement.anomalies]

    @property
    def is_clean(self) -> bool:
        """Nothing was wrong, and something was tried."""
        return not self.anomalies and self.acknowledged > 0 and bool(self.judgements)


async def perform(options: Options, say: Callable[[str], None]) -> Outcome:
    """Run it all. The folder holds logs, ledger and warehouses afterwards."""
    begun = time.monotonic()
    await asyncio.to_thread(options.folder.mkdir, parents=True, exist_ok=True)
    plan = draw_plan(options.seed, options.seconds, offered(options), pace_seconds=options.pace_seconds)
    outcome = Outcome(options, plan)
    driver = await asyncio.to_thread(Driver, options.seed, options.seconds, options.rate)
    async with set_stage(
        options.folder, warehouses=options.warehouses, sabotage=options.sabotage, may_mount=options.may_mount
    ) as stage:
        pushing = asyncio.create_task(driver.run(stage.push_url))
        try:
            await _first_answer(driver)
            say(f"pushes are answered; {len(outcome.plan)} faults within {options.seconds:.0f} s follow")
            await _strike_all(stage, driver, outcome, say)
            await stage.heal()
            driver.stop.set()
            await asyncio.wait_for(pushing, SETTLE_SECONDS_MAX)
        except TimeoutError as error:
            raise StageError(f"pushes were not answered within their time: see the logs in {options.folder}") from error
        finally:
            pushing.cancel()
        say(f"all faults have ended; waiting for what was answered ({driver.answered()} pushes) to be in the warehouse")
        idle_from = time.monotonic()
        pending = await stage.wait_idle(options.idle_seconds_max)
        outcome.idle_after_seconds = time.monotonic() - idle_from
        # While the loaders end they let go of their files; Postgres is asked while it still runs.
        await asyncio.gather(*(role.end() for role in stage.roles.values()))
        outcome.exits = {name: role.exits for name, role in stage.roles.items()}
        _count(outcome, driver)
        ledger = options.folder / "ledger.jsonl"
        steps = [(one.began, one.ended) for one in outcome.struck if _moves_the_doors_clock(one.planned)]
        await asyncio.to_thread(driver.write, ledger, steps)
        outcome.ledger_bytes = ledger.stat().st_size
        say("comparing every warehouse with the ledger")
        judged_from = time.monotonic()
        for warehouse in options.warehouses:
            judgement = await asyncio.to_thread(_judge, stage, warehouse, ledger)
            if pending is not None:
                judgement.anomalies.append(Found(Anomaly.STALLED, pending))
            outcome.judgements[warehouse] = judgement
        outcome.judged_in_seconds = time.monotonic() - judged_from
    outcome.ran_seconds = time.monotonic() - begun
    return outcome


def offered(options: Options) -> Sequence[Kind]:
    """The kinds of faults of a run."""
    loaders = tuple(f"loader-{warehouse}" for warehouse in options.warehouses)
    playground = Playground(
        roles=("receiver", "worker-1", "worker-2", *loaders),
        loaders=loaders,
        links=LINKS,
        has_postgres="postgres" in options.warehouses,
        has_spool_disk=options.may_mount,
    )
    all_kinds = kinds(playground)
    if not options.only:
        return all_kinds
    chosen = [
        Kind(kind.fault, kind.meaning, (target,), kind.seconds, kind.amounts)
        for kind in all_kinds
        for target in kind.targets
        if (kind.fault, target) in options.only
    ]
    if not chosen:
        raise ValueError(f"there is no such fault here: {options.only}")
    return chosen


def _moves_the_doors_clock(planned: Strike) -> bool:
    return planned.fault == "clock" and planned.target == "receiver"


async def _first_answer(driver: Driver) -> None:
    deadline = time.monotonic() + FIRST_ANSWER_SECONDS_MAX
    while not driver.answered():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.1)


def _due(waiting: Sequence[Strike], under_way: Iterable[tuple[Strike, float]], elapsed: float) -> Strike | None:
    """The next strike whose time has come; one at something that is still being struck waits until that is over."""
    busy = {planned.target for planned, _ in under_way}
    return next((planned for planned in waiting if planned.at <= elapsed and planned.target not in busy), None)


async def _strike_all(stage: Stage, driver: Driver, outcome: Outcome, say: Callable[[str], None]) -> None:
    begun = time.monotonic()
    waiting = list(outcome.plan)
    under_way: dict[asyncio.Task[str], tuple[Strike, float]] = {}
    told = begun
    seconds = outcome.options.seconds
    while (elapsed := time.monotonic() - begun) < seconds or under_way:
        while elapsed < seconds and (planned := _due(waiting, under_way.values(), elapsed)) is not None:
            waiting.remove(planned)
            under_way[asyncio.create_task(strike(stage, planned))] = planned, time.time()
        for task in [task for task in under_way if task.done()]:
            planned, began = under_way.pop(task)
            outcome.struck.append(Struck(planned, began, time.time(), task.result()))
        if time.monotonic() - told >= PROGRESS_SECONDS:
            told = time.monotonic()
            now = ", ".join(str(planned) for planned, _ in under_way.values()) or "nothing"
            tally = driver.tally
            say(
                f"{elapsed:4.0f} of {seconds:.0f} s: {driver.answered()} pushes answered,"
                f" {tally.given_up} given up, {tally.retries} retries, {len(outcome.struck)} faults done; now {now}"
            )
        await asyncio.sleep(0.05)


def _count(outcome: Outcome, driver: Driver) -> None:
    outcome.answers = driver.tally.answers
    outcome.deliveries = driver.tally.deliveries
    outcome.pushes_sent = sum(one.deliveries > 0 for one in driver.sent)
    outcome.acknowledged = sum(one.outcome == "answered" for one in driver.sent)
    outcome.given_up = driver.tally.given_up


def _judge(stage: Stage, warehouse: str, ledger: Path) -> Judgement:
    """Ask with drivers of our own: nothing of `sinks` takes part."""
    if warehouse == "postgres":
        with psycopg.connect(postgres_url(stage), row_factory=dict_row) as connection:
            return judge(ledger, lambda select: connection.execute(select.encode()).fetchall())
    with closing(duckdb.connect(str(stage.programs[warehouse].data_dir / "calls.duckdb"))) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return judge(ledger, _asking(connection))


def _asking(connection: duckdb.DuckDBPyConnection) -> Query:
    def ask(select: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = connection.execute(select).to_arrow_table().to_pylist()
        return rows

    return ask
