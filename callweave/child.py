"""Child processes that end when this process does, even when it is killed and can clean up nothing.

The rule: a child is started from a thread that lives as long as the child. Linux counts the *thread* that forked as the
parent, so that a child of a short-lived thread would be told to stop in the middle of its work.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def spawn(command: Sequence[str | Path], *, sig: int = signal.SIGTERM, **options: Any) -> subprocess.Popen[bytes]:
    """Start `command` so that it gets `sig` when this process ends, whichever thread calls; `options` are `Popen`'s.

    The child is forked by a daemon thread of its own, which then waits for it: it lives exactly as long as the child
    (see `die_with_parent`), and it reaps the child at once, so that `poll()` tells the truth and no zombie stays.
    """
    started: Future[subprocess.Popen[bytes]] = Future()

    def parent() -> None:
        try:
            # The call that arms the child was made ready before the fork, and only calls prctl in the child.
            process = subprocess.Popen(  # noqa: S603 - what runs is the caller's business
                command,
                preexec_fn=die_with_parent(sig),  # noqa: PLW1509 - see die_with_parent on why that is safe here
                **options,
            )
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            started.set_exception(error)
            return
        started.set_result(process)
        process.wait()

    threading.Thread(target=parent, name=f"parent of {Path(command[0]).name}", daemon=True).start()
    return started.result()


def die_with_parent(sig: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` that has Linux send `sig` to the child once its parent is gone; elsewhere it does nothing.

    Beware: the signal comes when the *thread* that forked ends, not when its process does. Use this in `subprocess` or
    asyncio calls made from the main thread (or from one that outlives the child), else use `spawn`.

    It is called between fork and exec, where another thread's locks stay locked for ever. Therefore libc is looked up
    here, in the parent, and the child makes three system calls and imports nothing.
    """
    if sys.platform != "linux":
        return _nothing
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent_pid = os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0)
        # The parent may have died between fork and prctl: then nobody is left to send the signal.
        if os.getppid() != parent_pid:
            os.kill(os.getpid(), sig)

    return arm


def _nothing() -> None:
    """Where the system has no parent-death signal, a supervisor's own clean-up has to do."""
