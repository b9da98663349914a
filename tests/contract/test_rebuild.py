"""A rebuild against every warehouse: what differs from the log is found, named, and laid down; nothing is dropped."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from callweave.rebuild.comparing import Finding
from callweave.rebuild.origin import Origin
from callweave.rebuild.places import patiently
from callweave.rebuild.run import Rebuilt, rebuild
from callweave.settings import KafkaSettings, Settings, WarehouseSettings, WorkerSettings
from schemas.columns import SESSION_TABLES, SESSION_VERSIONS
from schemas.events import NormalizedEvent
from schemas.person import PersonKey
from schemas.suppression import NOBODY, Erasure, SuppressionRecord, Suppressions
from schemas.topics import EVENT_TOPICS
from sinks.correcting import Correction, correct, correcting_digest
from sinks.ddl import names
from sinks.discretion import Discretion
from sinks.rows import lay_out, read_document
from sinks.sink import Batch, LogPartition, Reader, Sink
from sinks.warehouse import open_reader, open_sink
from streams.core.fold import fold
from tests.support.events import APP, an_event
from tests.support.lakes import DUCKLAKE, PARQUET, lay_out_ducklake
from tests.support.loading import DUCKDB, Log

PLACE = LogPartition("sessions", 0)


class Case:
    """A log on the real broker, and a warehouse that was loaded from it."""

    def __init__(self, log: Log, url: str, data_dir: Path) -> None:
        self.log, self.url, self.data_dir = log, url, data_dir
        self.settings = Settings.model_construct(
            data_dir=data_dir,
            kafka=KafkaSettings(bootstrap_servers=log.options["bootstrap_servers"], topic_prefix=log.prefix),
            warehouse=WarehouseSettings(url=url),
            worker=WorkerSettings(retention_days=36_500),  # the calls are of another year
        )
        self.records: dict[str, bytes] = {}

    async def publish(self, *events: NormalizedEvent) -> None:
        """As the worker does."""
        by_session: dict[bytes, list[NormalizedEvent]] = {}
        for event in events:
            by_session.setdefault(event.key, []).append(event)
        folded = {key: fold(key, None, of_one).record for key, of_one in by_session.items()}
        await self.log.send(self.log.sessions, list(folded.items()), 0)
        self.records |= {key.decode(): record for key, record in folded.items() if record is not None}

    def opened(self) -> Sink:
        sink = open_sink(self.url, data_dir=self.data_dir, recording_deadline_seconds=3600)
        sink.open()
        return sink

    def load(self, change: Callable[[dict[str, Any]], None] = lambda _: None, *keys: str) -> None:
        """Load what was published, as a loader would that has a bug."""
        documents = [read_document(key.encode(), self.records[key]) for key in keys or self.records]
        for document in documents:
            change(document.body)
        rows, unfit = lay_out(documents)
        assert not unfit
        with closing(self.opened()) as sink:
            sink.write(Batch(rows, (), {}, {}))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.read() as reader:
            return reader.query(sql).rows

    def read(self) -> closing[Reader]:
        """Only to read: opening a warehouse to write costs a lake a second."""
        return closing(open_reader(self.url, data_dir=self.data_dir))

    def everything(self) -> dict[str, list[str]]:
        """Every row but for what orders documents and when it was committed."""
        unlike = ("document_digest", "loaded_at")
        with self.read() as reader:
            return {
                table.name: sorted(
                    map(
                        repr,
                        reader.query(
                            f"SELECT {names([name for name in table.column_names if name not in unlike])} "
                            f"FROM {table.name}"
                        ).rows,
                    )
                )
                for table in SESSION_TABLES
            }


@pytest.fixture(params=["duckdb", "postgres", "clickhouse", "ducklake", "parquet"])
async def case(request: pytest.FixtureRequest, kafka: str, topic_prefix: str, tmp_path: Path) -> Case:
    match request.param:
        case "ducklake":
            lay_out_ducklake(tmp_path)
            url = DUCKLAKE
        case "duckdb" | "parquet" as name:
            url = {"duckdb": DUCKDB, "parquet": PARQUET}[name]
        case name:
            url = request.getfixturevalue(f"{name}_url")
    log = Log(kafka, topic_prefix)
    await log.create((log.sessions, 1), *((topic.name(topic_prefix), 1) for topic in EVENT_TOPICS))
    return Case(log, url, tmp_path)


def report(kind: str, session: str, at: int = 0, **fields: Any) -> NormalizedEvent:
    event = an_event(kind, {"SessionId": session, **fields}, at=at, push_id=f"{session}-{at}")
    return event.model_copy(update={"session_id": session})


def cdr(session: str, at: int = 0, **fields: Any) -> NormalizedEvent:
    return report("cdr", session, at, **fields)


CALLS = [
    cdr(
        f"s-{number}",
        Direction=0,
        Caller=f"+861390000000{number}",
        RecordId=f"r-{number}",
        Tomorrow={"deep": [1, 0.5]},
        ServeParticipants=[{"Mail": "ann@example.com", "Sequence": 1, "StartTimestamp": 1_700_000_000}],
    )
    for number in range(4)
]


async def run(
    case: Case, origin: Origin = Origin.SESSIONS, *, dry_run: bool = False, suppressions: Suppressions = NOBODY
) -> Rebuilt:
    return await asyncio.to_thread(
        rebuild,
        case.settings,
        origin,
        dry_run=dry_run,
        told_max=20,
        now=lambda: datetime.now(UTC),
        progress=lambda _what, _done, _total: None,
        discretion=Discretion(suppressions),
    )


def counts(rebuilt: Rebuilt) -> dict[str, int]:
    return {found.value: count for found, count in rebuilt.counts.items() if count}


async def test_a_lost_warehouse_is_filled_again_and_one_that_equals_the_log_is_left_alone(case: Case) -> None:
    await case.publish(*CALLS)
    rebuilt = await run(case)
    refilled = case.everything()
    digests = case.rows("SELECT document_digest FROM sessions ORDER BY session_id")
    case.load()

    loaded_at = case.rows("SELECT session_id, loaded_at FROM sessions ORDER BY session_id")
    again = await run(case)

    assert counts(rebuilt) == {"absent": 4}
    assert rebuilt.replaced_count == 4
    assert len(refilled["legs"]) == 4
    assert case.everything() == refilled, "the rows are those that the loader lays down"
    assert case.rows("SELECT document_digest FROM sessions ORDER BY session_id") == digests
    assert counts(again) == {"equal": 4}
    assert (again.replaced_count, again.uncovered_count, again.is_well) == (0, 0, True)
    assert case.rows("SELECT session_id, loaded_at FROM sessions ORDER BY session_id") == loaded_at


async def test_what_a_fixed_bug_left_is_found_named_and_replaced_and_stays_so(case: Case) -> None:
    await case.publish(*CALLS)
    case.load(wrong := lambda body: body.update(caller="wrong", legs=[], talk_seconds=9), f"{APP}:s-1", f"{APP}:s-2")
    case.load(lambda _: None, f"{APP}:s-0", f"{APP}:s-3")
    dry = await run(case, dry_run=True)
    untouched = case.rows("SELECT count(*) FROM sessions WHERE caller = 'wrong'")
    done = await run(case)
    # The loader reads the log again, by the same bug: it may not undo what was corrected.
    for key in case.records:
        case.load(wrong, key)

    assert counts(dry) == counts(done) == {"equal": 2, "different": 2}
    assert dry.as_json()["columns"]["different"]["sessions.caller"] == 2
    assert {name for name in dry.as_json()["columns"]["different"] if name.startswith("sessions.")} == {
        "sessions.caller",
        "sessions.talk_seconds",
    }
    assert "legs.agent_mail" in dry.told[0].columns
    assert (dry.is_well, dry.replaced_count, untouched) == (False, 0, [(2,)])
    assert (done.is_well, done.replaced_count) == (True, 2)
    assert case.rows("SELECT count(*) FROM sessions WHERE caller = 'wrong' AND session_id IN ('s-1', 's-2')") == [(0,)]
    assert case.rows("SELECT count(*) FROM legs WHERE session_id IN ('s-1', 's-2')") == [(2,)]
    assert "13900000" not in repr(dry.as_json())


async def test_a_second_correction_replaces_the_first_and_a_newer_version_replaces_both(case: Case) -> None:
    await case.publish(CALLS[0])
    case.load()
    (key, record), *_ = case.records.items()
    # By the clock of another machine, an hour from now.
    digest = correcting_digest("0" * 32, "", datetime.now(UTC) + timedelta(hours=1))
    with closing(case.opened()) as sink:
        correct(sink, [Correction(key.encode(), record.replace(b"+86139", b"+86138"), digest)], None)
    planted = case.rows("SELECT caller FROM sessions")
    again = await run(case)
    corrected = case.rows("SELECT caller FROM sessions")
    await case.publish(CALLS[0], cdr("s-0", at=5_000, Direction=0, Caller="newer"))
    case.load()
    # What was found before the newer version came is written after it.
    with closing(case.opened()) as sink:
        late = correct(sink, [Correction(key.encode(), record, digest)], None)

    assert late.applied == frozenset()
    assert (planted, counts(again), corrected) == (
        [("+8613800000000",)],
        {"different": 1},
        [("+8613900000000",)],
    )
    assert case.rows("SELECT caller FROM sessions") == [("newer",)]
    assert counts(await run(case)) == {"equal": 1}


async def test_sessions_that_the_log_does_not_hold_or_knows_less_of_stay_and_are_counted(case: Case) -> None:
    await case.publish(CALLS[0], cdr("s-0", at=9_000, Caller="more"), cdr("gone-1"), cdr("gone'\\2"))
    case.load()
    await case.log.send(case.log.sessions, [(f"{APP}:gone-1".encode(), None), (f"{APP}:gone'\\2".encode(), None)], 0)
    await case.log.delete(case.log.sessions)
    await case.log.create((case.log.sessions, 1))
    await case.publish(CALLS[0], cdr("gone-1"), CALLS[1])
    await case.log.send(case.log.sessions, [(f"{APP}:gone-1".encode(), None)], 0)
    before = case.rows("SELECT * FROM sessions ORDER BY session_id")
    rebuilt = await run(case)

    assert counts(rebuilt) == {"ahead": 1, "absent": 1}
    assert rebuilt.read.retired_count == 1
    assert (rebuilt.uncovered_count, {key.session_id for key in rebuilt.uncovered_told}) == (2, {"gone-1", "gone'\\2"})
    kept = case.rows("SELECT * FROM sessions WHERE session_id <> 's-1' ORDER BY session_id")
    assert kept == before


@pytest.mark.parametrize("case", ["duckdb"], indirect=True)
async def test_the_raw_topics_are_folded_anew(case: Case) -> None:
    events = [*CALLS, report("record", "s-0", 3, RecordId="r-0")]
    for event in events:
        topic = next(topic for topic in EVENT_TOPICS if topic.suffix == event.kind.value)
        await case.log.send(topic.name(case.log.prefix), [(event.key, event.encoded()), (b"k", b"not an event")], 0)
    await case.publish(*CALLS)
    case.load()
    rebuilt = await run(case, Origin.RAW)

    assert counts(rebuilt) == {"equal": 3, "behind": 1}
    assert rebuilt.columns[Finding.BEHIND]["recordings.received_at"] == 1
    assert (rebuilt.read.unusable_count, rebuilt.replaced_count) == (5, 1)
    assert case.rows("SELECT count(*) FROM recordings WHERE received_at IS NOT NULL") == [(1,)]


@pytest.mark.parametrize("case", ["duckdb"], indirect=True)
async def test_an_erased_person_does_not_come_back_from_the_raw_topics(case: Case) -> None:
    topic = EVENT_TOPICS[0].name(case.log.prefix)
    await case.log.send(topic, [(call.key, call.encoded()) for call in CALLS], 0)
    session = SuppressionRecord(
        kind="session", subject=f"{APP}:s-1", erasure=Erasure.PSEUDONYMISED, key_id="k", requested_at=datetime.now(UTC)
    )
    listed = Suppressions.of(PersonKey(b"0" * 32), [session])
    rebuilt = await run(case, Origin.RAW, suppressions=listed)

    assert counts(rebuilt) == {"absent": 4}
    callers = dict(case.rows("SELECT session_id, caller FROM sessions"))
    assert callers["s-0"] == "+8613900000000"
    assert "13900000001" not in str(callers["s-1"])


@pytest.mark.parametrize("case", ["duckdb", "clickhouse"], indirect=True)
async def test_a_history_that_was_switched_on_later_is_filled_and_one_that_is_off_is_not_looked_at(case: Case) -> None:
    await case.publish(*CALLS)
    case.load()
    without = case.settings
    case.settings = without.model_copy(update={"warehouse": WarehouseSettings(url=case.url, history=True)})
    filled = await run(case)
    rows = case.rows("SELECT session_id, push_id FROM session_versions ORDER BY session_id")
    again = await run(case)
    case.settings = without
    off = await run(case)

    assert counts(filled) == {"different": 4}
    assert set(filled.columns[Finding.DIFFERENT]) == {
        f"session_versions.{name}" for name in SESSION_VERSIONS.column_names
    }
    assert rows == [(f"s-{number}", f"s-{number}-0") for number in range(4)]
    assert counts(again) == counts(off) == {"equal": 4}
    assert case.rows("SELECT session_id, push_id FROM session_versions ORDER BY session_id") == rows


@pytest.mark.parametrize("case", ["postgres", "clickhouse", "ducklake"], indirect=True)
async def test_beside_a_loader_that_never_rests_both_come_to_an_end_and_the_newest_version_stays(case: Case) -> None:
    await case.publish(*CALLS)
    case.load(lambda body: body.update(caller="wrong"))
    newer = [fold(call.key, None, [call, cdr(call.session_id, at=5_000, Caller="newer")]).record for call in CALLS]
    stop = threading.Event()

    def keep_loading() -> int:
        count = 0
        with closing(case.opened()) as sink:
            while not stop.is_set():
                value = newer[count % 2] or b""
                document = read_document(CALLS[count % 2].key, value)
                patiently(
                    partial(sink.write, Batch(lay_out([document])[0], (), {PLACE: count + 1}, {PLACE: count or None}))
                )
                count += 1
                stop.wait(0.05)  # as a loader that waits for others to join its batch
        return count

    loading = asyncio.create_task(asyncio.to_thread(keep_loading))
    try:
        rebuilt = await run(case)
    finally:
        stop.set()
    batches = await loading

    assert batches > 0
    assert rebuilt.is_well
    assert rebuilt.replaced_count + rebuilt.overtaken_count + rebuilt.counts[Finding.AHEAD] == 4
    callers = case.rows("SELECT caller FROM sessions ORDER BY session_id")
    assert callers[2:] == [("+8613900000002",), ("+8613900000003",)]
    assert {caller for (caller,) in callers[:batches][:2]} == {"newer"}
