"""The loader on a real Kafka: topics to a DuckDB file, over restarts, added partitions and topics made anew."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from schemas.topics import MESSAGE_BYTES_MAX, RECONCILE
from sinks.halt import HaltError
from sinks.intake import RAW_BYTES_MAX
from sinks.kafka_source import KafkaSource
from sinks.loader import Loader
from sinks.log import Record
from sinks.warehouse import open_sink
from tests.support.loading import DEADLINE_SECONDS, SETTINGS, Log, loaded, loading, rows, until
from tests.support.sessions import a_letter, a_session, an_hour, session_record


@pytest.fixture
def log(kafka: str, topic_prefix: str) -> Log:
    return Log(kafka, topic_prefix)


async def test_hours_of_the_api_are_loaded_once_their_topic_exists(log: Log, tmp_path: Path) -> None:
    nine, ten = datetime(2026, 11, 24, 9, tzinfo=UTC), datetime(2026, 11, 24, 10, tzinfo=UTC)
    hours = RECONCILE.name(log.prefix)
    await log.create((log.sessions, 1), (log.letters, 1))

    async with loading(log, tmp_path) as loader:
        await log.send(log.sessions, [session_record(a_session())])
        await until(lambda: loader.status().sessions_applied == 1)
        await log.create((hours, 1))
        first = an_hour(nine, is_final=False, asked_at=ten, row_count=4, total_count=5)
        await log.send(hours, [(first.key, first.encoded()), (b"1:2", b"no hour")])
        await until(lambda: loader.status().dead_lettered == 1)
    async with loading(log, tmp_path) as loader:
        second = an_hour(nine, row_count=5, total_count=5)
        await log.send(hours, [(second.key, second.encoded()), (b"1:3", None)])
        ends = {log.sessions: 1, log.letters: 1, hours: 4}
        await until(lambda: {part.partition.topic: part.next_offset for part in loader.status().partitions} == ends)

    assert rows(tmp_path, "select window_start, row_count, is_final from reconcile_windows") == [(nine, 5, True)]
    assert rows(tmp_path, "select stage, reason, topic, raw from dead_letters") == [
        ("load", "SCHEMA_VIOLATION", hours, b"no hour")
    ]


async def test_what_is_in_the_topics_is_in_the_tables_and_a_restart_goes_on_from_there(
    log: Log, tmp_path: Path
) -> None:
    await log.create((log.sessions, 2), (log.letters, 1))
    for partition in (0, 1):
        await log.send(
            log.sessions, [session_record(a_session(f"{partition}-{number}")) for number in range(30)], partition
        )
    await log.send(log.letters, [(b"k", a_letter().encoded())] * 3)
    async with loading(log, tmp_path) as loader:
        await until(lambda: loaded(loader, log, {0: 30, 1: 30}) and loader.status().letters_loaded)
        assert loader.status().lag == 0
    first = rows(tmp_path, "SELECT count(*), (SELECT max(seen_count) FROM dead_letters) FROM sessions")
    await log.send(log.sessions, [session_record(a_session("late"))], 1)
    async with loading(log, tmp_path) as loader:
        await until(lambda: loaded(loader, log, {0: 30, 1: 31}))
        assert (loader.status().sessions_applied, loader.status().sessions_stale) == (1, 0)

    assert first == [(60, 3)]
    assert rows(tmp_path, "SELECT count(*), (SELECT max(seen_count) FROM dead_letters) FROM sessions") == [(61, 3)]


async def test_the_broker_holds_fetches_longer_while_nothing_comes_and_the_next_record_is_read_all_the_same(
    log: Log,
) -> None:
    await log.create((log.sessions, 2))
    source = KafkaSource(log.options, (log.sessions,), SETTINGS.limits, count_reset=lambda: None)
    held: list[int] = []

    async def read() -> list[Record]:
        haul = await source.read()
        assert source._reading is not None
        held.append(source._reading.consumer._fetcher._fetch_max_wait_ms)
        return haul.records

    await source.open({})
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await read() == []
            await log.send(log.sessions, [session_record(a_session())], 1)
            while not (found := await read()):
                pass
    finally:
        await source.close()
    assert [(record.partition.partition, record.offset) for record in found] == [(1, 0)]
    idle, *_, busy = held
    assert idle > busy


async def test_an_unusable_record_comes_back_as_a_row_of_dead_letters(log: Log, tmp_path: Path) -> None:
    await log.create((log.sessions, 1), (log.letters, 1))
    await log.send(log.sessions, [(b"1:x", b"\x00garbage"), session_record(a_session()), (b"1:y", None)])
    async with loading(log, tmp_path) as loader:
        await until(lambda: loader.status().letters_loaded)

    assert rows(tmp_path, "SELECT session_id FROM sessions") == [("s-1",)]
    assert rows(tmp_path, 'SELECT stage, reason, topic, "partition", "offset", raw, seen_count FROM dead_letters') == [
        ("load", "SCHEMA_VIOLATION", log.sessions, 0, 0, b"\x00garbage", 1)
    ]


async def test_partitions_that_are_added_are_read(log: Log, tmp_path: Path) -> None:
    await log.create((log.sessions, 1), (log.letters, 1))
    await log.send(log.sessions, [session_record(a_session("old"))])
    async with loading(log, tmp_path) as loader:
        await until(lambda: loaded(loader, log, {0: 1}))
        await log.add_partitions(log.sessions, 2)
        await until(lambda: loaded(loader, log, {0: 1, 1: 0}))
        await log.send(log.sessions, [session_record(a_session("new"))], 1)
        await until(lambda: loaded(loader, log, {0: 1, 1: 1}))

    assert rows(tmp_path, "SELECT session_id FROM sessions ORDER BY 1") == [("new",), ("old",)]


@pytest.mark.parametrize("count", [1, 5, 8], ids=["shorter", "as long", "longer"])
async def test_a_topic_made_anew_is_read_from_its_beginning(log: Log, tmp_path: Path, count: int) -> None:
    await log.create((log.sessions, 1), (log.letters, 1))
    await log.send(log.sessions, [session_record(a_session(f"s-{number}")) for number in range(5)])
    async with loading(log, tmp_path) as loader:
        await until(lambda: loaded(loader, log, {0: 5}))
    await _make_anew(log, count)
    async with loading(log, tmp_path) as loader:
        await until(lambda: loaded(loader, log, {0: count}) and loader.status().sessions_applied == count)

    assert rows(tmp_path, "SELECT count(*) FROM sessions") == [(5 + count,)]
    assert rows(
        tmp_path, f"SELECT next_offset FROM callweave_offsets WHERE topic = '{log.sessions}' AND \"partition\" >= 0"
    ) == [(count,)]


async def test_a_topic_made_anew_while_the_loader_runs_is_read_from_its_beginning(log: Log, tmp_path: Path) -> None:
    await log.create((log.sessions, 1), (log.letters, 1))
    await log.send(log.sessions, [session_record(a_session(f"s-{number}")) for number in range(5)])
    async with loading(log, tmp_path) as loader:
        await until(lambda: loaded(loader, log, {0: 5}))
        await _make_anew(log, 8)
        await until(lambda: loaded(loader, log, {0: 8}) and loader.status().sessions_applied == 13)

    assert rows(tmp_path, "SELECT count(*) FROM sessions") == [(13,)]


async def _make_anew(log: Log, count: int) -> None:
    await log.delete(log.sessions)
    await log.create((log.sessions, 1))
    await log.send(log.sessions, [session_record(a_session(f"after-{number}")) for number in range(count)])


async def test_a_topic_that_is_not_there_is_waited_for(log: Log, tmp_path: Path) -> None:
    async with loading(log, tmp_path) as loader:
        await until(lambda: "does not exist" in (loader.status().reason or ""))
        assert not loader.status().ready
        await log.create((log.sessions, 1), (log.letters, 1))
        await until(lambda: loader.status().ready)


async def test_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    nowhere = Log("127.0.0.1:1", "t.")
    async with loading(nowhere, tmp_path) as loader:
        await until(lambda: "Kafka does not answer" in (loader.status().reason or ""))
        assert not loader.status().ready


async def test_somebody_elses_record_among_the_letters_halts(log: Log, tmp_path: Path) -> None:
    await log.create((log.sessions, 1), (log.letters, 1))
    await log.send(log.letters, [(b"k", b"no letter")])
    sink = open_sink("duckdb:///calls.duckdb", data_dir=tmp_path, recording_deadline_seconds=3600)
    loader = Loader.over_kafka(log.options, log.prefix, sink, SETTINGS, registry=CollectorRegistry())
    with pytest.raises(HaltError):
        await asyncio.wait_for(loader.run(asyncio.Event()), DEADLINE_SECONDS)

    assert rows(tmp_path, f"SELECT * FROM callweave_offsets WHERE topic = '{log.letters}'") == []


async def test_a_value_of_the_largest_size_is_loaded_and_its_letter_fits(log: Log, tmp_path: Path) -> None:
    await log.create((log.sessions, 1), (log.letters, 1))
    size = MESSAGE_BYTES_MAX - 2048
    key, value = session_record(a_session("large"), padding="")
    large = value.replace(b'"padding":""', b'"padding":"' + b"x" * (size - len(value)) + b'"')
    await log.send(log.sessions, [(key, large), (b"1:x", b"x" * size)])
    async with loading(log, tmp_path) as loader:
        await until(lambda: loader.status().letters_loaded)

    assert rows(tmp_path, "SELECT session_id FROM sessions") == [("large",)]
    ((raw_bytes_count, kept),) = rows(tmp_path, "SELECT raw_bytes_count, octet_length(raw) FROM dead_letters")
    assert (raw_bytes_count, kept) == (size, RAW_BYTES_MAX)
