"""What a failing store means. RocksDB tells everything in one exception type, so its text is read: only here."""

import errno
from enum import Enum, auto
from pathlib import Path
from typing import NoReturn

from streams.engine.halt import exit_for_restart, halt
from streams.engine.state_dir import condemn


class StoreFault(Enum):
    """Why a store failed."""

    FULL = auto()
    CORRUPT = auto()
    HELD = auto()
    OTHER = auto()


def fault_of(exc: BaseException) -> StoreFault:
    """Classify. The first words are RocksDB's status codes (`util/status.cc`), the rest is the system's."""
    text = str(exc)
    if (isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT)) or any(
        words in text for words in ("No space left on device", "Disk quota exceeded", "Space limit reached")
    ):
        return StoreFault.FULL
    if "lock hold by current process" in text or "While lock file" in text:
        return StoreFault.HELD
    if text.startswith("Corruption:") or "Corruption:" in text:
        return StoreFault.CORRUPT
    return StoreFault.OTHER


def store_failed(exc: BaseException, store: Path) -> NoReturn:
    """A store failed at work: end the process with nothing acknowledged, so that nothing is lost."""
    match fault_of(exc):
        case StoreFault.FULL:
            halt_for_full_disk(exc, store)
        case StoreFault.CORRUPT:
            condemn(store, str(exc))
            exit_for_restart(
                "the state of a partition is corrupt; the next start sets it aside and builds it again",
                store=str(store),
                problem=str(exc),
            )
        case _:
            raise exc


def halt_for_full_disk(exc: BaseException, store: Path) -> NoReturn:
    """Stop for good: a restart would only meet the same full disk."""
    halt(
        "the disk of the worker's state is full",
        store=str(store),
        problem=str(exc),
        action="make room, then start the worker again; nothing of this batch was acknowledged, nothing is lost",
    )
