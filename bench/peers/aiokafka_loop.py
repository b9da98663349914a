"""The limit at the join: a bare aiokafka loop that decodes, unites by key in a dict, publishes and commits.

Its guarantee is at least once, as long as it never restarts: its state is in memory only, and nothing is validated.
"""

import asyncio
import sys

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def main(bootstrap_servers: str, prefix: str, group: str, out: str) -> None:
    consumer = AIOKafkaConsumer(
        *(prefix + name for name in ("cdr", "record", "voicemail")),
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, linger_ms=2)
    await consumer.start()
    await producer.start()
    state: dict[bytes, dict[str, object]] = {}
    while True:
        changed: dict[bytes, int] = {}
        for tp, records in (await consumer.getmany(timeout_ms=50, max_records=500)).items():
            for record in records:
                event = orjson.loads(record.value)
                state.setdefault(record.key, {})[event["digest"]] = event["payload"]
                changed[record.key] = tp.partition
        if not changed:
            continue
        sends = [
            await producer.send(out, orjson.dumps(state[key]), key=key, partition=partition)
            for key, partition in changed.items()
        ]
        await asyncio.gather(*sends)
        await consumer.commit()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:5]))
