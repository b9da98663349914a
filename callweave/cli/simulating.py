"""A simulation that can be watched: what `simulate` and `demo` show while calls are pushed, and what they say after."""

import asyncio
import signal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from callweave.cli.common import WRONG, err, say
from callweave.simulator.run import Progress, SimulationOptions, SimulationReport
from callweave.simulator.run import simulate as run_simulation

PLAIN_PROGRESS_STEPS = 10


async def simulate_visibly(options: SimulationOptions) -> SimulationReport:
    """Simulate with a progress bar on a terminal, plain lines otherwise; Ctrl-C leaves the ledger of what was sent."""
    task = asyncio.ensure_future(_with_progress(options))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        where = f"; the ledger {options.ledger} tells of what was sent" if options.ledger else ""
        say(f"interrupted{where}")
        raise typer.Exit(WRONG) from None


def report_lines(report: SimulationReport) -> list[str]:
    """What a run did, for people."""
    answers = ", ".join(f"{count} {answer}" for answer, count in report.answers.items())
    lines = [
        f"{report.sessions} sessions, {report.pushes} pushes (seed {report.seed}) in {report.elapsed_seconds:.1f} s",
        f"{report.deliveries} deliveries: {report.retries} retries, {report.redeliveries} though answered; {answers}",
        f"{report.useless} useless pushes, {report.withheld} withheld, {report.given_up} given up",
    ]
    if report.latency_p50_ms is not None:
        lines.append(
            f"answers took p50 {report.latency_p50_ms:.1f} ms, p95 {report.latency_p95_ms:.1f} ms, "
            f"p99 {report.latency_p99_ms:.1f} ms"
        )
    return lines


async def _with_progress(options: SimulationOptions) -> SimulationReport:
    if not err.is_terminal:
        shown = 0

        def tell(progress: Progress) -> None:
            nonlocal shown
            step = progress.pushes_settled * PLAIN_PROGRESS_STEPS // max(1, progress.pushes_total)
            if step > shown:
                shown = step
                say(f"pushed {progress.pushes_settled} of {progress.pushes_total}")

        return await run_simulation(options, tell)
    columns = (TextColumn("pushing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task("pushing", total=None)
        return await run_simulation(
            options,
            lambda progress: bar.update(task, completed=progress.pushes_settled, total=progress.pushes_total),
        )
