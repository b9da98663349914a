"""Proof that the verifier can fail: the program is broken in each known way, and each must be caught.

Every breakage runs under faults that let it show; the same faults without it (the first row) must be clean, or the
catch would prove nothing.
"""

from collections.abc import Callable
from pathlib import Path

from tests.faults.chaos import performance
from tests.faults.chaos.performance import Options, perform
from tests.faults.chaos.report import LOSSES
from tests.faults.chaos.sabotage import SABOTAGES
from tests.faults.chaos.stage import clear

SECONDS = 30.0
PACE_SECONDS = 3.0
IDLE_SECONDS_MAX = 40.0


async def prove(folder: Path, seed: int, say: Callable[[str], None], *, may_mount: bool) -> int:
    """Break, run, tell; 0 where everything was caught and the unbroken program was clean."""
    rows = [("broken", "acknowledged", *LOSSES, "verdict")]
    failed = False
    for name in (None, *SABOTAGES):
        faults = SABOTAGES[name].faults if name else tuple({pair for one in SABOTAGES.values() for pair in one.faults})
        options = Options(
            seed=seed,
            seconds=SECONDS,
            warehouses=("duckdb", "postgres"),
            folder=folder / (name or "unbroken").replace(" ", "-"),
            rate=80.0,
            pace_seconds=PACE_SECONDS,
            only=tuple(sorted(faults)),
            sabotage=name,
            may_mount=may_mount,
            idle_seconds_max=IDLE_SECONDS_MAX if name else performance.IDLE_SECONDS_MAX,
        )
        clear(options.folder)
        say(f"{SABOTAGES[name].meaning if name else 'unbroken'}: {SECONDS:.0f} s")
        outcome = await perform(options, say)
        counted = [
            sum(judgement.count(anomaly) for judgement in outcome.judgements.values()) for anomaly in LOSSES.values()
        ]
        as_it_should = bool(outcome.anomalies) if name else outcome.is_clean
        failed |= not as_it_should
        verdict = ("caught" if name else "clean") if as_it_should else ("NOT CAUGHT" if name else "NOT CLEAN")
        rows.append((name or "nothing", str(outcome.acknowledged), *map(str, counted), verdict))
        if as_it_should:
            clear(options.folder)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 1 if failed else 0
