"""Dead letters as they stand in Kafka: each once, whole, how often it was seen, and what a person can do about it."""

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from callweave.kafka import admin_client, end_offsets, partitions_of, plain_consumer
from callweave.settings import MisconfiguredError, Settings
from schemas.dead_letter import DeadLetter, NotALetterError, Reason, decode_letter
from schemas.models import instant_text
from schemas.topics import DEAD_LETTERS, MESSAGE_BYTES_MAX

ADVICE: Final[dict[Reason, str]] = {
    Reason.UNDECODABLE: (
        "The bytes are no JSON: see with `--raw` who could have sent them; where TCCC did and a newer callweave reads "
        "them, replay the letter, else nothing is lost by leaving it."
    ),
    Reason.SCHEMA_VIOLATION: (
        "The detail names what has the wrong shape; if it is a field, its session has a row, the value is in `extra`, "
        "and nothing has to be done; a replay helps only after a release that can hold it."
    ),
    Reason.UNKNOWN_ACTION: (
        "TCCC pushes something that this callweave has no table for: turn that kind of push off in the console, or "
        "replay after an upgrade that knows it."
    ),
    Reason.UNKEYABLE: (
        "The push names no call (SdkAppId and SessionId), so it can be joined to none: look into the body which call "
        "it could belong to; a replay fails again until a release reads its key."
    ),
    Reason.FOREIGN_APP: (
        "Its SdkAppId is not one that its sender may push for: correct the credentials in that account's console, or "
        "add the SdkAppId (tenants, RECEIVER__SDK_APP_IDS); without tenants a replay then makes it a row."
    ),
    Reason.PUSH_TOO_LARGE: (
        "Only its beginning was kept, so it cannot be replayed: raise RECEIVER__BODY_BYTES_MAX for the next ones, and "
        "let `callweave reconcile` fetch this call from TCCC's API."
    ),
    Reason.BOUND_EXCEEDED: (
        "The session holds as much as it may and stays whole without this report: find out what pushes so many "
        "different reports about one call; a replay fails again while the session is that full."
    ),
    Reason.SESSION_RETIRED: (
        "The report is older than the time that sessions are kept (WORKER__RETENTION_DAYS), and the row in the "
        "warehouse stands as it is: raise that setting before replaying it."
    ),
    Reason.SINK_REJECTED: (
        "The warehouse refuses a value, which the detail names: mend the warehouse's table or upgrade the loader, then "
        "replay, and the loader tries the document again."
    ),
}
"""One sentence for each reason: what to do."""

_SPAN = re.compile(r"(\d+)([smhd])")
_SPAN_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class SeenLetter:
    """A letter as its first record has it, and what the records that are still in the topic say of it.

    `place` is where the first stands; `replayed_at` and `replay_outcome` are of the latest replay. Of a letter of stage
    `load` the outcome stands in each warehouse, because each has a loader of its own.
    """

    letter: DeadLetter
    place: tuple[str, int, int]
    seen_count: int
    last_seen_at: datetime
    replayed_at: datetime | None = None
    replay_outcome: str | None = None

    @property
    def topic(self) -> str:
        """The topic of the record that could not be used; a push that never became one: where its letter stands."""
        return self.letter.topic or self.place[0]

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.letter.reason]

    def summary(self) -> dict[str, Any]:
        """One line of the list."""
        letter = self.letter
        return {
            "dead_letter_id": letter.dead_letter_id,
            "occurred_at": instant_text(letter.occurred_at),
            "last_seen_at": instant_text(self.last_seen_at),
            "seen_count": self.seen_count,
            "stage": letter.stage.value,
            "reason": letter.reason.value,
            "topic": self.topic,
            "action": letter.action,
            "raw_bytes_count": letter.raw_bytes_count,
            "replayed_at": None if self.replayed_at is None else instant_text(self.replayed_at),
            "replay_outcome": self.replay_outcome,
            "detail": letter.detail,
        }

    def whole(self) -> dict[str, Any]:
        """Everything, for programs: the bytes as base64, and as text too where they are text."""
        letter = self.letter
        return {
            **self.summary(),
            "advice": self.advice,
            "headers": letter.headers,
            "received_at": None if letter.received_at is None else instant_text(letter.received_at),
            "partition": self.place[1] if letter.partition is None else letter.partition,
            "offset": self.place[2] if letter.offset is None else letter.offset,
            "raw": text_of(letter.raw),
            "raw_base64": base64.b64encode(letter.raw).decode(),
        }


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters; None: any. Those that were seen within the time."""

    reason: str | None = None
    stage: str | None = None
    topic: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, seen: SeenLetter) -> bool:
        """Whether a letter is one of them. A topic may be named without its prefix."""
        letter = seen.letter
        return (
            (self.reason is None or letter.reason.value == self.reason)
            and (self.stage is None or letter.stage.value == self.stage)
            and (self.topic is None or seen.topic == self.topic or seen.topic.endswith(f".{self.topic}"))
            and (self.action is None or letter.action == self.action)
            and (self.since is None or seen.last_seen_at >= self.since)
            and (self.until is None or letter.occurred_at <= self.until)
        )


def counts_by_reason(letters: Iterable[SeenLetter]) -> list[dict[str, Any]]:
    """How many letters there are of each reason, stage and action, and how often they were seen: the most first."""
    letter_counts: Counter[tuple[str, str, str | None]] = Counter()
    seen_counts: Counter[tuple[str, str, str | None]] = Counter()
    for seen in letters:
        kind = seen.letter.reason.value, seen.letter.stage.value, seen.letter.action
        letter_counts[kind] += 1
        seen_counts[kind] += seen.seen_count
    return [
        {"reason": kind[0], "stage": kind[1], "action": kind[2], "letters": count, "seen_count": seen_counts[kind]}
        for kind, count in letter_counts.most_common()
    ]


def moment_of(text: str, option: str, now: datetime) -> datetime:
    """A point in time as people write it: ISO 8601 (UTC, unless it says otherwise), or so long ago: 90m, 12h, 7d."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now - timedelta(**{_SPAN_UNITS[span[2]]: int(span[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise MisconfiguredError(
            f"{option} {text!r} is no time: write 2026-11-24, 2026-11-24T03:55Z, or 90m, 12h, 7d for so long ago"
        ) from exc
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def text_of(raw: bytes) -> str | None:
    """The bytes as text; None where they are none that a terminal should show."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _NO_TEXT.search(text) else text


def hex_lines(raw: bytes) -> list[str]:
    """The bytes as a hex dump: offset, sixteen bytes, what of them is ASCII."""
    return [
        f"{start:08x}  {raw[start : start + 16].hex(' '):<47}  "
        + "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in raw[start : start + 16])
        for start in range(0, len(raw), 16)
    ]


async def read_letters(settings: Settings, progress: Callable[[int, int], None] | None = None) -> list[SeenLetter]:
    """Every letter in the topic, in order of its last occurrence. `progress` hears how many records are read."""
    topic = DEAD_LETTERS.name(settings.kafka.topic_prefix)
    letters: dict[str, SeenLetter] = {}
    async with (
        admin_client(settings) as admin,
        plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer,
    ):
        partitions = await partitions_of(admin, [topic])
        ends = await end_offsets(admin, consumer, [topic])
        if not partitions:
            return []
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(tp) < ends[tp.topic, tp.partition] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    _remember(letters, record.key, record.value, (record.topic, record.partition, record.offset))
            if progress is not None:
                progress(sum([await consumer.position(tp) for tp in partitions]), sum(ends.values()))
    return list(letters.values())


def _remember(
    letters: dict[str, SeenLetter], key: bytes | None, value: bytes | None, place: tuple[str, int, int]
) -> None:
    if value is None:  # the tombstone of one that was erased (`callweave erase`)
        letters.pop((key or b"").decode("utf-8", "replace"), None)
        return
    try:
        letter = decode_letter(value)
    except NotALetterError:
        return  # somebody else's record; the loader halts at it and says so
    known = letters.get(letter.dead_letter_id)
    if letter.replayed_at is not None:
        # No sighting, so it keeps its place in the list. Where compaction took the others, it stands for them.
        seen = known or SeenLetter(letter, place, 1, letter.occurred_at)
        letters[letter.dead_letter_id] = replace(
            seen, replayed_at=letter.replayed_at, replay_outcome=letter.replay_outcome
        )
        return
    letters.pop(letter.dead_letter_id, None)
    letters[letter.dead_letter_id] = (
        SeenLetter(letter, place, 1, letter.occurred_at)
        if known is None
        else replace(known, seen_count=known.seen_count + 1, last_seen_at=max(known.last_seen_at, letter.occurred_at))
    )
