"""`callweave dead-letters replay`: a letter's bytes go through the same code again, as the receipt that they were.

The rule: first say what would happen, from the letter and from what its session holds now; only then do it. An event
that would be refused is not published, so a replay never makes a letter, and replaying twice changes nothing more.
What came of it is written as a record of the letter itself, acknowledged after the event was (ADR 0016).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from callweave.kafka import admin_client, client_options, end_offsets, partitions_of, plain_consumer
from callweave.letters import SeenLetter
from callweave.reading import instant_literal, open_questions
from callweave.settings import Settings
from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.normalize import ReceivedPush, normalize
from ingest.push_log import LogEntry
from schemas import jsontext
from schemas.dead_letter import DeadLetter, Reason, ReplayOutcome, Stage
from schemas.events import TOPIC_OF, NormalizedEvent, NotAnEventError, decode_event, session_key
from schemas.models import instant_ms, instant_of_ms
from schemas.topics import MESSAGE_BYTES_MAX, SESSIONS
from sinks.intake import document_of
from sinks.rows import NotADocumentError, lay_out
from sinks.sink import QueryLimits, QueryRefusedError, SinkUnavailableError
from streams.core.absorb import Outcome
from streams.core.fold import NotASessionRecordError, fold, restore

AT_ONCE: Final = 200
"""Letters that are on their way together."""
ANSWER_POLL_SECONDS: Final = 0.3
ANSWERS_MAX: Final = 100_000

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how much of it is done, of how much."""


class Deed(Enum):
    """What a replay does about a letter."""

    PUBLISH = auto()
    ASK_THE_LOADER = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Replay:
    """One letter, what is (or would be) done about it, and what comes of it; None: the loader has not said yet."""

    seen: SeenLetter
    deed: Deed
    outcome: ReplayOutcome | None
    detail: str = ""
    event: NormalizedEvent | None = None

    @property
    def dead_letter_id(self) -> str:
        """Which letter."""
        return self.seen.letter.dead_letter_id

    @property
    def outcome_text(self) -> str | None:
        """As the column says it."""
        return None if self.outcome is None else self.outcome.because(self.detail)

    @property
    def failed(self) -> bool:
        """Whether it failed again."""
        return self.outcome is ReplayOutcome.FAILED_AGAIN

    def summary(self, *, dry_run: bool) -> dict[str, Any]:
        """One line of what came of it, or would."""
        letter = self.seen.letter
        asked = "ASKED: the loader has not answered yet"
        return {
            "dead_letter_id": letter.dead_letter_id,
            "stage": letter.stage.value,
            "reason": letter.reason.value,
            "outcome": self.would() if dry_run else self.outcome_text or asked,
        }

    def would(self) -> str:
        """What would happen now, for people."""
        match self.deed:
            case Deed.PUBLISH:
                return f"would be published: {self.detail}"
            case Deed.ASK_THE_LOADER:
                return "would be tried again by the loader: it fits its columns, and only trying tells the rest"
            case Deed.NOTHING if self.outcome is ReplayOutcome.KNOWN:
                return f"nothing to do: {self.detail}"
            case Deed.NOTHING:
                return f"would fail again: {self.detail}"


def plan(seen: SeenLetter, *, body_bytes_max: int) -> Replay:
    """What its bytes are worth to the code of today; nothing is asked but the letter."""
    letter = seen.letter
    if letter.is_cut:
        return _failing(seen, f"only the first {len(letter.raw)} of its {letter.raw_bytes_count} bytes were kept")
    if letter.stage is Stage.RECONCILE:
        return _failing(seen, "TCCC's API said it and no push did: `callweave reconcile --session` asks it again")
    if letter.stage is Stage.LOAD:
        return _loading(seen)
    event = _event_in(letter) if letter.stage is Stage.ABSORB else None
    if event is not None:
        return _publishing(seen, event)
    action = letter.action or _action_of_topic(letter)
    push = ReceivedPush.of(
        letter.raw,
        headers=letter.headers,
        action=action,
        received_at=letter.received_at or letter.occurred_at,
    )
    normalized = normalize(push, body_bytes_max=body_bytes_max)
    defects = "; ".join(f"{found.reason}: {found.detail}" for found in normalized.letters)
    if normalized.event is None:
        return _failing(seen, defects)
    if any(found.dead_letter_id == letter.dead_letter_id for found in normalized.letters):
        # A field that no warehouse holds: the event was published when the letter was written, and its row is there.
        return _failing(seen, f"{defects} (its session has its row)")
    return _publishing(seen, normalized.event, defects)


def allowed(replay: Replay, settings: Settings) -> Replay:
    """A replay opens no account that the door would keep shut: what made a letter foreign still counts."""
    event = replay.event
    if event is None:
        return replay
    known = {app for tenant in settings.tenants for app in tenant.sdk_app_ids} or set(settings.receiver.sdk_app_ids)
    if known and event.sdk_app_id not in known:
        return _failing(replay.seen, f"{Reason.FOREIGN_APP}: SdkAppId {event.sdk_app_id} is none of the known ones")
    if settings.tenants and replay.seen.letter.reason is Reason.FOREIGN_APP:
        return _failing(replay.seen, f"{Reason.FOREIGN_APP}: it came with the credentials of another account")
    return replay


def judge(replays: Sequence[Replay], stored: dict[bytes, bytes]) -> list[Replay]:
    """What the sessions hold now (their state by key) decides: an event may be known already, or have no room."""
    states = dict(stored)
    judged: list[Replay] = []
    for replay in replays:
        event = replay.event
        if event is None:
            judged.append(replay)
            continue
        folded = fold(event.key, states.get(event.key), [event])
        if folded.stored is not None:
            states[event.key] = folded.stored
        match folded.outcomes[0]:
            case Outcome.REFUSED:
                judged.append(_failing(replay.seen, "BOUND_EXCEEDED: the session holds as many reports as it may"))
            case Outcome.REPEATED:
                judged.append(Replay(replay.seen, Deed.NOTHING, ReplayOutcome.KNOWN, "its session has this receipt"))
            case Outcome.APPLIED | Outcome.DUPLICATE:
                judged.append(replay)
    return judged


async def replay_letters(
    settings: Settings,
    letters: Sequence[SeenLetter],
    *,
    now: datetime,
    dry_run: bool,
    answer_seconds: float,
    progress: Progress,
) -> list[Replay]:
    """Plan, judge and, unless it is a dry run, do it. The order is that of the letters."""
    planned = [allowed(plan(seen, body_bytes_max=settings.receiver.body_bytes_max), settings) for seen in letters]
    keys = {replay.event.key for replay in planned if replay.event is not None}
    judged = judge(planned, await _stored_states(settings, keys, progress))
    if dry_run or not judged:
        return judged
    at = instant_of_ms(instant_ms(now))  # as Kafka and every warehouse hold it
    await _perform(settings, judged, at, progress)
    if not any(replay.deed is Deed.ASK_THE_LOADER for replay in judged):
        return judged
    return await _answered(settings, judged, at, answer_seconds, progress)


def _failing(seen: SeenLetter, why: str) -> Replay:
    return Replay(seen, Deed.NOTHING, ReplayOutcome.FAILED_AGAIN, why)


def _publishing(seen: SeenLetter, event: NormalizedEvent, defects: str = "") -> Replay:
    what = f"{event.kind.value} of session {event.session_id} of {event.sdk_app_id}"
    detail = f"{what}, without {defects}" if defects else what
    return Replay(seen, Deed.PUBLISH, ReplayOutcome.PUBLISHED, detail, event)


def _loading(seen: SeenLetter) -> Replay:
    try:
        document = document_of(seen.letter)
    except NotADocumentError as exc:
        return _failing(seen, f"SCHEMA_VIOLATION: {exc}")
    _, unfit = lay_out([document])
    if unfit:
        return _failing(seen, f"SCHEMA_VIOLATION: {unfit[document.key]}")
    return Replay(seen, Deed.ASK_THE_LOADER, None)


def _event_in(letter: DeadLetter) -> NormalizedEvent | None:
    """The event of a letter whose bytes are no push but a record's value: what reconcile publishes has no body."""
    try:
        value = jsontext.decode(letter.raw)
        return decode_event(session_key(value["sdk_app_id"], value["session_id"]), letter.raw)
    except (jsontext.NotJsonError, NotAnEventError, KeyError, TypeError, UnicodeEncodeError):
        return None


def _action_of_topic(letter: DeadLetter) -> str | None:
    """A letter of the worker's tells its action by the topic that its event stood in."""
    topic = letter.topic or ""
    return next((kind.value for kind, known in TOPIC_OF.items() if topic.endswith(known.suffix)), None)


async def _stored_states(settings: Settings, keys: set[bytes], progress: Progress) -> dict[bytes, bytes]:
    """The state of these sessions, by their last records; their partitions are read whole."""
    if not keys:
        return {}
    topic = SESSIONS.name(settings.kafka.topic_prefix)
    last: dict[bytes, bytes | None] = {}
    async with (
        admin_client(settings) as admin,
        plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer,
    ):
        numbers = [tp.partition for tp in await partitions_of(admin, [topic])]
        if not numbers:
            return {}
        partition_of = DefaultPartitioner()
        partitions = [
            TopicPartition(topic, number) for number in sorted({partition_of(key, numbers, numbers) for key in keys})
        ]
        ends = await end_offsets(admin, consumer, [topic])
        total = sum(ends[tp.topic, tp.partition] for tp in partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(tp) < ends[tp.topic, tp.partition] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                last.update({record.key: record.value for record in records if record.key in keys})
            progress("reading sessions", sum([await consumer.position(tp) for tp in partitions]), total)
    states: dict[bytes, bytes] = {}
    for key, value in last.items():
        try:
            if value is not None:
                states[key] = restore(None, value).stored
        except NotASessionRecordError:
            continue  # the worker says the session again; until then nothing is known of it
    return states


async def _perform(settings: Settings, replays: Sequence[Replay], at: datetime, progress: Progress) -> None:
    """Publish events, then what came of it: an outcome that says PUBLISHED is never ahead of its event."""
    done = 0
    async with _push_log(settings) as log:
        for start in range(0, len(replays), AT_ONCE):
            some = replays[start : start + AT_ONCE]
            await asyncio.gather(
                *(
                    log.append(LogEntry(replay.event, replay.seen.letter.raw))
                    for replay in some
                    if replay.deed is Deed.PUBLISH
                )
            )
            notes = [replay.seen.letter.replayed(at, replay.outcome_text, replay.seen.place) for replay in some]
            await asyncio.gather(*(log.append(LogEntry(None, b"", (note,))) for note in notes))
            done += len(some)
            progress("replaying", done, len(replays))


@asynccontextmanager
async def _push_log(settings: Settings) -> AsyncIterator[KafkaPushLog]:
    log = KafkaPushLog(
        KafkaLogOptions(
            connection=client_options(settings),
            topic_prefix=settings.kafka.topic_prefix,
            client_id="callweave-replay",
        )
    )
    await log.start()
    try:
        yield log
    finally:
        await log.close()


async def _answered(
    settings: Settings, replays: Sequence[Replay], at: datetime, seconds: float, progress: Progress
) -> list[Replay]:
    """What the loader wrote down about the letters that it was asked to try again; the unanswered stay without."""
    asked = {replay.dead_letter_id for replay in replays if replay.deed is Deed.ASK_THE_LOADER}
    answers: dict[str, str] = {}
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        answers |= await asyncio.to_thread(_answers, settings, at)
        answered = asked & set(answers)
        progress("waiting for the loader", len(answered), len(asked))
        if answered == asked or asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(ANSWER_POLL_SECONDS)
    return [
        _as_told(replay, answers[replay.dead_letter_id]) if replay.dead_letter_id in answered else replay
        for replay in replays
    ]


def _answers(settings: Settings, at: datetime) -> dict[str, str]:
    try:
        with open_questions(settings) as questions:
            rows = questions.ask(
                "select dead_letter_id, replay_outcome from dead_letters where stage = 'load' and "  # noqa: S608  (a time)
                f"replay_outcome is not null and replayed_at >= {instant_literal(at)}",
                QueryLimits(rows_max=ANSWERS_MAX),
            ).rows
    except (SinkUnavailableError, QueryRefusedError):
        return {}  # the warehouse is away: asked again until time is up
    return {str(dead_letter_id): str(outcome) for dead_letter_id, outcome in rows}


def _as_told(replay: Replay, told: str) -> Replay:
    outcome, _, detail = told.partition(": ")
    return replace(replay, outcome=ReplayOutcome(outcome), detail=detail)
