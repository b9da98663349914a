"""Gets what callweave is measured beside: wheels, jars and a Go program, each built once into the user's cache.

What cannot be had on this machine is left out, and named; nothing of it is ever a dependency of callweave.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from callweave.broker.jars import BrokerUnavailable, cache_dir, fetch_listed, parse_list, pinned_jars
from callweave.broker.java import find_java
from callweave.broker.local import VERSION

T = TypeVar("T")
PEERS = Path(__file__).parent / "peers"
BUILD_SECONDS_MAX = 900
CannotBeHad = (OSError, subprocess.SubprocessError, BrokerUnavailable)
# What Kafka's own list has of what Kafka Streams needs: its client, and who reads JSON.
OF_KAFKA = frozenset(
    {
        "kafka-clients",
        "jackson-annotations",
        "jackson-core",
        "jackson-databind",
        "slf4j-api",
        "lz4-java",
        "zstd-jni",
        "snappy-java",
    }
)


class Contestants:
    """Commands for those that could be installed; the others in `left_out`, with the reason."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache or cache_dir().parent / "bench"
        self.left_out: dict[str, str] = {}

    def python(self, name: str, requirements: str = "requirements.txt") -> str | None:
        """The interpreter of an environment with what `requirements` names."""
        return self._had(name, lambda: self._environment(requirements))

    def python_version(self, python: str | None, distribution: str) -> str:
        """As it is installed there."""
        if python is None:
            return ""
        code = f"from importlib.metadata import version; print(version({distribution!r}))"
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    @cached_property
    def kafka_streams(self) -> list[str] | None:
        """The command that runs `KafkaStreamsJoin`, without its arguments."""
        return self._had("kafka-streams", self._compiled_java)

    @cached_property
    def go_franz(self) -> list[str] | None:
        """The command that runs the door in Go, without its arguments."""
        return self._had("go-franz", self._compiled_go)

    @property
    def franz_version(self) -> str:
        """As go.mod pins it."""
        lines = (PEERS / "go_franz" / "go.mod").read_text(encoding="utf-8").splitlines()
        return next(line.split()[-1] for line in lines if "twmb/franz-go " in line).removeprefix("v")

    @property
    def kafka_streams_version(self) -> str:
        """The broker's own."""
        return VERSION

    def _had(self, name: str, build: Callable[[], T]) -> T | None:
        try:
            return build()
        except CannotBeHad as exc:
            self.left_out[name] = f"could not be installed here: {one_line(exc)}"
            return None

    def _environment(self, requirements: str) -> str:
        wanted = PEERS / requirements
        folder = self._cache / f"python-{wanted.stem}-{fingerprint(wanted.read_bytes() + sys.version.encode())}"
        python = folder / "bin" / "python"
        mark = folder / ".installed"
        if not mark.exists():
            run([sys.executable, "-m", "venv", "--clear", str(folder)])
            run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)])
            mark.touch()
        return str(python)

    def _compiled_java(self) -> list[str]:
        source = PEERS / "kafka_streams" / "KafkaStreamsJoin.java"
        listed = parse_list((PEERS / "kafka_streams" / "jars.txt").read_text(encoding="ascii"))
        of_kafka = [jar for jar in pinned_jars(VERSION) if jar.artifact in OF_KAFKA]
        jars = [str(path) for path in fetch_listed([*listed, *of_kafka])]
        compiler = next(path for path in jars if "ecj" in Path(path).name)
        classpath = ":".join(path for path in jars if path != compiler)
        java = str(find_java().executable)
        classes = self._cache / f"java-{fingerprint(source.read_bytes() + classpath.encode())}"
        if not (classes / "KafkaStreamsJoin.class").exists():
            # Eclipse's compiler is a jar: a machine with a Java that only runs can compile, too.
            run([java, "-jar", compiler, "-17", "-proc:none", "-nowarn", "-cp", classpath, "-d", str(classes),
                 str(source)])  # fmt: skip
        return [java, "-XX:+UseSerialGC", "-Xms512m", "-Xmx512m", "-cp", f"{classes}:{classpath}", "KafkaStreamsJoin"]

    def _compiled_go(self) -> list[str]:
        source = PEERS / "go_franz"
        files = sorted(source.iterdir())
        program = self._cache / f"go-franz-{fingerprint(b''.join(file.read_bytes() for file in files))}" / "door"
        if not program.exists():
            go = shutil.which("go") or self._go_of_a_wheel()
            run([go, "build", "-trimpath", "-o", str(program), "."], cwd=source)
        return [str(program)]

    def _go_of_a_wheel(self) -> str:
        return str(Path(self._environment("requirements-go.txt")).parent / "go")


def run(command: list[str], *, cwd: Path | None = None) -> None:
    """One step of a build; what it said is in the error."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise OSError(f"{Path(command[0]).name} ended with {done.returncode}: {last[0]}")


def one_line(error: BaseException) -> str:
    """A reason without line ends, and without this machine's paths."""
    return " ".join(str(error).split()).replace(str(Path.home()), "~")[:200]


def fingerprint(content: bytes) -> str:
    """Names what was built from it: other sources, another folder."""
    return hashlib.sha256(content).hexdigest()[:12]


def our_version(distribution: str) -> str:
    """As it is installed beside callweave."""
    return version(distribution)
