"""`make bench`: callweave beside what others would use, and beside what bounds it, on the same work in one run.

One core for the process under test, the other for Kafka and the load, contestants interleaved, medians of the rounds.
WORK=door,worker does only these works, FULL=1 takes the long form; ROUNDS=1 is for trying the bench itself.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import door, idle, loading, pipeline, plots, restore, worker
from bench.contestants import Contestants
from bench.machine import FULL, LOAD_CORE, pin_to
from bench.results import DOCS, Result, publish, the_machine
from callweave.broker.local import VERSION, LocalBroker

Work = Callable[[Path, Contestants, int], list[Result]]
WORKS: dict[str, Work] = {
    "door": door.door,
    "worker": worker.worker,
    "restore": restore.restore_work,
    "loader-duckdb": loading.loader_duckdb,
    "loader-postgres": loading.loader_postgres,
    "pipeline": pipeline.pipeline,
    "idle": idle.idle,
}
WITH_THEIR_OWN_BROKER = frozenset({"pipeline", "idle"})  # that of `up`
WITH_MANY_CONTESTANTS = frozenset({"worker", "restore"})  # two rounds of these, so that the short form stays short
UNPINNED = WITH_THEIR_OWN_BROKER | {"loader-duckdb", "loader-postgres"}  # the machine's, or within this process


def main() -> int:
    wanted = chosen(os.environ.get("WORK", ""))
    wanted_rounds = int(os.environ.get("ROUNDS") or 0)
    machine = the_machine(VERSION)
    with tempfile.TemporaryDirectory(prefix="callweave-bench-") as place:
        for work in wanted:
            begun, contestants = time.monotonic(), Contestants()
            rounds = wanted_rounds or (5 if FULL else 2 if work in WITH_MANY_CONTESTANTS else 3)
            results = done(work, Path(place) / work, contestants, rounds)
            # At once: what comes later may fail, and this has been measured.
            form = "long" if FULL else "short"
            whole = publish(results, machine=machine, left_out=contestants.left_out, form=form)
            plots.draw(whole, DOCS / "images")
            for one in (result.as_json() for result in results):
                print(f"{work}: {one['contestant']} {one['median']:,} {one['unit']}, {one['cpu_seconds']} s of CPU")
            for name, reason in contestants.left_out.items():
                print(f"{work}: left out: {name}, {reason}")
            print(f"{work}: took {time.monotonic() - begun:.0f} s", flush=True)
    print("docs/benchmarks.json and docs/benchmarks.md are written")
    return 0


def done(work: str, folder: Path, contestants: Contestants, rounds: int) -> list[Result]:
    """One work, with a broker that no other work has filled; what it leaves on the disk goes with it."""
    try:
        pin_to(None if work in UNPINNED else LOAD_CORE)
        if work in WITH_THEIR_OWN_BROKER:
            return WORKS[work](folder, contestants, rounds)
        with LocalBroker(folder / "kafka", heap_mb=512) as broker:
            os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
            return WORKS[work](folder, contestants, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def chosen(text: str) -> list[str]:
    """The works that were asked for, in their order; all if none was."""
    names = text.replace(",", " ").split()
    unknown = [name for name in names if name not in WORKS]
    if unknown:
        sys.exit(f"There is no work {', '.join(unknown)}: WORK takes some of {','.join(WORKS)}.")
    return [name for name in WORKS if name in names or not names]


if __name__ == "__main__":
    sys.exit(main())
