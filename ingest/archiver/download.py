"""One download: bounded, resumable, over pinned connections; and what its bytes are.

The rule: what came of a try is kept and goes on with the next, if the server says that it is still the same file; a
file counts only when its length is the one that the server named and its bytes are audio.
"""

import asyncio
import base64
import binascii
import errno
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector

from ingest.archiver.audio import Audio, NotAudioError, look_at
from ingest.archiver.safety import AddressRules, JudgingResolver, RefusedAddressError

REDIRECTS_MAX: Final = 5
RETRY_AFTER_SECONDS_MAX: Final = 6 * 3600
SILENCE_SECONDS_MAX: Final = 30.0
_CHUNK_BYTES: Final = 256 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({401, 403, 404, 410})
_TAG_BYTES_MAX: Final = 1024


class Remedy(StrEnum):
    """What helps after a try that failed."""

    AGAIN = "again"
    ANOTHER_ADDRESS = "another address"  # this one has expired, or never was one
    NOTHING = "nothing"  # it must not be fetched
    SPACE = "space"


class DownloadError(Exception):
    """A try that gave no file. The message says why; no address stands in it."""

    def __init__(self, problem: str, remedy: Remedy, *, wait_seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.wait_seconds = wait_seconds
        """How long the server asked to be left alone."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that came whole."""

    path: Path
    sha256: str
    size_bytes: int
    audio: Audio


class Downloader:
    """Fetches over one pool of connections. Make it inside the event loop that uses it, and close it."""

    def __init__(
        self,
        rules: AddressRules,
        *,
        bytes_max: int,
        seconds_max: float,
        per_host_max: int,
        resolver: JudgingResolver | None = None,
    ) -> None:
        self._rules = rules
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._session = ClientSession(
            connector=TCPConnector(
                resolver=resolver or JudgingResolver(rules),
                use_dns_cache=False,  # each connection goes where its own look-up led
                limit_per_host=per_host_max,
            ),
            timeout=ClientTimeout(total=None, sock_connect=SILENCE_SECONDS_MAX, sock_read=SILENCE_SECONDS_MAX),
            auto_decompress=False,
            trust_env=False,  # a proxy would resolve the name again
            headers={"Accept-Encoding": "identity", "User-Agent": "callweave-archiver"},
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def fetch(self, address: str, part: Path) -> Fetched:
        """Fetch into `part`, going on with what is there. Raises DownloadError."""
        try:
            async with asyncio.timeout(self._seconds_max):
                await self._fetch(address, part)
        except TimeoutError:
            raise DownloadError("no whole file came in time", Remedy.AGAIN) from None
        except RefusedAddressError as exc:
            raise DownloadError(str(exc), Remedy.NOTHING) from None
        except aiohttp.ClientError as exc:
            refused = _refused_within(exc)
            if refused is not None:
                raise DownloadError(str(refused), Remedy.NOTHING) from None
            raise DownloadError(f"the connection failed ({type(exc).__name__})", Remedy.AGAIN) from None
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DownloadError("the disk of the downloads is full", Remedy.SPACE) from None
            raise DownloadError(f"the connection failed ({type(exc).__name__})", Remedy.AGAIN) from None
        return await asyncio.to_thread(self._judge, part)

    async def _fetch(self, address: str, part: Path) -> None:
        tag_file = _tag_file(part)
        for _ in range(REDIRECTS_MAX + 1):
            self._rules.check(address)
            headers = _resuming(part, tag_file)
            async with self._session.get(address, headers=headers, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    address = urljoin(address, response.headers.get("Location", ""))
                    continue
                await self._take(response, part, tag_file)
                return
        raise DownloadError("the address leads around in circles", Remedy.AGAIN)

    async def _take(self, response: ClientResponse, part: Path, tag_file: Path) -> None:
        status = response.status
        if status == 416:
            discard(part)
            raise DownloadError("the server has another file now", Remedy.AGAIN)
        if status not in (200, 206):
            remedy = Remedy.ANOTHER_ADDRESS if status in _GONE else Remedy.AGAIN
            raise DownloadError(f"HTTP {status}", remedy, wait_seconds=_wait_seconds(response))
        kept = _kept_bytes(response, part)
        named = response.content_length
        if named is not None and kept + named > self._bytes_max:
            discard(part)
            raise DownloadError(f"larger than {self._bytes_max} bytes", Remedy.NOTHING)
        if not kept:
            discard(part)
            _remember_tag(response, tag_file)
        size = kept
        with part.open("ab" if kept else "wb") as file:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                size += len(chunk)
                if size > self._bytes_max:
                    break
                file.write(chunk)
        if size > self._bytes_max:
            discard(part)
            raise DownloadError(f"larger than {self._bytes_max} bytes", Remedy.NOTHING)
        if named is not None and size != kept + named:
            raise DownloadError(f"{size} of {kept + named} bytes came", Remedy.AGAIN)
        if status == 200 and not _checksum_fits(response, part):
            discard(part)
            raise DownloadError("the checksum is another than the server named", Remedy.AGAIN)

    def _judge(self, part: Path) -> Fetched:
        try:
            audio = look_at(part)
        except NotAudioError as exc:
            discard(part)
            raise DownloadError(str(exc), Remedy.ANOTHER_ADDRESS) from None
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        return Fetched(part, digest.hexdigest(), part.stat().st_size, audio)


def discard(part: Path) -> None:
    """Forget what came so far."""
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_suffix(".tag")


def _resuming(part: Path, tag_file: Path) -> dict[str, str]:
    """Ask for the rest, if the server can tell whether it is of the same file; else for all of it."""
    if part.exists() and part.stat().st_size and tag_file.exists():
        return {"Range": f"bytes={part.stat().st_size}-", "If-Range": tag_file.read_text(encoding="latin-1")}
    return {}


def _remember_tag(response: ClientResponse, tag_file: Path) -> None:
    tag = response.headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    if tag and not tag.startswith("W/") and len(tag) <= _TAG_BYTES_MAX:
        tag_file.write_text(tag, encoding="latin-1")


def _kept_bytes(response: ClientResponse, part: Path) -> int:
    """How much of what is there the answer goes on from."""
    if response.status != 206:
        return 0
    there = part.stat().st_size if part.exists() else 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
        discard(part)
        raise DownloadError("the server sent another part than was asked for", Remedy.AGAIN)
    return there


def _wait_seconds(response: ClientResponse) -> float:
    """Retry-After, where it is a number of seconds that is worth believing."""
    told = response.headers.get("Retry-After", "")
    return float(min(int(told), RETRY_AFTER_SECONDS_MAX)) if told.isascii() and told.isdigit() else 0.0


def _checksum_fits(response: ClientResponse, part: Path) -> bool:
    """Compare with Content-MD5, where the server names one."""
    try:
        named = base64.b64decode(response.headers.get("Content-MD5", ""), validate=True)
    except binascii.Error:
        return True
    if not named:
        return True
    with part.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest() == named


def _refused_within(exc: BaseException) -> RefusedAddressError | None:
    found: BaseException | None = exc
    while found is not None:
        if isinstance(found, RefusedAddressError):
            return found
        found = found.__cause__ or found.__context__
    return None
