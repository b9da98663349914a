"""The limit at the join in Python: a bare confluent-kafka loop (librdkafka, C) that unites by key in a dict.

Its guarantee is at least once, as long as it never restarts: its state is in memory only, and nothing is validated.
"""

import sys

import orjson
from confluent_kafka import Consumer, Producer


def main(bootstrap_servers: str, prefix: str, group: str, out: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 20,  # a full queue stops fetching for a second unless told otherwise
        }
    )
    producer = Producer(
        {"bootstrap.servers": bootstrap_servers, "enable.idempotence": True, "acks": "all", "linger.ms": 2}
    )
    consumer.subscribe([prefix + name for name in ("cdr", "record", "voicemail")])
    state: dict[bytes, dict[str, object]] = {}
    while True:
        changed: dict[bytes, int] = {}
        for record in consumer.consume(500, 0.05):
            if record.error() is None:
                event = orjson.loads(record.value())
                state.setdefault(record.key(), {})[event["digest"]] = event["payload"]
                changed[record.key()] = record.partition()
        if not changed:
            continue
        for key, partition in changed.items():
            producer.produce(out, orjson.dumps(state[key]), key, partition)
        producer.flush()
        consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(*sys.argv[1:5])
