"""Quix Streams on the worker's work: unite the reports of a session in its state, publish what is known of it.

As its users would write it: RocksDB state with a changelog topic, at least once; nothing is validated, no dead letters.
"""

import sys
from collections.abc import Callable
from typing import Any

from quixstreams import Application


def absorb(event: dict[str, Any], state: Any) -> dict[str, Any]:
    """The reports of the session so far."""
    reports: dict[str, Any] = state.get("reports") or {}
    reports[event["digest"]] = event["payload"]
    state.set("reports", reports)
    return reports


def run(  # noqa: PLR0913  (what the bench says, and what differs between those that use this)
    absorb: Callable[..., Any],
    bootstrap_servers: str,
    prefix: str,
    group: str,
    out_name: str,
    folder: str,
    *,
    values: str,
    compression: str,
    metadata: bool = False,
) -> None:
    """Absorb every event of the three topics, one after the other, and publish what comes of each."""
    app = Application(
        broker_address=bootstrap_servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="ERROR",
        # A full queue of librdkafka's stops its fetching for a second unless told otherwise.
        consumer_extra_config={"fetch.queue.backoff.ms": 20},
        producer_extra_config={"enable.idempotence": True, "acks": "all", "compression.type": compression},
    )
    cdr, record, voicemail = (
        app.dataframe(app.topic(prefix + name, value_deserializer=values, key_deserializer="bytes"))
        for name in ("cdr", "record", "voicemail")
    )
    out = app.topic(out_name, key_serializer="bytes", value_serializer=values)
    cdr.concat(record).concat(voicemail).apply(absorb, stateful=True, metadata=metadata).to_topic(out)
    app.run()


if __name__ == "__main__":
    run(absorb, *sys.argv[1:6], values="json", compression="lz4")
