"""Quix Streams around callweave's own core: events checked, folded and published as the worker does, by Quix's engine.

What is compared is the engine: reading, state on disk with its changelog, publishing, committing. Not the worker's:
dead letters, the guard against gaps, the fence, retirement, metrics.
"""

import sys
from pathlib import Path
from typing import Any

from quixstreams import Application

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from schemas.events import decode_event
from streams.core.fold import fold


def absorb(value: bytes, key: bytes, _timestamp: int, _headers: Any, state: Any) -> bytes:
    """One event more; every receipt is new, so there is always something to publish."""
    stored: str | None = state.get("state")
    folded = fold(key, None if stored is None else stored.encode(), [decode_event(key, value)])
    assert folded.record is not None
    assert folded.stored is not None
    state.set("state", folded.stored.decode())
    return folded.record


def main(bootstrap_servers: str, prefix: str, group: str, out_name: str, folder: str) -> None:
    app = Application(
        broker_address=bootstrap_servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="ERROR",
        consumer_extra_config={"fetch.queue.backoff.ms": 20},
        producer_extra_config={"enable.idempotence": True, "acks": "all", "compression.type": "zstd"},
    )
    cdr, record, voicemail = (
        app.dataframe(app.topic(prefix + name, value_deserializer="bytes", key_deserializer="bytes"))
        for name in ("cdr", "record", "voicemail")
    )
    out = app.topic(out_name, key_serializer="bytes", value_serializer="bytes")
    cdr.concat(record).concat(voicemail).apply(absorb, stateful=True, metadata=True).to_topic(out)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:6])
