"""`make bench-workers`: what a push costs when 1, 2 and 4 worker processes share the partitions.

Its one rule: CPU time, of all workers together, after they have settled; a round counts only if what they published
knows every report. They run on all cores of the machine, which the broker shares.

python -m bench.workers [--sessions N] [--rounds N]
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench.machine import a_broker, new_topics
from bench.results import Run
from bench.worker import callweave, fill

COUNTS = (1, 2, 4)
PUSHES = 100_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="callweave-workers-") as folder, a_broker(Path(folder)):
        print(json.dumps(measure(Path(folder), arguments.sessions, arguments.rounds), indent=2))
    return 0


def measure(folder: Path, sessions: int, rounds: int) -> dict[str, object]:
    """Interleaved rounds, the order turned around each time."""
    runs: dict[int, list[Run]] = {count: [] for count in COUNTS}
    for number in range(rounds):
        for count in COUNTS if number % 2 == 0 else reversed(COUNTS):
            backlog = asyncio.run(fill(new_topics(), sessions))
            runs[count].append(callweave(folder, count, backlog, pinned=False))
    return {
        "sessions": sessions,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "workers": {c: told(runs[c]) for c in COUNTS},
    }


def told(runs: list[Run]) -> dict[str, object]:
    """Medians, and the CPU of every round."""
    seconds = [run.more["cpu_us_per_push"] * PUSHES / 1e6 for run in runs]
    return {
        "cpu_seconds_per_100k_pushes": round(statistics.median(seconds), 2),
        "of_each_round": [round(one, 2) for one in seconds],
        "pushes_per_second": round(statistics.median(run.rate for run in runs)),
    }


if __name__ == "__main__":
    sys.exit(main())
