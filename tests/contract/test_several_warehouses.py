"""Several warehouses of one topic: a loader each, its position beside its rows; in the end the same rows everywhere."""

import json
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from schemas.columns import SESSION_TABLES
from tests.contract.same_day import same_everywhere, simulated_day
from tests.support.lakes import DUCKLAKE, PARQUET, lay_out_ducklake
from tests.support.loading import DUCKDB, Log, loaded, loading, rows, until
from tests.support.program import Program, eventually
from tests.support.sessions import a_leg, a_letter, a_recording, a_session, session_record


async def send(log: Log, seed: int, count: int) -> None:
    chance = random.Random(seed)
    documents = [
        a_session(
            f"s-{chance.randrange(40)}",
            version=chance.randrange(1, 10**9),
            caller=f"c-{number}",
            legs=[a_leg(leg, agent_mail=f"a{number}@x") for leg in range(chance.randrange(4))],
            recordings=[a_recording(f"r-{leg}") for leg in range(chance.randrange(3))],
        )
        for number in range(count)
    ]
    await log.send(log.sessions, [session_record(document) for document in documents], 0)
    await log.send(log.letters, [(b"k", a_letter(b"%d" % chance.randrange(5)).encoded()) for _ in range(20)])


async def test_one_topic_fills_every_warehouse_alike_each_at_its_own_pace(
    kafka: str, topic_prefix: str, tmp_path: Path, postgres_url: str
) -> None:
    log = Log(kafka, topic_prefix)
    await log.create((log.sessions, 1), (log.letters, 1))
    folders = {url: tmp_path / str(number) for number, url in enumerate((DUCKDB, postgres_url, DUCKLAKE, PARQUET))}
    lay_out_ducklake(folders[DUCKLAKE])
    await send(log, 1, 100)
    # One is ahead of the others, and stops.
    async with loading(log, folders[PARQUET], PARQUET) as first:
        await until(lambda: loaded(first, log, {0: 100}) and first.status().letters_loaded)
    await send(log, 2, 100)
    async with AsyncExitStack() as stack:
        loaders = [await stack.enter_async_context(loading(log, folder, url)) for url, folder in folders.items()]
        for loader in loaders:
            await until(lambda loader=loader: loaded(loader, log, {0: 200}) and loader.status().lag == 0)
        assert loaders[-1].status().sessions_applied + loaders[-1].status().sessions_stale <= 100, (
            "it went on from there"
        )
    expected = everything(folders[DUCKDB], DUCKDB)

    assert len(expected["sessions"]) > 30
    for url, folder in folders.items():
        assert everything(folder, url) == expected


def everything(folder: Path, url: str) -> dict[str, list[Any]]:
    """Every column but the time of the commit, which is each warehouse's own."""
    found = {
        table.name: sorted(
            map(repr, rows(folder, f"SELECT {', '.join(set_of(table.column_names))} FROM {table.name}", url))
        )
        for table in SESSION_TABLES
    }
    letters = "SELECT dead_letter_id, seen_count, last_seen_at, raw FROM dead_letters"
    return {**found, "dead_letters": sorted(map(repr, rows(folder, letters, url)))}


def set_of(names: tuple[str, ...]) -> list[str]:
    return [f'"{name}"' for name in names if name != "loaded_at"]


def test_a_simulated_day_is_the_same_in_every_warehouse_views_too(tmp_path, postgres_url, clickhouse_url):
    day = simulated_day(150, 5)
    urls = {"duckdb": DUCKDB, "postgres": postgres_url, "clickhouse": clickhouse_url}
    urls |= {"ducklake": DUCKLAKE, "parquet": PARQUET}
    lay_out_ducklake(tmp_path)

    assert same_everywhere(urls, tmp_path, day) == []
    assert len(day.at_rest) > 100


async def test_two_loaders_are_two_data_directories(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    log = Log(kafka, topic_prefix)
    lake = Program(tmp_path / "lake", kafka, topic_prefix, {"WAREHOUSE__URL": "ducklake:sqlite:///calls.sqlite"})
    files = Program(tmp_path / "files", kafka, topic_prefix, {"WAREHOUSE__URL": PARQUET})
    nothing = files.run("warehouse", "compact", expect=1)
    lake.run("topics", "apply")
    await log.send(log.sessions, [session_record(a_session("a", legs=[a_leg(0)]))])
    with lake.role("loader"), files.role("loader"):
        for program in (lake, files):
            eventually(lambda program=program: asked(program) == [{"session_id": "a", "legs": 1}])
        assert lake.run("warehouse", "compact").stderr.startswith("merged")
        held = files.run("warehouse", "compact", expect=1)

    assert "loader creates it" in nothing.stderr
    assert "has one loader" in held.stderr
    assert asked(lake) == asked(files) == [{"session_id": "a", "legs": 1}]


def asked(program: Program) -> Any:
    done = program.run(
        "sql",
        "SELECT s.session_id, count(l.leg_sequence) AS legs FROM sessions AS s "
        "JOIN legs AS l ON l.session_id = s.session_id GROUP BY ALL",
        "--json",
        expect=None,
    )
    return None if done.returncode else json.loads(done.stdout)
