"""The same join with stock Faust: its agent, its table, its commits, and nothing of `streams.engine`.

The contestant that proves that the trials can fail (`engine_trials --worker stock`). Its settings are Faust's
defaults (dynamic membership, a commit every 2.8 s, one standby replica unless told otherwise) but for the session's
length.

    python -m tests.faults.stock_worker BOOTSTRAP_SERVERS PREFIX STATE_DIR STORE STANDBY_REPLICAS
"""

import sys
from pathlib import Path
from typing import Any

import faust

from schemas import jsontext, topics
from schemas.events import decode_event
from streams.core.fold import fold

PARTITIONS = 4


def build(bootstrap_servers: str, prefix: str, state_dir: Path, store: str, standby_replicas: int) -> faust.App:
    """One agent over the three event topics, one table whose changelog is the session topic."""
    app = faust.App(
        f"{prefix}worker",
        broker=f"kafka://{bootstrap_servers}",
        datadir=str(state_dir),
        store=f"{store}://",
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=PARTITIONS,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=standby_replicas,
        stream_wait_empty=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        producer_acks=-1,
        producer_max_request_size=topics.MESSAGE_BYTES_MAX,
        web_enabled=False,
    )
    raw: dict[str, Any] = {"key_serializer": "raw", "value_serializer": "raw", "key_type": bytes, "value_type": bytes}
    sources = app.topic(*[topic.name(prefix) for topic in topics.EVENT_TOPICS], **raw)
    changelog = app.topic(topics.SESSIONS.name(prefix), compacting=True, partitions=PARTITIONS, **raw)
    options = {"options": {"driver": "rocksdict"}} if store == "rocksdb" else {}
    table = app.Table(
        "sessions", partitions=PARTITIONS, key_type=bytes, value_type=bytes, changelog_topic=changelog, **options
    )

    @app.agent(sources)
    async def sessions(stream: Any) -> None:
        async for event in stream.events():
            key = event.message.key
            record = table.get(key)
            stored = None if record is None else jsontext.encode(jsontext.decode(record)["state"])
            folded = fold(key, stored, [decode_event(key, event.message.value)])
            if folded.record is not None:
                table[key] = folded.record

    return app


def main() -> None:
    bootstrap_servers, prefix, state_dir, store, standby_replicas = sys.argv[1:6]
    app = build(bootstrap_servers, prefix, Path(state_dir), store, int(standby_replicas))
    faust.Worker(app, loglevel="INFO").execute_from_commandline()


if __name__ == "__main__":
    main()
