"""A disk of its own for the spool, small enough to be filled: a tmpfs in a mount namespace that ends with this process.

Where that needs rights that we do not have, the spool's own bound (1 MiB, the least) has to be the disk that is full.
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000  # linux/sched.h
MS_REC, MS_PRIVATE = 0x4000, 0x40000  # linux/mount.h
DISK_BYTES = 12 * 1024 * 1024
BALLAST = "ballast"
CHUNK = bytes(64 * 1024)


def own_mounts() -> bool:
    """From now on what this process mounts is seen by nobody else. Call it before there are threads."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.unshare(CLONE_NEWNS) == 0 and libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0


def mount(folder: Path) -> None:
    """Put a small disk at the folder."""
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={DISK_BYTES},mode=0700".encode()
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no tmpfs at {folder}: {os.strerror(number)}")


def fill(folder: Path) -> None:
    """Leave no byte."""
    with (folder / BALLAST).open("wb", buffering=0) as file:
        for size in (len(CHUNK), 4096, 1):
            try:
                while file.write(CHUNK[:size]):
                    pass
            except OSError:
                continue  # no room for a piece of this size


def clear(folder: Path) -> None:
    """Give the room back."""
    (folder / BALLAST).unlink(missing_ok=True)
