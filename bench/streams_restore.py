"""Kafka Streams at the work `restore`: its join fills a changelog, then it starts on an empty disk every round."""

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from bench.contestants import Contestants
from bench.machine import bootstrap, cpu_seconds, new_topic, new_topics, process, rss_bytes
from bench.results import Result, Run
from bench.worker import committed, fill, pace


@dataclass
class StreamsRestore:
    """Its figures, and how it starts."""

    result: Result
    command: list[str]
    state: Path

    def restore_once(self) -> None:
        """From the first record asked for to the last partition restored, by its own listener."""
        shutil.rmtree(self.state, ignore_errors=True)
        restored, begun, ended, cpu = 0, 0.0, 0.0, 0.0
        started = time.perf_counter()
        with process([*self.command], {}, heard=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                now = time.perf_counter()
                if line.startswith(b"restoring") and not begun:
                    begun, cpu = now, cpu_seconds(child.pid)
                elif line.startswith(b"restored"):
                    restored, ended = restored + int(line.split()[1]), now
                elif line.startswith(b"ready"):
                    break
            spent, memory = cpu_seconds(child.pid) - cpu, rss_bytes(child.pid)
        assert restored, "Kafka Streams restored nothing"
        more = {"seconds_to_ready": now - started, "changelog_records": float(restored)}
        self.result.runs.append(Run(restored / (ended - begun), spent, memory, more))


def prepare(folder: Path, contestants: Contestants, sessions: int) -> StreamsRestore | None:
    """Let it join the work once, so that it has something to restore; None where it cannot be had."""
    java = contestants.kafka_streams
    if java is None:
        return None
    prefix = new_topics()
    group, state = f"{prefix}streams", folder / "streams"
    command = [*java, bootstrap(), prefix, group, new_topic(f"{prefix}out-streams"), str(state)]
    backlog = asyncio.run(fill(prefix, sessions))
    with process(command, {}) as child:
        asyncio.run(pace(committed(group, prefix), backlog.count, [child.pid]))
    result = Result(
        "restore", "kafka-streams", contestants.kafka_streams_version, "documents/s",
        "into RocksDB; counted by its own listener",
    )  # fmt: skip
    return StreamsRestore(result, command, state)
