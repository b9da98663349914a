"""The archive: files under the digest of their content, in a folder or in an S3-compatible store.

The rule: a file is there whole or not at all, and the same content is there once. Blocking: call it in a thread.
"""

import errno
import hashlib
import os
import shutil
import uuid
from pathlib import Path
from typing import Any, Final

from pyarrow import fs

_CHUNK_BYTES: Final = 1024 * 1024


class StoreError(Exception):
    """The archive does not take or give a file. The message says why."""


class StoreFullError(StoreError):
    """There is no room. That is nobody's mistake, and passes."""


class Archive:
    """A place, named by a path or by an address that pyarrow understands (`s3://…`, `gs://…`, `file://…`)."""

    def __init__(self, place: str) -> None:
        try:
            if "://" in place:
                self._files, self._root = fs.FileSystem.from_uri(place)
            else:
                self._files, self._root = fs.LocalFileSystem(), str(Path(place).absolute())
        except (OSError, ValueError) as exc:
            # The address may hold a key: not repeated.
            raise StoreError(f"ARCHIVER__STORE cannot be used ({type(exc).__name__}): check its spelling") from None
        self._is_local = isinstance(self._files, fs.LocalFileSystem)

    @property
    def folder(self) -> Path | None:
        """Where it lies on this machine; None where it is elsewhere."""
        return Path(self._root) if self._is_local else None

    def put(self, source: Path, sha256: str, suffix: str) -> str:
        """Keep a file; its path below the archive's root. What is there already, whole, stays as it is."""
        path = f"sha256/{sha256[:2]}/{sha256}{suffix}"
        size = source.stat().st_size
        try:
            if self.size_of(path) == size:
                return path
            if self._is_local:
                _put_locally(source, Path(self._root) / path)
            else:
                # An object appears when its upload is complete.
                with source.open("rb") as file, self._files.open_output_stream(self._at(path)) as stream:
                    shutil.copyfileobj(file, stream, _CHUNK_BYTES)
            if self.size_of(path) != size:
                raise StoreError("the archive holds another size than was written")
        except OSError as exc:
            raise _refusal(exc) from exc
        return path

    def size_of(self, path: str) -> int | None:
        """How large a kept file is; None where there is none."""
        try:
            info = self._files.get_file_info(self._at(path))
        except OSError as exc:
            raise StoreError(f"the archive cannot be reached: {_words(exc)}") from exc
        return int(info.size) if info.type == fs.FileType.File else None

    def digest_of(self, path: str) -> str | None:
        """SHA-256 of what is kept; None where there is nothing."""
        if self.size_of(path) is None:
            return None
        digest = hashlib.sha256()
        try:
            with self._files.open_input_stream(self._at(path)) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except OSError as exc:
            raise StoreError(f"the archive cannot be read: {_words(exc)}") from exc
        return digest.hexdigest()

    def delete(self, path: str) -> None:
        """Forget a file; nothing happens where there is none."""
        try:
            if self.size_of(path) is not None:
                self._files.delete_file(self._at(path))
        except OSError as exc:
            raise StoreError(f"the archive does not delete: {_words(exc)}") from exc

    def probe(self) -> None:
        """Write, read and delete a small file. Raises StoreError."""
        path = f"probe/{uuid.uuid4().hex}"
        try:
            if self._is_local:
                (Path(self._root) / "probe").mkdir(parents=True, exist_ok=True)
            with self._files.open_output_stream(self._at(path)) as stream:
                stream.write(b"callweave")
        except OSError as exc:
            raise _refusal(exc) from exc
        self.delete(path)

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"


def _put_locally(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    passing = target.parent / f".{uuid.uuid4().hex}.part"
    try:
        with source.open("rb") as file, passing.open("wb") as copy:
            shutil.copyfileobj(file, copy, _CHUNK_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        passing.replace(target)
    finally:
        passing.unlink(missing_ok=True)


def _refusal(exc: OSError) -> StoreError:
    kind = StoreFullError if exc.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
    return kind(f"the archive does not take files: {_words(exc)}")


def _words(exc: OSError) -> str:
    words: Any = exc.strerror or type(exc).__name__
    return str(words)
