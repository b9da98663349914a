"""`make chaos`: faults strike a running callweave while pushes come, then every answer is checked against the rows.

    python -m tests.faults.chaos [--minutes M] [--seed S] [--warehouse duckdb|postgres|both] [--proof] [--plan]

Exit status 0: clean; 1: an anomaly, and everything is kept; 2: the run itself could not be done.
"""

import argparse
import asyncio
import secrets
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from callweave.broker.jars import BrokerUnavailable
from tests.faults.chaos import performance, report, spool_disk
from tests.faults.chaos.performance import Options, perform
from tests.faults.chaos.plan import draw_plan
from tests.faults.chaos.proof import prove
from tests.faults.chaos.stage import StageError, clear

T = TypeVar("T")
WAREHOUSES = {"duckdb": ("duckdb",), "postgres": ("postgres",), "both": ("duckdb", "postgres")}


def main() -> int:
    """Run once; the exit status."""
    arguments = _arguments()
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    folder = arguments.out.absolute()
    may_mount = spool_disk.own_mounts()
    if arguments.proof:
        return asyncio.run(_until_told(prove(folder / "proof", seed, say, may_mount=may_mount)))
    options = Options(
        seed=seed,
        seconds=60 * arguments.minutes,
        warehouses=WAREHOUSES[arguments.warehouse],
        folder=folder / f"run-{seed}-{int(time.time())}",
        rate=arguments.rate,
        may_mount=may_mount,
    )
    if arguments.plan:
        for strike in draw_plan(seed, options.seconds, performance.offered(options), pace_seconds=options.pace_seconds):
            print(f"{strike.at:7.1f} s  {strike}")
        return 0
    say(f"seed {seed}, {arguments.minutes:g} minutes, {arguments.warehouse}; logs and data in {options.folder}")
    outcome = asyncio.run(_until_told(perform(options, say)))
    print("\n".join(report.lines(outcome)))
    written = report.write(outcome, folder)
    if outcome.is_clean:
        if not arguments.keep:
            clear(options.folder)
        print(f"clean; the report is {written[0]}")
        return 0
    again = f"make chaos MINUTES={arguments.minutes:g} SEED={seed} WAREHOUSE={arguments.warehouse}"
    print(f"NOT clean; logs, ledger and data are kept in {options.folder}; again: {again}")
    return 1


def say(text: str) -> None:
    """One line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Faults strike a running callweave; nothing is lost."
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults strike")
    parser.add_argument("--seed", type=int, help="of the plan and of the pushes; drawn, and told, without")
    parser.add_argument("--warehouse", choices=sorted(WAREHOUSES), default="both")
    parser.add_argument("--rate", type=float, default=60.0, help="pushes a second")
    parser.add_argument("--out", type=Path, default=Path("callweave-chaos"), help="where reports and kept data go")
    parser.add_argument("--keep", action="store_true", help="keep logs, ledger and data of a clean run too")
    parser.add_argument("--plan", action="store_true", help="print the faults of this seed, and do nothing")
    parser.add_argument("--proof", action="store_true", help="break the code in several ways; each must be caught")
    return parser.parse_args()


async def _until_told(work: Coroutine[Any, Any, T]) -> T:
    """SIGTERM ends it as Ctrl-C does: through every clean-up."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokerUnavailable, StageError) as error:
        say(f"the run could not be done: {error}")
        sys.exit(2)
    except asyncio.CancelledError:
        say("stopped; nothing was judged")
        sys.exit(2)
