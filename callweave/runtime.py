"""`<data>/runtime.json`: what runs on this data directory, and where. Each role writes its own entry and takes it away.

Commands that read the warehouse find the loader here; those that read Kafka find the broker of `up`.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class RoleEntry:
    """One running process."""

    pid: int
    admin_url: str | None = None
    push_url: str | None = None
    page_url: str | None = None
    bootstrap_servers: str | None = None
    token: str | None = None

    @property
    def is_alive(self) -> bool:
        """Whether a process of that id exists."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


class Runtime:
    """The file."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "runtime.json"
        self._lock_path = data_dir / "runtime.lock"

    def roles(self) -> dict[str, RoleEntry]:
        """Entries of processes that are alive."""
        entries = {name: RoleEntry(**entry) for name, entry in self._read().items()}
        return {name: entry for name, entry in entries.items() if entry.is_alive}

    def role(self, name: str) -> RoleEntry | None:
        """One of them."""
        return self.roles().get(name)

    def publish(self, name: str, entry: RoleEntry) -> None:
        """Write an entry."""
        with self._locked():
            self._write({**self._read(), name: asdict(entry)})

    def withdraw(self, name: str, pid: int) -> None:
        """Take an entry away, if it is still that process's."""
        with self._locked():
            entries = self._read()
            if entries.get(name, {}).get("pid") == pid:
                del entries[name]
                self._write(entries)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock_path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, Any]:
        try:
            entries: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return entries

    def _write(self, entries: dict[str, Any]) -> None:
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds the loader's token
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(entries, file, indent=1)
        temporary.replace(self._path)


def new_token() -> str:
    """A secret for the loader's query door: being on the machine is not enough, reading runtime.json is needed."""
    return secrets.token_urlsafe(24)
