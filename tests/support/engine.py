"""A worker that never connects, and events as Faust hands them over."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faust.types import TP, Message

from streams.worker import Worker, WorkerOptions, build_worker


class ProcessGoneError(BaseException):
    """Stands for the end of the process, which no `except Exception` survives either."""


def offline_worker(store: str, state_dir: Path | None = None, **more: Any) -> Worker:
    """The real app and table, built and not started."""
    options: dict[str, Any] = {
        "faust_broker": "kafka://nobody",
        "topic_prefix": "tccc.",
        "partitions": 4,
        "state_dir": state_dir or Path(tempfile.gettempdir()),
        "instance_id": "offline",
        "now": lambda: datetime.now(UTC),
        "store": store,
    }
    return build_worker(WorkerOptions(**{**options, **more}))


def an_event(tp: TP, offset: int, *, generation: int = 2, value: bytes | None = None) -> Any:
    """An event of a source topic, as the guard and the consumer look at it."""
    return SimpleNamespace(message=a_message(tp, offset, generation=generation, value=value))


def a_message(tp: TP, offset: int, *, generation: int = 2, key: bytes = b"1:a", value: bytes | None = None) -> Message:
    """A message as Faust's consumer makes it."""
    message = Message(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=0.0,
        timestamp_type=0,
        headers={},
        key=key,
        value=value,
        checksum=None,
        tp=tp,
    )
    message.generation_id = generation
    return message
