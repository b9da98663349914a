"""All settings: one typed tree, read from the environment (`CALLWEAVE_…`, `__` between levels) and `callweave.toml`.

contract.md part 3. Unknown keys are errors, and every error is one sentence: what, where, what to do.
"""

import os
import socket
import zlib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from itertools import takewhile
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

from callweave.dashboard.doorkeeping import is_loopback, read_passwords
from callweave.kpi_settings import KpiSettings
from callweave.secret_files import SecretPlaceError, is_tenant_variable, with_file_secrets, with_tenant_secrets
from callweave.tenant_settings import (
    SdkAppId,
    TenantSettings,
    credentials_problem,
    filled,
    global_credentials,
    tenants_problem,
)
from ingest.login_tokens.callers import Agents, read_key_holders
from ingest.reconcile.endpoint import check_endpoint
from schemas.breaker import BreakerLimits

ENV_PREFIX = "CALLWEAVE_"
MIB = 1024 * 1024
GIB = 1024 * MIB
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


def networks(value: tuple[str, ...]) -> tuple[str, ...]:
    """The value; ValueError where one is no network."""
    for network in value:
        try:
            ip_network(network, strict=False)
        except ValueError:
            raise ValueError(f"{network!r} is no address and no network such as 10.0.0.0/8") from None
    return value


class ReceiverSettings(Group):
    """The door."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    path: str = Field(default="/tccc/push", pattern=r"^/[^?#\s]*$")
    auth: Literal["none", "basic", "oauth2"] = "none"
    username: str | None = None
    password: SecretStr | None = None
    password_previous: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    client_secret_previous: SecretStr | None = None
    token_ttl_seconds: int = Field(default=86_400, ge=60, le=30 * 86_400)
    token_key: SecretStr | None = Field(default=None, min_length=32)
    token_key_previous: SecretStr | None = Field(default=None, min_length=32)
    jwks_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    issuer: str | None = None
    audience: str | None = None
    jwks_algorithm: Literal[
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
    ] = "RS256"
    url_token: SecretStr | None = None
    sdk_app_ids: Annotated[tuple[SdkAppId, ...], NoDecode] = ()
    failed_attempts_per_minute_max: int = Field(default=60, ge=1)
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    body_bytes_max: int = Field(default=MIB, ge=1024, le=3 * MIB)
    body_seconds_max: float = Field(default=30.0, gt=0)
    header_bytes_max: int = Field(default=8190, ge=1024, le=65_536)
    header_lines_max: int = Field(default=128, ge=16, le=1024)
    header_seconds_max: float = Field(default=15.0, gt=0)
    request_seconds_max: float = Field(default=60.0, gt=0)
    connections_max: int = Field(default=2000, ge=1)
    requests_in_flight_max: int = Field(default=256, ge=1)
    json_depth_max: int = Field(default=100, ge=8, le=100)
    json_values_max: int = Field(default=20_000, ge=1000)
    spool_dir: Path | None = None
    spool_bytes_max: int = Field(default=GIB, ge=MIB)
    spool_wait_seconds_max: float = Field(default=1.0, gt=0, le=5)
    spool_age_alarm_seconds: float = Field(default=300.0, gt=0)

    @field_validator("sdk_app_ids", "trusted_proxies", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        """The environment has them with commas between; a file may have a list."""
        if isinstance(value, str):
            return tuple(part.strip().strip('"') for part in value.strip("[]").split(",") if part.strip())
        return (value,) if isinstance(value, int) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return networks(value)

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        problem = credentials_problem(self)
        if problem is not None:
            raise ValueError(problem)
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: set both, or none")
        provider = [filled(self.jwks_url), filled(self.issuer), filled(self.audience)]
        if any(provider) and not all(provider):
            raise ValueError("jwks_url, issuer and audience go together: set all three, or none")
        if any(provider) and self.auth != "oauth2":
            raise ValueError(f"jwks_url is set but auth is '{self.auth}': set auth to 'oauth2', or remove it")
        if any(provider) and filled(self.client_id):
            raise ValueError("tokens come from an identity provider (jwks_url) or from here (client_id): set one")
        return self


class WorkerSettings(Group):
    """The join."""

    state_dir: Path | None = None
    store: Literal["rocksdb", "memory"] = "rocksdb"
    instance_id: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    retention_days: int = Field(default=200, ge=1, le=36_500)
    stall_seconds_max: float = Field(default=300.0, ge=10.0)


class WarehouseSettings(Group):
    """Where the tables are."""

    url: SecretStr | None = None
    migrate: Literal["apply", "refuse"] = "apply"
    recording_deadline_seconds: int = Field(default=3600, ge=0)
    snapshot_file: Path | None = None
    snapshot_seconds: float = Field(default=300.0, ge=0)
    history: bool = False
    history_days: int = Field(default=0, ge=0, le=36_500)


class ApiSettings(Group):
    """TCCC's API: the key that reconcile reads it with, and the applications to read."""

    secret_id: str | None = None
    secret_key: SecretStr | None = None
    region: str = ""
    endpoint: str | None = None
    # The environment has them with commas between; a file may have a list.
    sdk_app_ids: Annotated[tuple[SdkAppId, ...], NoDecode] = ()

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


class EnrichSettings(Group):
    """What else TCCC's API is asked for, by the reconcile role; all of it off unless set."""

    session_details: bool = False
    directory: bool = False
    agent_status: bool = False
    requests_per_second: float = Field(default=5.0, gt=0, le=18)
    session_delay_seconds: int = Field(default=900, ge=0)
    session_days_back: int = Field(default=3, ge=1, le=179)
    directory_interval_seconds: int = Field(default=3600, ge=1)
    status_interval_seconds: int = Field(default=900, ge=1)
    status_lag_seconds: int = Field(default=60, ge=0)
    status_days_back: int = Field(default=3, ge=1, le=179)

    @property
    def is_on(self) -> bool:
        """Whether anything is asked for."""
        return self.session_details or self.directory or self.agent_status


class ArchiverSettings(Group):
    """Where recordings and voicemails are kept before TCCC deletes them; it is on where a store is named."""

    store: SecretStr | None = None
    partial_dir: Path | None = None
    delay_seconds: int = Field(default=60, ge=0)
    concurrency: int = Field(default=8, ge=1, le=256)
    per_host_max: int = Field(default=4, ge=1, le=256)
    bytes_max: int = Field(default=512 * 1024 * 1024, ge=1)
    seconds_max: float = Field(default=900.0, gt=0)
    free_bytes_min: int = Field(default=1024 * 1024 * 1024, ge=0)
    retry_seconds_first: float = Field(default=30.0, gt=0)
    retry_seconds_max: float = Field(default=6 * 3600.0, gt=0)
    retry_days: int = Field(default=14, ge=0, le=90)
    keep_days: int | None = Field(default=None, ge=1, le=36_500)
    allowed_networks: Annotated[tuple[str, ...], NoDecode] = ()

    @property
    def is_on(self) -> bool:
        """Whether anything is archived."""
        return self.store is not None

    @field_validator("allowed_networks", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().strip('"') for part in value.strip("[]").split(",") if part.strip())
        return value

    @field_validator("allowed_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return networks(value)


class LoginTokensSettings(Group):
    """The door that gives agents' login tokens; it is on where somebody may ask: keys, or an identity provider."""

    host: str = "127.0.0.1"
    port: int = Field(default=8081, ge=0, le=65535)
    path: str = Field(default="/loginTCCC", pattern=r"^/[^?#\s]*$")
    api_keys: SecretStr | None = None
    agents: Annotated[tuple[str, ...], NoDecode] = ()
    jwks_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    issuer: str | None = None
    audience: str | None = None
    jwks_algorithm: Literal[
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
    ] = "RS256"
    mail_claim: str = "email"
    per_caller_per_minute_max: int = Field(default=60, ge=1)
    per_agent_per_minute_max: int = Field(default=6, ge=1)
    failed_attempts_per_minute_max: int = Field(default=60, ge=1)
    requests_per_second: float = Field(default=3.0, gt=0, le=18)
    only_once: bool = False
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()

    @property
    def is_on(self) -> bool:
        """Whether anybody may ask."""
        return self.api_keys is not None or self.jwks_url is not None

    @field_validator("agents", "trusted_proxies", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().strip('"') for part in value.strip("[]").split(",") if part.strip())
        return value

    @field_validator("agents")
    @classmethod
    def _are_agents(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Agents.of(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return networks(value)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        provider = [filled(self.jwks_url), filled(self.issuer), filled(self.audience)]
        if any(provider) and not all(provider):
            raise ValueError("jwks_url, issuer and audience go together: set all three, or none")
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: set both, or none")
        if self.api_keys is not None and not read_key_holders(self.api_keys.get_secret_value(), self.agents):
            raise ValueError("api_keys holds no key: write a name, a key and its agents on each line")
        return self


class DashboardSettings(Group):
    """The page: where it is, who may look, and who may see what is personal."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8082, ge=0, le=65535)
    auth: Literal["none", "basic", "proxy"] = "none"
    users: SecretStr | None = None
    user_header: str = Field(default="X-Forwarded-User", pattern=r"^[A-Za-z0-9-]{1,100}$")
    groups_header: str = Field(default="X-Forwarded-Groups", pattern=r"^[A-Za-z0-9-]{1,100}$")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    personal_for: Annotated[tuple[str, ...], NoDecode] = ()
    refresh_seconds: float = Field(default=5.0, ge=1, le=3600)

    @field_validator("trusted_proxies", "personal_for", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().strip('"') for part in value.strip("[]").split(",") if part.strip())
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return networks(value)

    @model_validator(mode="after")
    def _is_closed_to_strangers(self) -> Self:
        if self.auth == "none" and not is_loopback(self.host):
            raise ValueError(
                f"the page would answer anybody at {self.host}: set auth to 'basic' (with users) or to 'proxy' "
                "(with trusted_proxies), or host to 127.0.0.1"
            )
        if self.auth == "basic" and not self.user_passwords:
            raise ValueError("auth 'basic' needs users: one `name:password` on each line")
        if self.auth == "proxy" and not self.trusted_proxies:
            raise ValueError("auth 'proxy' needs trusted_proxies: the address of the proxy that signs people in")
        if self.auth != "basic" and self.users is not None:
            raise ValueError(f"users is set but auth is '{self.auth}': set auth to 'basic', or remove it")
        return self

    @property
    def user_passwords(self) -> dict[str, str]:
        """Password by name."""
        return read_passwords("" if self.users is None else self.users.get_secret_value())


class CompletenessSettings(Group):
    """How complete is complete enough, and how often metrics tell of it."""

    share_min: float = Field(default=0.99, ge=0, le=1)
    metrics_seconds: float = Field(default=300.0, ge=0)


class DeadLettersSettings(Group):
    """When worker and loader stop instead of writing letters about everything (`schemas.breaker`)."""

    in_a_row_max: int = Field(default=1_000, ge=1)
    percent_max: float = Field(default=50, gt=0, le=100)
    window_records: int = Field(default=10_000, ge=10, le=1_000_000)

    @property
    def limits(self) -> BreakerLimits:
        """As the roles take them."""
        return BreakerLimits(self.in_a_row_max, self.percent_max, self.window_records)


class RegistrySettings(Group):
    """A schema registry that speaks Confluent's REST; none by default."""

    url: str | None = None
    username: str | None = None
    password: SecretStr | None = None


class PrivacySettings(Group):
    """Who is erased, and whether numbers are masked on their way into the warehouse."""

    key: SecretStr | None = Field(default=None, min_length=32)
    mask_numbers: bool = False

    @model_validator(mode="after")
    def _mask_has_a_key(self) -> Self:
        if self.mask_numbers and self.key is None:
            raise ValueError("mask_numbers needs a key: set privacy.key to 32 characters or more that nobody guesses")
        return self


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


class TracesSettings(Group):
    """Traces from push to row, by OpenTelemetry; off without an endpoint."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://")
    sample_ratio: float = Field(default=1.0, ge=0, le=1)


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
    enrich: EnrichSettings = EnrichSettings()
    archiver: ArchiverSettings = ArchiverSettings()
    login_tokens: LoginTokensSettings = LoginTokensSettings()
    dashboard: DashboardSettings = DashboardSettings()
    completeness: CompletenessSettings = CompletenessSettings()
    kpi: KpiSettings = KpiSettings()
    dead_letters: DeadLettersSettings = DeadLettersSettings()
    privacy: PrivacySettings = PrivacySettings()
    registry: RegistrySettings = RegistrySettings()
    admin: AdminSettings = AdminSettings()
    broker: BrokerSettings = BrokerSettings()
    log: LogSettings = LogSettings()
    traces: TracesSettings = TracesSettings()
    tenants: tuple[TenantSettings, ...] = ()

    @model_validator(mode="after")
    def _somebody_may_push(self) -> Self:
        receiver = self.receiver
        if not self.tenants:
            if receiver.auth == "oauth2" and not (filled(receiver.client_id) or filled(receiver.jwks_url)):
                raise ValueError(
                    "receiver.auth 'oauth2' needs client_id and client_secret (what the TCCC console was given),"
                    " or jwks_url, issuer and audience of an identity provider"
                )
            return self
        problem = tenants_problem(self.tenants)
        if problem is not None:
            raise ValueError(problem)
        both = [*global_credentials(receiver), *(["auth"] if receiver.auth != "none" else [])]
        if both:
            raise ValueError(f"with tenants, receiver.{both[0]} must be unset: each tenant has its own")
        if receiver.sdk_app_ids:
            raise ValueError("with tenants, receiver.sdk_app_ids must be unset: each tenant has its own")
        return self

    @model_validator(mode="after")
    def _somebody_may_ask(self) -> Self:
        has_key = bool(self.api.secret_id or any(tenant.api.secret_id for tenant in self.tenants))
        if self.enrich.is_on and not has_key:
            raise ValueError("enrich asks TCCC's API and there is no key for it: set api.secret_id, or a tenant's")
        if self.login_tokens.is_on and not has_key:
            raise ValueError(
                "login_tokens asks TCCC's API and there is no key for it: set api.secret_id, or a tenant's"
            )
        return self

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
    def spool_dir(self) -> Path:
        """Where the receiver keeps pushes while Kafka is away."""
        return (self.receiver.spool_dir or self.data_dir / "spool").absolute()

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
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic-settings names them)
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            sources = [init_settings, OwnEnvSource(settings_cls), SecretFilesSource(settings_cls)]
            if config is not None:
                sources.append(OwnTomlSource(settings_cls, config))
            return tuple(sources)

    try:
        if config is None:
            with_tenant_secrets([], os.environ)
        settings = FileSettings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as exc:
        raise MisconfiguredError(_sentence(exc)) from None
    except SecretPlaceError as exc:
        raise MisconfiguredError(str(exc)) from exc
    except (ValueError, OSError) as exc:
        where = f" in {config}" if config else ""
        raise MisconfiguredError(f"the settings{where} cannot be read: {exc}") from exc
    return settings


class OwnEnvSource(EnvSettingsSource):
    """The environment without the tenants' secrets, which are the settings file's matter."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in super()._load_env_vars().items() if not is_tenant_variable(name)}


class OwnTomlSource(TomlConfigSettingsSource):
    """The settings file, with the secrets that it says are elsewhere."""

    def __call__(self) -> dict[str, Any]:
        """Read it."""
        table = with_file_secrets(super().__call__(), Settings.model_fields)
        tenants = table.get("tenants", [])
        if isinstance(tenants, list):
            fields = TenantSettings.model_fields
            read = [
                with_file_secrets(tenant, fields, place=f"tenants[{place}].") if isinstance(tenant, dict) else tenant
                for place, tenant in enumerate(tenants)
            ]
            table["tenants"] = with_tenant_secrets(read, os.environ)
        return table


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
        if isinstance(annotation, type) and issubclass(annotation, Group | KpiSettings):
            yield from _leaves(annotation.model_fields, (*path, name))
        else:
            yield (*path, name), field


def _refuse_unknown_environment(environment: Mapping[str, str]) -> None:
    known = {ENV_PREFIX + "__".join(path).upper() for path, _ in _leaves(Settings.model_fields)}
    known |= {ENV_PREFIX + "__".join(path).upper() + "_FILE" for path in _secret_paths()}
    ours = (name for name in environment if name.startswith(ENV_PREFIX) and not is_tenant_variable(name))
    unknown = sorted(name for name in ours if name not in known | _RESERVED_ENV)
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
    path = first["loc"]
    where = ".".join(map(str, path)) or "the settings"
    # A variable holds a whole list, so its name ends before a position in it; tenants have theirs by their names.
    named = list(takewhile(lambda part: isinstance(part, str), path))
    variable = f" ({ENV_PREFIX}{'__'.join(map(str, named)).upper()})" if named and named[0] != "tenants" else ""
    if first["type"] == "extra_forbidden":
        return f"unknown setting {where}{variable}: correct or remove it"
    problem = first["msg"].removeprefix("Value error, ")
    if not path:
        return problem
    return f"setting {where}{variable}: {problem}"
