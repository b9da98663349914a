"""`make chaos-engine`: trials of the engine, one line each, added to a file that a later run goes on from.

A report that was published and is in no record of `tccc.sessions` is lost; a last record that says less than all
records of its session together is stale. Either stops the run of our worker and keeps everything; of stock Faust it is
what the table counts. TRIALS=n means n of each fault *for the code of today*: what older code did is kept, not counted.

Trials run side by side, since most of one is waiting, on one Kafka with topics of their own. Those of `broker_restart`
run in groups on a second Kafka, and a group meets one restart. Workers are forked from a process that has imported
everything; each tenth trial starts the command as it is deployed.

    python -m tests.faults.engine_trials [--trials N] [--fault NAME …] [--worker stock] [--store memory] [--jobs N]
    python -m tests.faults.engine_trials --summary
"""

import argparse
import asyncio
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from callweave.broker.local import VERSION
from tests.faults.audit import audit, keep_evidence, until_compacted
from tests.faults.trial import FAULTS, IMPORTED_BY_WORKERS, NoProgressError, Restart, Trial, TrialBroker, broker_restart
from tests.support.fork_server import ForkServer

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "engine-trials.jsonl"
PAGE = ROOT / "docs" / "engine-trials.md"
TABLE_BEGINS, TABLE_ENDS = "<!-- made by `make chaos-engine` -->\n", "<!-- end -->\n"
LIBRARIES = ("faust-streaming", "aiokafka", "rocksdict")
STANDBY = {"callweave": 0, "stock": 1}
"""Standby replicas of tables, where nothing else is asked for: Faust's default is 1."""
RESTARTS = broker_restart.__name__
EXEC_EACH = 10
"""One trial of so many starts new processes instead of forking."""
MEMORY_OF_FIVE = (1, 3)
"""With both stores: which two of five seeds are on memory; the others are on RocksDB."""
SCHEMAS = (
    *("breaker", "canonical", "dead_letter", "derived", "endpoint", "events", "jsontext", "models"),
    *("session", "topics", "version", "wire"),
)
"""Modules of `schemas` whose code decides about a session's record."""


@dataclass(frozen=True)
class Outcome:
    """One trial: a line of the results."""

    code: str
    worker: str
    store: str
    fault: str
    seed: int
    at: float
    early_s: float | None
    detail: str
    reports: int
    lost: int
    stale: int
    restored_wrong: int
    duplicates: int
    compacted: int
    reread: int
    resumed_s: float
    stall_s: float
    total_s: float
    exits: list[int]
    hung: str | None
    kept: str | None
    started: str = "exec"
    """How workers were started: exec (a new process of the command) or fork."""
    beside: int = 0
    """How many other trials might run at the same time."""
    standby: int = 0
    """Faust's `table_standby_replicas`; the first lines do not say it."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all went wrong."""
        return not (self.lost or self.stale or self.restored_wrong or self.duplicates or self.hung)


async def run_trial(trial: Trial, *, beside: int = 0) -> Outcome:
    """Run it and count. What is not clean is kept, with what explains it."""
    begun = time.monotonic()
    hung: str | None = None
    try:
        await trial.run()
    except NoProgressError as exc:
        hung = str(exc)
    total = time.monotonic() - begun
    if trial.fault == "compaction":
        await until_compacted(trial)
    found = await audit(trial)
    outcome = Outcome(
        code=code_of(trial.worker),
        worker=trial.worker,
        store=trial.store,
        fault=trial.fault,
        seed=trial.seed,
        at=round(trial.at, 2),
        early_s=None if trial.early is None else round(trial.early, 2),
        detail=trial.detail,
        reports=sum(map(len, trial.ledger.values())),
        lost=sum(map(len, found.lost.values())),
        stale=len(found.stale),
        restored_wrong=sum(map(len, found.restored_wrong.values())),
        duplicates=found.duplicates,
        compacted=found.compacted,
        reread=found.reread,
        resumed_s=round(trial.progress.resumed_after(trial.struck), 2),
        stall_s=round(trial.progress.longest_stall(), 2),
        total_s=round(total, 1),
        exits=trial.exits,
        hung=hung,
        kept=None if hung is None and found.is_clean else trial.folder.name,
        started="exec" if trial.forks is None else "fork",
        beside=beside,
        standby=trial.standby,
    )
    if outcome.kept and trial.worker != "stock":
        await keep_evidence(trial, found)
    else:
        await trial.delete_topics()
        shutil.rmtree(trial.folder, ignore_errors=True)
    return outcome


def code_of(worker: str) -> str:
    """A digest of the code under test and of the libraries that it runs on."""
    if worker == "stock":
        files = [ROOT / "tests/faults/stock_worker.py"]
    else:
        files = [*sorted((ROOT / "streams").rglob("*.py")), *_schemas_of_the_worker()]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}\0".encode())
    return digest.hexdigest()[:12]


def _schemas_of_the_worker() -> list[Path]:
    """What decides about a session's record; the columns of warehouses, for one, change nothing in it."""
    return [ROOT / "schemas" / f"{name}.py" for name in SCHEMAS]


def read_results(path: Path) -> list[Outcome]:
    """Every trial so far."""
    if not path.exists():
        return []
    lines = map(json.loads, path.read_text().splitlines())
    return [Outcome(**{"standby": STANDBY[line["worker"]], **line}) for line in lines]


def summary(outcomes: list[Outcome]) -> str:
    """The table: for each contestant the newest code, and a line for what older code was tried."""
    groups: dict[tuple[str, str, int], dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        groups[outcome.worker, outcome.store, outcome.standby][outcome.code].append(outcome)
    parts: list[str] = []
    for (worker, store, standby), by_code in sorted(groups.items()):
        today = code_of(worker)
        shown = today if today in by_code else list(by_code)[-1]
        note = "the code of today" if shown == today else "older code: run the trials again"
        replicas = "" if standby == STANDBY[worker] else f", standby replicas: {standby}"
        forked = sum(outcome.started == "fork" for outcome in by_code[shown])
        parts.append(f"\n### {worker}, {store}{replicas}: `{shown}` ({note})\n")
        parts += _rows(by_code[shown])
        parts.append(f"\n{len(by_code[shown])} trials, {forked} of them with workers that were forked.")
        for code, older in by_code.items():
            if code != shown:
                bad = sum(not outcome.is_clean for outcome in older)
                parts.append(f"\nEarlier code `{code}`: {len(older)} trials, {bad} of them not clean.")
    return "\n".join(parts) + "\n"


def _rows(outcomes: list[Outcome]) -> list[str]:
    columns = ("fault", "trials", "trials that lost", "lost reports", "stale", "restored wrong", "hung")
    columns += ("resumed after (median, max)", "longest stall", "longest stall of a trial alone")
    rows = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for fault in FAULTS:
        theirs = [outcome for outcome in outcomes if outcome.fault == fault]
        if not theirs:
            continue
        resumed = sorted(outcome.resumed_s for outcome in theirs)
        alone = [outcome.stall_s for outcome in theirs if not outcome.beside]
        rows.append(
            f"| {fault} | {len(theirs)} | {sum(outcome.lost > 0 for outcome in theirs)} "
            f"| {sum(outcome.lost for outcome in theirs)} | {sum(outcome.stale for outcome in theirs)} "
            f"| {sum(outcome.restored_wrong for outcome in theirs)} "
            f"| {sum(outcome.hung is not None for outcome in theirs)} "
            f"| {resumed[len(resumed) // 2]:.1f} s, {resumed[-1]:.1f} s "
            f"| {max(outcome.stall_s for outcome in theirs):.1f} s "
            f"| {f'{max(alone):.1f} s ({len(alone)})' if alone else ''} |"
        )
    return rows


def write_summary(results: Path, page: Path) -> None:
    """Put the table into its page."""
    text = page.read_text()
    before, rest = text.split(TABLE_BEGINS, 1)
    _, after = rest.split(TABLE_ENDS, 1)
    page.write_text(before + TABLE_BEGINS + summary(read_results(results)) + TABLE_ENDS + after)


class UncleanError(Exception):
    """A trial of ours lost something; the run ends here."""


@dataclass(frozen=True)
class Plan:
    """Which trials there shall be, counting those that `results` has of the same code, and how they are run."""

    results: Path
    seeds: range
    worker: str = "callweave"
    store: str = "both"
    """rocksdb, memory, or both: then each trial of a fault is on one of them."""
    standby: int = 0
    faults: tuple[str, ...] = tuple(FAULTS)
    sessions: int = 2000
    jobs: int = 4
    exec_each: int = EXEC_EACH
    stop_at: str | None = None
    goes_on: bool = False
    """Also after a trial that is not clean."""

    def missing(self) -> Iterator[tuple[str, int, str]]:
        """Fault, seed and store of what has to be run, round by round."""
        code = code_of(self.worker)
        done = {
            (outcome.fault, outcome.seed, outcome.store)
            for outcome in read_results(self.results)
            if (outcome.code, outcome.worker, outcome.standby) == (code, self.worker, self.standby)
        }
        for seed in self.seeds:
            for fault in self.faults:
                store = self.store
                if store == "both":
                    store = "memory" if seed % 5 in MEMORY_OF_FIVE else "rocksdb"
                if (fault, seed, store) not in done:
                    yield fault, seed, store

    @property
    def beside(self) -> int:
        """How many trials may run at the same time as one."""
        return 0 if self.jobs == 1 else 2 * self.jobs - 1

    @property
    def is_over(self) -> bool:
        """Whether no trial may begin any more."""
        return self.stop_at is not None and time.strftime("%H:%M") >= self.stop_at


class Campaign:
    """Runs a plan, and writes down each trial as it ends."""

    def __init__(self, plan: Plan, base: Path, version: str = VERSION) -> None:
        self._plan = plan
        self._base = base
        missing = list(plan.missing())
        self._singles = iter([entry for entry in missing if entry[0] != RESTARTS])
        self._restarts = [entry for entry in missing if entry[0] == RESTARTS]
        self._broker = TrialBroker(base / "kafka", version=version, heap_mb=512)
        self._restarted = TrialBroker(base / "kafka-restarted", version=version, heap_mb=512)
        self.count = 0

    def run(self) -> None:
        """Until nothing is left, or time is up. Raises UncleanError at the first trial of ours that is not clean."""
        with self._broker, self._restarted, ForkServer(IMPORTED_BY_WORKERS) as self._forks:
            asyncio.run(self._run())

    async def _run(self) -> None:
        jobs = self._plan.jobs
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(jobs):
                    lanes.create_task(self._lane())
                if jobs > 1:
                    lanes.create_task(self._meet_restarts())
            if jobs == 1:
                await self._meet_restarts()
        except* UncleanError as unclean:
            raise unclean.exceptions[0] from None

    async def _lane(self) -> None:
        for entry in self._singles:
            if self._plan.is_over:
                return
            await self._one(entry, self._broker, None)

    async def _meet_restarts(self) -> None:
        for group in _batched(self._restarts, self._plan.jobs):
            if self._plan.is_over:
                return
            restart = Restart(self._restarted)
            await asyncio.gather(*[self._one(entry, self._restarted, restart) for entry in group])

    async def _one(self, entry: tuple[str, int, str], broker: TrialBroker, restart: Restart | None) -> None:
        plan = self._plan
        fault, seed, store = entry
        trial = Trial(
            fault=fault,
            seed=seed,
            worker=plan.worker,
            store=store,
            broker=broker,
            folder=self._base / f"{fault}-{seed}-{store}",
            sessions=plan.sessions,
            forks=None if seed % plan.exec_each == 0 else self._forks,
            restart=restart,
            standby=plan.standby,
        )
        outcome = await run_trial(trial, beside=plan.beside)
        line = json.dumps(asdict(outcome))
        print(line, flush=True)
        with plan.results.open("a") as results:
            results.write(line + "\n")
        self.count += 1
        if not outcome.is_clean and not plan.goes_on:
            raise UncleanError(line)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1, help="of each fault, counting those done before")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only these")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--worker", choices=["callweave", "stock"], default="callweave")
    parser.add_argument("--store", choices=["rocksdb", "memory", "both"], default="both")
    parser.add_argument("--jobs", type=int, default=4, help="trials side by side, and as many in a group; 1: alone")
    parser.add_argument(
        "--exec", action="store_true", help=f"start each worker as a new process, not only in each {EXEC_EACH}th trial"
    )
    parser.add_argument("--standby", type=int, help="table_standby_replicas (default: callweave 0, stock Faust 1)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--stop-at", metavar="HH:MM", help="begin no trial after this time of day")
    parser.add_argument(
        "--summary", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}, and end"
    )
    arguments = parser.parse_args()
    if arguments.summary:
        write_summary(arguments.results, PAGE)
        return 0
    os.environ.pop("CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS", None)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the observer's own, while a broker is away
    plan = Plan(
        results=arguments.results,
        seeds=range(arguments.seed, arguments.seed + arguments.trials),
        worker=arguments.worker,
        store=arguments.store,
        standby=STANDBY[arguments.worker] if arguments.standby is None else arguments.standby,
        faults=tuple(arguments.fault or FAULTS),
        sessions=arguments.sessions,
        jobs=arguments.jobs,
        exec_each=1 if arguments.exec else EXEC_EACH,
        stop_at=arguments.stop_at,
        goes_on=arguments.worker == "stock",
    )
    base = Path(tempfile.mkdtemp(prefix="callweave-chaos-"))
    campaign = Campaign(plan, base)
    try:
        campaign.run()
    except UncleanError:
        print(f"stopped: everything is kept in {base}", file=sys.stderr)
        return 1
    print(f"{campaign.count} trials of {code_of(plan.worker)}, {len(list(plan.missing()))} to go")
    shutil.rmtree(base, ignore_errors=True)
    return 0


def _batched(entries: Sequence[tuple[str, int, str]], size: int) -> Iterator[Sequence[tuple[str, int, str]]]:
    """Groups of so many, the last of what is left."""
    return (entries[start : start + size] for start in range(0, len(entries), size))


if __name__ == "__main__":
    sys.exit(main())
