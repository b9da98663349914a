"""All settings: one typed tree, read from the environment (`CALLWEAVE_…`, `__` between levels) and `callweave.toml`.

contract.md part 3. Unknown keys are errors, and every error is one sentence: what, where, what to do.
"""

import os
import socket
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ingest.reconcile.endpoint import check_endpoint

ENV_PREFIX = "CALLWEAVE_"
MIB = 1024 * 1024
# Read elsewhere, before or beside the settings.
_RESERVED_ENV = frozenset({"CALLWEAVE_CACHE_DIR", "CALLWEAVE_CONFIG"})


class MisconfiguredError(Exception):
    """Settings that cannot work; the message is one sentence: what, where, what to do. Exit status 2."""


class Group(BaseModel):
    """One level of the tree."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Group):
    """Which Kafka, and the shape of its topics."""

    bootstrap_servers: str | None = None
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    topic_prefix: str = Field(default="tccc.", pattern=r"^[a-zA-Z0-9._-]{0,200}$")
    partitions: int = Field(default=8, ge=1, le=1000)
    replication_factor: int = Field(default=1, ge=1, le=32)

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Self:
        if self.security_protocol.startswith("SASL") and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_username and sasl_password")
        return self


class ReceiverSettings(Group):
    """The door."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    path: str = Field(default="/tccc/push", pattern=r"^/[^?#\s]*$")
    auth: Literal["none", "basic"] = "none"
    username: str | None = None
    password: SecretStr | None = None
    password_previous: SecretStr | None = None
    url_token: SecretStr | None = None
    body_bytes_max: int = Field(default=MIB, ge=1024, le=3 * MIB)

    @model_validator(mode="after")
    def _basic_is_whole(self) -> Self:
        if self.auth == "basic" and not (self.username and self.password and self.password.get_secret_value()):
            raise ValueError("auth 'basic' needs username and password: set what the TCCC console was given")
        if self.auth == "none" and (self.username or self.password or self.password_previous):
            raise ValueError("username or password is set but auth is 'none': set auth to 'basic', or remove them")
        return self


class WorkerSettings(Group):
    """The join."""

    state_dir: Path | None = None
    store: Literal["rocksdb", "memory"] = "rocksdb"
    instance_id: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9._-]{1,249}$")


class WarehouseSettings(Group):
    """Where the tables are."""

    url: SecretStr | None = None
    recording_deadline_seconds: int = Field(default=3600, ge=0)
    snapshot_file: Path | None = None
    snapshot_seconds: float = Field(default=300.0, ge=0)


class ApiSettings(Group):
    """TCCC's API: the key that reconcile reads it with, and the applications to read."""

    secret_id: str | None = None
    secret_key: SecretStr | None = None
    region: str = ""
    endpoint: str | None = None
    # The environment has them with commas between; a file may have a list.
    sdk_app_ids: Annotated[tuple[Annotated[int, Field(ge=1, le=2**63 - 1)], ...], NoDecode] = ()

    @field_validator("sdk_app_ids", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.strip("[]").split(",") if part.strip())
        return (value,) if isinstance(value, int) else value

    @field_validator("endpoint")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        problem = None if value is None else check_endpoint(value)
        if problem:
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        given = [bool(self.secret_id), self.secret_key is not None, bool(self.sdk_app_ids)]
        if any(given) and not all(given):
            raise ValueError("secret_id, secret_key and sdk_app_ids go together: set all three, or none")
        return self


class ReconcileSettings(Group):
    """How TCCC's API is read."""

    requests_per_second: float = Field(default=15.0, gt=0, le=18)
    concurrency: int = Field(default=8, ge=1, le=64)
    lag_seconds: int = Field(default=600, ge=0)
    overlap_seconds: int = Field(default=6 * 3600, ge=0)
    interval_seconds: int = Field(default=300, ge=1)
    absent_after_seconds: int = Field(default=24 * 3600, ge=0)
    back_fill_days: int = Field(default=3, ge=0, le=180)


class CompletenessSettings(Group):
    """How complete is complete enough, and how often metrics tell of it."""

    share_min: float = Field(default=0.99, ge=0, le=1)
    metrics_seconds: float = Field(default=300.0, ge=0)


class AdminSettings(Group):
    """Health and metrics; never on the public port."""

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class BrokerSettings(Group):
    """The broker that `up` starts when none is given."""

    port: int | None = Field(default=None, ge=1, le=65535)
    heap_mb: int = Field(default=384, ge=128)
    version: Literal["4.1.1", "3.9.1"] = "4.1.1"


class LogSettings(Group):
    """Structured logs on standard error."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Path("callweave-data")
    kafka: KafkaSettings = KafkaSettings()
    receiver: ReceiverSettings = ReceiverSettings()
    worker: WorkerSettings = WorkerSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    api: ApiSettings = ApiSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    completeness: CompletenessSettings = CompletenessSettings()
    admin: AdminSettings = AdminSettings()
    broker: BrokerSettings = BrokerSettings()
    log: LogSettings = LogSettings()

    @property
    def warehouse_url(self) -> str:
        """The warehouse's address; by default a DuckDB file in the data directory."""
        if self.warehouse.url is not None:
            return self.warehouse.url.get_secret_value()
        return f"duckdb:///{(self.data_dir / 'calls.duckdb').absolute()}"

    @property
    def snapshot_file(self) -> Path:
        """Where readers of other processes find a copy of an embedded warehouse."""
        return (self.warehouse.snapshot_file or self.data_dir / "published" / "calls.duckdb").absolute()

    @property
    def state_dir(self) -> Path:
        """Where the worker's state lies."""
        return (self.worker.state_dir or self.data_dir / "state").absolute()

    @property
    def worker_instance_id(self) -> str:
        """Names this worker to the broker over restarts; by default its host and its state directory, which it owns."""
        place = zlib.crc32(str(self.state_dir).encode())
        return self.worker.instance_id or f"{socket.gethostname()}-{place:08x}"


def load_settings(config: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings; MisconfiguredError with one sentence where they cannot work.

    `overrides` come from the command line and beat the environment, which beats the file.
    """
    config = config or _config_from_environment()
    if config is not None and not config.is_file():
        raise MisconfiguredError(f"no settings file at {config}: check --config")
    _refuse_unknown_environment(os.environ)

    class FileSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic-settings names them)
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            sources = [init_settings, env_settings, SecretFilesSource(settings_cls)]
            if config is not None:
                sources.append(TomlConfigSettingsSource(settings_cls, config))
            return tuple(sources)

    try:
        settings = FileSettings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as exc:
        raise MisconfiguredError(_sentence(exc)) from None
    except (ValueError, OSError) as exc:
        where = f" in {config}" if config else ""
        raise MisconfiguredError(f"the settings{where} cannot be read: {exc}") from exc
    return settings


class SecretFilesSource(EnvSettingsSource):
    """`CALLWEAVE_…_FILE` names a file that holds the secret (its trailing newline is not part of it)."""

    def __call__(self) -> dict[str, Any]:
        """Read the secrets of every such variable."""
        values: dict[str, Any] = {}
        for path in _secret_paths():
            name = ENV_PREFIX + "__".join(path).upper() + "_FILE"
            file = os.environ.get(name)
            if not file:
                continue
            try:
                secret = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as exc:
                raise MisconfiguredError(f"{name} names {file}, which cannot be read: {exc.strerror}") from exc
            level = values
            for part in path[:-1]:
                level = level.setdefault(part, {})
            level[path[-1]] = secret
        return values


def _secret_paths() -> Iterator[tuple[str, ...]]:
    for path, field in _leaves(Settings.model_fields):
        if "SecretStr" in str(field.annotation):
            yield path


def _leaves(fields: Mapping[str, FieldInfo], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Group):
            yield from _leaves(annotation.model_fields, (*path, name))
        else:
            yield (*path, name), field


def _refuse_unknown_environment(environment: Mapping[str, str]) -> None:
    known = {ENV_PREFIX + "__".join(path).upper() for path, _ in _leaves(Settings.model_fields)}
    known |= {ENV_PREFIX + "__".join(path).upper() + "_FILE" for path in _secret_paths()}
    unknown = sorted(name for name in environment if name.startswith(ENV_PREFIX) and name not in known | _RESERVED_ENV)
    if unknown:
        raise MisconfiguredError(f"unknown setting {unknown[0]} in the environment: correct or remove it")


def _config_from_environment() -> Path | None:
    named = os.environ.get("CALLWEAVE_CONFIG")
    if named:
        return Path(named)
    default = Path("callweave.toml")
    return default if default.is_file() else None


def _sentence(exc: ValidationError) -> str:
    first = exc.errors(include_url=False, include_input=False)[0]
    path = [part for part in first["loc"] if isinstance(part, str)]
    where = ".".join(path) or "the settings"
    variable = f" ({ENV_PREFIX}{'__'.join(path).upper()})" if path else ""
    if first["type"] == "extra_forbidden":
        return f"unknown setting {where}{variable}: correct or remove it"
    problem = first["msg"].removeprefix("Value error, ")
    return f"setting {where}{variable}: {problem}"
