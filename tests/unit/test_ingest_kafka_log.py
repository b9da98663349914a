"""The log over Kafka, with producers that fail when told to: who is replaced, who waits, who is told to push again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError, OutOfOrderSequenceNumber

from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions, TopicsMissingError
from ingest.normalize import ReceivedPush, normalize
from ingest.push_log import LogEntry, LogUnavailable
from schemas.events import RAW_HEADER
from tests.support.push_log import PartlyFailed, ScriptedPublisher
from tests.support.pushes import a_cdr, body_of

NOW = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)


def an_entry(**changes: object) -> LogEntry:
    raw = body_of(a_cdr(**changes))
    normalized = normalize(ReceivedPush.of(raw, headers={}, action="cdr", received_at=NOW))
    return LogEntry(normalized.event, raw, normalized.letters)


@dataclass
class Bench:
    """A log whose first producers are scripted, and whose later ones work."""

    log: KafkaPushLog
    journal: list[str]
    made: list[ScriptedPublisher] = field(default_factory=list)


@asynccontextmanager
async def a_bench(*scripts: dict[str, object], ack_seconds_max: float = 5.0) -> AsyncIterator[Bench]:
    journal: list[str] = []
    made: list[ScriptedPublisher] = []

    def make() -> ScriptedPublisher:
        number = len(made)
        script = scripts[number] if number < len(scripts) else {}
        made.append(ScriptedPublisher(f"p{number + 1}", journal, **script))  # type: ignore[arg-type]
        return made[-1]

    options = KafkaLogOptions(connection={}, topic_prefix="x.", ack_seconds_max=ack_seconds_max)
    log = KafkaPushLog(options, make)
    await log.start()
    yield Bench(log, journal, made)
    await log.close()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (the log has no events of its own)
            await asyncio.sleep(0.005)


async def test_an_event_and_its_letter_go_to_their_topics_together() -> None:
    entry = an_entry(Direction="up")
    async with a_bench() as bench:
        await bench.log.append(entry)

    letter, event = bench.made[0].published
    assert entry.event is not None
    assert (letter.topic, letter.key) == ("x.dead_letters", entry.letters[0].dead_letter_id.encode())
    assert (letter.value, letter.headers) == (entry.letters[0].encoded(), ())
    assert (event.topic, event.key, event.value) == ("x.cdr", entry.event.key, entry.event.encoded())
    assert event.headers == ((RAW_HEADER, entry.raw),)
    assert bench.made[0].topics == {"x.cdr", "x.record", "x.voicemail", "x.dead_letters"}
    assert bench.journal == ["p1: start", "p1: publish", "p1: stop"]


async def test_an_append_during_the_first_connection_waits_for_it() -> None:
    async with a_bench() as bench:
        assert bench.log.unready() == "connecting to Kafka"
        await bench.log.append(an_entry())
        assert bench.log.unready() is None


async def test_while_kafka_is_away_appends_fail_at_once_and_it_recovers_by_itself() -> None:
    async with a_bench({"start": KafkaConnectionError("nobody there")}) as bench:
        with pytest.raises(LogUnavailable, match=r"Kafka cannot be reached: .*nobody there"):
            await bench.log.append(an_entry())
        assert "nobody there" in (bench.log.unready() or "")
        await eventually(lambda: bench.log.unready() is None)
        await bench.log.append(an_entry())

    assert bench.journal == ["p1: start", "p1: stop", "p2: start", "p2: publish", "p2: stop"]


async def test_anything_that_a_start_raises_is_tried_again() -> None:
    async with a_bench({"start": AssertionError("odd broker")}) as bench:
        await eventually(lambda: bench.log.unready() is None)


async def test_a_start_that_hangs_is_given_up_and_tried_again() -> None:
    async with a_bench({"start": "hang"}, ack_seconds_max=0.05) as bench:
        await eventually(lambda: bench.log.unready() == "Kafka cannot be reached: no answer in time")
        await eventually(lambda: bench.log.unready() is None)


async def test_missing_topics_say_what_to_do() -> None:
    async with a_bench({"start": TopicsMissingError(["x.cdr"])}) as bench:
        with pytest.raises(LogUnavailable, match=r"x\.cdr; create it with `callweave topics apply`"):
            await bench.log.append(an_entry())


@pytest.mark.parametrize("failure", [OutOfOrderSequenceNumber(), KafkaError("fatal"), OSError("cut")])
async def test_a_failed_producer_is_replaced_and_the_append_tried_once_more(failure: Exception) -> None:
    async with a_bench({"script": [failure]}) as bench:
        await bench.log.append(an_entry())
        await bench.log.append(an_entry())
        assert bench.made[0].published == []
        assert len(bench.made[1].published) == 2
        assert bench.journal.count("p1: stop") == 1


async def test_two_failures_in_a_row_are_an_unavailable_log() -> None:
    async with a_bench({"script": [KafkaError("one")]}, {"script": [KafkaError("two")]}) as bench:
        with pytest.raises(LogUnavailable, match=r"two"):
            await bench.log.append(an_entry())
        await bench.log.append(an_entry())
        assert len(bench.made) == 3


async def test_what_no_producer_could_send_is_not_tried_again_but_its_producer_is_replaced() -> None:
    async with a_bench({"script": [MessageSizeTooLargeError()]}) as bench:
        with pytest.raises(LogUnavailable, match=r"Kafka refused"):
            await bench.log.append(an_entry())
        await bench.log.append(an_entry())
        assert bench.journal.count("p1: publish") == bench.journal.count("p2: publish") == 1


async def test_a_silent_broker_is_an_unavailable_log_within_the_bound() -> None:
    async with a_bench(
        {"script": ["hang", "hang"]}, {"start": KafkaConnectionError("gone")}, ack_seconds_max=0.1
    ) as bench:
        outcomes = await asyncio.gather(*(bench.log.append(an_entry()) for _ in range(2)), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["Kafka did not acknowledge within 0.1 s"] * 2
        assert all(isinstance(outcome, LogUnavailable) for outcome in outcomes)
        # Both waited on one producer; it was replaced once.
        await eventually(lambda: bench.log.unready() is None)
        assert bench.journal.count("p1: stop") == 1
        assert len(bench.made) == 3


async def test_one_failure_does_not_discard_the_producer_that_replaced_its_own() -> None:
    async with a_bench({"script": [KafkaError("a"), KafkaError("b")]}) as bench:
        await asyncio.gather(*(bench.log.append(an_entry()) for _ in range(2)))
        assert len(bench.made) == 2


async def test_before_its_start_and_after_its_close_the_log_says_so() -> None:
    log = KafkaPushLog(KafkaLogOptions(connection={}))
    with pytest.raises(LogUnavailable, match="was not started"):
        await log.append(an_entry())
    async with a_bench() as bench:
        await bench.log.append(an_entry())
    with pytest.raises(LogUnavailable, match="is closed"):
        await bench.log.append(an_entry())
    assert bench.log.unready() == "the push log is closed"


async def test_closing_right_after_a_failure_leaves_nobody_behind() -> None:
    async with a_bench({"script": ["hang"]}, ack_seconds_max=0.05) as bench:
        with pytest.raises(LogUnavailable):
            await bench.log.append(an_entry())

    assert [line for line in bench.journal if line.startswith("p1")] == ["p1: start", "p1: publish", "p1: stop"]


async def test_closing_while_connecting_leaves_nobody_behind() -> None:
    async with a_bench({"start": "hang"}) as bench:
        waiting = asyncio.create_task(bench.log.append(an_entry()))
        await eventually(lambda: bench.journal == ["p1: start"])
    with pytest.raises(LogUnavailable, match="is closed"):
        await waiting

    assert bench.journal == ["p1: start", "p1: stop"]


async def test_entries_that_go_together_each_hear_of_their_own_and_only_the_others_are_tried_again() -> None:
    failed = PartlyFailed({1}, KafkaError("one batch"))
    heard: list[int] = []
    async with a_bench({"script": [failed]}) as bench:
        await bench.log.append_each([an_entry(SessionId=name) for name in "abc"], heard.append)

        assert heard == [0, 2, 1]
        assert [record.key for record in bench.made[0].published] == [b"1400000001:a", b"1400000001:c"]
        assert [record.key for record in bench.made[1].published] == [b"1400000001:b"]


async def test_of_entries_that_go_together_those_that_fail_twice_are_not_stored() -> None:
    heard: list[int] = []
    failures = [{"script": [PartlyFailed({1}, KafkaError("one batch"))]}, {"script": [KafkaError("again")]}]
    async with a_bench(*failures) as bench:
        with pytest.raises(LogUnavailable, match="again"):
            await bench.log.append_each([an_entry(SessionId=name) for name in "abc"], heard.append)

    assert heard == [0, 2]
