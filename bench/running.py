"""`callweave up` for a bench: all roles and their broker on one data directory, and what each of them costs."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bench.door import PASSWORD, USER
from bench.machine import cpu_seconds, process, rss_bytes
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import Settings, load_settings
from callweave.standing import ask_readiness
from callweave.supervisor import ROLES

READY_SECONDS_MAX = 120.0
BROKER = "broker"


@dataclass(frozen=True)
class Running:
    """A pipeline whose roles are all ready."""

    settings: Settings
    pid: int
    seconds_to_ready: float

    @property
    def port(self) -> int:
        """The door's."""
        entry = Runtime(self.settings.data_dir).role("receiver")
        assert entry is not None
        assert entry.push_url is not None
        return int(entry.push_url.split("://")[1].split("/")[0].rpartition(":")[2])

    def pids(self) -> dict[str, int]:
        """Every process by its role, `up` itself and the broker too."""
        return {"up": self.pid, **{name: entry.pid for name, entry in self._entries().items()}}

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far."""
        return {role: cpu_seconds(pid) for role, pid in self.pids().items()}

    def memory(self) -> dict[str, int]:
        """Bytes now."""
        return {role: rss_bytes(pid) for role, pid in self.pids().items()}

    def _entries(self) -> dict[str, RoleEntry]:
        return Runtime(self.settings.data_dir).roles()


@contextmanager
def up(data: Path, more: Mapping[str, str] = MappingProxyType({})) -> Iterator[Running]:
    """Start it, `more` in its environment, and wait until every role is ready."""
    for name in ("BOOTSTRAP_SERVERS", "TOPIC_PREFIX"):
        os.environ.pop(f"CALLWEAVE_KAFKA__{name}", None)  # another work's
    environment = {
        "CALLWEAVE_DATA_DIR": str(data),
        "CALLWEAVE_RECEIVER__PORT": "0",
        "CALLWEAVE_RECEIVER__AUTH": "basic",
        "CALLWEAVE_RECEIVER__USERNAME": USER,
        "CALLWEAVE_RECEIVER__PASSWORD": PASSWORD,
        **more,
    }
    begun = time.perf_counter()
    with process([sys.executable, "-m", "callweave", "up"], environment, pinned=False) as child:
        until_ready(data, child.pid)
        yield Running(load_settings(data_dir=data), child.pid, time.perf_counter() - begun)


def until_ready(data: Path, pid: int) -> None:
    """Until the door, the worker and the loader of this process say so."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        entries = Runtime(data).roles()
        if all(role in entries and entries[role].admin_url and ask_readiness(entries[role])[0] for role in ROLES):
            return
        time.sleep(0.05)
    raise TimeoutError(f"`callweave up` (pid {pid}) was not ready within {READY_SECONDS_MAX:g} s")


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What each role spent between two looks."""
    return {role: after[role] - spent for role, spent in before.items() if role in after}
