"""The loop: take the newest hour that is due, read it, publish what is new of it, note it. Several at a time.

An application that fails waits by itself, with a sentence that says what to do; the others go on. Nothing is noted
before it is acknowledged, so dying at any point costs repeats and nothing else.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from ingest.kafka_publisher import Record
from ingest.reconcile.account import Account
from ingest.reconcile.client import Caller
from ingest.reconcile.failure import ApiError, Remedy
from ingest.reconcile.metrics import ReconcileMetrics
from ingest.reconcile.paging import Reading, Span, read_span
from ingest.reconcile.progress import Progress
from ingest.reconcile.publishing import PatientPublisher
from ingest.reconcile.rows import RowEvents, row_events
from ingest.reconcile.standing import Standing
from ingest.reconcile.windows import API_REACHES_BACK, Hour, Timing, due_hours
from ingest.reconcile.working import run_until
from schemas.dead_letter import DeadLetter
from schemas.events import NormalizedEvent
from schemas.models import instant_ms, instant_of_ms
from schemas.reconcile import HourRecord
from schemas.topics import RECONCILE

DIGESTS_KEPT_MAX = 200_000
LOOK_SECONDS = 1.0
FAILURE_SECONDS_FIRST = 10.0
FAILURE_SECONDS_MAX = 300.0
SET_ASIDE_SECONDS = 3600.0
_SESSION_SPANS = ((timedelta(days=89), timedelta(0)), (timedelta(days=178), timedelta(days=89)))
"""A span is under 90 days, and the API reaches 180 back."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Work:
    """What one account has to do, and what it is doing."""

    account: Account
    caller: Caller
    next_hours: Callable[[], Iterable[Hour]]
    is_endless: bool
    queue: list[Hour] = field(default_factory=list)  # the next one last
    looks_again_at: float = float("-inf")
    in_flight: set[Hour] = field(default_factory=set)
    set_aside: dict[Hour, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOptions:
    """How it works through its hours."""

    topic_prefix: str = "tccc."
    timing: Timing = field(default_factory=Timing)
    back_fill: timedelta = timedelta(days=3)
    concurrency: int = 8


class Reconciler:
    """Reads the API for some accounts, each with a Caller of its own."""

    def __init__(
        self,
        accounts: Sequence[tuple[Account, Caller]],
        options: ReconcileOptions,
        *,
        publisher: PatientPublisher,
        progress: Progress,
        metrics: ReconcileMetrics,
        now: Callable[[], datetime],
    ) -> None:
        self._accounts = accounts
        self._options = options
        self._publisher = publisher
        self._progress = progress
        self._metrics = metrics
        self._now = now
        self._published: OrderedDict[str, None] = OrderedDict()
        self.standings = {app: Standing(app) for account, _ in accounts for app in account.sdk_app_ids}

    def not_ready_because(self) -> str | None:
        """What does not work, application by application; None when everything does."""
        problems = [standing.problem for standing in self.standings.values() if standing.problem]
        return "; ".join(filter(None, (self._publisher.problem, *problems))) or None

    async def run(self, stop: asyncio.Event) -> None:
        """Read what is due, for ever."""
        works = [
            _Work(account, caller, partial(self._due, account), is_endless=True) for account, caller in self._accounts
        ]
        await run_until(stop, [self._worker(work, stop) for work in works for _ in range(self._options.concurrency)])

    async def read_hours(
        self, hours: Callable[[int], Iterable[Hour]], stop: asyncio.Event, on_done: Callable[[Hour], None]
    ) -> None:
        """Read these hours once, newest first; an application that fails is left with its problem."""
        works = []
        for account, caller in self._accounts:
            theirs = [hour for app in account.sdk_app_ids for hour in hours(app)]
            works.append(_Work(account, caller, theirs.copy, is_endless=False))
        workers = [self._worker(work, stop, on_done) for work in works for _ in range(self._options.concurrency)]
        await run_until(stop, workers)

    async def read_session(self, session_id: str, sdk_app_ids: Sequence[int] = ()) -> dict[int, int]:
        """Ask for one session; how many events of it were published, by application that knows it."""
        found: dict[int, int] = {}
        for account, caller in self._accounts:
            for app in account.sdk_app_ids:
                if sdk_app_ids and app not in sdk_app_ids:
                    continue
                try:
                    events = await self._session_events(caller, app, session_id)
                except ApiError as exc:
                    self._fail(self.standings[app], exc)
                    continue
                if events:
                    found[app] = len(events)
        return found

    async def _session_events(self, caller: Caller, app: int, session_id: str) -> list[NormalizedEvent]:
        now = self._now()
        for back_from, back_to in _SESSION_SPANS:
            span = Span(app, now - back_from, now - back_to, (session_id,))
            reading = await self._read(caller, span)
            if reading.rows:
                events, letters = _joined(self._said(app, reading))
                await self._publisher.publish(self._publisher.records_of(events, letters))
                return events
        return []

    async def _worker(
        self, work: _Work, stop: asyncio.Event, on_done: Callable[[Hour], None] = lambda _hour: None
    ) -> None:
        while not stop.is_set():
            hour = self._take(work)
            if hour is not None:
                try:
                    await self._read_hour(work, hour)
                finally:
                    work.in_flight.discard(hour)
                on_done(hour)
            elif work.is_endless:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            else:
                return

    def _take(self, work: _Work) -> Hour | None:
        """The newest hour that is due, of an application that is not waiting."""
        moment = time.monotonic()
        if work.looks_again_at <= moment:
            work.looks_again_at = moment + LOOK_SECONDS if work.is_endless else float("inf")
            work.queue = sorted(work.next_hours())
        while work.queue:
            hour = work.queue.pop()
            if hour in work.in_flight or work.set_aside.get(hour, 0.0) > moment:
                continue
            standing = self.standings[hour.sdk_app_id]
            # A single reading gives up an application that fails; otherwise it is only waited for.
            if standing.retry_at > (moment if work.is_endless else 0.0):
                continue
            work.in_flight.add(hour)
            return hour
        return None

    def _due(self, account: Account) -> list[Hour]:
        options, now = self._options, self._now()
        self._progress.forget_before(now - API_REACHES_BACK)
        return [
            hour
            for app in account.sdk_app_ids
            for hour in due_hours(
                app, self._progress.asked, back_fill=options.back_fill, timing=options.timing, now=now
            )
        ]

    async def _read_hour(self, work: _Work, hour: Hour) -> None:
        standing = self.standings[hour.sdk_app_id]
        timing, asked_at = self._options.timing, self._moment()
        until = timing.until(hour, asked_at)
        try:
            reading = await self._read(work.caller, Span(hour.sdk_app_id, hour.start, until))
        except ApiError as exc:
            standing.hours_failed += 1
            work.set_aside[hour] = time.monotonic() + SET_ASIDE_SECONDS if exc.remedy is Remedy.REQUEST else 0.0
            self._fail(standing, exc)
            return
        said = self._said(hour.sdk_app_id, reading)
        events, letters = _joined(said)
        news, buckets = self._progress.news(hour, events)
        news = [event for event in news if event.digest not in self._published]
        letters = [letter for letter in letters if letter.dead_letter_id not in self._published]
        is_final = reading.is_whole and until == hour.end and timing.settles(hour, asked_at)
        record = HourRecord(
            sdk_app_id=hour.sdk_app_id,
            window_start=hour.start,
            window_end=until,
            asked_at=asked_at,
            total_count=reading.total_count,
            row_count=len(reading.rows),
            unusable_count=sum(not row.events for row in said),
            is_whole=reading.is_whole,
            is_final=is_final,
            buckets={} if is_final else buckets,  # nobody will compare
        )
        await self._publisher.publish(self._publisher.records_of(news, letters))
        self._remember([*(event.digest for event in news), *(letter.dead_letter_id for letter in letters)])
        # Only now: what this record says was published, is.
        topic = RECONCILE.name(self._options.topic_prefix)
        await self._publisher.publish([Record(topic, record.key, record.encoded())])
        self._progress.take(record)
        self._succeed(standing, record, news, letters)

    async def _read(self, caller: Caller, span: Span) -> Reading:
        return await read_span(caller, span, now=self._moment, on_restart=self._metrics.count_restart)

    def _said(self, app: int, reading: Reading) -> list[RowEvents]:
        absent_after = self._options.timing.absent_after
        return [
            row_events(row, sdk_app_id=app, asked_at=asked_at, absent_after=absent_after)
            for asked_at, row in (*reading.rows.values(), *reading.nameless)
        ]

    def _remember(self, identities: Iterable[str]) -> None:
        """Losing this costs only repeats."""
        self._published |= dict.fromkeys(identities)
        while len(self._published) > DIGESTS_KEPT_MAX:
            self._published.popitem(last=False)

    def _succeed(
        self, standing: Standing, record: HourRecord, news: list[NormalizedEvent], letters: list[DeadLetter]
    ) -> None:
        if standing.problem:
            log.info("api_answers_again", sdk_app_id=standing.sdk_app_id)
        standing.problem, standing.failures, standing.retry_at = None, 0, 0.0
        standing.hours_done += 1
        standing.hours_unsettled += int(not record.is_whole)
        standing.rows += record.row_count
        standing.events_published += len(news)
        standing.last_success = self._now()
        self._metrics.show_failing(standing.sdk_app_id, is_failing=False)
        self._metrics.count_published(news)
        for letter in letters:
            self._metrics.count_letter(letter)
        self._metrics.count_window(
            standing.sdk_app_id,
            is_final=record.is_final,
            rows=record.row_count,
            read_to=record.window_end,
            at=standing.last_success,
        )

    def _fail(self, standing: Standing, exc: ApiError) -> None:
        sentence = exc.sentence(standing.sdk_app_id)
        if sentence != standing.problem:
            log.warning("api_gives_nothing", sdk_app_id=standing.sdk_app_id, code=exc.code, problem=sentence)
        standing.problem = sentence
        moment = time.monotonic()
        if exc.remedy is Remedy.REQUEST:
            pass  # one hour that cannot be asked for does not hold up the others
        elif standing.retry_at <= moment:  # several hours that fail at one moment are one failure
            standing.retry_at = moment + min(FAILURE_SECONDS_MAX, FAILURE_SECONDS_FIRST * 2**standing.failures)
            standing.failures += 1
        self._metrics.show_failing(standing.sdk_app_id, is_failing=True)

    def _moment(self) -> datetime:
        """Now, in the whole milliseconds that an event holds."""
        return instant_of_ms(instant_ms(self._now()))


def _joined(said: Iterable[RowEvents]) -> tuple[list[NormalizedEvent], list[DeadLetter]]:
    rows = list(said)
    return [event for row in rows for event in row.events], [letter for row in rows for letter in row.letters]
