"""Archives of the tests' own, or pinned by their digest."""

import tarfile
from pathlib import Path


def unpack(packed: Path, folder: Path) -> None:
    """What a tar file holds, into a folder. Python has filters since 3.11.4; a Debian may have an older one."""
    with tarfile.open(packed) as files:
        if hasattr(tarfile, "data_filter"):
            files.extractall(folder, filter="data")
        else:
            files.extractall(folder)  # noqa: S202  (see above: not a stranger's)
