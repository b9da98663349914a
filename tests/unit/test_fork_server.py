"""Forked workers end, obey and die as processes of the command do; else the trials would prove nothing."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from callweave import __version__
from tests.support.fork_server import ForkServer, Order
from tests.support.program import COMMAND_LINE, eventually


def an_order(
    folder: Path, *, module: str = "signal", function: str = "pause", arguments: tuple[str, ...] = ()
) -> Order:
    return Order(module, function, arguments, {**os.environ, "CALLWEAVE_DATA_DIR": str(folder)}, str(folder / "log"))


def is_there(pid: int) -> bool:
    """Whether a process runs: not ended, nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_forked_program_is_the_program_and_ends_and_obeys_as_it_does(tmp_path: Path) -> None:
    with ForkServer([COMMAND_LINE]) as server:
        said = server.start(an_order(tmp_path, module=COMMAND_LINE, function="main", arguments=("--version",)))
        assert said.wait(60) == said.poll() == 0
        wrong = server.start(an_order(tmp_path, module=COMMAND_LINE, function="main", arguments=("wrok",)))
        assert wrong.wait(60) == 2
        log = (tmp_path / "log").read_text()
        assert f"callweave {__version__}" in log
        assert "No such command 'wrok'" in log

        for number in (signal.SIGTERM, signal.SIGKILL):
            paused = server.start(an_order(tmp_path))
            with pytest.raises(subprocess.TimeoutExpired):
                paused.wait(0.1)
            assert paused.poll() is None
            assert os.getsid(paused.pid) == paused.pid != os.getpid()
            paused.send_signal(number)
            assert paused.wait(60) == -number

        left = server.start(an_order(tmp_path))
    eventually(lambda: not is_there(left.pid))  # its parent is gone
