"""Override of Faust's recovery: source records flow only after everything that a rebalance must do is done."""

from typing import Any, cast

from aiokafka.errors import IllegalStateError, KafkaError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery, ServiceStopped
from faust.types import TP
from typing_extensions import override

from streams.engine.bulk_restore import BulkRestore
from streams.engine.consumer import SafeConsumer
from streams.engine.guard import ContiguityGuard
from streams.engine.halt import exit_for_restart
from streams.engine.table import SessionTable


class OrderedRecovery(Recovery):
    """Rows 1 and 4 of faust.md part 1, in `faust/tables/recovery.py` `on_recovery_completed` and `need_recovery`.

    Upstream resumes the source partitions *before* it seeks them, then `flow_control.resume()` clears the agents'
    queues: fetched records are gone while the position has moved on. And a rebalance during restore clears the offsets,
    so that restoring "ends" early on half a state. Here: check the generation first; seek; take the guard's baseline;
    clear; only then resume.
    """

    def __init__(self, *args: Any, guard: ContiguityGuard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    @override
    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        app = self.app
        consumer = app.consumer
        assert isinstance(consumer, SafeConsumer)
        if self._is_overtaken(generation_id):
            self.log.warning("Restoring was overtaken by a rebalance; it starts again")
            return
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        for table in self.tables.values():
            await table.on_recovery_completed(self.actives_for_table[table], self.standbys_for_table[table])
        if self._is_overtaken(generation_id):
            return
        assignment = consumer.assignment()
        sources = {tp for tp in assignment if not self._is_changelog_tp(tp)}
        consumer.pause_partitions(sources)
        await self._wait(consumer.seek_to_positions(self._positions()), timeout=app.conf.broker_request_timeout)
        if self._is_overtaken(generation_id):
            return
        assert consumer.starts is not None
        self._guard.rebase(consumer.starts)
        app.flow_control.resume()  # clears the agents' queues
        consumer.resume_partitions(sources)  # only now may source records come
        self.completed.set()
        consumer.resume_flow()
        await cast("Any", app)._fetcher.maybe_start()  # noqa: SLF001  (as upstream does here)
        self.tables.on_actives_ready()
        if not app.assignor.assigned_standbys():
            self.tables.on_standbys_ready()
        app.on_rebalance_end()
        self.log.info("Worker ready")

    @override
    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        """`faust/tables/recovery.py` `_wait` takes a time-out for "the service was stopped".

        Its loop then ends, quietly and for good: a broker that is away for `broker_request_timeout` seconds while we
        restore leaves a worker that never becomes ready. A fresh start asks again; also after any other answer of Kafka
        than "not assigned any more", which Faust takes for a rebalance.
        """
        try:
            await super()._wait(coro, timeout=timeout)
        except IllegalStateError:
            raise
        except KafkaError as exc:
            exit_for_restart("Kafka failed while restoring", problem=type(exc).__name__)
        except ServiceStopped:
            if not self.should_stop:
                exit_for_restart("Kafka did not answer in time while restoring", seconds=timeout)
            raise

    def _positions(self) -> dict[TP, int]:
        positions: dict[TP, int] = {}
        for table in self.tables.values():
            assert isinstance(table, SessionTable)
            positions |= table.source_positions()
        return positions

    def _is_overtaken(self, generation_id: int) -> bool:
        return self.app.consumer_generation_id != generation_id or self.signal_recovery_start.is_set()


class SafeRecovery(OrderedRecovery, BulkRestore):
    """All answers together."""


class SafeTableManager(TableManager):
    """Puts `SafeRecovery` in the place of Faust's. The app carries the guard (`SafeApp`)."""

    @property
    @override
    def recovery(self) -> SafeRecovery:
        if self._recovery is None:
            self._recovery = SafeRecovery(
                self.app, self, guard=cast("Any", self.app).guard, beacon=self.beacon, loop=self.loop
            )
        assert isinstance(self._recovery, SafeRecovery)
        return self._recovery
