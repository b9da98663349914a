"""`kill -9` of the worker in the middle of the load loses nothing and doubles nothing."""

import re
import signal
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.support.program import Program, eventually

KILLS = 3
ABSORBED_BEFORE_A_KILL = 60


@pytest.mark.timeout(600)
def test_kills_of_the_worker_lose_nothing_and_double_nothing(tmp_path: Path, kafka: str, topic_prefix: str) -> None:
    program = Program(tmp_path / "data", kafka, topic_prefix)
    program.run("topics", "apply")
    ledger = tmp_path / "ledger.jsonl"
    # While a worker starts, some hundred pushes wait: it is killed in the middle of them, and more keep coming.
    load = ("--sessions=500", "--seed=3", "--rate=60", "--fault=shuffle=1", "--fault=retry=0.1", f"--ledger={ledger}")

    with program.role("receiver"), program.role("loader"):
        url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
        pushing = threading.Thread(target=program.run, args=("simulate", f"--url={url}", *load))
        pushing.start()
        for _ in range(KILLS):
            with program.role("worker") as worker:
                eventually(lambda process=worker: absorbed_by(program, process) >= ABSORBED_BEFORE_A_KILL)
                assert pushing.is_alive(), "the load ended before the kills did"
                worker.send_signal(signal.SIGKILL)
                worker.wait()
        pushing.join()
        with program.role("worker"):
            program.run("status", "--wait-idle", "120")
            program.run("verify", f"--ledger={ledger}")


def absorbed_by(program: Program, worker: "subprocess.Popen[str]") -> int:
    """How many events this worker has folded, by its own metrics; 0 before it tells any."""
    assert worker.poll() is None, f"the worker ended by itself with {worker.returncode}"
    entry = program.roles().get("worker", {})
    if entry.get("pid") != worker.pid:
        return 0
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{entry['admin_url']}/metrics", timeout=60) as response:
        counts = re.findall(r"^callweave_events_absorbed_total{.*} (\S+)$", response.read().decode(), re.MULTILINE)
    return int(sum(map(float, counts)))
