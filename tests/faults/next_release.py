"""Starts one role as the release after this one: the same code under a later version, which layouts are noted by.

python -m tests.faults.next_release ROLE
"""

import importlib.metadata
from collections.abc import Callable

VERSION = "99.1.0"
LAYOUT = f"""
ALTER TABLE sessions ADD COLUMN mood VARCHAR;
ALTER TABLE legs ADD COLUMN mood VARCHAR;
ALTER TABLE callweave_offsets ADD COLUMN note VARCHAR;
CREATE TABLE moods (a BIGINT);
UPDATE callweave_meta SET value = '{VERSION}' WHERE key = 'program_version';
"""
"""What it has more; an owner of the database lays it out before the roles are replaced."""


def main() -> None:
    """Take the version, before any module asks for it, and run the program as its users do."""
    importlib.metadata.version = _later(importlib.metadata.version)
    from callweave.__main__ import main as run_callweave

    run_callweave()


def _later(version: Callable[[str], str]) -> Callable[[str], str]:
    return lambda name: VERSION if name == "callweave" else version(name)


if __name__ == "__main__":
    main()
