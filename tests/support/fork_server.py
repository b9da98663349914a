"""Programs on demand: one process that has imported all that they need, and is forked for each start of one.

The rule: before the fork nothing happens but imports (no thread, no event loop, no store: `serve` looks before each),
and after it everything is the real program's, from its entry on. A start costs a tenth of a new interpreter's processor
time. The standard library's fork server would import the caller's `__main__` (pytest) into every worker.

    python -m tests.support.fork_server MODULES    reads orders on standard input, answers on standard output
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, Self

from callweave.child import die_with_parent, spawn

ANSWER_SECONDS_MAX = 60.0
"""How long importing everything, or a fork on a machine that has other work, may take."""

THREADLESS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""numpy and pyarrow start threads when they are imported."""
IS_POSSIBLE = hasattr(os, "pidfd_open")
"""Only Linux tells of a process's end through a descriptor."""


class Started(Protocol):
    """A process, as its starter needs it: what `subprocess.Popen` has."""

    @property
    def pid(self) -> int:
        """Its id."""

    def poll(self) -> int | None:
        """Its exit status (negative: the signal that ended it), or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, if it still runs."""


@dataclass(frozen=True, slots=True)
class Order:
    """A start: module and function to call, and what a new process would be given."""

    module: str
    function: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: str
    output: str = ""
    """The file for standard output; empty is the log, which takes what the process says otherwise."""
    folder: str = field(default_factory=os.getcwd)


@dataclass
class Forked:
    """A process that the server forked; see Started."""

    pid: int
    _status: int | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> int | None:
        """See Started."""
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """See Started."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"forked process {self.pid}", timeout or 0.0)
        assert self._status is not None
        return self._status

    def send_signal(self, sig: int) -> None:
        """See Started."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def end(self, status: int) -> None:
        """Take note of its end."""
        self._status = status
        self._ended.set()


class ForkServer:
    """The caller's side: starts the server, passes orders on, and keeps who has ended."""

    def __init__(self, modules: Sequence[str]) -> None:
        environment = {**os.environ, **THREADLESS}
        self._server = spawn(
            [sys.executable, "-m", __name__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the caller, who ends his workers in order
        )
        self._forked: SimpleQueue[Forked | None] = SimpleQueue()
        self._running: dict[int, Forked] = {}
        self._one_order_at_a_time = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, order: Order) -> Forked:
        """Fork, and be it."""
        assert self._server.stdin is not None
        with self._one_order_at_a_time:
            self._server.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            self._server.stdin.flush()
            forked = self._forked.get(timeout=ANSWER_SECONDS_MAX)
        if forked is None:
            raise RuntimeError(f"the fork server ended with {self._server.wait()}; it says why on standard error")
        return forked

    def close(self) -> None:
        """End the server; what it forked and still runs is killed by its parent-death signal."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            told = json.loads(line)
            if (status := told.get("ended_with")) is None:
                forked = self._running[told["pid"]] = Forked(told["pid"])
                self._forked.put(forked)
            else:
                self._running.pop(told["pid"]).end(status)
        self._forked.put(None)


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()  # what was imported stays shared with the children, whatever they collect
    order = serve()
    if order is not None:  # we are a child
        become(order)()


def serve() -> Order | None:
    """Fork for each order until the caller is gone; returns an order in each child, None in the server itself."""
    arm = die_with_parent(signal.SIGKILL)
    children: dict[int, int] = {}
    poller = select.poll()
    poller.register(0, select.POLLIN)
    waiting = b""
    while True:
        for descriptor, _ in poller.poll():
            if descriptor in children:
                pid = children.pop(descriptor)
                _, status = os.waitpid(pid, 0)
                poller.unregister(descriptor)
                os.close(descriptor)
                _tell(pid=pid, ended_with=os.waitstatus_to_exitcode(status))
                continue
            read = os.read(0, 65_536)
            if not read:
                return None
            *lines, waiting = (waiting + read).split(b"\n")
            for line in lines:
                _look_for_threads()
                pid = os.fork()
                if pid == 0:
                    arm()
                    for inherited in children:
                        os.close(inherited)
                    return Order(**json.loads(line))
                child = os.pidfd_open(pid)
                children[child] = pid
                poller.register(child, select.POLLIN)
                _tell(pid=pid)


def become(order: Order) -> Callable[[], Any]:
    """Make this child what a new process of the program would be; what it has to call."""
    os.setsid()
    os.chdir(order.folder)
    log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    output = os.open(order.output or order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, output, log)):
        os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = [order.module, *order.arguments]
    entry: Callable[[], Any] = getattr(sys.modules[order.module], order.function)
    return entry


def _look_for_threads() -> None:
    tasks = list(_threads())
    if len(tasks) > 1:
        raise RuntimeError(f"a fork would lose the threads {tasks}: find the import that starts them")


def _threads() -> Iterator[str]:
    tasks = Path("/proc/self/task")
    return (task.joinpath("comm").read_text().strip() for task in tasks.iterdir()) if tasks.is_dir() else iter(())


def _tell(**answer: int) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
