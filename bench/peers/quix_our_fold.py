"""Quix Streams around callweave's own core: events checked, folded and published as the worker does, by Quix's engine.

What is compared is the engine: reading, state on disk with its changelog, publishing, committing. Not the worker's:
dead letters, the guard against gaps, the fence, retirement, metrics.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bench.peers.quix import run
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


if __name__ == "__main__":
    run(absorb, *sys.argv[1:6], values="bytes", compression="zstd", metadata=True)
