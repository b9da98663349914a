"""`make bench`: callweave beside what others would use, and beside what bounds it, on the same work in one run.

One core for the process under test, the other for Kafka and the load, contestants interleaved, medians of the rounds.
WORK=door,worker does only these works, FULL=1 takes the long form; ROUNDS=1 is for trying the bench itself.
"""

import os
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
UNPINNED = frozenset({"pipeline", "idle"})  # the whole machine is what is measured


def main() -> int:
    wanted = chosen(os.environ.get("WORK", ""))
    rounds = int(os.environ.get("ROUNDS") or (5 if FULL else 3))
    contestants, machine = Contestants(), the_machine(VERSION)
    with tempfile.TemporaryDirectory(prefix="callweave-bench-") as place:
        for work in wanted:
            begun = time.monotonic()
            folder = Path(place) / work
            pin_to(None if work in UNPINNED else LOAD_CORE)
            # A broker for each work: none has to carry what another left in it.
            with LocalBroker(folder / "kafka", heap_mb=512) as broker:
                os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
                results = WORKS[work](folder, contestants, rounds)
            # At once: what comes later may fail, and this has been measured.
            form = "long" if FULL else "short"
            plots.draw(publish(results, machine=machine, left_out=contestants.left_out, form=form), DOCS / "images")
            for one in (result.as_json() for result in results):
                print(f"{work}: {one['contestant']} {one['median']:,} {one['unit']}, {one['cpu_seconds']} s of CPU")
            print(f"{work}: took {time.monotonic() - begun:.0f} s", flush=True)
    for name, reason in contestants.left_out.items():
        print(f"left out: {name}, {reason}")
    print("docs/benchmarks.json and docs/benchmarks.md are written")
    return 0


def chosen(text: str) -> list[str]:
    """The works that were asked for, in their order; all if none was."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in WORKS]
    if unknown:
        sys.exit(f"There is no work {', '.join(unknown)}: WORK takes some of {','.join(WORKS)}.")
    return [name for name in WORKS if name in names or not names]


if __name__ == "__main__":
    sys.exit(main())
