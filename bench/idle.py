"""The work `idle`: what all roles of `up` cost while nothing comes, and how long a second start takes."""

import os
import time
from pathlib import Path

from bench.contestants import Contestants, our_version
from bench.machine import FULL, MB
from bench.results import Result, Run, figure
from bench.running import BROKER, difference, up

SETTLE_SECONDS = 5.0
SECONDS = 60.0 if FULL else 20.0
NOT_DEPLOYED = ("numpy", "greenlet", "yaml")


def idle(folder: Path, _: Contestants, rounds: int) -> list[Result]:
    """The share of a core, and the memory, of everything besides the broker; the broker's are told beside it."""
    guarantee = "every role running and ready, broker not counted, packages of deploy/requirements-runtime.lock"
    deployed = as_deployed(folder / "deployed")
    result = Result("idle", "callweave", our_version("callweave"), "% of a core", guarantee)
    with up(folder / "data", deployed) as first:
        result.extra["seconds_to_ready_first_start"] = figure(first.seconds_to_ready)
    with up(folder / "data", deployed) as running:
        result.extra["seconds_to_ready_second_start"] = figure(running.seconds_to_ready)
        time.sleep(SETTLE_SECONDS)  # starting is not idling
        for _round in range(rounds):
            before, begun = running.cpu(), time.perf_counter()
            time.sleep(SECONDS)
            spent, seconds = difference(before, running.cpu()), time.perf_counter() - begun
            memory = running.memory()
            roles = [role for role in spent if role != BROKER]
            cpu = sum(spent[role] for role in roles)
            result.runs.append(Run(100 * cpu / seconds, cpu, sum(memory[role] for role in roles)))
        result.extra["percent_of_a_core_by_role"] = {
            role: round(100 * share / seconds, 2) for role, share in sorted(spent.items())
        }
        result.extra["megabytes_by_role"] = {role: size // MB for role, size in sorted(memory.items())}
    return [result]


def as_deployed(folder: Path) -> dict[str, str]:
    """The environment without what only tests and plots need: where it is, pyarrow, structlog and Faust load it."""
    folder.mkdir(parents=True)
    for module in NOT_DEPLOYED:
        (folder / f"{module}.py").write_text('raise ImportError("not in deploy/requirements-runtime.lock")\n')
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))}
