"""The directory of a worker's state: whose it is, who holds it, and what happens to state that cannot be used.

The rule: state is never trusted and never deleted. What is foreign or corrupt is renamed with the time, kept, and built
again from `tccc.sessions`; a directory that another live worker holds is left alone.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

LAYOUT_VERSION: Final = 1
"""Grows when what lies in the stores changes its meaning; state of another layout is built again."""

HOLD_SECONDS_MAX: Final = 30.0
"""How long a predecessor may take to stop."""

_HELD_LOOK_SECONDS = 0.2
_MARKER = "belongs-to.json"
_CONDEMNED = ".corrupt"


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log the state was built from. `topic_id` is empty where the broker is too old to tell."""

    cluster_id: str
    topic: str
    topic_id: str
    partitions: int

    def as_marker(self) -> dict[str, Any]:
        """As it stands beside the state."""
        return {"layout_version": LAYOUT_VERSION, **asdict(self)}


class StateHeldError(Exception):
    """Another live process works on the state; the message says which and what to do."""


class StateDirectory:
    """One directory, one worker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_file: Any = None

    def hold(self, *, seconds_max: float = HOLD_SECONDS_MAX, sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the directory for as long as this process lives; wait a little for a predecessor that is stopping."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock_file = (self.path / "worker.lock").open("a+")
        waited = 0.0
        while True:
            try:
                fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                if waited >= seconds_max:
                    lock_file.seek(0)
                    holder = lock_file.read().strip() or "unknown"
                    lock_file.close()
                    raise StateHeldError(
                        f"another worker (pid {holder}) works on {self.path}: stop it, or give this one a directory of "
                        "its own with CALLWEAVE_WORKER__STATE_DIR"
                    ) from exc
                sleep(_HELD_LOOK_SECONDS)
                waited += _HELD_LOOK_SECONDS
                continue
            break
        # A full disk must not keep the worker from saying so in its own words, where the state is written.
        with contextlib.suppress(OSError):
            lock_file.truncate(0)
            lock_file.write(f"{os.getpid()}\n")
            lock_file.flush()
        self._lock_file = lock_file

    def claim(self, stores: Path, identity: LogIdentity) -> None:
        """Make sure that the stores in a folder were built from this log; set aside those that were not."""
        stores.mkdir(parents=True, exist_ok=True)
        marker = stores / _MARKER
        found, wanted = _read_marker(marker), identity.as_marker()
        if found == wanted:
            return
        for store in sorted(stores.glob("*.db")):
            set_aside(store, because=_difference(found, wanted))
        temporary = marker.with_suffix(".tmp")
        temporary.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
        temporary.replace(marker)


def set_aside(store: Path, *, because: str) -> None:
    """Rename a store, with the time; whoever opens it next begins with an empty one."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = store.with_name(f"{store.name}.set-aside-{moment}")
    store.rename(kept)
    log.warning(
        "state_set_aside", store=store.name, kept_as=str(kept), because=because, action="rebuilding from tccc.sessions"
    )


def condemn(store: Path, problem: str) -> None:
    """Note that a store is corrupt, for the next start: it is open now."""
    store.with_name(store.name + _CONDEMNED).write_text(problem, encoding="utf-8")


def set_aside_if_condemned(store: Path) -> None:
    """Set a store aside that was found corrupt while it was at work."""
    note = store.with_name(store.name + _CONDEMNED)
    if note.exists():
        problem = note.read_text(encoding="utf-8")
        if store.exists():
            set_aside(store, because=problem)
        note.unlink()


def _read_marker(marker: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _difference(found: dict[str, Any] | None, wanted: dict[str, Any]) -> str:
    if found is None:
        return "it does not say which log it was built from (an older layout)"
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    return "it was built from another log: " + ", ".join(
        f"{name} {found.get(name)!r} instead of {wanted[name]!r}" for name in differing
    )
