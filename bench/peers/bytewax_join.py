"""Bytewax on the worker's work: unite the reports of a session in its state, publish what is known of it.

As its users would write it: a stateful step, with recovery (SQLite, a snapshot a second), at least once; nothing is
validated, no dead letters. It commits nothing to Kafka: where it resumes from is in its recovery store.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main


class Reports(StatefulLogic[bytes, bytes, dict[str, Any]]):
    """The reports of one session so far."""

    def __init__(self, so_far: dict[str, Any] | None) -> None:
        self.reports = so_far or {}

    def on_item(self, value: bytes) -> tuple[list[bytes], bool]:
        """Unite one more."""
        event = orjson.loads(value)
        self.reports[event["digest"]] = event["payload"]
        return [orjson.dumps(self.reports)], StatefulLogic.RETAIN

    def snapshot(self) -> dict[str, Any]:
        """What the recovery store keeps."""
        return dict(self.reports)


def keyed(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, bytes]:
    return message.key.decode(), message.value


def main(bootstrap_servers: str, prefix: str, _group: str, out: str, folder: str) -> None:
    flow = Dataflow("join")
    topics = [prefix + name for name in ("cdr", "record", "voicemail")]
    source = KafkaSource([bootstrap_servers], topics, tail=True)
    united = op.stateful("unite", op.map("key", op.input("reports", flow, source), keyed), Reports)
    messages = op.map("message", united, lambda one: KafkaSinkMessage(one[0].encode(), one[1]))
    kop.output(
        "publish", messages, brokers=[bootstrap_servers], topic=out,
        add_config={"acks": "all", "enable.idempotence": True, "compression.type": "lz4"},
    )  # fmt: skip
    Path(folder).mkdir(parents=True)
    init_db_dir(Path(folder), 1)
    cli_main(flow, epoch_interval=timedelta(seconds=1), recovery_config=RecoveryConfig(folder))


if __name__ == "__main__":
    main(*sys.argv[1:6])
