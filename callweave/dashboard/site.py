"""The page's own files, in memory: each with its type, an ETag of its content, and a compressed twin.

The rule: the page is these files and nothing else; no address outside is in them, and the policy that is sent with
every answer would not let one be called.
"""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_GZIP_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file."""

    content_type: str
    body: bytes
    compressed: bytes
    etag: str


def static_files() -> dict[str, StaticFile]:
    """All of them by their path below `/static/`."""
    return {path: _static_file(path, file.read_bytes()) for path, file in _walk(files(__package__) / "static")}


def _static_file(path: str, body: bytes) -> StaticFile:
    kind = _TYPES[path.rpartition(".")[2]]
    return StaticFile(
        kind,
        body,
        gzip.compress(body, _GZIP_LEVEL, mtime=0),
        f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"',
    )


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _walk(item, f"{prefix}{item.name}/")
        elif item.name.rpartition(".")[2] in _TYPES:
            yield f"{prefix}{item.name}", item
