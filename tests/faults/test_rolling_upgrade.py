"""Every role is replaced by its next release while pushes come: nothing that was answered is lost, nobody is refused.

Two receivers stand behind a balancer, two workers share the partitions, each of two loaders has a warehouse. The
Postgres begins as an earlier callweave laid it out, and gets a later one's layout while today's loader writes.
"""

import asyncio
import itertools
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg.rows import dict_row

from callweave.anomalies import Judgement, judge
from callweave.broker.local import HOST, free_port
from callweave.simulator.facts import Session
from callweave.simulator.scenario import make_sessions
from callweave.verify import Query
from tests.faults import next_release
from tests.faults.chaos.driver import Driver
from tests.integration.test_reconcile import api_of
from tests.support.api import a_ledger_of
from tests.support.hygiene import log_file
from tests.support.program import COMMAND, DEADLINE_SECONDS, Program, eventually

BEFORE = Path(__file__).parents[1] / "contract" / "released" / "warehouses" / "0.1.0.dev5-postgres.sql"
ROWS = ("sessions", "legs", "recordings", "voicemails", "dead_letters", "callweave_offsets")
NEXT = [sys.executable, "-m", next_release.__name__]
ORDER = (
    "loader-p",
    "loader-d",
    "worker-1",
    "worker-2",
    "receiver-1",
    "receiver-2",
    "reconcile",
    "archiver",
    "dashboard",
)
RATE = 30.0
SECONDS_MAX = 240.0
"""The pushes last as long as the restarts do, and on a busy machine these take their time."""
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Role:
    """One process of the deployment, and the statuses that its generations ended with."""

    name: str
    program: Program
    command: list[str] = field(default_factory=lambda: COMMAND)
    ended: list[int] = field(default_factory=list)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with log_file(self.name).open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*self.command, self.name.partition("-")[0]],
                env={**self.program.environment, "CALLWEAVE_LOG__LEVEL": "info"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.ended.append(self.process.wait(DEADLINE_SECONDS))
        finally:
            self.process.kill()
            self.process.wait()

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}"
        entry = self.program.roles().get(self.name.partition("-")[0]) or {}
        if entry.get("pid") != self.process.pid or not entry.get("admin_url"):
            return False
        try:
            with _direct.open(f"{entry['admin_url']}/health/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@asynccontextmanager
async def balancer(ports: tuple[int, ...]) -> AsyncIterator[str]:
    """Connections go to the receivers in turn; one that takes none is passed over."""
    turns = itertools.cycle(range(len(ports)))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the other end is gone, which the client sees as well
        finally:
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(turns)
        for port in ports[first:] + ports[:first]:
            try:
                back_reader, back_writer = await asyncio.open_connection(HOST, port)
            except OSError:
                continue
            await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))
            return
        writer.close()

    server = await asyncio.start_server(take, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}/tccc/push"
    finally:
        server.close()


def an_old_call() -> Session:
    """From before what reconcile asks for."""
    return make_sessions(seed=1, count=1, now=int(time.time()) - 30 * 86_400, days=1)[0]


def the_roles(folder: Path, kafka: str, prefix: str, *, postgres: str, api: str, ports: tuple[int, ...]) -> list[Role]:
    on_postgres = {"WAREHOUSE__URL": postgres, "ARCHIVER__STORE": str(folder / "archive")}
    credentials = {
        "API__SECRET_ID": "AKIDsimulated",
        "API__SECRET_KEY": "simulated-key",
        "API__SDK_APP_IDS": str(an_old_call().sdk_app_id),
        "API__ENDPOINT": api,
    }
    doors = [{"RECEIVER__PORT": str(port)} for port in ports]
    told: dict[str, dict[str, str]] = {
        "loader-p": on_postgres,
        "loader-d": {},
        "worker-1": {},
        "worker-2": {},
        "receiver-1": doors[0],
        "receiver-2": doors[1],
        "reconcile": credentials,
        "archiver": {**on_postgres, "ARCHIVER__DELAY_SECONDS": "0", "ARCHIVER__FREE_BYTES_MIN": "0"},
        "dashboard": {**on_postgres, "DASHBOARD__ENABLED": "true", "DASHBOARD__PORT": "0"},
    }
    return [Role(name, Program(folder / name, kafka, prefix, told[name])) for name in ORDER]


def as_laid_out_before(url: str) -> None:
    """The tables of an earlier callweave, without the rows that are frozen with them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BEFORE.read_bytes())
        for table in ROWS:
            connection.execute(f"DELETE FROM {table}".encode())


def replace_each(roles: list[Role], postgres: str) -> None:
    """The owner lays out what is new; then one role after the other is stopped, and its next release is waited for."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(next_release.LAYOUT.encode())
    for role in roles:
        role.stop()
        role.command = NEXT
        role.start()
        eventually(role.is_ready)


def judged(ledger: Path, postgres: str, duckdb_file: Path) -> dict[str, Judgement]:
    with psycopg.connect(postgres, row_factory=dict_row) as there:
        in_postgres = judge(ledger, lambda select: there.execute(select.encode()).fetchall())
    with closing(duckdb.connect(str(duckdb_file))) as here:
        here.execute("SET TimeZone = 'UTC'")
        in_duckdb = judge(ledger, _asking(here))
    return {"postgres": in_postgres, "duckdb": in_duckdb}


def _asking(connection: duckdb.DuckDBPyConnection) -> Query:
    def ask(select: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = connection.execute(select).to_arrow_table().to_pylist()
        return rows

    return ask


@pytest.mark.timeout(600)
async def test_every_role_is_replaced_under_load_and_each_answered_push_is_there_once(
    tmp_path: Path, kafka: str, topic_prefix: str, postgres_url: str
) -> None:
    as_laid_out_before(postgres_url)
    driver = Driver(seed=7, seconds=SECONDS_MAX, rate=RATE)
    ports = (free_port(), free_port())
    with ExitStack() as held:
        anybody = Program(tmp_path / "anybody", kafka, topic_prefix, {"ARCHIVER__STORE": str(tmp_path / "archive")})
        anybody.run("topics", "apply")
        # It knows of old calls only: what arrives in the warehouses was pushed.
        api = held.enter_context(api_of(anybody, a_ledger_of(tmp_path, [an_old_call()])))
        roles = the_roles(tmp_path, kafka, topic_prefix, postgres=postgres_url, api=api, ports=ports)
        for role in roles:
            role.start()
            held.callback(role.stop)
        for role in roles:
            await asyncio.to_thread(eventually, role.is_ready)
        async with balancer(ports) as url:
            pushing = asyncio.create_task(driver.run(url))
            await asyncio.to_thread(eventually, driver.answered)
            before = driver.answered()
            await asyncio.to_thread(replace_each, roles, postgres_url)
            during = driver.answered() - before
            driver.stop.set()
            await asyncio.wait_for(pushing, DEADLINE_SECONDS)
        for role in roles[:2]:
            await asyncio.to_thread(role.program.run, "status", "--wait-idle", "90")
        with psycopg.connect(postgres_url) as connection:
            noted = connection.execute("SELECT value FROM callweave_meta WHERE key = 'program_version'").fetchall()
    driver.write(tmp_path / "ledger.jsonl", [])
    answered = sum(one.outcome == "answered" for one in driver.sent)

    assert {role.name: role.ended for role in roles} == {role.name: [0, 0] for role in roles}
    assert during > 0
    assert driver.tally.given_up == 0
    assert noted == [(next_release.VERSION,)]
    for judgement in judged(tmp_path / "ledger.jsonl", postgres_url, tmp_path / "loader-d" / "calls.duckdb").values():
        assert not judgement.anomalies, judgement.lines()
        assert judgement.pushes_found == judgement.pushes_acknowledged == answered
