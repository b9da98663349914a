"""Restoring in bulk: what waits in the changelog queue is absorbed in one go (`delivery.py` fills it).

faust.md part 3: stock Faust restores 2.9 thousand records a second. The guarantees stay those of `recovery.py`, and
restoring is whole when the offsets of absorbed records say so: not when it is quiet, nor when all has been fetched.
"""

import asyncio
import time
from typing import Any, cast

import structlog
from faust.tables.recovery import Recovery
from faust.types import TP, EventT
from mode import Service
from typing_extensions import override

from streams import metrics
from streams.engine.halt import exit_for_restart

log = structlog.get_logger(__name__)

EVENTS_AT_ONCE_MAX = 1000
"""Absorbed in one step of the event loop: some hundred milliseconds at most, so that health is answered."""
QUIET_SECONDS = 1.0
TELL_SECONDS = 5.0


class BulkRestore(Recovery):
    """`faust/tables/recovery.py` `_slurp_changelogs` takes one event at a time, and swallows every exception.

    It goes on behind a batch that failed, with a hole in the state, and applies an event of an unknown partition to
    whatever table came before (both by reading; upstream marks the second with XXX). Here events are taken in bulk, and
    an exception ends the process. It also forgets the signal of the end right after giving it; here the signal stands
    until the next restoring begins.
    """

    _restored_count = 0
    _told_at = 0.0

    @Service.task
    async def _slurp_changelogs(self) -> None:
        while not self.should_stop:
            events = await self._next_events()
            try:
                self._absorb(events)
            except Exception as exc:
                log.exception("restoring_failed")
                exit_for_restart("restoring failed", problem=type(exc).__name__)
            self._end_if_whole()
            await asyncio.sleep(0)

    @override
    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        self.signal_recovery_end.clear()
        self._restored_count, self._told_at = 0, time.monotonic()

    @override
    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        await super()._build_offsets(consumer, tps, destination, title)
        if title == "active":
            self._meet_lost_ends(tps, destination)

    def _meet_lost_ends(self, tps: set[TP], offsets: Any) -> None:
        """A state that is ahead of its topic: the topic lost its end (a power cut on a single broker).

        Upstream raises ConsistencyError at every start. What the state knows beyond the topic is published again.
        """
        for tp in tps:
            highwater = self.active_highwaters[tp]
            if offsets[tp] > highwater:
                table = cast("Any", self.tp_to_table[tp])
                count = table.publish_all_again(tp.partition)
                log.error(
                    "topic_lost_its_end",
                    topic=tp.topic,
                    partition=tp.partition,
                    state_known_to=offsets[tp],
                    topic_ends_at=highwater,
                    action=f"all {count} sessions of the partition are published again from the state",
                )
                offsets[tp] = highwater

    async def _next_events(self) -> list[EventT[Any]]:
        queue = self.tables.changelog_queue
        try:
            events = [await asyncio.wait_for(queue.get(), QUIET_SECONDS)]
        except TimeoutError:
            return []
        while len(events) < EVENTS_AT_ONCE_MAX and not queue.empty():
            events.append(queue.get_nowait())
        return events

    def _absorb(self, events: list[EventT[Any]]) -> None:
        now = time.monotonic()
        for event in events:
            tp, offset = event.message.tp, event.message.offset
            if tp not in self.active_tps:
                continue  # of an assignment that is gone: whoever has it now reads it
            seen = self.active_offsets.get(tp)
            if seen is None or offset > seen:
                self.active_offsets[tp] = offset
                self.buffers[self.tp_to_table[tp]].append(event)
                self._restored_count += 1
            self._active_events_received_at[tp] = now
        restored = sum(map(len, self.buffers.values()))
        if restored:
            self.flush_buffers()
            metrics.CHANGELOG_RECORDS_RESTORED.inc(restored)
        if self.in_recovery and now - self._told_at > TELL_SECONDS:
            log.info("sessions_restoring", records=self._restored_count, remaining=self.active_remaining_total())
            self._told_at = now

    def _end_if_whole(self) -> None:
        if self.in_recovery and not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()
            if self._restored_count:
                log.info("sessions_restored", records=self._restored_count)
                self._restored_count = 0
