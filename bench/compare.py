"""`python -m bench.compare BASE [HEAD]`: did it get slower? Two commits, the same work, interleaved, in CPU time.

What else the machine does moves wall clocks, and CPU time too, but both commits alike: only the ratio says something.
With `--roles`, the door and the worker run as processes against a Kafka of their own.
"""

import argparse
import asyncio
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.door import PASSWORD, USER, until_open
from bench.load import post, press
from bench.machine import cpu_seconds, new_topics, process
from bench.work import bodies
from bench.worker import fill
from callweave.broker.local import LocalBroker, free_port
from callweave.kafka import admin_client, group_offsets
from callweave.settings import load_settings

ROOT = Path(__file__).parents[1]
WORKING_TREE = "."
DOOR_SECONDS = 4.0
Measured = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("base", help="a commit to compare with")
    parser.add_argument("head", nargs="?", default=WORKING_TREE, help="another one; left out: the files as they are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--roles", action="store_true", help="measure the door and the worker too, with Kafka")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="callweave-compare-") as folder,
        tree(arguments.base, Path(folder)) as base,
        tree(arguments.head, Path(folder)) as head,
    ):
        trees = {arguments.base: base, arguments.head: head}
        measured = rounds(trees, arguments.rounds, lambda root: parts(root, arguments.sessions))
        if arguments.roles:
            with LocalBroker(Path(folder) / "kafka", heap_mb=512) as broker:
                os.environ["CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
                for name, more in rounds(trees, arguments.rounds, lambda r: roles(r, arguments.sessions)).items():
                    measured[name] |= more
    show(measured[arguments.base], measured[arguments.head], arguments.base, arguments.head)
    return 0


@contextmanager
def tree(commit: str, folder: Path) -> Iterator[Path]:
    """A commit's files; for the working tree, the files here."""
    if commit == WORKING_TREE:
        yield ROOT
        return
    place = folder / f"tree-{commit.replace('/', '-')}"
    git("worktree", "add", "--detach", str(place), commit)
    try:
        yield place
    finally:
        git("worktree", "remove", "--force", str(place))


def git(*arguments: str) -> None:
    program = shutil.which("git")
    if program is None:
        sys.exit("bench.compare needs git, to have the files of both commits")
    subprocess.run([program, "-C", str(ROOT), *arguments], check=True, capture_output=True)


def rounds(trees: dict[str, Path], count: int, measure: Callable[[Path], dict[str, float]]) -> dict[str, Measured]:
    """Each tree once a round, the order turned around each time."""
    measured: dict[str, Measured] = {name: {} for name in trees}
    for number in range(count):
        for name in sorted(trees, reverse=bool(number % 2)):
            for part, value in measure(trees[name]).items():
                measured[name].setdefault(part, []).append(value)
    return measured


def parts(root: Path, sessions: int) -> dict[str, float]:
    """The pure parts, by this tree's ruler and that tree's code."""
    command = [sys.executable, str(ROOT / "bench" / "parts.py"), str(sessions)]
    done = subprocess.run(command, env=environment_of(root), cwd=root, check=True, stdout=subprocess.PIPE)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def roles(root: Path, sessions: int) -> dict[str, float]:
    """CPU of the door for each push, and of the worker for each event."""
    with tempfile.TemporaryDirectory(prefix="callweave-compare-") as folder:
        return {"door, process": door(root, folder), "worker, process": worker(root, folder, sessions)}


def door(root: Path, folder: str) -> float:
    port = free_port()
    environment = {
        **environment_of(root),
        "CALLWEAVE_KAFKA__TOPIC_PREFIX": new_topics(),
        "CALLWEAVE_RECEIVER__PORT": str(port),
        "CALLWEAVE_RECEIVER__AUTH": "basic",
        "CALLWEAVE_RECEIVER__USERNAME": USER,
        "CALLWEAVE_RECEIVER__PASSWORD": PASSWORD,
        "CALLWEAVE_RECEIVER__SPOOL_WAIT_SECONDS_MAX": "5",
        "CALLWEAVE_ADMIN__PORT": "0",
        "CALLWEAVE_DATA_DIR": f"{folder}/door",
    }
    credentials = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    requests = [
        post(f"/tccc/push?action={action}", body, {"Authorization": credentials, "X-TCCC-PUSH-UUID": f"p{number}"})
        for number, (action, body) in enumerate(bodies(1000))
    ]
    with process([sys.executable, "-m", "callweave", "receiver"], environment) as child:

        async def run() -> float:
            await until_open(port)
            await press("127.0.0.1", port, requests, connections=8, seconds=1.0)  # warm-up
            begun = cpu_seconds(child.pid)
            load = await press("127.0.0.1", port, requests, connections=64, seconds=DOOR_SECONDS)
            assert not load.failures, "a push was not answered ErrCode 0"
            return (cpu_seconds(child.pid) - begun) / (load.per_second * DOOR_SECONDS) * 1e6

        return uvloop.run(run())


def worker(root: Path, folder: str, sessions: int) -> float:
    prefix = new_topics()
    count = asyncio.run(fill(prefix, sessions)).count
    environment = {
        **environment_of(root),
        "CALLWEAVE_KAFKA__TOPIC_PREFIX": prefix,
        "CALLWEAVE_ADMIN__PORT": "0",
        "CALLWEAVE_DATA_DIR": f"{folder}/worker",
    }
    with process([sys.executable, "-m", "callweave", "worker"], environment) as child:
        return asyncio.run(cpu_of_backlog(f"{prefix}worker", count, child.pid))


async def cpu_of_backlog(group: str, count: int, pid: int) -> float:
    """CPU for each event between the first and the last progress of a group's commits."""
    first: tuple[int, float] | None = None
    deadline = time.monotonic() + 300
    async with admin_client(load_settings()) as admin:
        while time.monotonic() < deadline:
            done = sum((await group_offsets(admin, group)).values())
            if done and first is None:
                first = done, cpu_seconds(pid)
            if done >= count and first is not None:
                return (cpu_seconds(pid) - first[1]) / max(1, count - first[0]) * 1e6
            await asyncio.sleep(0.02)
    raise TimeoutError(f"{group} did not finish")


def environment_of(root: Path) -> dict[str, str]:
    """Whose code runs: a tree's, and not that of the directory that this runs in."""
    return {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}


def show(base: Measured, head: Measured, base_name: str, head_name: str) -> None:
    head_name = "working tree" if head_name == WORKING_TREE else head_name
    print(f"CPU microseconds for each, medians of the rounds\n{'':18}{base_name[:16]:>16}{head_name[:16]:>16}   ratio")
    for name, values in base.items():
        before, after = statistics.median(values), statistics.median(head[name])
        print(f"{name:18}{before:16.1f}{after:16.1f}{after / before:8.2f}")


if __name__ == "__main__":
    sys.exit(main())
