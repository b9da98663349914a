"""The program as its users run it: `python -m callweave …` as a process, with settings in its environment.

What it writes to standard error is kept: no log of a whole test run may hold what people said (tests.support.hygiene).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.hygiene import log_file

COMMAND = [sys.executable, "-m", "callweave"]
DEADLINE_SECONDS = 90.0


@dataclass
class Program:
    """One data directory and one name space on the broker."""

    data_dir: Path
    kafka: str
    topic_prefix: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CALLWEAVE_")}
        ours = {
            "DATA_DIR": str(self.data_dir),
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "KAFKA__TOPIC_PREFIX": self.topic_prefix,
            "KAFKA__PARTITIONS": "4",
            "RECEIVER__PORT": "0",
            "ADMIN__PORT": "0",
            "DASHBOARD__ENABLED": "false",  # its own tests turn it on
            **self.settings,
        }
        cache = {name: os.environ[name] for name in ("CALLWEAVE_CACHE_DIR",) if name in os.environ}
        return {**inherited, **cache, **{f"CALLWEAVE_{name}": value for name, value in ours.items() if value}}

    def run(self, *arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={"CALLWEAVE_LOG__LEVEL": "warning", **self.environment},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        log_file(arguments[0]).write_text(done.stderr, encoding="utf-8")
        if expect is not None:
            assert done.returncode == expect, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """Rows of a query."""
        rows: list[dict[str, Any]] = json.loads(self.run("sql", statement, "--json", "--rows-max", "100000").stdout)
        return rows

    def start(self, role: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a role. It tells everything: a log that is silent proves nothing about what it would hold."""
        with log_file(role).open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                [*COMMAND, role, *arguments],
                env={"CALLWEAVE_LOG__LEVEL": "debug", **self.environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    @contextmanager
    def up(self) -> Iterator[str]:
        """`callweave up`; the push address. It must drain and end with 0."""
        process = self.start("up")
        try:
            yield ready_url(process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_SECONDS) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    @contextmanager
    def role(self, role: str) -> Iterator[subprocess.Popen[str]]:
        """One role."""
        process = self.start(role)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def roles(self) -> dict[str, Any]:
        """What runtime.json says."""
        try:
            entries: dict[str, Any] = json.loads((self.data_dir / "runtime.json").read_text())
        except FileNotFoundError:
            return {}
        return entries


def ready_url(process: subprocess.Popen[str]) -> str:
    """The address on the line `ready <url>`."""
    lines: list[str] = []
    reader = threading.Thread(
        target=lambda: lines.append(process.stdout.readline() if process.stdout else ""), daemon=True
    )
    reader.start()
    reader.join(DEADLINE_SECONDS)
    assert lines, "not ready in time"
    assert lines[0].startswith("ready http"), f"the first line was {lines[0]!r}, status {process.poll()}"
    return lines[0].split()[1]


def eventually(condition: Callable[[], Any], *, seconds: float = DEADLINE_SECONDS) -> Any:
    """What the condition gives, once it is true; fails when it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
