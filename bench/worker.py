"""The work `worker`: pushes a second through the join with state and changelog, each contestant over the same backlog.

Its one rule: a round counts only if what the contestant published knows every report of every session.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from bench.contestants import Contestants, our_version
from bench.machine import FULL, bootstrap, cpu_seconds, new_topic, new_topics, process, rss_bytes
from bench.results import Result, Run
from bench.work import bodies, event_of
from callweave.kafka import admin_client, end_offsets, group_offsets, partitions_of, plain_consumer, read_now
from callweave.runtime import Runtime
from callweave.settings import load_settings
from callweave.standing import ask_readiness
from schemas.events import RAW_HEADER, TOPIC_OF
from schemas.topics import EVENT_TOPICS, SESSIONS

SESSION_COUNT = 60_000 if FULL else 20_000
WARM_UP_SHARE = 0.25  # of the backlog: programs start, groups settle
JVM_WARM_UP_SHARE = 0.6  # and compilers compile
TAIL_SHARE = 0.1  # the end of the backlog is not measured: who reads ahead has partitions that are empty by then
ROUND_SECONDS_MAX = 300.0
UNIT = "pushes/s"
IN_MEMORY = "at least once until it restarts: state in memory, nothing validated"
Sessions = dict[bytes, dict[str, Any]]  # the reports of each session by their digests
Progress = Callable[[AIOKafkaAdminClient, AIOKafkaConsumer], Awaitable[int]]


@dataclass(frozen=True)
class Backlog:
    """The work of one round: where it lies, how many events it is, and what it comes to."""

    prefix: str
    count: int
    sessions: Sessions


@dataclass
class Joiner:
    """One contestant: its figures, and how it does one round."""

    result: Result
    compete: Callable[[Backlog], Run]


def worker(folder: Path, contestants: Contestants, rounds: int, sessions: int = SESSION_COUNT) -> list[Result]:
    """Interleaved rounds, the order turned around each time."""
    joiners = [*ours(folder), *in_memory(folder, contestants), *with_state(folder, contestants)]
    for number in range(rounds):
        backlog = asyncio.run(fill(new_topics(), sessions))
        for joiner in joiners if number % 2 == 0 else reversed(joiners):
            joiner.result.runs.append(joiner.compete(backlog))
    return [joiner.result for joiner in joiners]


def ours(folder: Path) -> list[Joiner]:
    """The worker; and two that share the partitions, on the same core: what counts is the CPU for each push."""
    guarantee = "changelog acknowledged before offsets move, state on disk, contiguity guard, fence, validation, dead"
    guarantee += " letters"
    version = our_version("callweave")
    return [
        Joiner(Result("worker", "callweave", version, UNIT, guarantee), partial(callweave, folder, 1)),
        Joiner(Result("worker", "callweave-two-workers", version, UNIT, guarantee), partial(callweave, folder, 2)),
    ]


def callweave(folder: Path, count: int, backlog: Backlog, *, pinned: bool = True) -> Run:
    """So many workers, from an empty disk. Two have a backlog of their own: the session topic is one contestant's."""
    if count > 1:
        backlog = asyncio.run(fill(new_topics(), len(backlog.sessions)))
    prefix = os.environ["CALLWEAVE_KAFKA__TOPIC_PREFIX"] = backlog.prefix
    data = [folder / f"{prefix}worker{number}" for number in range(count)]
    commands = [
        (
            [sys.executable, "-m", "callweave", "worker"],
            {
                "CALLWEAVE_KAFKA__TOPIC_PREFIX": prefix,
                "CALLWEAVE_ADMIN__PORT": "0",
                "CALLWEAVE_DATA_DIR": str(place),
            },
        )
        for place in data
    ]
    progress = committed(f"{prefix}worker", prefix)
    run = contest(commands, progress, backlog.count, pinned=pinned, settled=partial(all_ready, data))
    check(backlog, SESSIONS.name(prefix), reports_of_ours)
    return run


def all_ready(data: list[Path]) -> bool:
    """Whether each worker has started, has its partitions, and has restored them."""
    entries = [Runtime(place).role("worker") for place in data]
    return all(entry is not None and entry.admin_url and ask_readiness(entry)[0] for entry in entries)


def in_memory(folder: Path, contestants: Contestants) -> list[Joiner]:
    """The limits: bare loops that forget everything when they end."""
    command = [sys.executable, "bench/peers/aiokafka_loop.py"]
    result = Result("worker", "aiokafka-loop", our_version("aiokafka"), UNIT, IN_MEMORY)
    joiners = [Joiner(result, partial(peer, command, "aiokafka", folder, publishes_each=False))]
    if (python := contestants.python("confluent-loop")) is not None:
        command = [python, "bench/peers/confluent_loop.py"]
        version = contestants.python_version(python, "confluent-kafka")
        result = Result("worker", "confluent-loop", version, UNIT, IN_MEMORY)
        joiners.append(Joiner(result, partial(peer, command, "confluent", folder, publishes_each=False)))
    return joiners


def with_state(folder: Path, contestants: Contestants) -> list[Joiner]:
    """The engines: state that outlives them."""
    joiners = []
    changelog = "at least once, state on disk (RocksDB) with a changelog; nothing validated"
    if (python := contestants.python("quix")) is not None:
        result = Result("worker", "quix", contestants.python_version(python, "quixstreams"), UNIT, changelog)
        joiners.append(Joiner(result, partial(peer, [python, "bench/peers/quix.py"], "quix", folder)))
        same = "the same, validated, callweave's own documents; no dead letters, fence or guard against gaps"
        result = Result("worker", "quix-with-our-fold", result.version, UNIT, same)
        command = [python, "bench/peers/quix_our_fold.py"]
        joiners.append(Joiner(result, partial(peer, command, "quix-fold", folder, reports=reports_of_ours)))
    if (java := contestants.kafka_streams) is not None:
        result = Result("worker", "kafka-streams", contestants.kafka_streams_version, UNIT, changelog)
        result.extra["measured"] = f"from {JVM_WARM_UP_SHARE:.0%} of the backlog on: its compiler has to warm up"
        # Its record cache lets it publish less often than once for each event.
        compete = partial(peer, java, "streams", folder, publishes_each=False, warm_up=JVM_WARM_UP_SHARE)
        joiners.append(Joiner(result, compete))
    if (python := contestants.python("bytewax", "requirements-bytewax.txt")) is not None:
        guarantee = "at least once, snapshots of the state in SQLite every second, on this disk only; nothing validated"
        result = Result("worker", "bytewax", contestants.python_version(python, "bytewax"), UNIT, guarantee)
        joiners.append(Joiner(result, partial(peer, [python, "bench/peers/bytewax_join.py"], "bytewax", folder)))
    return joiners


def peer(  # noqa: PLR0913  (how it starts, and in what it differs from the others)
    command: list[str],
    name: str,
    folder: Path,
    backlog: Backlog,
    *,
    publishes_each: bool = True,
    warm_up: float = WARM_UP_SHARE,
    reports: Callable[[bytes], dict[str, Any]] = orjson.loads,
) -> Run:
    """Who publishes once for each event tells its progress by that, whatever it commits; others by their commits."""
    group, out = f"{backlog.prefix}{name}", new_topic(f"{backlog.prefix}out-{name}")
    arguments = [bootstrap(), backlog.prefix, group, out, str(folder / group)]
    progress = partial(published, out) if publishes_each else committed(group, backlog.prefix)
    run = contest([([*command, *arguments], {})], progress, backlog.count, warm_up=warm_up)
    check(backlog, out, reports)
    return run


def contest(
    commands: list[tuple[list[str], dict[str, str]]],
    progress: Progress,
    count: int,
    *,
    warm_up: float = WARM_UP_SHARE,
    pinned: bool = True,
    settled: Callable[[], bool] = lambda: True,
) -> Run:
    """One round over a backlog of so many events."""
    with ExitStack() as stack:
        pids = [stack.enter_context(process(*command, pinned=pinned)).pid for command in commands]
        events, seconds, cpu = asyncio.run(pace(progress, count, pids, warm_up=warm_up, settled=settled))
        return Run(events / seconds, cpu, sum(map(rss_bytes, pids)), {"cpu_us_per_push": 1e6 * cpu / events})


async def pace(
    progress: Progress,
    count: int,
    pids: list[int],
    *,
    warm_up: float = WARM_UP_SHARE,
    settled: Callable[[], bool] = lambda: True,
) -> tuple[int, float, float]:
    """Events, seconds and CPU seconds of the stretch that counts; until the backlog is done, for it is checked.

    It begins when the warm-up is over and all have settled.
    """
    settings = load_settings()
    end = (1 - TAIL_SHARE) * count
    begun: tuple[int, float, float] | None = None
    measured: tuple[int, float, float] | None = None
    deadline = time.monotonic() + ROUND_SECONDS_MAX
    async with admin_client(settings) as admin, plain_consumer(settings) as consumer:
        while time.monotonic() < deadline:
            done, now, cpu = await progress(admin, consumer), time.perf_counter(), sum(map(cpu_seconds, pids))
            if begun is None and done >= warm_up * count and settled():
                begun = done, now, cpu
                assert done < end, "all was done before it could be measured: the backlog is too small"
            elif begun is not None and measured is None and done >= end:
                measured = done - begun[0], now - begun[1], cpu - begun[2]
            if measured is not None and done >= count:
                return measured
            await asyncio.sleep(0.02)
    raise TimeoutError(f"{done} of {count} events after {ROUND_SECONDS_MAX:g} s")


def committed(group: str, prefix: str) -> Progress:
    """Events up to the group's commits."""
    topics = {topic.name(prefix) for topic in EVENT_TOPICS}

    async def done(admin: AIOKafkaAdminClient, _: AIOKafkaConsumer) -> int:
        offsets = await group_offsets(admin, group)
        return sum(offset for (topic, _), offset in offsets.items() if topic in topics)

    return done


async def published(topic: str, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> int:
    """How many records a topic has had."""
    return sum((await end_offsets(admin, consumer, [topic])).values())


async def fill(prefix: str, sessions: int) -> Backlog:
    """Publish the work as the door would."""
    return await publish_events(prefix, bodies(sessions))


async def publish_events(prefix: str, work: list[tuple[str, bytes]]) -> Backlog:
    """Pushes as events in their topics."""
    expected: Sessions = {}
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap(), acks="all", enable_idempotence=True, linger_ms=5
    ) as producer:
        for number, (action, body) in enumerate(work):
            event = event_of(action, body, str(number))
            expected.setdefault(event.key, {})[event.digest] = event.payload
            topic = TOPIC_OF[event.kind].name(prefix)
            await producer.send(topic, event.encoded(), key=event.key, headers=[(RAW_HEADER, body)])
    return Backlog(prefix, len(work), expected)


def check(backlog: Backlog, topic: str, reports: Callable[[bytes], dict[str, Any]]) -> None:
    """The last record of each session has all of its reports, and there is no other session."""
    wrong = wrong_sessions(backlog.sessions, asyncio.run(last_records(topic)), reports)
    assert not wrong, f"{topic}: {len(wrong)} of {len(backlog.sessions)} sessions are not what was pushed: {wrong[:3]}"


def wrong_sessions(
    expected: Sessions, last: dict[bytes, bytes], reports: Callable[[bytes], dict[str, Any]]
) -> list[bytes]:
    """Sessions that are missing, that nobody pushed, or whose reports are not those that were pushed."""
    return [key for key in expected.keys() | last.keys() if key not in last or reports(last[key]) != expected.get(key)]


def reports_of_ours(record: bytes) -> dict[str, Any]:
    """The reports in a record of the session topic."""
    state = orjson.loads(record)["state"]
    return {digest: report["payload"] for digest, report in state["reports"].items()}


async def last_records(topic: str) -> dict[bytes, bytes]:
    """What a topic says of each key in the end."""
    settings = load_settings()
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(admin_client(settings))
        consumer: AIOKafkaConsumer = await stack.enter_async_context(plain_consumer(settings))
        partitions = await partitions_of(admin, [topic])
        last: dict[bytes, bytes] = {}
        async for found in read_now(consumer, partitions, records_max=10_000, told=lambda _done, _total: None):
            for records in found.values():
                last |= {record.key: record.value for record in records}
        return last
