"""Children that end with their parent; small programs that only wait stand for a broker."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from callweave.child import die_with_parent, spawn

WAIT = [sys.executable, "-c", "import time; time.sleep(60)"]
PARENT = """
import subprocess, sys, time
from callweave.child import die_with_parent, spawn
wait = [sys.executable, "-c", "import time; time.sleep(60)"]
children = [spawn(wait), subprocess.Popen(wait, preexec_fn=die_with_parent())]
print(*(child.pid for child in children), flush=True)
time.sleep(60)
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # an orphan waits as a zombie for an init that may be slow


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@linux
def test_children_of_a_killed_process_end_with_it():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert [is_running(pid) for pid in pids] == [True, True]
        parent.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids))


@linux
def test_a_spawned_child_outlives_the_thread_that_asked_for_it():
    children: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: children.append(spawn(WAIT)))
    thread.start()
    thread.join()
    wait_until(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists())
    with pytest.raises(subprocess.TimeoutExpired):
        children[0].wait(0.3)
    children[0].terminate()
    assert children[0].wait(60) == -signal.SIGTERM


def test_a_child_that_ends_is_noticed_without_waiting_for_it():
    child = spawn([sys.executable, "-c", "raise SystemExit(3)"])
    wait_until(lambda: child.poll() is not None)
    assert child.returncode == 3


def test_a_program_that_does_not_exist_is_the_callers_error():
    with pytest.raises(FileNotFoundError):
        spawn([Path("/no/such/program")])


def test_options_are_those_of_popen(tmp_path: Path):
    child = spawn([sys.executable, "-c", "import os; print(os.getcwd())"], cwd=tmp_path, stdout=subprocess.PIPE)
    output, _ = child.communicate(timeout=60)
    assert os.path.samefile(output.decode().strip(), tmp_path)  # noqa: PTH121 - both may be behind a link


def test_elsewhere_than_on_linux_nothing_is_done(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert die_with_parent()() is None
