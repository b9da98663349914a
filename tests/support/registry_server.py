"""A real schema registry: Apicurio Registry from Maven Central, on a Java that runs Kafka, its store in memory.

The rule: nothing runs that is not the pinned file; it is fetched once into the user's cache, as Kafka's jars are.
"""

import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from callweave.broker.jars import Jar, cache_dir, fetch_listed
from callweave.broker.java import find_java
from callweave.broker.local import free_port
from tests.support.archives import unpack
from tests.support.program import eventually

VERSION: Final = "3.0.9"
"""The newest that Java 17 runs; 3.3.3 needs 21, and gives the same answers."""
SHA256: Final = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43"
HEAP: Final = "-Xmx256m"
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def a_real_registry(distributed: Path, folder: Path) -> Iterator[str]:
    """Its address as `REGISTRY__URL` takes it: Confluent's REST is below a path of its own."""
    unpack(distributed, folder)
    port = free_port()
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    options = (HEAP, "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}")
    program = folder / f"apicurio-registry-app-{VERSION}-runner.jar"
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [find_java().executable, *options, "-jar", program], cwd=folder, stdout=log, stderr=log
        )
        try:
            eventually(lambda: process.poll() is not None or _answers(url))
            assert process.poll() is None, (folder / "registry.log").read_text(errors="replace")[-2000:]
            yield url
        finally:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with _direct.open(f"{url}/subjects", timeout=5) as answer:
            return bool(answer.status)
    except OSError:
        return False


def distribution() -> Path:
    """The archive in the cache; 109 MB, fetched once. BrokerUnavailable where Maven Central is not."""
    archive = Jar("io.apicurio", "apicurio-registry-app", VERSION, "all", SHA256, "tar.gz")
    (kept,) = fetch_listed([archive], cache=cache_dir().parent / "registry")
    return kept
