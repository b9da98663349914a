"""Retirement (architecture.md law 12): the real batch, table and sweep over a log in memory, with every kind of ending.

The verdict on a report is its record's alone; no accepted report meets a session that was forgotten; restoring brings
no forgotten session back, from a warm disk or an empty one, before or after compaction.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from schemas import jsontext
from schemas.canonical import canonical, digest
from schemas.events import WIRE_MODELS, EventKind, NormalizedEvent
from schemas.models import instant_ms, instant_of_ms
from streams import worker as shell
from streams.core.retirement import DAY_MS, Retention
from streams.engine.positions import store_key
from streams.retire import Retirement

DAYS = 200
START_MS = 1_700_000_000_000
SOURCE = TP("t.record", 0)


class Died(BaseException):
    """The process ended here."""


@dataclass
class Log:
    """A source partition, the session topic's partition, and what became of them."""

    source: list[tuple[int, NormalizedEvent]] = field(default_factory=list)
    sessions: list[tuple[int, bytes, bytes | None]] = field(default_factory=list)
    end: int = 0
    letters: set[int] = field(default_factory=set)

    def append(self, key: bytes, value: bytes | None) -> int:
        self.sessions.append((self.end, key, value))
        self.end += 1
        return self.end - 1


def message(offset: int, *, key: bytes, value: bytes | None, at_ms: int = 0, topic: str, headers: Any = None) -> Any:
    tp = TP(topic, 0)
    facts = SimpleNamespace(
        tp=tp, topic=topic, partition=0, offset=offset, key=key, value=value, generation_id=0, timestamp=at_ms / 1000
    )
    facts.headers = headers
    return SimpleNamespace(message=facts)


class OneWorker:
    """The worker, built once (that is slow); `start` gives it a log and what lies on its disk."""

    def __init__(self) -> None:
        self.log = Log()
        self.now_ms = START_MS
        self.dies_after_publishing = False
        options = shell.WorkerOptions(
            faust_broker="kafka://nowhere",
            topic_prefix="t.",
            partitions=1,
            state_dir=Path("/nonexistent"),
            instance_id="one",
            now=lambda: instant_of_ms(self.now_ms),
            store="memory",
            retention_days=DAYS,
        )
        self.worker = shell.build_worker(options)
        self.worker.app.consumer_generation_id = 0
        self.table = self.worker.table
        self.table._publish = self._publish  # type: ignore[method-assign]
        tables = SimpleNamespace(actives_ready=True, recovery=SimpleNamespace(active_tps={TP("t.sessions", 0)}))
        app = SimpleNamespace(
            in_recovery=False,
            tables=tables,
            guard=self.worker.app.guard,
            consumer=SimpleNamespace(highwater=lambda _tp: len(self.log.source)),
        )
        self.sweeper = Retirement(app, self.table, options.retention, options.now, asyncio.Lock())

    def start(self, log: Log, store: dict[bytes, bytes], *, position: int, restore_from: int) -> None:
        """A process begins."""
        self.log, self.dies_after_publishing = log, False
        data: Any = self.table.data
        for index, content in ((data.data, store), (data._key_partition, dict.fromkeys(store, 0))):
            index.clear()
            index.update(content)
        self.table._says_more.clear()
        self.table._last_offset.clear()
        self.worker.app.guard.rebase({SOURCE: position})
        self._restore(restore_from)

    async def _publish(self, by_partition: Any) -> None:
        for entries in by_partition.values():
            for entry in entries:
                self.table._last_offset[0] = self.log.append(entry.key, entry.record)
        if self.dies_after_publishing:
            raise Died

    def _restore(self, from_offset: int) -> None:
        records = [record for record in self.log.sessions if record[0] >= from_offset]
        self.table.apply_changelog_batch(
            [message(offset, key=key, value=value, topic="t.sessions") for offset, key, value in records]
        )
        self.table._last_offset[0] = self.log.end - 1

    def stored_sessions(self) -> dict[bytes, bytes]:
        return {key: value for key, value in self.table.data.data.items() if key[:1].isdigit()}


@cache
def the_worker() -> OneWorker:
    return OneWorker()


class Forgetting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.log = Log()
        self.committed = 0
        self.forgotten: dict[bytes, int] = {}
        self.rows: dict[bytes, int] = {}
        self.receipts: list[int] = [START_MS]
        self.one = the_worker()
        self.one.now_ms = START_MS
        self.one.start(self.log, {}, position=0, restore_from=0)
        self.position = 0
        self.read_to = 0
        shell._publish_letters = self.take_letters  # type: ignore[assignment]

    async def take_letters(self, _worker: Any, letters: list[Any]) -> None:
        self.log.letters |= {letter.offset for letter in letters}

    @rule(days=st.sampled_from([1, 40, 100, 199, 202]))
    def time_passes(self, days):
        self.one.now_ms += days * DAY_MS

    @rule(session=st.sampled_from("ab"), record=st.integers(0, 2))
    def a_report_comes(self, session, record):
        self._publish_event(session, record, self.one.now_ms)

    @rule(session=st.sampled_from("ab"), record=st.integers(0, 2), data=st.data())
    def a_spool_or_a_replay_brings_an_old_report(self, session, record, data):
        self._publish_event(session, record, data.draw(st.sampled_from(self.receipts)))

    @rule(count=st.integers(1, 4), commits=st.booleans())
    def the_worker_absorbs(self, count, commits):
        self._absorb(count)
        if commits:
            self.committed = self.position

    @rule(count=st.integers(1, 4))
    def the_worker_dies_after_publishing_a_batch(self, count):
        self.one.dies_after_publishing = True
        self._absorb(count)
        self._start(warm=True)

    @rule()
    def the_worker_sweeps(self):
        self._sweep()

    @rule()
    def the_worker_dies_between_tombstone_and_its_state(self):
        self.one.dies_after_publishing = True
        self._sweep()
        self._start(warm=True)

    @rule(warm=st.booleans())
    def the_worker_starts_again(self, warm):
        self._start(warm=warm)

    @precondition(lambda self: self.log.sessions)
    @rule(drops_tombstones=st.booleans())
    def the_broker_compacts(self, drops_tombstones):
        last = {key: offset for offset, key, _ in self.log.sessions}
        kept = [record for record in self.log.sessions if last[record[1]] == record[0]]
        if drops_tombstones:
            kept = [record for record in kept if record[2] is not None]
        self.log.sessions[:] = kept

    def teardown(self):
        self._absorb(len(self.log.source))
        truth = Retention(DAYS)
        assert self.log.letters == {
            offset
            for offset, (published_ms, event) in enumerate(self.log.source)
            if truth.too_late(event.received_at, published_ms=published_ms)
        }
        # Rows outlive their sessions: what was ever published is in the warehouse.
        accepted = {e.key for offset, (_, e) in enumerate(self.log.source) if offset not in self.log.letters}
        assert set(self.rows) == accepted
        warm = set(self.one.stored_sessions())
        self._start(warm=False)
        assert set(self.one.stored_sessions()) <= warm, "an empty disk brings nothing back"
        # When everybody has been silent for long enough, nothing is left, and nothing comes back.
        self._absorb(len(self.log.source))
        self.one.now_ms += (DAYS + 2) * DAY_MS
        while self._sweep():
            pass
        left = set(self.one.table.data.data) - {store_key(0)}
        assert not left, "neither a session nor an entry of the index is left"
        self._start(warm=False)
        assert not self.one.stored_sessions()
        self.loop.close()

    def _publish_event(self, session: str, record: int, received_ms: int) -> None:
        payload = canonical(
            WIRE_MODELS[EventKind.RECORD], {"SdkAppId": 1, "SessionId": session, "RecordId": f"r{record}"}
        )
        event = NormalizedEvent(
            kind=EventKind.RECORD,
            sdk_app_id=1,
            session_id=session,
            payload=payload,
            digest=digest("record", "push", None, payload),
            push_id=f"p{len(self.log.source)}",
            received_at=instant_of_ms(received_ms),
        )
        self.receipts.append(received_ms)
        self.log.source.append((self.one.now_ms, event))

    def _absorb(self, count: int) -> None:
        batch = list(enumerate(self.log.source))[self.position : self.position + count]
        known = self.one.stored_sessions()
        truth = Retention(DAYS)
        for _, (published_ms, event) in batch:
            if truth.too_late(event.received_at, published_ms=published_ms) or event.key in known:
                continue
            if event.key in self.forgotten:
                assert instant_ms(event.received_at) > self.forgotten[event.key], "it met a session that was forgotten"
        events = [
            message(offset, key=event.key, value=event.encoded(), at_ms=published_ms, topic=SOURCE.topic)
            for offset, (published_ms, event) in batch
        ]
        before = self.log.end
        try:
            self.loop.run_until_complete(shell.absorb_batch(self.one.worker, events))
        except Died:
            pass
        else:
            self.position += len(batch)
        self._load(before)

    def _sweep(self) -> int:
        before, known = self.log.end, dict(self.one.stored_sessions())
        looked_at = 0
        with contextlib.suppress(Died):
            looked_at = self.loop.run_until_complete(self.one.sweeper.slice())
        for offset, key, value in self.log.sessions:
            if offset >= before and value is None:
                last_ms = max(report["last_ms"] for report in jsontext.decode(known[key])["reports"].values())
                assert last_ms < Retention(DAYS).forgotten_before_ms(self.one.now_ms), "it was forgotten too early"
                self.forgotten[key] = last_ms
        return looked_at

    def _load(self, from_offset: int) -> None:
        for offset, key, value in self.log.sessions:
            if offset >= from_offset and value is not None:
                self.rows[key] = max(self.rows.get(key, 0), int(jsontext.decode(value)["version"]))

    def _start(self, *, warm: bool) -> None:
        if not self.one.dies_after_publishing:
            self.read_to = self.log.end
        store = dict(self.one.table.data.data) if warm else {}
        from_offset = self.read_to if warm else 0
        self.position = self.committed
        self.one.start(self.log, store, position=self.position, restore_from=from_offset)
        self.read_to = self.log.end


TestForgetting = Forgetting.TestCase
TestForgetting.settings = settings(max_examples=60, stateful_step_count=40)


@given(st.integers(0, 400), st.integers(-2, 400))
def test_the_verdict_is_a_matter_of_receipt_and_publication_alone(received_day, delay_days):
    received = datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000 + received_day * DAY_MS
    late = Retention(DAYS).too_late(instant_of_ms(int(received)), published_ms=int(received) + delay_days * DAY_MS)

    assert (late is not None) == (delay_days > DAYS)


@given(st.integers(1, 400), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_session_is_forgotten_only_after_its_reports_are_refused(days, silent_ms, more_ms):
    """Whoever accepts a report at a moment still knows every session that had been heard of since its receipt."""
    retention = Retention(days)
    now_ms = START_MS + days * DAY_MS + silent_ms
    last_seen_ms = retention.forgotten_before_ms(now_ms) - 1
    published_ms = now_ms + more_ms

    assert retention.too_late(instant_of_ms(last_seen_ms), published_ms=published_ms) is not None
