"""Completeness twice: the warehouse's view, and the simulator's truth of the same ledger."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callweave.simulator.ledger import LedgerSession, iterate_ledger
from callweave.simulator.reconciled import Completeness, Reconciliation, completeness
from tests.support.program import Program

COUNTS = tuple(member.name for member in fields(Completeness))

Numbers = dict[tuple[int, datetime], dict[str, int]]
"""Of each application and hour, the counts that are not 0."""


def in_the_warehouse(program: Program) -> Numbers:
    """What the view says."""
    rows = program.sql(f"select sdk_app_id, hour, {', '.join(COUNTS)} from completeness")
    return _filled(
        {
            (int(row["sdk_app_id"]), datetime.fromisoformat(row["hour"])): {name: row[name] for name in COUNTS}
            for row in rows
        }
    )


def in_truth(ledger: Path, *, was_asked: bool) -> Numbers:
    """What follows from the scenario alone; the API counts what is not there as absent at once."""
    now = datetime.now(UTC)
    reconciliation = Reconciliation(asked_at=now, absent_after=timedelta(0), was_asked=was_asked)
    lines = [line for line in iterate_ledger(ledger) if isinstance(line, LedgerSession)]
    told = completeness(lines, reconciliation)
    return _filled({key: {name: int(getattr(numbers, name)) for name in COUNTS} for key, numbers in told.items()})


def _filled(numbers: Numbers) -> Numbers:
    filled = {key: {name: count for name, count in counts.items() if count} for key, counts in numbers.items()}
    return {key: counts for key, counts in filled.items() if counts}


def total(numbers: Numbers, name: str) -> int:
    """The sum of a count."""
    return sum(counts.get(name, 0) for counts in numbers.values())
