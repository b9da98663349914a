"""The end of a worker that must not go on: exit at once, with offsets uncommitted, after saying why.

Answers faust.md part 1 row 5: `faust/streams.py` `take_events` acks in a `finally`, also when the body raised or was
cancelled, and the consumer then commits while stopping. An exception that leaves the body therefore loses the batch;
a process that is gone loses nothing.
"""

import faulthandler
import logging
import os
import sys
import threading
from enum import IntEnum
from typing import NoReturn

import structlog

log = structlog.get_logger(__name__)


class ExitStatus(IntEnum):
    """How a role ends when Faust does not end it; the supervisor reads it."""

    STOPPED = 0
    HALTED = 70  # on purpose: a person has to look; not restarted
    RESTART = 75  # the engine or a dependency misbehaved; a fresh start reads everything again


def exit_for_restart(reason: str, **facts: object) -> NoReturn:
    """Say why, and leave without acknowledging anything. Whoever supervises starts the worker anew."""
    _leave(ExitStatus.RESTART, "worker_restarts", reason, facts)


def halt(reason: str, **facts: object) -> NoReturn:
    """Say why, and stop for good: an invariant is broken, and going on would spread it."""
    _leave(ExitStatus.HALTED, "worker_halted", reason, facts)


def leave_when_stopping_hangs(seconds: float) -> None:
    """Told to stop, and still here after so long: leave all the same, and say where every thread stands.

    Seen in a trial on an overloaded machine: thirty seconds after SIGTERM the worker was still there. An orderly
    stop has nothing to save: what was acknowledged is in the topic with its positions, the rest is read again.
    """
    timer = threading.Timer(seconds, _leave_a_stop_that_hangs, [seconds])
    timer.daemon = True  # an orderly end does not wait for it
    timer.start()


def _leave_a_stop_that_hangs(seconds: float) -> None:
    faulthandler.dump_traceback(all_threads=True)
    _leave(ExitStatus.STOPPED, "worker_stop_cut_short", "Faust did not stop in time", {"seconds": seconds})


def _leave(status: ExitStatus, event: str, reason: str, facts: dict[str, object]) -> NoReturn:
    log.error(event, reason=reason, **facts)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
