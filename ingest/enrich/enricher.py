"""The loops of enrichment: sessions that have something to tell, the directory, what agents were doing.

The rule: nothing is known before it is acknowledged, and what says how far it went is published last; so dying at any
point costs repeats and nothing else. An application that fails waits by itself, with a sentence that says what to do.
"""

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from ingest.enrich import details, statuses
from ingest.enrich.details import Details, WantedSession
from ingest.enrich.directory import AGENTS, LISTINGS, Listing, changes
from ingest.enrich.feed import Feed
from ingest.enrich.knowledge import Knowledge
from ingest.enrich.metrics import EnrichMetrics
from ingest.enrich.reading import items_of
from ingest.kafka_publisher import Record
from ingest.reconcile.account import Account
from ingest.reconcile.client import Caller
from ingest.reconcile.failure import ApiError, Remedy
from ingest.reconcile.limiter import Limiter
from ingest.reconcile.publishing import PatientPublisher
from ingest.reconcile.working import run_until
from schemas.dead_letter import DeadLetter
from schemas.enrichment import ENRICHMENT_RECORDS
from schemas.keyed import KEY_CHARACTERS_MAX, KeyedRecord
from schemas.models import instant_ms, instant_of_ms

LOOK_SECONDS = 1.0
FAILURE_SECONDS_FIRST = 10.0
FAILURE_SECONDS_MAX = 300.0
UNKNOWN_ASKED_MAX = 3
"""How often a session is asked for that the API does not know: details may come later than the call."""

UNKNOWN_PAUSE = timedelta(minutes=10)
LETTERS_KEPT_MAX = 10_000
PAGES_MAX = 1_000

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichOptions:
    """What is asked, and how often; docs/settings.md has the same names."""

    topic_prefix: str = "tccc."
    session_details: bool = False
    directory: bool = False
    agent_status: bool = False
    requests_per_second: float = 5.0
    session_delay: timedelta = timedelta(minutes=15)
    session_reach: timedelta = timedelta(days=3)
    directory_interval: timedelta = timedelta(hours=1)
    status_interval: timedelta = timedelta(minutes=15)
    status_lag: timedelta = timedelta(minutes=1)
    status_reach: timedelta = timedelta(days=3)


class PacedCaller:
    """A Caller within a limit of its own, before the one that it shares with everything that uses the secret."""

    def __init__(self, caller: Caller, limiter: Limiter) -> None:
        self._caller = caller
        self._limiter = limiter

    async def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Ask when it is enrichment's turn."""
        await self._limiter.turn()
        return await self._caller.call(action, parameters)


@dataclass(slots=True)
class _Failure:
    sentence: str
    count: int
    retry_at: float


@dataclass(slots=True)
class _Desk:
    """One account, and the sessions of its applications that are to be asked for, by when."""

    account: Account
    caller: Caller
    queue: list[tuple[datetime, WantedSession]] = field(default_factory=list)


class Enricher:
    """Asks for some accounts, each with a Caller of its own. `feed` is needed for the details of sessions."""

    def __init__(  # noqa: PLR0913  (the collaborators, by name)
        self,
        accounts: Sequence[tuple[Account, Caller]],
        options: EnrichOptions,
        *,
        publisher: PatientPublisher,
        knowledge: Knowledge,
        metrics: EnrichMetrics,
        now: Callable[[], datetime],
        feed: Feed | None = None,
    ) -> None:
        assert feed is not None or not options.session_details
        limiters = {account.secret_id: Limiter(options.requests_per_second) for account, _ in accounts}
        self._desks = [_Desk(account, PacedCaller(caller, limiters[account.secret_id])) for account, caller in accounts]
        self._options = options
        self._publisher = publisher
        self._knowledge = knowledge
        self._metrics = metrics
        self._now = now
        self._feed = feed
        self._waiting: set[tuple[int, str]] = set()
        self._unknown: dict[tuple[int, str], int] = {}
        self._failures: dict[tuple[int, str], _Failure] = {}
        self._letters: dict[str, None] = {}

    def degraded_because(self) -> str | None:
        """What is not enriched just now, and why; None when everything is."""
        problems = sorted(failure.sentence for failure in self._failures.values())
        return "; ".join(filter(None, (self._publisher.problem, *problems))) or None

    async def run(self, stop: asyncio.Event) -> None:
        """Ask for what is due, for ever."""
        workers: list[Coroutine[None, None, None]] = []
        options = self._options
        for desk in self._desks:
            for app in desk.account.sdk_app_ids:
                if options.directory:
                    workers.append(self._every(stop, desk, app, self.read_directory, options.directory_interval))
                if options.agent_status:
                    workers.append(self._every(stop, desk, app, self.read_statuses, options.status_interval))
            if options.session_details:
                workers.append(self._asking(stop, desk))
        if options.session_details:
            workers.append(self._listening(stop))
        await run_until(stop, workers)

    async def read_once(self) -> None:
        """Ask for all that is due now, once."""
        for desk in self._desks:
            for app in desk.account.sdk_app_ids:
                if self._options.directory:
                    await self.read_directory(desk, app)
                if self._options.agent_status:
                    await self.read_statuses(desk, app)
        if self._options.session_details:
            await self.listen()
            for desk in self._desks:
                while (wanted := self._take(desk)) is not None:
                    await self._ask(desk, wanted)

    async def _every(
        self,
        stop: asyncio.Event,
        desk: _Desk,
        app: int,
        read: Callable[[_Desk, int], Coroutine[None, None, float | None]],
        interval: timedelta,
    ) -> None:
        while not stop.is_set():
            pause = await read(desk, app)
            await _wait(stop, interval.total_seconds() if pause is None else min(pause, interval.total_seconds()))

    # The directory

    async def read_directory(self, desk: _Desk, app: int) -> float | None:
        """Compare who is listed with who was; seconds to wait where that failed."""
        for listing in LISTINGS:
            asked_at = self._moment()
            try:
                items = await _listed(desk.caller, listing, app)
            except ApiError as exc:
                return self._fail(app, listing.action, exc)
            known = self._knowledge.of(listing, app)
            found = changes(listing, known, items, sdk_app_id=app, asked_at=asked_at)
            await self._publish(found.states, found.letters)
            self._succeed(app, listing.action)
        return None

    # What agents were doing

    async def read_statuses(self, desk: _Desk, app: int) -> float | None:
        """Read on in every agent's history; seconds to wait where that failed."""
        try:
            mails = await self._mails(desk, app)
        except ApiError as exc:
            return self._fail(app, AGENTS.action, exc)
        self._succeed(app, AGENTS.action)
        pause: float | None = None
        for mail in mails:
            try:
                await self._read_status(desk, app, mail)
            except ApiError as exc:
                pause = self._fail(app, statuses.ACTION, exc)
                if exc.remedy is Remedy.REQUEST:
                    continue  # one agent that cannot be asked for does not hold up the others
                return pause
        if pause is None:
            self._succeed(app, statuses.ACTION)
        return pause

    async def _mails(self, desk: _Desk, app: int) -> list[str]:
        """Who has a history that may grow: whoever is listed now."""
        items = await _listed(desk.caller, AGENTS, app)
        listed = {item.get("Mail") for item in items if isinstance(item, Mapping)}
        return sorted(mail for mail in listed if isinstance(mail, str) and 0 < len(mail) <= KEY_CHARACTERS_MAX)

    async def _read_status(self, desk: _Desk, app: int, mail: str) -> None:
        now = self._moment()
        until = now - self._options.status_lag
        earliest = now - self._options.status_reach
        before = self._knowledge.reads.get((app, mail))
        if before is not None and now - before.asked_at < self._options.status_interval:
            return
        since = earliest if before is None else max(earliest, before.read_to - statuses.OVERLAP)
        for window in statuses.windows(_second(since), _second(until)):
            asked_at = self._moment()
            items = await statuses.read_window(desk.caller, app, mail, window)
            before = self._knowledge.reads.get((app, mail))
            news = statuses.status_news(
                items, before, sdk_app_id=app, agent_mail=mail, window=window, asked_at=asked_at
            )
            await self._publish(news.statuses, news.letters)
            await self._publish([news.read])

    # Details of sessions

    async def listen(self) -> None:
        """Note the sessions that came and have something to tell."""
        assert self._feed is not None
        now = self._moment()
        oldest = now - self._options.session_reach
        self._knowledge.forget_sessions_before(oldest)
        desk_of = {app: desk for desk in self._desks for app in desk.account.sdk_app_ids}
        for wanted in await self._feed.poll():
            place = wanted.sdk_app_id, wanted.session_id
            desk = desk_of.get(wanted.sdk_app_id)
            if desk is None or place in self._waiting or place in self._knowledge.asked or wanted.ended_at < oldest:
                continue
            self._enqueue(desk, wanted, wanted.ended_at + self._options.session_delay)
        self._metrics.sessions_waiting.set(len(self._waiting))

    async def _listening(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.listen()
            await asyncio.sleep(0)

    async def _asking(self, stop: asyncio.Event, desk: _Desk) -> None:
        while not stop.is_set():
            wanted = self._take(desk)
            if wanted is None:
                await _wait(stop, LOOK_SECONDS)
            else:
                await self._ask(desk, wanted)

    def _enqueue(self, desk: _Desk, wanted: WantedSession, due_at: datetime) -> None:
        self._waiting.add((wanted.sdk_app_id, wanted.session_id))
        heapq.heappush(desk.queue, (due_at, wanted))

    def _take(self, desk: _Desk) -> WantedSession | None:
        """The session that is due first, if one is due."""
        if not desk.queue or desk.queue[0][0] > self._now():
            return None
        return heapq.heappop(desk.queue)[1]

    async def _ask(self, desk: _Desk, wanted: WantedSession) -> None:
        place = wanted.sdk_app_id, wanted.session_id
        asked_at = self._moment()
        failure = self._failures.get((wanted.sdk_app_id, details.ACTION))
        if failure is not None and failure.retry_at > time.monotonic():
            self._enqueue(desk, wanted, asked_at + timedelta(seconds=failure.retry_at - time.monotonic()))
            return
        try:
            answer = await desk.caller.call(details.ACTION, wanted.parameters())
            found = details.details_of(wanted, answer, asked_at)
        except ApiError as exc:
            if exc.code != details.UNKNOWN_CODE:
                pause = self._fail(wanted.sdk_app_id, details.ACTION, exc)
                self._enqueue(desk, wanted, asked_at + timedelta(seconds=pause))
                return
            times = self._unknown[place] = self._unknown.get(place, 0) + 1
            if times < UNKNOWN_ASKED_MAX:
                self._enqueue(desk, wanted, asked_at + UNKNOWN_PAUSE)
                return
            found = details.unknown_details(wanted, asked_at)
        await self._publish_details(found)
        self._succeed(wanted.sdk_app_id, details.ACTION)
        self._unknown.pop(place, None)
        self._waiting.discard(place)

    async def _publish_details(self, found: Details) -> None:
        await self._publish(found.events, found.letters)
        # Only now: a session that this record names is not asked for again.
        await self._publish([found.detail])

    # Kafka, failures

    async def _publish(self, records: Sequence[KeyedRecord], letters: Sequence[DeadLetter] = ()) -> None:
        """Return once all of them are acknowledged; then they are known."""
        new = [letter for letter in letters if letter.dead_letter_id not in self._letters]
        prefix = self._options.topic_prefix
        await self._publisher.publish(
            [
                *self._publisher.records_of([], new),
                *(Record(f"{prefix}{_SUFFIX_OF[type(one)]}", one.key, one.encoded()) for one in records),
            ]
        )
        self._knowledge.take(records)
        self._letters |= dict.fromkeys(letter.dead_letter_id for letter in new)
        while len(self._letters) > LETTERS_KEPT_MAX:
            del self._letters[next(iter(self._letters))]
        self._metrics.letters.inc(len(new))
        for record in records:
            self._metrics.published[_SUFFIX_OF[type(record)]].inc()

    def _fail(self, app: int, action: str, exc: ApiError) -> float:
        """Note a failure; how long to wait before the next try."""
        sentence = f"{action}: {exc.sentence(app, action)}"
        before = self._failures.get((app, action))
        if before is None or before.sentence != sentence:
            log.warning("enrichment_fails", sdk_app_id=app, action=action, code=exc.code, problem=sentence)
        count = 0 if before is None else before.count + 1
        pause = min(FAILURE_SECONDS_MAX, FAILURE_SECONDS_FIRST * 2.0 ** min(count, 10))
        # A request that is refused for what it asks says nothing about the next one.
        retry_at = time.monotonic() + (0.0 if exc.remedy is Remedy.REQUEST else pause)
        self._failures[app, action] = _Failure(sentence, count, retry_at)
        self._metrics.failed(app, action)
        return pause

    def _succeed(self, app: int, action: str) -> None:
        if self._failures.pop((app, action), None) is not None:
            log.info("enrichment_goes_on", sdk_app_id=app, action=action)
        self._metrics.succeeded(app, action, self._now().timestamp())

    def _moment(self) -> datetime:
        """Now, in the whole milliseconds that a record holds."""
        return instant_of_ms(instant_ms(self._now()))


_SUFFIX_OF = {record: suffix for suffix, record in ENRICHMENT_RECORDS.items()}


async def _listed(caller: Caller, listing: Listing, app: int) -> list[Any]:
    """All items of a listing. ApiError where the API gives nothing, or no end."""
    items: list[Any] = []
    for number in range(PAGES_MAX):
        parameters = {"SdkAppId": app, "PageSize": listing.page_size, "PageNumber": number}
        answer = await caller.call(listing.action, parameters)
        page, total = items_of(answer, listing.list_name), answer.get("TotalCount")
        items += page
        if not page or (isinstance(total, int) and len(items) >= total):
            if isinstance(total, int) and len(items) < total:
                # Whoever is not listed counts as gone, so half a list is none.
                raise ApiError("UnreadableAnswer", f"{len(items)} of {total} items came")
            return items
    raise ApiError("UnreadableAnswer", f"{listing.list_name} does not end")


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
