"""Starts one role of the program under test, with a clock that can be stepped and, for the proof, one thing broken.

    python -m tests.faults.chaos.role ROLE

The product has no switch for either: what is patched is patched here, before the role's modules are loaded. The clock
is a file of eight bytes, the seconds to add; libfaketime would do the same to code that is not Python, and isn't needed
as no other code asks for the time of day. The broker's and Postgres' clocks are left alone.
"""

import mmap
import os
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

CLOCK_FILE = "CHAOS_CLOCK_FILE"
SABOTAGE = "CHAOS_SABOTAGE"
STEP = struct.Struct("d")


def main() -> None:
    """Patch, then run the program as its users do."""
    if clock_file := os.environ.get(CLOCK_FILE):
        _install_clock(Path(clock_file))
    if sabotage := os.environ.get(SABOTAGE):
        from tests.faults.chaos.sabotage import SABOTAGES

        SABOTAGES[sabotage].commit()
    from callweave.__main__ import main as run_callweave

    run_callweave()


def _install_clock(path: Path) -> None:
    with path.open("rb") as file:
        step = mmap.mmap(file.fileno(), STEP.size, prot=mmap.PROT_READ)
    true_time = time.time

    def stepped_time() -> float:
        return true_time() + float(STEP.unpack_from(step)[0])

    def stepped_now() -> datetime:
        return datetime.fromtimestamp(stepped_time(), UTC)

    time.time = stepped_time
    time.time_ns = lambda: int(stepped_time() * 1e9)
    # Whoever loads these after us gets ours; the roles' modules do.
    import callweave.roles.hosting
    import sinks.sink

    callweave.roles.hosting.utc_now = stepped_now
    sinks.sink.utc_now = stepped_now


if __name__ == "__main__":
    sys.exit(main())
