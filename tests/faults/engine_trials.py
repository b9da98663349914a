"""`make chaos-engine`: trials of the engine, one line each, added to a file that a later run goes on from.

A report that was published and is in no record of `tccc.sessions` is lost; a last record that says less than all
records of its session together is stale. Either stops the run of our worker and keeps everything; of stock Faust it is
what the table counts. TRIALS=n means n of each fault *for the code of today*: what older code did is kept, not counted.

    python -m tests.faults.engine_trials [--trials N] [--fault NAME …] [--worker stock] [--store memory]
    python -m tests.faults.engine_trials --summary
"""

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from tests.faults.audit import audit, keep_evidence, until_compacted
from tests.faults.trial import FAULTS, NoProgressError, Trial, TrialBroker

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "engine-trials.jsonl"
PAGE = ROOT / "docs" / "engine-trials.md"
TABLE_BEGINS, TABLE_ENDS = "<!-- made by `make chaos-engine` -->\n", "<!-- end -->\n"
LIBRARIES = ("faust-streaming", "aiokafka", "rocksdict")
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

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all went wrong."""
        return not (self.lost or self.stale or self.restored_wrong or self.duplicates or self.hung)


async def run_trial(trial: Trial) -> Outcome:
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


def campaign(arguments: argparse.Namespace, broker: TrialBroker, base: Path) -> int:
    """Trials until there are enough of each fault, round by round; 1 at the first of ours that is not clean."""
    code = code_of(arguments.worker)
    asked = (code, arguments.worker, arguments.store)
    done: dict[str, set[int]] = defaultdict(set)
    for outcome in read_results(arguments.results):
        if (outcome.code, outcome.worker, outcome.store) == asked:
            done[outcome.fault].add(outcome.seed)
    count = 0
    for seed in range(arguments.seed, arguments.seed + arguments.trials):
        for fault in arguments.fault or FAULTS:
            if seed in done[fault]:
                continue
            trial = Trial(
                fault=fault,
                seed=seed,
                worker=arguments.worker,
                store=arguments.store,
                broker=broker,
                folder=base / f"{fault}-{seed}",
                sessions=arguments.sessions,
            )
            outcome = asyncio.run(run_trial(trial))
            line = json.dumps(asdict(outcome))
            print(line, flush=True)
            with arguments.results.open("a") as results:
                results.write(line + "\n")
            count += 1
            if not outcome.is_clean and arguments.worker != "stock":
                print(f"stopped: everything is kept in {base}", file=sys.stderr)
                return 1
            if arguments.stop_at and time.strftime("%H:%M") >= arguments.stop_at:
                print(f"{count} trials, then it was {arguments.stop_at}; run again to go on")
                return 0
    print(f"{count} trials now, {sum(map(len, done.values()))} before; code {code}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1, help="of each fault, counting those done before")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only these")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--worker", choices=["callweave", "stock"], default="callweave")
    parser.add_argument("--store", choices=["rocksdb", "memory"], default="rocksdb")
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
    base = Path(tempfile.mkdtemp(prefix="callweave-chaos-"))
    with TrialBroker(base / "kafka", heap_mb=512) as broker:
        status = campaign(arguments, broker, base)
    if status == 0:
        shutil.rmtree(base, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
