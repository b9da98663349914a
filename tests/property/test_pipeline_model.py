"""The pipeline as a pure model: a log, workers that crash, lose their disk or wake up late, a topic, and a sink.

At quiescence the sink holds the document of the union of everything that was ever sent; nothing else may matter.
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas import jsontext
from schemas.events import NormalizedEvent
from schemas.session import document_digest
from streams.core.absorb import absorb
from streams.core.fold import fold, record_of_stored, restore
from streams.core.project import project
from streams.core.state import EMPTY
from tests.property.strategies import events
from tests.support.events import APP, KEY, SESSION


class Pipeline(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[NormalizedEvent] = []
        self.committed = 0
        self.position = 0
        self.topic: list[bytes] = []
        self.store: bytes | None = None
        self.restored_to = 0
        self.sleepers: list[tuple[bytes | None, int]] = []
        self.sink: tuple[int, str, dict[str, object]] | None = None

    @rule(event=events())
    def tccc_sends(self, event):
        self.log.append(event)

    @precondition(lambda self: self.log)
    @rule(data=st.data(), moment=st.integers(0, 12))
    def tccc_sends_again_or_a_spool_delivers_late(self, data, moment):
        event = data.draw(st.sampled_from(self.log))
        other = self.log[data.draw(st.integers(0, len(self.log) - 1))]
        self.log.append(event.model_copy(update={"received_at": other.received_at, "push_id": f"again-{moment}"}))

    @rule(count=st.integers(1, 4), commits=st.booleans())
    def the_worker_absorbs_a_batch(self, count, commits):
        self._publish(self._batch(count), writes_store=True)
        if commits:
            self.committed = self.position

    @rule(count=st.integers(1, 4))
    def the_worker_dies_after_publishing(self, count):
        self._publish(self._batch(count), writes_store=False)
        self._start_worker()

    @rule()
    def the_worker_dies_before_publishing(self):
        self._start_worker()

    @rule()
    def the_worker_dies_with_its_disk(self):
        self.store, self.restored_to = None, 0
        self._start_worker()

    @rule()
    def a_worker_falls_asleep(self):
        self.sleepers.append((self.store, self.position))

    @precondition(lambda self: self.sleepers)
    @rule(count=st.integers(1, 4))
    def a_stale_worker_wakes_up_and_publishes(self, count):
        stored, position = self.sleepers.pop()
        batch = self.log[position : position + count]
        folded = fold(KEY, stored, batch) if batch else None
        if folded is not None and folded.record is not None:
            self.topic.append(folded.record)
            # The live worker sees an offset that it did not write, and starts anew.
            self._start_worker()

    @precondition(lambda self: self.topic)
    @rule(data=st.data())
    def the_sink_applies_some_document(self, data):
        self._apply(data.draw(st.sampled_from(self.topic)))

    @invariant()
    def the_sink_only_knows_what_was_sent(self):
        assert self.sink is None or self.log

    def teardown(self):
        if not self.log:
            return
        self._publish(self._batch(len(self.log)), writes_store=True)
        self._start_worker()
        self._publish(self._batch(len(self.log)), writes_store=True)
        for record in reversed(self.topic):
            self._apply(record)
        truth = EMPTY
        for event in self.log:
            truth = absorb(truth, event).state
        assert self.sink is not None
        assert self.sink[2] == project(APP, SESSION, truth).public()
        # And a restart on an empty disk ends at the same state.
        self.store, self.restored_to = None, 0
        published = len(self.topic)
        self._start_worker()
        assert len(self.topic) == published, "the last record says everything"

    def _batch(self, count: int) -> list[NormalizedEvent]:
        batch = self.log[self.position : self.position + count]
        self.position += len(batch)
        return batch

    def _publish(self, batch: list[NormalizedEvent], *, writes_store: bool) -> None:
        folded = fold(KEY, self.store, batch)
        if folded.record is None:
            return
        self.topic.append(folded.record)
        if writes_store:
            self.store = folded.stored
            self.restored_to = len(self.topic)

    def _start_worker(self) -> None:
        self.position = self.committed
        says_more = False
        for record in self.topic[self.restored_to :]:
            restored = restore(self.store, record)
            self.store, says_more = restored.stored, restored.says_more
        self.restored_to = len(self.topic)
        if says_more:
            assert self.store is not None
            self.topic.append(record_of_stored(KEY, self.store))
            self.restored_to = len(self.topic)

    def _apply(self, record: bytes) -> None:
        value = jsontext.decode(record)
        candidate = (int(value["version"]), document_digest(value["session"]), value["session"])
        if self.sink is None or candidate[:2] > self.sink[:2]:
            self.sink = candidate


TestPipeline = Pipeline.TestCase
