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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from tests.faults.audit import audit, keep_evidence, until_compacted
from tests.faults.fork_server import ForkServer
from tests.faults.trial import FAULTS, NoProgressError, Restart, Trial, TrialBroker, broker_restart

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
    """Faust's `table_standby_replicas`."""

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
        files = sorted(path for room in ("streams", "schemas") for path in (ROOT / room).rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}\0".encode())
    return digest.hexdigest()[:12]


def read_results(path: Path) -> list[Outcome]:
    """Every trial so far."""
    if not path.exists():
        return []
    return [Outcome(**json.loads(line)) for line in path.read_text().splitlines()]


def summary(outcomes: list[Outcome]) -> str:
    """The table: for each worker and store the newest code, and a line for what older code was tried."""
    groups: dict[tuple[str, str], dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        groups[outcome.worker, outcome.store][outcome.code].append(outcome)
    parts: list[str] = []
    for (worker, store), by_code in sorted(groups.items()):
        today = code_of(worker)
        shown = today if today in by_code else list(by_code)[-1]
        note = "the code of today" if shown == today else "older code: run the trials again"
        parts.append(f"\n### {worker}, {store}: `{shown}` ({note})\n")
        parts += _rows(by_code[shown])
        for code, older in by_code.items():
            if code != shown:
                bad = sum(not outcome.is_clean for outcome in older)
                parts.append(f"\nEarlier code `{code}`: {len(older)} trials, {bad} of them not clean.")
    return "\n".join(parts) + "\n"


def _rows(outcomes: list[Outcome]) -> list[str]:
    columns = ("fault", "trials", "trials that lost", "lost reports", "stale", "restored wrong", "hung")
    columns += ("resumed after (median, max)", "longest stall")
    rows = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for fault in FAULTS:
        theirs = [outcome for outcome in outcomes if outcome.fault == fault]
        if not theirs:
            continue
        resumed = sorted(outcome.resumed_s for outcome in theirs)
        rows.append(
            f"| {fault} | {len(theirs)} | {sum(outcome.lost > 0 for outcome in theirs)} "
            f"| {sum(outcome.lost for outcome in theirs)} | {sum(outcome.stale for outcome in theirs)} "
            f"| {sum(outcome.restored_wrong for outcome in theirs)} "
            f"| {sum(outcome.hung is not None for outcome in theirs)} "
            f"| {resumed[len(resumed) // 2]:.1f} s, {resumed[-1]:.1f} s "
            f"| {max(outcome.stall_s for outcome in theirs):.1f} s |"
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
    """Trials that are still to be run: what to do, and how."""

    arguments: argparse.Namespace
    base: Path
    forks: ForkServer

    def singles(self) -> Iterator[tuple[str, int, str]]:
        """Fault, seed and store of what runs on the shared broker, round by round."""
        return ((fault, seed, store) for fault, seed, store in self._missing() if fault != RESTARTS)

    def groups(self) -> Iterator[list[tuple[str, int, str]]]:
        """Those that meet a restart, in groups."""
        missing = [entry for entry in self._missing() if entry[0] == RESTARTS]
        size = max(1, self.arguments.jobs)
        return (missing[start : start + size] for start in range(0, len(missing), size))

    def trial(self, fault: str, seed: int, store: str, broker: TrialBroker, restart: Restart | None = None) -> Trial:
        """One of them."""
        arguments = self.arguments
        return Trial(
            fault=fault,
            seed=seed,
            worker=arguments.worker,
            store=store,
            broker=broker,
            folder=self.base / f"{fault}-{seed}-{store}",
            sessions=arguments.sessions,
            forks=None if arguments.exec or seed % EXEC_EACH == 0 else self.forks,
            restart=restart,
            standby=arguments.standby,
        )

    def _missing(self) -> Iterator[tuple[str, int, str]]:
        arguments = self.arguments
        code = code_of(arguments.worker)
        done = {
            (outcome.fault, outcome.seed, outcome.store)
            for outcome in read_results(arguments.results)
            if (outcome.code, outcome.worker, outcome.standby) == (code, arguments.worker, arguments.standby)
        }
        for seed in range(arguments.seed, arguments.seed + arguments.trials):
            for fault in arguments.fault or FAULTS:
                store = arguments.store
                if store == "both":
                    store = "memory" if seed % 5 in MEMORY_OF_FIVE else "rocksdb"
                if (fault, seed, store) not in done:
                    yield fault, seed, store


class Campaign:
    """Runs a plan in lanes, and writes down each trial as it ends."""

    def __init__(self, plan: Plan, broker: TrialBroker, restarted: TrialBroker) -> None:
        self._plan = plan
        self._broker = broker
        self._restarted = restarted
        self._singles = plan.singles()
        self.count = 0

    async def run(self) -> None:
        """Until nothing is left, or time is up. Raises UncleanError at the first trial of ours that is not clean."""
        jobs = self._plan.arguments.jobs
        async with asyncio.TaskGroup() as lanes:
            for _ in range(jobs):
                lanes.create_task(self._lane())
            if jobs > 1:
                lanes.create_task(self._restarts())
        if jobs == 1:
            await self._restarts()

    async def _lane(self) -> None:
        for entry in self._singles:
            if self._is_over():
                return
            await self._one(self._plan.trial(*entry, self._broker))

    async def _restarts(self) -> None:
        for group in self._plan.groups():
            if self._is_over():
                return
            restart = Restart(self._restarted)
            async with asyncio.TaskGroup() as together:
                for entry in group:
                    together.create_task(self._one(self._plan.trial(*entry, self._restarted, restart)))

    async def _one(self, trial: Trial) -> None:
        arguments = self._plan.arguments
        outcome = await run_trial(trial, beside=0 if arguments.jobs == 1 else 2 * arguments.jobs - 1)
        line = json.dumps(asdict(outcome))
        print(line, flush=True)
        with arguments.results.open("a") as results:
            results.write(line + "\n")
        self.count += 1
        if not outcome.is_clean and arguments.worker != "stock":
            raise UncleanError(f"{outcome.fault} {outcome.seed}")

    def _is_over(self) -> bool:
        stop_at = self._plan.arguments.stop_at
        return stop_at is not None and time.strftime("%H:%M") >= stop_at


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1, help="of each fault, counting those done before")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only these")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--worker", choices=["callweave", "stock"], default="callweave")
    parser.add_argument("--store", choices=["rocksdb", "memory", "both"], default="both")
    parser.add_argument("--jobs", type=int, default=4, help="trials side by side, and as many in a group; 1: alone")
    parser.add_argument("--exec", action="store_true", help="start each worker as a new process; fork none")
    parser.add_argument("--standby", type=int, help="table_standby_replicas (default: callweave 0, stock Faust 1)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--stop-at", metavar="HH:MM", help="begin no trial after this time of day")
    parser.add_argument(
        "--summary", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}, and end"
    )
    arguments = parser.parse_args()
    if arguments.standby is None:
        arguments.standby = STANDBY[arguments.worker]
    if arguments.summary:
        write_summary(arguments.results, PAGE)
        return 0
    os.environ.pop("CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS", None)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the observer's own, while a broker is away
    base = Path(tempfile.mkdtemp(prefix="callweave-chaos-"))
    with (
        TrialBroker(base / "kafka", heap_mb=512) as broker,
        TrialBroker(base / "kafka-restarted", heap_mb=512) as restarted,
        ForkServer() as forks,
    ):
        campaign = Campaign(Plan(arguments, base, forks), broker, restarted)
        try:
            asyncio.run(campaign.run())
        except BaseExceptionGroup as group:
            unclean = group.subgroup(UncleanError)
            if unclean is None:
                raise
            print(f"stopped after {unclean.exceptions}: everything is kept in {base}", file=sys.stderr)
            return 1
    print(f"{campaign.count} trials of {code_of(arguments.worker)}; run again to go on")
    shutil.rmtree(base, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
