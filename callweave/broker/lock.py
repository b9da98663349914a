"""One broker per data directory: a lock that is held as long as anybody may write there, supervisor or broker.

The rule: the lock belongs to an open file that the broker inherits, so that it outlives a supervisor that was killed.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from callweave.broker.jars import BrokerUnavailable

ORPHAN_SECONDS_MAX = 20.0
POLL_SECONDS = 0.1


class DirectoryLock:
    """A held lock; `take` makes one."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, directory: Path, *, orphan_seconds_max: float = ORPHAN_SECONDS_MAX) -> Self:
        """Lock the directory. A broker whose owner is gone is about to end, and waited for; else this fails at once."""
        path = directory / "broker.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + orphan_seconds_max
        while not _locked(descriptor):
            owner = path.read_text(encoding="ascii", errors="replace").strip()
            if _is_running(owner) or time.monotonic() > deadline:
                os.close(descriptor)
                raise BrokerUnavailable(
                    f"{directory} is in use by another broker, which process {owner or '(unknown)'} started; stop that"
                    " one, or choose another data directory."
                )
            time.sleep(POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Give the directory back. A broker that inherited the lock must have ended before."""
        os.close(self.descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_running(pid: str) -> bool:
    if not pid.isascii() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
