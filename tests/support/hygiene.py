"""The logs of every role's process in a test run, and what must stand in none of them.

`tests.support.program` writes them here; `tests/conftest.py` reads them when the run is over. What is planted is
recognised by its shape: everything that the examples, the simulator and the tests push about people.
"""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PLANTED: Final = {
    "a phone number": re.compile(r"0086\d{8,}|\+86\d{8,}|139\d{8}"),
    "a mail address": re.compile(r"[\w.-]+@[\w.]*example\.com"),
    "a planted secret": re.compile(r"planted-[a-z]+"),
    "a recording's address": re.compile(r"https?://[\w.]*(?:myqcloud|example)\.com/"),
}
"""What may stand in no log. Tests that plant something of their own call it `planted-…`."""

_SHOWN_MAX: Final = 20
_TAIL_BYTES: Final = 8_000

_SHARED_BY: Final = "LOGS_OF_THE_TEST_RUN"
"""Set for the processes that run tests for this one, so that all logs of a run lie in one folder."""
_IS_OWNER: Final = _SHARED_BY not in os.environ
LOGS: Final = Path(os.environ.get(_SHARED_BY) or tempfile.mkdtemp(prefix="callweave-test-logs-"))
os.environ[_SHARED_BY] = str(LOGS)
_OWNER_PID: Final = os.getpid()


def log_file(name: str) -> Path:
    """A new file for the standard error of a process."""
    test = re.sub(r"\W+", "-", os.environ.get("PYTEST_CURRENT_TEST", "no-test").rpartition("::")[2])[:80]
    LOGS.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(prefix=f"{test}.{name}.", suffix=".log", dir=LOGS)
    os.close(handle)
    return Path(path)


def leaks(folder: Path = LOGS) -> Iterator[str]:
    """One line for each line of a log that holds what it must not; the value itself is masked."""
    for path in sorted(folder.glob("*.log")):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            for what, pattern in PLANTED.items():
                if pattern.search(line):
                    yield f"{path.name}:{number}: {what}: {pattern.sub('<HERE>', line)[:500]}"


def tails_of(test_name: str) -> Iterator[tuple[str, str]]:
    """The ends of the logs that a test's processes wrote, for its report."""
    test = re.sub(r"\W+", "-", test_name)[:80]
    for path in sorted(LOGS.glob(f"{test}*.log")):
        text = path.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
        if text:
            yield path.name, text


def summary() -> list[str]:
    """The first leaks of the run, for its end."""
    found = list(leaks())
    more = len(found) - _SHOWN_MAX
    return [*found[:_SHOWN_MAX], *([f"and {more} more"] if more > 0 else [])]


@atexit.register
def _remove() -> None:
    if _IS_OWNER and os.getpid() == _OWNER_PID:
        shutil.rmtree(LOGS, ignore_errors=True)
