"""How each fault of the plan is done to the stage, and undone."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from callweave.broker.jars import BrokerUnavailable
from tests.faults.chaos import spool_disk
from tests.faults.chaos.plan import Strike
from tests.faults.chaos.stage import (
    PARTITIONS,
    PREFIX,
    Stage,
    StageError,
    a_role,
    kill_postgres,
    start_postgres,
    stop_postgres,
)

STALE_LOOK_BACK = 1_500
STALE_RECORDS_MAX = 60
STALE_SECONDS_MAX = 20.0

LOOK_SECONDS = 0.05


async def strike(stage: Stage, planned: Strike) -> str:
    """Do it, wait while it lasts, undo it; what came of it in a word. StageError where it could not be done."""
    try:
        return await _STRIKES[planned.fault](stage, planned)
    except (OSError, RuntimeError, BrokerUnavailable, subprocess.SubprocessError) as error:
        raise StageError(f"{planned} could not be done: {error}") from error


async def _kill(stage: Stage, planned: Strike) -> str:
    return await _end(stage, planned, signal.SIGKILL)


async def _terminate(stage: Stage, planned: Strike) -> str:
    return await _end(stage, planned, signal.SIGTERM)


async def _end(stage: Stage, planned: Strike, number: signal.Signals) -> str:
    match planned.target:
        case "broker":
            if number is signal.SIGKILL:
                os.kill(stage.broker.pid, number)
                while stage.broker.is_alive():  # noqa: ASYNC110 - a busy machine takes its time, even to kill
                    await asyncio.sleep(LOOK_SECONDS)
            else:
                await asyncio.to_thread(stage.broker.stop)
            await asyncio.sleep(planned.seconds)
            await asyncio.to_thread(stage.broker.come_back)
        case "postgres":
            assert stage.postgres is not None
            kill_postgres(stage.postgres)
            await asyncio.sleep(planned.seconds)
            await asyncio.to_thread(start_postgres, stage.postgres)
        case name:
            role = stage.roles[name]
            role.hold()
            role.send(number)
            await asyncio.sleep(planned.seconds)
            role.release()
    return "started again"


async def _pause(stage: Stage, planned: Strike) -> str:
    if planned.target == "broker":
        pid = stage.broker.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(planned.seconds)
        os.kill(pid, signal.SIGCONT)
    else:
        role = stage.roles[planned.target]
        role.send(signal.SIGSTOP)
        await asyncio.sleep(planned.seconds)
        role.send(signal.SIGCONT)
    return "woken"


async def _cut(stage: Stage, planned: Strike) -> str:
    link = stage.broker.links[planned.target]
    await link.cut()
    await asyncio.sleep(planned.seconds)
    await link.heal()
    return "healed"


async def _delay(stage: Stage, planned: Strike) -> str:
    link = stage.broker.links[planned.target]
    link.delay_seconds = planned.amount
    await asyncio.sleep(planned.seconds)
    await link.heal()
    return "healed"


async def _stall(stage: Stage, planned: Strike) -> str:
    link = stage.broker.links[planned.target]
    link.stall()
    await asyncio.sleep(planned.seconds)
    await link.heal()
    return "healed"


async def _stop(stage: Stage, planned: Strike) -> str:
    assert stage.postgres is not None
    await asyncio.to_thread(stop_postgres, stage.postgres)
    await asyncio.sleep(planned.seconds)
    await asyncio.to_thread(start_postgres, stage.postgres)
    return "started again"


async def _clock(stage: Stage, planned: Strike) -> str:
    role = stage.roles[planned.target]
    role.step_clock(planned.amount)
    await asyncio.sleep(planned.seconds)
    role.step_clock(0.0)
    return "stepped back"


async def _second_loader(stage: Stage, planned: Strike) -> str:
    """The same warehouse, another data directory: what a wrong replica count does."""
    warehouse = planned.target.partition("-")[2]
    program = stage.programs[warehouse]
    settings = {"WAREHOUSE__URL": program.settings.get("WAREHOUSE__URL", f"duckdb:///{program.data_dir}/calls.duckdb")}
    data_dir = stage.folder / f"second-{warehouse}"
    data_dir.mkdir(exist_ok=True)
    second = a_role(stage, f"loader-second-{warehouse}", data_dir, link="load", settings=settings)
    second.start()
    try:
        await asyncio.sleep(planned.seconds)
    finally:
        await second.end()
    ended = ", ".join(map(str, sorted(second.exits)))
    return f"it ended with {ended}" if ended else "it ended when told to"


async def _stale_batch(stage: Stage, planned: Strike) -> str:  # noqa: ARG001 - there is one such topic
    """Publish early records of some sessions again, as a worker does that slept between its fold and its send."""
    try:
        async with asyncio.timeout(STALE_SECONDS_MAX):
            records = await _early_records(stage)
            await _publish_again(stage, records)
    except (KafkaError, TimeoutError):
        return "Kafka was away"  # another fault has it
    return f"{len(records)} records"


async def _publish_again(stage: Stage, records: Sequence[ConsumerRecord]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stage.direct)
    try:
        await producer.start()
        for record in records:
            await producer.send_and_wait(f"{PREFIX}sessions", record.value, key=record.key, partition=record.partition)
    finally:
        await producer.stop()


async def _early_records(stage: Stage) -> list[ConsumerRecord]:
    """Of sessions that were published more than once lately, the earlier record."""
    partitions = [TopicPartition(f"{PREFIX}sessions", number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.direct)
    try:
        await consumer.start()
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, max(0, ends[partition] - STALE_LOOK_BACK))
        first: dict[bytes, ConsumerRecord] = {}
        again: dict[bytes, ConsumerRecord] = {}
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=800)).values():
                for record in records:
                    if record.key in first:
                        again[record.key] = first[record.key]
                    else:
                        first[record.key] = record
    finally:
        await consumer.stop()
    return list(again.values())[-STALE_RECORDS_MAX:]


async def _full(stage: Stage, planned: Strike) -> str:
    """No room in the spool while Kafka is away: nothing can be stored, and the door has to say so."""
    assert stage.spool_disk is not None
    link = stage.broker.links["door"]
    await asyncio.to_thread(spool_disk.fill, stage.spool_disk)
    await link.cut()
    await asyncio.sleep(planned.seconds * 0.7)
    await asyncio.to_thread(spool_disk.clear, stage.spool_disk)
    await asyncio.sleep(planned.seconds * 0.3)  # room again, and Kafka still away
    await link.heal()
    return "cleared"


_STRIKES: dict[str, Callable[[Stage, Strike], Awaitable[str]]] = {
    "kill": _kill,
    "terminate": _terminate,
    "pause": _pause,
    "cut": _cut,
    "delay": _delay,
    "stall": _stall,
    "stop": _stop,
    "clock": _clock,
    "second loader": _second_loader,
    "stale batch": _stale_batch,
    "full": _full,
}
