"""`ducklake:<catalogue>?data_path=<where the files lie>`: which catalogue, which files, how both are attached, and what
their errors mean.

The rule: an address is shown without its password, in every message.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import duckdb

from sinks.ddl import literal
from sinks.duckdb_extensions import load_extension
from sinks.duckdb_query import CONFIG
from sinks.sink import Fault, MisconfiguredError, SinkUnavailableError

LAKE: Final = "lake"
"""What the attached catalogue is called in our connections."""
_FORMS: Final = (
    "write ducklake:sqlite:///catalogue.sqlite?data_path=files or "
    "ducklake:postgresql://user:password@host/database?data_path=s3://bucket/prefix"
)
_NO_LAKE: Final = "creating a new DuckLake is explicitly disabled"
_SQLITE_BUSY_MILLISECONDS: Final = 10_000
_PASSWORD: Final = re.compile(r"password\s*=\s*('(?:[^'\\]|\\.)*'|\S+)")


_DATA: Final = (duckdb.DataError, duckdb.ConstraintException, duckdb.InvalidInputException)
_BROKEN: Final = (duckdb.ProgrammingError, duckdb.NotSupportedError)


def fault_of(exc: duckdb.Error) -> Fault:
    """What an error means to the loader, by its class; the catalogue's own errors come without one, and pass."""
    if isinstance(exc, _DATA):
        return Fault.DATA
    return Fault.BROKEN if isinstance(exc, _BROKEN) else Fault.TRANSIENT


class NoLakeError(SinkUnavailableError):
    """The catalogue is there, or may be, and holds no lake."""


@dataclass(frozen=True, slots=True)
class LakeAddress:
    """A parsed address. `catalogue` is a file of SQLite, or what libpq calls a connection string."""

    kind: str
    catalogue: str
    data_path: str

    @classmethod
    def parse(cls, url: str, data_dir: Path) -> "LakeAddress":
        """Read `url`; relative paths lie in `data_dir`. Raises MisconfiguredError, without quoting a password."""
        rest, options = _options(url.removeprefix("ducklake:"))
        data_path = options.pop("data_path", "")
        kind, _, place = rest.partition(":")
        if kind == "sqlite" and place:
            file = data_dir / unquote(place.removeprefix("///"))
            files = data_path or f"{file}.files"
            _refuse_strangers(options)
            return cls("sqlite", str(file.absolute()), _files(files, data_dir))
        if kind in ("postgres", "postgresql") and place:
            if not data_path:
                raise MisconfiguredError(f"WAREHOUSE__URL is a ducklake address without data_path: {_FORMS}")
            if place.startswith("//"):
                place = f"postgresql:{place}?{urlencode(options)}" if options else f"postgresql:{place}"
            else:
                _refuse_strangers(options)
            return cls("postgres", place, _files(data_path, data_dir))
        raise MisconfiguredError(f"WAREHOUSE__URL is a ducklake address of no catalogue that callweave loads: {_FORMS}")

    def __str__(self) -> str:
        place = self.catalogue if self.kind == "sqlite" else "".join(self._shown())
        return f"ducklake:{self.kind}:{place}"

    def __repr__(self) -> str:
        return f"LakeAddress({self})"

    @property
    def is_remote(self) -> bool:
        """Whether the files lie in object storage."""
        return "://" in self.data_path

    def is_made(self) -> bool:
        """Whether there is a lake; a catalogue that cannot be reached raises SinkUnavailableError."""
        try:
            self.attached(read_only=True).close()
        except NoLakeError:
            return False
        return True

    def attached(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        """A new database with the lake attached under the name `LAKE`."""
        if self.kind == "sqlite":
            if read_only and not Path(self.catalogue).exists():
                raise NoLakeError(f"there is no warehouse at {self} yet: the loader creates it when it runs")
            Path(self.catalogue).parent.mkdir(parents=True, exist_ok=True)
        database = duckdb.connect(config=CONFIG)
        try:
            for extension in self._extensions():
                load_extension(database, extension)
            if self.is_remote:
                database.execute(_storage_secret(os.environ))
            database.execute("SET GLOBAL TimeZone = 'UTC'")
            database.execute(self._attach(read_only=read_only))
        except duckdb.Error as exc:
            database.close()
            if _NO_LAKE in str(exc):
                raise NoLakeError(f"there is no warehouse at {self} yet: the loader creates it when it runs") from None
            if isinstance(exc, duckdb.InvalidInputException | duckdb.BinderException) or "DATA_PATH" in str(exc):
                raise MisconfiguredError(f"{self} cannot be attached: {self.plain(exc)}") from None
            raise SinkUnavailableError(f"{self} cannot be reached: {self.plain(exc)}") from None
        except BaseException:
            database.close()
            raise
        return database

    def plain(self, exc: Exception) -> str:
        """What an error says, on one line and without the password."""
        text = " ".join(str(exc).split())
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return text

    def _attach(self, *, read_only: bool) -> str:
        # Rows go to files at once: inlined into the catalogue, batches of ours took many times as long.
        options = [f"DATA_PATH {literal(self.data_path)}", "DATA_INLINING_ROW_LIMIT 0"]
        if self.kind == "sqlite":
            options.append(f"META_BUSY_TIMEOUT {_SQLITE_BUSY_MILLISECONDS}")
            if not read_only:
                options.append("META_JOURNAL_MODE 'WAL'")
        if read_only:
            options = [*options[2:], "READ_ONLY"]
        return f"ATTACH {literal(f'ducklake:{self.kind}:{self.catalogue}')} AS {LAKE} ({', '.join(options)})"

    def _extensions(self) -> Iterator[str]:
        yield "sqlite_scanner" if self.kind == "sqlite" else "postgres_scanner"
        if self.is_remote:
            yield "httpfs"
        yield "ducklake"

    def _shown(self) -> Iterator[str]:
        parts = urlsplit(self.catalogue) if self.catalogue.startswith("postgresql:") else None
        if parts is not None:
            yield f"//{parts.netloc.rpartition('@')[2]}{parts.path}"
        else:
            yield _PASSWORD.sub("password=***", self.catalogue)

    def _secrets(self) -> Iterator[str]:
        if self.kind == "sqlite":
            return
        found = _PASSWORD.search(self.catalogue)
        if found:
            yield found[1]
        with suppress(ValueError):
            password = urlsplit(self.catalogue).password
            if password:
                yield password
                yield unquote(password)


def _options(rest: str) -> tuple[str, dict[str, str]]:
    place, _, query = rest.partition("?")
    return place, dict(parse_qsl(query, keep_blank_values=True))


def _refuse_strangers(options: Mapping[str, str]) -> None:
    if options:
        raise MisconfiguredError(
            f"WAREHOUSE__URL, a ducklake address, has the unknown option {min(options)[:20]!r}: "
            "data_path is the only one"
        )


def _files(data_path: str, data_dir: Path) -> str:
    if "://" in data_path:
        return data_path.rstrip("/") + "/"
    return f"{(data_dir / data_path).absolute()}/"


def _storage_secret(environment: Mapping[str, str]) -> str:
    """Credentials of S3 and what speaks its protocol, from the variables that every S3 client knows."""
    fields = {
        "KEY_ID": environment.get("AWS_ACCESS_KEY_ID"),
        "SECRET": environment.get("AWS_SECRET_ACCESS_KEY"),
        "SESSION_TOKEN": environment.get("AWS_SESSION_TOKEN"),
        "REGION": environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
    }
    options = [f"{name} {literal(value)}" for name, value in fields.items() if value]
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if endpoint:
        parts = urlsplit(endpoint)
        options += [f"ENDPOINT {literal(parts.netloc)}", "URL_STYLE 'path'", f"USE_SSL {parts.scheme == 'https'}"]
    return f"CREATE SECRET callweave_storage (TYPE s3, {', '.join(options)})" if options else "SELECT 1"
