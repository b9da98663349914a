"""What faust-streaming 0.15.3 does wrong, on the real classes, and what ours do instead.

Each test runs upstream's class and ours through the same steps, so that it says by itself when an override may go: the
day upstream's half fails. Row numbers are those of the table in `docs/upstream/README.md`.
"""

import asyncio
import threading
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock
from weakref import WeakSet

import faust
import pytest
from aiokafka.errors import IllegalStateError, RequestTimedOutError
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.recovery import Recovery, ServiceStopped
from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import ProducerBuffer
from faust.types import TP
from intervaltree import IntervalTree
from typing_extensions import override

from schemas import jsontext
from streams.core.fold import fold
from streams.engine import halt
from streams.engine.assignor import WholeAssignor
from streams.engine.consumer import FETCH_WAIT_MS, IDLE_FETCH_WAIT_MS, FrozenFetchThread, SafeConsumer
from streams.engine.guard import ContiguityGuard
from streams.engine.halt import ExitStatus
from streams.engine.positions import positions_of
from streams.engine.recovery import OrderedRecovery
from streams.engine.table import Entry, SessionTable
from tests.faults.trial import session_events
from tests.support.engine import ProcessGoneError, a_message, an_event, offline_worker

CDR = TP("tccc.cdr", 0)
CHANGELOG = TP("tccc.sessions", 0)


class JournalConsumer(SafeConsumer):
    """A consumer that writes down what recovery asks of it."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.starts = {CDR: 0}

    @override
    def assignment(self) -> set[TP]:
        return {CDR, CHANGELOG}

    @override
    def pause_partitions(self, tps: Any) -> None:
        self.journal.append("sources paused")

    @override
    def resume_partitions(self, tps: Any) -> None:
        self.journal.append("sources resumed")

    @override
    async def perform_seek(self) -> None:
        self.journal.append("sources sought")

    @override
    async def seek_to_positions(self, positions: Any) -> None:
        self.journal.append("sources sought")

    @override
    def resume_flow(self) -> None:
        self.journal.append("flow resumed")


def a_recovery(kind: type[Recovery], journal: list[str], *, generation: int = 7) -> Recovery:
    """A recovery whose app writes down what happens."""

    async def nothing() -> None:
        pass

    async def table_done(*_: object) -> None:
        journal.append("table restored")

    table = offline_worker("memory").table
    table.on_recovery_completed = table_done  # type: ignore[method-assign]
    app = SimpleNamespace(
        conf=SimpleNamespace(stream_recovery_delay=0.0, broker_request_timeout=5.0),
        consumer=JournalConsumer(journal),
        consumer_generation_id=generation,
        on_rebalance_complete=SimpleNamespace(send=nothing),
        on_rebalance_end=lambda: None,
        flow_control=SimpleNamespace(resume=lambda: journal.append("queues cleared")),
        _fetcher=SimpleNamespace(maybe_start=nothing),
        assignor=SimpleNamespace(assigned_standbys=set),
        tracer=None,
    )

    class Tables(dict[str, Any]):
        changelog_topics = frozenset({CHANGELOG.topic})
        on_actives_ready = on_standbys_ready = staticmethod(lambda: journal.append("ready"))

    more = {"guard": ContiguityGuard()} if kind is OrderedRecovery else {}
    return kind(app, Tables(sessions=table), **more)  # type: ignore[arg-type]


async def test_row_1_upstream_resumes_before_it_seeks_and_clears_what_was_fetched() -> None:
    journal: list[str] = []
    await a_recovery(Recovery, journal).on_recovery_completed(7)
    assert journal[1:4] == ["sources resumed", "sources sought", "queues cleared"]


async def test_row_1_ours_seeks_and_clears_before_it_resumes() -> None:
    journal: list[str] = []
    await a_recovery(OrderedRecovery, journal).on_recovery_completed(7)
    assert journal[1:5] == ["sources paused", "sources sought", "queues cleared", "sources resumed"]


@pytest.mark.parametrize(("kind", "says"), [(Recovery, ["table restored"]), (OrderedRecovery, [])])
async def test_row_4_a_restore_that_a_rebalance_overtook_ends_nothing(kind: type[Recovery], says: list[str]) -> None:
    """Upstream ends the tables' restore, on half a state, before it looks at the generation."""
    journal: list[str] = []
    await a_recovery(kind, journal, generation=8).on_recovery_completed(7)
    assert journal == says


async def test_upstream_takes_a_broker_that_does_not_answer_for_a_stop_and_never_restores_again() -> None:
    with pytest.raises(ServiceStopped):
        await a_recovery(Recovery, [])._wait(asyncio.sleep(5), timeout=0.01)


async def test_ours_starts_anew_when_the_broker_does_not_answer_while_restoring(exits: list[int]) -> None:
    with pytest.raises(ProcessGoneError):
        await a_recovery(OrderedRecovery, [])._wait(asyncio.sleep(5), timeout=0.01)
    assert exits == [ExitStatus.RESTART]


async def test_ours_starts_anew_when_kafka_fails_while_restoring(exits: list[int]) -> None:
    async def fails() -> None:
        raise RequestTimedOutError

    with pytest.raises(ProcessGoneError):
        await a_recovery(OrderedRecovery, [])._wait(fails(), timeout=5)
    assert exits == [ExitStatus.RESTART]


async def test_a_partition_that_is_not_ours_any_more_is_a_rebalance_and_no_failure(exits: list[int]) -> None:
    async def fails() -> None:
        raise IllegalStateError

    with pytest.raises(IllegalStateError):
        await a_recovery(OrderedRecovery, [])._wait(fails(), timeout=5)
    assert exits == []


async def test_a_crash_of_any_service_ends_the_process_before_faust_stops_and_commits(exits: list[int]) -> None:
    app = offline_worker("memory").app
    with pytest.raises(ProcessGoneError):
        await app.tables.crash(ZeroDivisionError())
    assert exits == [ExitStatus.RESTART]


def test_need_recovery_of_upstream_is_content_with_offsets_that_a_rebalance_cleared() -> None:
    """The other half of row 4: nothing known reads as nothing missing. Ours asks for the generation first (above)."""
    recovery = a_recovery(Recovery, [])
    recovery.active_highwaters = Counter({CHANGELOG: 100})
    recovery.active_offsets = Counter({CHANGELOG: 40})
    assert recovery.need_recovery()
    recovery.active_offsets.clear()
    recovery.active_highwaters.clear()
    assert not recovery.need_recovery()


class FakeThread(FrozenFetchThread):
    """The consumer thread's answers, without a thread: one partition without a commit, one with."""

    def __init__(self, commits: dict[TP, int | None], ends: dict[TP, int]) -> None:
        self.commits, self.ends, self.sought, self.committed_again = commits, ends, {}, {}

    @override
    def assignment(self) -> set[TP]:
        return set(self.commits)

    @override
    async def seek_to_committed(self) -> Any:
        # What aiokafka does: no commit, no seek.
        self.sought |= {tp: offset for tp, offset in self.commits.items() if offset}
        return dict(self.commits)

    @override
    async def committed(self, partitions: Any) -> dict[TP, int | None]:
        return {tp: self.commits[tp] for tp in partitions}

    @override
    async def earliest_offsets(self, *partitions: TP) -> Any:
        return dict.fromkeys(partitions, 3)

    @override
    async def highwaters(self, *partitions: TP) -> Any:
        return {tp: self.ends[tp] for tp in partitions}

    @override
    async def seek_wait(self, partitions: Any) -> None:
        self.sought |= partitions

    @override
    async def commit(self, tps: Any) -> bool:
        self.committed_again |= tps
        return True


def a_consumer(kind: type[driver.Consumer], **attributes: Any) -> Any:
    """A consumer with its bookkeeping and nothing else."""

    class Bare(kind):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            self.app = SimpleNamespace(
                consumer_generation_id=2,
                in_recovery=False,
                tables=SimpleNamespace(changelog_topics={CHANGELOG.topic}),
                topics=SimpleNamespace(acks_enabled_for=lambda _: True),
            )
            self._gap = defaultdict(IntervalTree)
            self._acked = defaultdict(list)
            self._acked_index = defaultdict(set)
            self._read_offset = defaultdict(lambda: None)
            self._committed_offset = defaultdict(lambda: None)
            self._unacked_messages = WeakSet()
            self._waiting_for_ack = None
            self._active_partitions, self._paused_partitions, self._buffered_partitions = set(), set(), set()
            self.starts = None
            for name, value in attributes.items():
                setattr(self, name, value)

    return Bare()


RECORD = TP("tccc.record", 0)


async def test_row_2_upstream_does_not_rewind_a_partition_without_a_commit() -> None:
    thread = FakeThread({CDR: None, RECORD: 40}, {CDR: 90, RECORD: 90})
    await a_consumer(driver.Consumer, _thread=thread).perform_seek()
    assert thread.sought == {RECORD: 40}


async def test_row_2_ours_seeks_every_source_to_what_the_state_says() -> None:
    thread = FakeThread({CDR: None, RECORD: 40}, {CDR: 90, RECORD: 90})
    consumer = a_consumer(SafeConsumer, _thread=thread)
    await consumer.seek_to_positions({RECORD: 55})
    assert thread.sought == consumer.starts == {CDR: 3, RECORD: 55}
    assert thread.committed_again == {RECORD: 55}, "what the group has committed must say the same"


async def test_ours_reads_again_what_was_committed_but_never_absorbed() -> None:
    thread = FakeThread({RECORD: 80}, {RECORD: 90})
    await a_consumer(SafeConsumer, _thread=thread).seek_to_positions({RECORD: 55})
    assert thread.sought == thread.committed_again == {RECORD: 55}


@pytest.mark.parametrize(("kind", "drained"), [(driver.AIOKafkaConsumerThread, set()), (FrozenFetchThread, {CDR})])
async def test_row_3_a_fetch_is_for_the_partitions_that_were_active_when_it_began(
    kind: type[driver.AIOKafkaConsumerThread], drained: set[TP]
) -> None:
    """Upstream hands its live set over; to aiokafka an empty one means all partitions."""
    live, begun, rebalanced = {CDR}, asyncio.Event(), asyncio.Event()
    seen: list[set[TP]] = []

    class Fetcher:
        _closed = False
        _subscriptions = SimpleNamespace(fetch_context=_Context)

        async def fetched_records(self, partitions: set[TP], **_: object) -> dict[TP, list[str]]:
            begun.set()
            await rebalanced.wait()
            seen.append(set(partitions))
            return {CDR: ["a record of the old assignment"]}

    class Bare(kind):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            self.consumer = SimpleNamespace(flow_active=True)
            self.app = SimpleNamespace(consumer_generation_id=1)

    thread = Bare()
    fetching = asyncio.create_task(thread._fetch_records(SimpleNamespace(_fetcher=Fetcher(), _closed=False), live))
    await begun.wait()
    live.clear()  # what `Consumer.on_partitions_revoked` does
    thread.app.consumer_generation_id = 2
    rebalanced.set()
    records = await fetching
    assert seen == [drained]
    assert bool(records) == (kind is driver.AIOKafkaConsumerThread), "ours drops what an old generation fetched"


async def test_row_3_the_broker_may_hold_a_fetch_longer_only_after_a_second_that_brought_nothing() -> None:
    """One that is held keeps the others of its connection waiting: those for records that come, and a rebalance's."""
    nothing: list[str] = []
    a_record, a_rebalance = ["a record"], None
    answers = [nothing, a_record, nothing, a_rebalance]

    class Fetcher:
        _closed = False
        _subscriptions = SimpleNamespace(fetch_context=_Context)
        _fetch_max_wait_ms = FETCH_WAIT_MS

        async def fetched_records(self, *_: object, **__: object) -> dict[TP, list[str]]:
            answer = answers.pop(0)
            thread.consumer.flow_active = answer is not a_rebalance  # `App.on_rebalance_start` stops the flow
            return {CDR: answer} if answer else {}

    class Bare(FrozenFetchThread):
        def __init__(self) -> None:
            self.consumer = SimpleNamespace(flow_active=True, threadsafe_partitions_revoked=AsyncMock())
            self.app = SimpleNamespace(consumer_generation_id=1)
            self._consumer = SimpleNamespace(_fetcher=Fetcher(), _closed=False)
            self.thread_loop = asyncio.get_running_loop()

    thread, held = Bare(), []
    while answers:
        await thread._fetch_records(thread._consumer, {CDR})
        held.append(thread._consumer._fetcher._fetch_max_wait_ms)
    assert held == [IDLE_FETCH_WAIT_MS, FETCH_WAIT_MS, IDLE_FETCH_WAIT_MS, FETCH_WAIT_MS]

    thread._consumer._fetcher._fetch_max_wait_ms = IDLE_FETCH_WAIT_MS
    await thread.on_partitions_revoked({CDR})
    assert thread._consumer._fetcher._fetch_max_wait_ms == FETCH_WAIT_MS


class _Context:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.timeout(60)
async def test_row_5_upstream_acknowledges_a_batch_whose_processing_failed() -> None:
    app = faust.App("row5", broker="memory://", store="memory://")
    stream = app.channel(value_type=bytes).stream()
    acked: list[object] = []
    feeding: list[asyncio.Task[Any]] = []

    async def note(event: object) -> bool:
        acked.append(event)
        return True

    def feed(_: object) -> None:  # in the place of the task that reads the channel
        stream.current_event = an_event(CDR, 0)
        feeding.append(asyncio.create_task(stream._processors[-1](b"value")))

    stream.ack = note
    stream._enable_passive = feed
    batches = stream.take_events(1, within=1.0)
    batch = await anext(batches)
    with pytest.raises(ZeroDivisionError):
        await batches.athrow(ZeroDivisionError())  # what the body raised; a cancellation comes the same way
    assert batch == acked
    await asyncio.gather(*feeding)


async def test_row_5_ours_ends_before_anything_is_acknowledged(
    exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from streams import worker as shell

    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(shell, "absorb_batch", fails)
    acked: list[str] = []

    class Stream:
        async def take_events(self, *_: object, **__: object) -> Any:
            try:
                yield [an_event(CDR, 0)]
            finally:
                acked.append("batch" if not exits else "after the end of the process")

    worker = offline_worker("memory")
    agent = next(agent for name, agent in worker.app.agents.items() if name.endswith(".sessions"))
    with pytest.raises(ProcessGoneError):
        await agent.fun(Stream())
    assert exits == [ExitStatus.RESTART]
    assert "batch" not in acked


@pytest.mark.parametrize(("kind", "counts"), [(driver.Consumer, True), (SafeConsumer, False)])
def test_row_6_an_ack_of_an_older_generation_moves_no_commit(kind: type[driver.Consumer], counts: bool) -> None:
    """`faust/streams.py` skips such a record, and acks it."""
    consumer = a_consumer(kind)
    message = an_event(CDR, 5, generation=1).message
    assert consumer.ack(message) is counts
    assert bool(consumer._acked[CDR]) is counts


@pytest.mark.parametrize(("kind", "active"), [(driver.Consumer, {CDR}), (SafeConsumer, set())])
def test_row_7_a_drained_buffer_does_not_wake_a_paused_partition(kind: type[driver.Consumer], active: set[TP]) -> None:
    consumer = a_consumer(kind)
    consumer._active_partitions = {CDR}
    consumer.on_buffer_full(CDR)
    consumer.pause_partitions({CDR})
    consumer.on_buffer_drop(CDR)
    assert consumer._active_partitions == active


def test_row_8_upstream_commits_past_records_that_nobody_processed(exits: list[int]) -> None:
    consumer = a_consumer(driver.Consumer)
    consumer._acked[CDR] = [5, 6, 7]  # 0 to 4 are still in somebody's hands
    assert consumer._new_offset(CDR) == 8
    # Ours never processes 5 before 0 to 4 were seen, so it never acknowledges it.
    guard = ContiguityGuard()
    guard.rebase({CDR: 0})
    with pytest.raises(ProcessGoneError):
        guard.admit([an_event(CDR, 5)], generation=2)
    assert exits == [ExitStatus.RESTART]


async def test_row_9_upstream_flushes_in_peace_after_a_send_that_failed() -> None:
    failed: list[BaseException] = []
    app = faust.App("row9", broker="memory://", store="memory://")
    topic = app.topic("changelog", key_serializer="raw", value_serializer="raw")

    class Producer:
        async def send(self, *_: object, **__: object) -> asyncio.Future[None]:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(ConnectionError("the broker said no"))
            return future

    async def get_producer() -> Producer:
        return Producer()

    topic._get_producer = get_producer
    told = asyncio.Event()

    def note(_producer: object, exc: BaseException, _state: object) -> None:
        failed.append(exc)
        told.set()

    app.sensors.on_send_error = note
    buffer = ProducerBuffer()
    buffer.app = app
    await buffer.start()
    topic_message = topic.as_future_message(key=b"k", value=b"v")
    buffer.put(topic_message)
    await asyncio.wait_for(told.wait(), 60)
    await buffer.flush()  # and the commit that follows goes through
    await buffer.stop()
    assert isinstance(failed[0], ConnectionError)
    assert topic_message.exception() is failed[0]


async def test_row_9_ours_does_not_return_from_a_write_that_failed() -> None:
    table = a_table_that_sends(error=ConnectionError("the broker said no"))
    with pytest.raises(ConnectionError):
        await table.write([Entry(0, b"1:a", b"record", b"stored")], {0: {CDR.topic: 1}})
    assert table.stored(0, b"1:a") is None


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
@pytest.mark.parametrize(("kind", "reports_kept"), [(faust.Table, 1), (SessionTable, 3)])
def test_row_10_a_stale_record_that_comes_last_takes_nothing_from_a_restored_session(
    kind: type[faust.Table[Any, Any]], reports_kept: int, store: str, tmp_path: Path
) -> None:
    """`faust/stores/{memory,rocksdb}.py` `apply_changelog_batch` put each record in the place of the one before."""
    table = offline_worker(store, tmp_path).table
    events = session_events(1)
    key = events[0].key
    whole, stale = fold(key, None, events).record, fold(key, None, events[:1]).record
    records = [a_message(CHANGELOG, at, key=key, value=record) for at, record in enumerate((whole, stale))]
    changelog = [SimpleNamespace(key=key, value=record.value, message=record) for record in records]
    kind.apply_changelog_batch(table, changelog)
    kept = jsontext.decode(table.stored(CHANGELOG.partition, key) or b"")
    assert len(kept.get("state", kept)["reports"]) == reports_kept


async def test_row_10_what_a_stale_record_lacked_is_published_again_before_the_worker_is_ready() -> None:
    table = a_table_that_sends(lands_at=11)
    events = session_events(1)
    key = events[0].key
    whole, stale = fold(key, None, events).record, fold(key, None, events[:1]).record
    records = [a_message(CHANGELOG, 9 + at, key=key, value=record) for at, record in enumerate((whole, stale))]
    table.apply_changelog_batch([SimpleNamespace(message=record) for record in records])
    table.app.tables.recovery.active_offsets[CHANGELOG] = 10
    await table.on_recovery_completed({CHANGELOG}, set())
    assert [sent for sent, _ in table.app.producer._producer.records] == [key]


async def test_row_11_a_batch_that_does_not_follow_the_last_record_ends_the_worker(exits: list[int]) -> None:
    table = a_table_that_sends(lands_at=12)
    with pytest.raises(ProcessGoneError):
        await table.write([Entry(0, b"1:a", b"record", b"stored")], {0: {CDR.topic: 1}})
    assert exits == [ExitStatus.RESTART]
    assert table.stored(0, b"1:a") is None


async def test_row_11_nothing_is_written_to_a_partition_that_is_not_ours(exits: list[int]) -> None:
    table = a_table_that_sends(lands_at=11)
    with pytest.raises(ProcessGoneError):
        await table.write([Entry(1, b"1:a", b"record", b"stored")], {1: {CDR.topic: 1}})
    assert exits == [ExitStatus.RESTART]


async def test_positions_ride_on_the_last_record_of_a_batch_and_into_the_store() -> None:
    table = a_table_that_sends(lands_at=11)
    entries = [Entry(0, b"1:%d" % number, b"x" * 600, b"stored") for number in range(3)]
    await table.write(entries, {0: {CDR.topic: 7, RECORD.topic: 9}})
    sent = table.app.producer._producer.records
    assert [headers for _, headers in sent] == [[], [], [("callweave-read", b'{"tccc.cdr":7,"tccc.record":9}')]]
    assert table.source_positions() == {CDR: 7, RECORD: 9}
    restored = offline_worker("memory").table
    restored.apply_changelog_batch(
        [
            SimpleNamespace(
                message=SimpleNamespace(partition=0, key=key, value=b'{"state":{"reports":{}}}', offset=at, headers=h)
            )
            for at, (key, h) in enumerate(sent)
        ]
    )
    restored._read = {0: restored._stored_positions(0)}
    assert restored.source_positions() == {CDR: 7, RECORD: 9}


async def test_a_trace_rides_on_its_own_session_and_takes_no_place_of_the_positions() -> None:
    table = a_table_that_sends(lands_at=11)
    traced = [
        Entry(0, b"1:a", b"x", b"s", trace=b"00-t-1-01"),
        Entry(0, b"1:b", b"x", b"s"),
        Entry(0, b"1:c", b"x", b"s", trace=b"00-t-2-01"),
    ]
    await table.write(traced, {0: {CDR.topic: 7}})
    positions = ("callweave-read", b'{"tccc.cdr":7}')
    assert [headers for _, headers in table.app.producer._producer.records] == [
        [("traceparent", b"00-t-1-01")],
        [],
        [positions, ("traceparent", b"00-t-2-01")],
    ]
    assert positions_of(table.app.producer._producer.records[-1][1]) == positions[1]


async def test_the_batches_of_a_write_are_handed_over_in_one_turn_of_the_loop() -> None:
    """The producer has one request at a time on its way: what is handed over later waits for the answer to it."""
    table, turns, sent_in = a_table_that_sends(), 0, []
    producer, loop = table.app.producer._producer, asyncio.get_running_loop()
    send = producer.send_batch

    def count_turns() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(count_turns)

    async def send_batch(*arguments: Any, **more: Any) -> asyncio.Future[Any]:
        sent_in.append(turns)
        return await send(*arguments, **more)  # type: ignore[no-any-return]

    producer.send_batch = send_batch
    count_turns()
    await table.write([Entry(0, b"1:%d" % number, b"{}", b"{}") for number in range(5)])
    assert len(sent_in) == 3
    assert len(set(sent_in)) == 1


def a_table_that_sends(*, lands_at: int = 11, error: Exception | None = None) -> Any:
    """A session table that knows partition 0 up to offset 10, and a producer that answers as told."""

    class Batch:
        def __init__(self) -> None:
            self.size = 0

        def append(self, *, key: bytes, value: bytes, timestamp: None, headers: Any) -> object:
            del value, timestamp
            self.size += 1
            if self.size > 2:  # two records fill a batch
                return None
            Producer.records.append((key, headers))
            return object()

        def close(self) -> None:
            pass

    class Producer:
        records: list[tuple[bytes, Any]] = []  # noqa: RUF012  (one producer a test)
        lands_at = 0

        def create_batch(self) -> Batch:
            return Batch()

        async def send_batch(self, batch: Batch, *_: object, **__: object) -> asyncio.Future[Any]:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(SimpleNamespace(offset=Producer.lands_at))
                Producer.lands_at += min(batch.size, 2)
            return future

    Producer.records, Producer.lands_at = [], lands_at
    table = offline_worker("memory").table
    table.app.producer = SimpleNamespace(_producer=Producer())
    table._last_offset = {0: 10}
    return table


def test_row_12_a_message_in_flight_is_awaited_at_the_end(tmp_path: Path) -> None:
    """Provoking it takes a SIGTERM between a message and its ack; the trials do. The setting must stay."""
    assert offline_worker("memory", tmp_path).app.conf.stream_wait_empty is True


def test_a_stop_that_hangs_is_cut_short_and_says_where_it_stood(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = threading.Event()
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        gone.set()

    monkeypatch.setattr(halt.os, "_exit", leave)
    monkeypatch.setattr(halt.logging, "shutdown", lambda: None)
    halt.leave_when_stopping_hangs(0.01)
    assert gone.wait(60)
    assert statuses == [0]
    assert "test_a_stop_that_hangs" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [PartitionAssignor, WholeAssignor])
def test_row_14_upstream_assigns_nothing_where_metadata_lacks_the_topics(
    kind: type[PartitionAssignor], exits: list[int]
) -> None:
    assignor = kind(faust.App("row14", broker="memory://", store="memory://", topic_disable_leader=True))
    members = {"member": assignor.metadata({CDR.topic})}

    def assigned(partitions: set[int] | None) -> list[Any]:
        cluster: Any = SimpleNamespace(partitions_for_topic=lambda _: partitions)
        return list(assignor.assign(cluster, members)["member"].partitions())

    assert assigned({0, 1}) == [CDR, TP(CDR.topic, 1)]
    if kind is PartitionAssignor:
        assert assigned(None) == []  # and nothing is wrong with such a group: nobody will ask again
        return
    with pytest.raises(ProcessGoneError):
        assigned(None)
    assert exits == [ExitStatus.RESTART]
