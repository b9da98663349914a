"""Kafka's jars, as pinned: fetched once into the user's cache, checked against their SHA-256 every time they are used.

The rule: nothing gets on a classpath that the lists beside this file (by `deploy/kafka/pin.py`) do not vouch for.
"""

import hashlib
import os
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeAlias

import platformdirs

USE_YOUR_OWN = "set CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS to use a broker of your own"

DOWNLOAD_THREADS = 6
ATTEMPTS_MAX = 3
RETRY_PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = (10, 60)  # to connect, and between two reads
CHUNK_BYTES = 1 << 16
LEFTOVER_SECONDS = 24 * 3600


class BrokerUnavailable(Exception):  # noqa: N818 - a state of the world, as in aiokafka's BrokerNotAvailable
    """No broker can be had on this machine; the message is one sentence that says why and what to do."""


class DownloadFailed(Exception):  # noqa: N818 - it reads as what happened
    """One attempt to fetch one jar failed; `is_final` when another attempt would fail just the same."""

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of a list: what Maven calls the file, and what must be in it."""

    group: str
    artifact: str
    version: str
    classifier: str | None
    sha256: str
    extension: str = "jar"

    @property
    def file_name(self) -> str:
        """Its name in the cache, which all versions of Kafka share: with the group, as two have a `metrics-core`."""
        parts = (self.artifact, self.version, self.classifier)
        return f"{self.group}.{'-'.join(part for part in parts if part)}.{self.extension}"


Download: TypeAlias = Callable[[Jar], Iterator[bytes]]
Progress: TypeAlias = Callable[[int, int], None]


def fetch_jars(
    version: str,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    download: Download | None = None,
) -> list[Path]:
    """The jars of Kafka `version` as files that hold what they should, from the cache and else from Maven Central.

    A file that is not what the list says (a disk that lied, a half-written copy) is fetched again. Two processes may do
    this at once: each file appears under its name when it is whole, and which of two equal ones stays does not matter.
    `progress(done, total)` counts the jars that had to be fetched, and is called from the calling thread only.
    """
    return fetch_listed(pinned_jars(version), cache=cache, progress=progress, download=download)


def fetch_listed(
    jars: list[Jar],
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    download: Download | None = None,
) -> list[Path]:
    """The same for any list: the benches' contestants have one, too."""
    folder = cache or cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep_leftovers(folder)
        with ThreadPoolExecutor(DOWNLOAD_THREADS, thread_name_prefix="jars") as pool:
            try:
                _fetch_absent(pool, jars, folder, progress=progress, download=download or from_maven_central)
            except BaseException:
                # Also when interrupted: what has not begun must not begin.
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except OSError as error:
        raise BrokerUnavailable(
            f"Kafka's jars cannot be kept in {folder} ({error.strerror or error}); make room there,"
            f" set CALLWEAVE_CACHE_DIR to another directory, or {USE_YOUR_OWN}."
        ) from error
    return [folder / jar.file_name for jar in jars]


def pinned_versions() -> list[str]:
    """The versions of Kafka that have a list."""
    names = [entry.name for entry in resources.files(__package__).iterdir()]
    return sorted(
        name.removeprefix("kafka-").removesuffix(".txt")
        for name in names
        if name.startswith("kafka-") and name.endswith(".txt")
    )


def pinned_jars(version: str) -> list[Jar]:
    """The list of one version, in the order of its file."""
    if version not in (known := pinned_versions()):
        raise BrokerUnavailable(
            f"Kafka {version} is not one of the versions that are pinned here ({', '.join(known)}); take one of these,"
            f" or {USE_YOUR_OWN}."
        )
    text = resources.files(__package__).joinpath(f"kafka-{version}.txt").read_text(encoding="ascii")
    return parse_list(text)


def parse_list(text: str) -> list[Jar]:
    """Read `group:artifact:version[:classifier] sha256` lines; `#` starts a comment line."""
    jars = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        if line.startswith("#"):
            continue
        coordinates, sha256 = line.split()
        group, artifact, version, *classifier = coordinates.split(":")
        jars.append(Jar(group, artifact, version, classifier[0] if classifier else None, sha256))
    return jars


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the jars live between runs: the user's cache on this system, or as CALLWEAVE_CACHE_DIR says."""
    chosen = environ.get("CALLWEAVE_CACHE_DIR")
    root = Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("callweave"))
    return root / "jars"


def from_maven_central(jar: Jar) -> Iterator[bytes]:
    """The bytes of one jar. `maven_artifact` knows the place; its own `download` prints, and waits without a limit."""
    # What it brings (requests, lxml) is 9 MB that a start with all jars at hand does not need.
    from maven_artifact import Artifact, Downloader  # noqa: PLC0415

    downloader = Downloader()
    artifact = Artifact(jar.group, jar.artifact, jar.version, jar.classifier, jar.extension)
    address = downloader.resolver.uri_for_artifact(artifact)
    options = {"stream": True, "timeout": TIMEOUT_SECONDS, **trust_options()}
    try:
        with downloader.requestor.request(address, None, **options) as answer:
            yield from answer.iter_content(CHUNK_BYTES)
    except OSError as error:  # all errors of requests are OSErrors
        status = getattr(getattr(error, "response", None), "status_code", None)
        is_final = status is not None and 400 <= status < 500 and status not in {408, 429}
        raise DownloadFailed(str(error), is_final=is_final) from error


def trust_options(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Have requests trust whom the machine trusts, which is where a company's own authority is; pip does the same.

    Left alone, requests believes its two variables and else the list of the certifi wheel. Python's ssl knows the
    system's store, and minds SSL_CERT_FILE and SSL_CERT_DIR; certifi serves where that is empty.
    """
    if environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE"):
        return {}
    system = ssl.get_default_verify_paths()
    if system.cafile:
        return {"verify": system.cafile}
    if system.capath and any(Path(system.capath).iterdir()):
        return {"verify": system.capath}
    return {}


def _fetch_absent(
    pool: ThreadPoolExecutor, jars: list[Jar], folder: Path, *, progress: Progress | None, download: Download
) -> None:
    is_here = pool.map(lambda jar: _holds(folder / jar.file_name, jar.sha256), jars)
    absent = [jar for jar, here in zip(jars, is_here, strict=True) if not here]
    report = progress or _say_nothing
    if absent:
        report(0, len(absent))
    for done, future in enumerate(as_completed([pool.submit(_fetch, jar, folder, download) for jar in absent]), 1):
        future.result()
        report(done, len(absent))


def _fetch(jar: Jar, folder: Path, download: Download) -> None:
    """Fetch one jar, patiently: the network is allowed to stumble, and to bring a page of a proxy instead of a jar."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            _fetch_once(jar, folder, download)
        except DownloadFailed as error:
            if error.is_final or attempt == ATTEMPTS_MAX:
                raise BrokerUnavailable(
                    f"Kafka could not be fetched: {jar.artifact} {jar.version}: {error}; check the network and"
                    f" run again, or {USE_YOUR_OWN}."
                ) from error
            time.sleep(RETRY_PAUSE_SECONDS * 2 ** (attempt - 1))
        else:
            return


def _fetch_once(jar: Jar, folder: Path, download: Download) -> None:
    target = folder / jar.file_name
    partial = folder / f"{jar.file_name}.{secrets.token_hex(8)}.part"
    digest = hashlib.sha256()
    try:
        with partial.open("xb") as file:
            for chunk in download(jar):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != jar.sha256:
            raise DownloadFailed("what came is not the pinned file (its SHA-256 differs)", is_final=False)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _holds(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _sweep_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left half-written; a day is longer than any download goes on."""
    for partial in folder.glob("*.part"):
        try:
            if time.time() - partial.stat().st_mtime > LEFTOVER_SECONDS:
                partial.unlink()
        except FileNotFoundError:
            continue  # another process swept it, or has just made a jar of it


def _say_nothing(_done: int, _total: int) -> None:
    """The progress of somebody who does not care."""
