"""Ways to break the program, as proof that the verifier can fail: patched into a role's process, never a switch."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sabotage:
    """What is broken, how, and the faults under which it must show."""

    meaning: str
    commit: Callable[[], None]
    faults: Pairs


def _answer_before_kafka() -> None:
    """The door says ErrCode 0 at once, and appends afterwards: what Snowplow's collector and Vector do."""
    from ingest.kafka_log import KafkaPushLog

    later: set[asyncio.Task[None]] = set()

    async def answer_first(log: KafkaPushLog, entry: Any) -> None:
        task = asyncio.create_task(append(log, entry))
        later.add(task)
        task.add_done_callback(lambda done: (later.discard(done), done.cancelled() or done.exception()))

    append = _replace(KafkaPushLog, "append", answer_first)


def _answer_before_the_spool() -> None:
    """The door says ErrCode 0 and writes its spool a moment later: what every buffer in memory does."""
    from ingest.spool import SpoolingPushLog

    later: set[asyncio.Task[None]] = set()

    async def write(log: SpoolingPushLog, entry: Any) -> None:
        await asyncio.sleep(1.0)
        await spool(log, entry)

    async def answer_first(log: SpoolingPushLog, entry: Any) -> None:
        task = asyncio.create_task(write(log, entry))
        later.add(task)
        task.add_done_callback(lambda done: (later.discard(done), done.cancelled() or done.exception()))

    spool = _replace(SpoolingPushLog, "_spool", answer_first)


def _commit_early() -> None:
    """The worker commits its position before it has published what it read: what Faust's `take_events` can do."""
    import streams.engine.consumer
    import streams.worker

    def where_committed(_position: Any, *, committed: int | None, earliest: int, end: int) -> tuple[int, None]:  # noqa: ARG001
        return (earliest if committed is None else committed), None

    async def commit_first(worker: Any, events: Any) -> None:
        consumer = worker.app.consumer
        for event in events:
            consumer.ack(event.message)
        await consumer.commit()
        await asyncio.sleep(0.3)
        await absorb_batch(worker, events)

    absorb_batch = _replace(streams.worker, "absorb_batch", commit_first)
    # The positions beside the state would put it right (ADR 0010): here the commit is what counts, as in stock Faust.
    _replace(streams.engine.consumer, "start_offset", where_committed)


def _restore_by_replacing() -> None:
    """The last record of a session wins when its table is restored: what every changelog does."""
    import streams.core.fold
    from schemas import jsontext

    def take_theirs(_stored: bytes | None, value: bytes) -> Any:
        return streams.core.fold.Restored(jsontext.encode(jsontext.decode(value)["state"]), says_more=False)

    _replace(streams.core.fold, "restore", take_theirs)  # before `streams.worker` takes it


def _drop_offsets_row() -> None:
    """The loader writes rows and forgets how far it came."""
    import sinks.duckdb_tables
    import sinks.postgres

    def forget(*_: object) -> None:
        pass

    _replace(sinks.postgres, "_move_offsets", forget)
    _replace(sinks.duckdb_tables, "_move_offsets", forget)
    _replace(sinks.duckdb_tables.DuckDbTables, "_may_move", lambda *_: True)


def _replace(owner: Any, name: str, by: Any) -> Any:
    """Put something in another's place, which must be there: else a breakage breaks nothing; what was there."""
    replaced = getattr(owner, name)
    setattr(owner, name, by)
    return replaced


KILLS_OF_WORKERS: Pairs = (("kill", "worker-1"), ("kill", "worker-2"))
KILLS_OF_LOADERS: Pairs = (("kill", "loader-duckdb"), ("kill", "loader-postgres"))

SABOTAGES = {
    "answer before Kafka": Sabotage(
        "ErrCode 0 before Kafka acknowledged", _answer_before_kafka, (("kill", "receiver"), ("stall", "door"))
    ),
    "answer before the spool": Sabotage(
        "ErrCode 0 before the spool's write",
        _answer_before_the_spool,
        (("kill", "receiver"), ("stall", "door"), ("cut", "door")),
    ),
    "commit early": Sabotage("offsets committed before the batch is published", _commit_early, KILLS_OF_WORKERS),
    "restore by replacing": Sabotage(
        "the last record replaces the state", _restore_by_replacing, (("stale batch", "sessions"), *KILLS_OF_WORKERS)
    ),
    "drop the offsets row": Sabotage("rows are written without their offsets", _drop_offsets_row, KILLS_OF_LOADERS),
}
