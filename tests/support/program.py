"""The program as its users run it: `python -m callweave …` as a process, with settings in its environment.

What it writes to standard error is kept: no log of a whole test run may hold what people said (tests.support.hygiene).
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import fork_server
from tests.support.fork_server import ForkServer, Order
from tests.support.hygiene import log_file

COMMAND = [sys.executable, "-m", "callweave"]
COMMAND_LINE = "callweave.cli.app"
"""The module whose `main` that is."""
IMPORTED_BY_COMMANDS = (
    COMMAND_LINE,
    "aiokafka.admin",
    "callweave.letters",
    "callweave.reading",
    "callweave.standing",
    "clickhouse_connect",
    "psycopg",
    "pyarrow.parquet",
    "sinks.warehouse",
)
"""By most of them, or at a price. DuckDB's own module is not among them: it starts a thread."""
DEADLINE_SECONDS = 120.0
COMMAND_SECONDS_MAX = 180.0


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
        """Run a command to its end, as a process of its own: forked where that is possible."""
        environment = {"CALLWEAVE_LOG__LEVEL": "warning", **self.environment}
        log = log_file(arguments[0])
        output = log.with_suffix(".out")
        try:
            status = _finish(arguments, environment, log, output)
            done = subprocess.CompletedProcess(
                arguments, status, output.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")
            )
        finally:
            output.unlink(missing_ok=True)
        if expect is not None:
            assert done.returncode == expect, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """Rows of a query; waits for a warehouse that the loader has still to make."""

        def asked() -> subprocess.CompletedProcess[str] | None:
            done = self.run("sql", statement, "--json", "--rows-max", "100000", expect=None)
            not_yet = ("there is no warehouse at", "the warehouse is not open yet")
            return None if any(told in done.stderr for told in not_yet) else done

        done: subprocess.CompletedProcess[str] = eventually(asked)
        assert done.returncode == 0, f"{statement} ended with {done.returncode}\n{done.stderr}"
        rows: list[dict[str, Any]] = json.loads(done.stdout)
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
                    process.wait(60)
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


def _finish(arguments: Sequence[str], environment: Mapping[str, str], log: Path, output: Path) -> int:
    if fork_server.IS_POSSIBLE:
        order = Order(COMMAND_LINE, "main", arguments, environment, str(log), str(output))
        forked = _command_server().start(order)
        try:
            return forked.wait(COMMAND_SECONDS_MAX)
        finally:
            forked.send_signal(signal.SIGKILL)  # if it still runs
    with output.open("wb") as out, log.open("wb") as err:
        command = [*COMMAND, *arguments]
        done = subprocess.run(
            command, env=environment, stdout=out, stderr=err, timeout=COMMAND_SECONDS_MAX, check=False
        )
    return done.returncode


@cache
def _command_server() -> ForkServer:
    server = ForkServer(IMPORTED_BY_COMMANDS)
    atexit.register(server.close)
    return server


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
