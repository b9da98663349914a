"""What may not reach a log does not, whoever says it and however it is said."""

import subprocess
import sys
from typing import Final

import pytest

SAYS: Final = {
    "an exception of ours": "raise Carries('planted-value in an error of another room')",
    "an exception with locals": "body = 'planted-local'\nraise ValueError('planted-value')",
    "a chain": "try:\n  int('planted-inner')\nexcept ValueError as exc:\n  raise KeyError('planted-outer') from exc",
    "a group": "raise ExceptionGroup('planted-group', [ValueError('planted-member')])",
    "bytes": "b'\\xff planted-bytes'.decode()",
}
RUN = """
import asyncio, logging, structlog, sys, threading
from callweave.logs import configure_logs
from callweave.settings import LogSettings
class Carries(Exception): pass
configure_logs(LogSettings(format="{format}", level="debug"), "test")
log = structlog.get_logger("callweave.test")
def fail():
{body}
"""
WAYS: Final = {
    "structlog": "try: fail()\nexcept BaseException: log.exception('it_failed')",
    "logging": "try: fail()\nexcept BaseException: logging.getLogger('mode').exception('it failed')",
    "an argument": "try: fail()\nexcept BaseException as exc: logging.getLogger('mode').error('Crashed: %r', exc)",
    "a message": "try: fail()\nexcept BaseException as exc: logging.getLogger('x').error(exc)",
    "a named argument": (
        "try: fail()\nexcept BaseException as exc: logging.getLogger('x').error('no: %(why)s', {'why': exc})"
    ),
    "a forgotten task": (
        "async def main():\n"
        "  async def doomed(): fail()\n"
        "  task = asyncio.create_task(doomed())\n"
        "  await asyncio.sleep(0)\n  del task\n  import gc; gc.collect()\n"
        "asyncio.run(main(), debug=True)"
    ),
    "a thread": "thread = threading.Thread(target=fail); thread.start(); thread.join()",
    "the program's end": "fail()",
}


@pytest.mark.parametrize("as_format", ["json", "console"])
def test_no_exception_takes_a_value_into_a_log(as_format: str) -> None:
    script = RUN.format(format=as_format, body="  pass")
    for body in SAYS.values():
        indented = "\n".join(f"  {line}" for line in body.splitlines())
        script += f"\ndef fail():\n{indented}\n"
        script += "\n".join(way for name, way in WAYS.items() if name != "the program's end") + "\n"
    done = run(script + WAYS["the program's end"])

    assert done.returncode == 1
    assert "planted" not in done.stdout + done.stderr
    assert done.stderr.count("ValueError") >= len(WAYS)
    assert "program_failed" in done.stderr
    assert "in fail" in done.stderr, "where it happened is told"


def test_what_our_own_errors_and_the_system_say_is_kept() -> None:
    script = RUN.format(format="json", body="  raise MisconfiguredError('set KAFKA__X') from OSError(5, 'disk away')")
    done = run(
        script.replace("class Carries", "from callweave.settings import MisconfiguredError\nclass Carries")
        + WAYS["structlog"]
    )

    assert "MisconfiguredError: set KAFKA__X" in done.stderr
    assert "OSError: [Errno 5] disk away" in done.stderr


def test_libraries_are_quiet_at_every_level_below_a_warning() -> None:
    done = run(
        RUN.format(format="json", body="  pass")
        + "logging.getLogger('aiokafka.producer').debug('Sending (value=%r)', b'planted-value')\n"
        "logging.getLogger('aiohttp.access').info('GET /tccc/push?token=planted-token')\n"
        "log.debug('ours', id=7)"
    )

    assert "planted" not in done.stderr
    assert '"ours"' in done.stderr


def run(script: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
