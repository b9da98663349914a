"""The end of a worker that must not go on: exit at once, with offsets uncommitted, after saying why.

Answers faust.md part 1 row 5: `faust/streams.py` `take_events` acks in a `finally`, also when the body raised or was
cancelled, and the consumer then commits while stopping. An exception that leaves the body therefore loses the batch;
a process that is gone loses nothing.
"""

import logging
import os
import sys
from enum import IntEnum
from typing import NoReturn

import structlog

log = structlog.get_logger(__name__)


class ExitStatus(IntEnum):
    """How a role ends when it does not end well; the supervisor reads it."""

    HALTED = 70  # on purpose: a person has to look; not restarted
    RESTART = 75  # the engine or a dependency misbehaved; a fresh start reads everything again


def exit_for_restart(reason: str, **facts: object) -> NoReturn:
    """Say why, and leave without acknowledging anything. Whoever supervises starts the worker anew."""
    _leave(ExitStatus.RESTART, "worker_restarts", reason, facts)


def halt(reason: str, **facts: object) -> NoReturn:
    """Say why, and stop for good: an invariant is broken, and going on would spread it."""
    _leave(ExitStatus.HALTED, "worker_halted", reason, facts)


def _leave(status: ExitStatus, event: str, reason: str, facts: dict[str, object]) -> NoReturn:
    log.error(event, reason=reason, **facts)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
