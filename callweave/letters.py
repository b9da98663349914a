"""Dead letters as they stand in Kafka: each once, with how often it was seen."""

from dataclasses import dataclass
from typing import Any

from callweave.kafka import admin_client, end_offsets, partitions_of, plain_consumer
from callweave.settings import Settings
from schemas.dead_letter import DeadLetter, NotALetterError, decode_letter
from schemas.topics import DEAD_LETTERS, MESSAGE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class SeenLetter:
    """A letter, and the number of its records that are still in the topic."""

    letter: DeadLetter
    seen_count: int

    def summary(self) -> dict[str, Any]:
        """One line of the list."""
        letter = self.letter
        return {
            "dead_letter_id": letter.dead_letter_id,
            "occurred_at": letter.occurred_at.isoformat(timespec="seconds"),
            "seen_count": self.seen_count,
            "stage": letter.stage.value,
            "reason": letter.reason.value,
            "action": letter.action,
            "raw_bytes_count": letter.raw_bytes_count,
            "detail": letter.detail,
        }

    def whole(self) -> dict[str, Any]:
        """Everything; the bytes as text where they are text."""
        document = self.letter.model_dump(mode="json", exclude={"raw_base64"})
        return {**document, "seen_count": self.seen_count, "raw": self.letter.raw.decode("utf-8", "backslashreplace")}


async def read_letters(settings: Settings) -> list[SeenLetter]:
    """Every letter in the topic, in order of its last occurrence."""
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
                    _remember(letters, record.value)
    return list(letters.values())


def _remember(letters: dict[str, SeenLetter], value: bytes | None) -> None:
    if value is None:
        return
    try:
        letter = decode_letter(value)
    except NotALetterError:
        return  # somebody else's record; `doctor` tells of it
    known = letters.pop(letter.dead_letter_id, None)
    letters[letter.dead_letter_id] = SeenLetter(letter, 1 if known is None else known.seen_count + 1)
