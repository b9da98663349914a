"""A receiver's spool that is killed again and again: who was answered must be in Kafka in the end.

One trial is a process that is forked ready-made, appends pushes through a spool around a log that comes and goes, and
is killed after a few milliseconds, wherever it then is. All trials share one directory, one "Kafka" (a file) and one
list of answers (another). What a killed process wrote to a file stays, as it does in reality.
"""

import asyncio
import multiprocessing
import os
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from prometheus_client import CollectorRegistry

from ingest.normalize import ReceivedPush, normalize
from ingest.push_log import LogEntry, LogUnavailable, Stored
from ingest.spool import SpoolingPushLog, SpoolOptions
from tests.support.push_log import append_each
from tests.support.pushes import body_of

NOW = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)
SENDERS = 8


class FileLog:
    """A Kafka that is a file of session ids, and away as often as not; it may end the process at a chosen moment."""

    def __init__(self, path: Path, chance: random.Random | None, dies: str = "") -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._chance = chance
        self._dies = dies

    async def start(self) -> None: ...

    async def append(self, entry: LogEntry) -> None:
        await self.append_all([entry])

    async def append_all(self, entries: Sequence[LogEntry]) -> None:
        mood = self._chance.random() if self._chance else 0.0
        if mood > 0.5:
            raise LogUnavailable("away")
        if self._dies == "before it is sent":
            os.kill(os.getpid(), 9)
        lines = "".join(f"{entry.event.session_id}\n" for entry in entries if entry.event is not None)
        os.write(self._file, lines.encode())
        if self._dies == "after it is acknowledged":
            os.kill(os.getpid(), 9)
        if mood > 0.4:
            raise LogUnavailable("it has it, and could not say so")
        await asyncio.sleep(0.001)

    async def append_each(self, entries: Sequence[LogEntry], stored: Stored) -> None:
        await append_each(self.append, entries, stored)

    def unready(self) -> str | None:
        return None

    async def close(self) -> None: ...


def run(folder: Path, trial: int, *, dies: str = "", until_empty: bool = False) -> None:
    """Be a receiver: until killed, or until everything is drained."""
    asyncio.run(_run(folder, trial, dies=dies, until_empty=until_empty))


async def _run(folder: Path, trial: int, *, dies: str, until_empty: bool) -> None:
    chance = None if until_empty or dies else random.Random(trial)
    options = SpoolOptions(directory=folder / "spool", wait_seconds_max=0.05)
    kafka = FileLog(folder / "kafka", chance, dies)
    log = SpoolingPushLog(kafka, options, lambda: NOW, CollectorRegistry())
    await log.start()
    if until_empty or dies:
        async with asyncio.timeout(60):
            while log.degraded() is not None:  # noqa: ASYNC110  (a spool has no events of its own)
                await asyncio.sleep(0.01)
        await log.close()
        return
    answers = os.open(folder / "answers", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    await asyncio.gather(
        *(_send(log, answers, f"{trial}-{sender}", started_file(folder, trial)) for sender in range(SENDERS))
    )


async def _send(log: SpoolingPushLog, answers: int, name: str, started: Path) -> None:
    number = 0
    while True:
        number += 1
        session = f"{name}-{number}"
        raw = body_of({"SdkAppId": 1, "SessionId": session, "UserRemark": "x" * 500})
        event = normalize(ReceivedPush.of(raw, headers={}, action="cdr", received_at=NOW)).event
        await log.append(LogEntry(event, raw))
        os.write(answers, f"{session}\n".encode())  # TCCC has heard ErrCode 0
        if number == 1:
            os.close(os.open(started, os.O_CREAT))


def start(folder: Path, trial: int, *, dies: str = "", until_empty: bool = False) -> ForkServerProcess:
    """Start one, from a server that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(
        target=run, args=(folder, trial), kwargs={"dies": dies, "until_empty": until_empty}, daemon=True
    )
    process.start()
    return process


def started_file(folder: Path, trial: int) -> Path:
    """Is there once a trial has answered a push."""
    return folder / f"started-{trial}"


def kill_after(process: ForkServerProcess, seconds: float, started: Path | None = None) -> None:
    """Kill it so long after it has started (with None: after its process has), wherever it then is."""
    deadline = time.monotonic() + 30
    while started is not None and not started.exists():
        assert time.monotonic() < deadline, "no push was answered"
        time.sleep(0.002)
    time.sleep(seconds)
    process.kill()
    process.join()
