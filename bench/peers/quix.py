"""Quix Streams on the worker's work: unite the reports of a session in its state, publish what is known of it.

As its users would write it: RocksDB state with a changelog topic, at least once; nothing is validated, no dead letters.
"""

import sys
from typing import Any

from quixstreams import Application
from quixstreams.models.serializers import BytesSerializer


def absorb(event: dict[str, Any], state: Any) -> dict[str, Any]:
    """The reports of the session so far."""
    reports: dict[str, Any] = state.get("reports") or {}
    reports[event["digest"]] = event["payload"]
    state.set("reports", reports)
    return reports


def main(bootstrap_servers: str, prefix: str, group: str, out_name: str, folder: str) -> None:
    app = Application(
        broker_address=bootstrap_servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="ERROR",
        # A full queue of librdkafka's stops its fetching for a second unless told otherwise.
        consumer_extra_config={"fetch.queue.backoff.ms": 20},
        producer_extra_config={"enable.idempotence": True, "acks": "all", "compression.type": "lz4"},
    )
    cdr, record, voicemail = (
        app.dataframe(app.topic(prefix + name, value_deserializer="json", key_deserializer="bytes"))
        for name in ("cdr", "record", "voicemail")
    )
    out = app.topic(out_name, key_serializer=BytesSerializer(), value_serializer="json")
    cdr.concat(record).concat(voicemail).apply(absorb, stateful=True).to_topic(out)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:6])
