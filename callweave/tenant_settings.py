"""`[[tenants]]`: accounts with credentials of their own behind one door (contract.md part 3).

The rule: the credentials that a push brings must tell whose it is, so no two tenants share any, and each asks for some.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

SECRETS = ("password", "password_previous", "client_secret", "client_secret_previous", "url_token", "api.secret_key")
"""What may also stand in a file or in the environment, as `CALLWEAVE_TENANTS__<NAME>__…`."""

SECRET_CHARACTERS_MIN = 12
"""Shorter ones can be guessed, whatever the door allows in attempts."""

SdkAppId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TenantApiSettings(_Group):
    """The account's key to TCCC's API, for reconcile."""

    secret_id: str | None = None
    secret_key: SecretStr | None = None
    region: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.secret_id) != (self.secret_key is not None):
            raise ValueError("api.secret_id and api.secret_key go together: set both, or none")
        return self


class TenantSettings(_Group):
    """One account."""

    name: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$")
    sdk_app_ids: tuple[SdkAppId, ...] = Field(min_length=1)
    auth: Literal["none", "basic", "oauth2"] = "none"
    username: str | None = None
    password: SecretStr | None = None
    password_previous: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    client_secret_previous: SecretStr | None = None
    url_token: SecretStr | None = None
    api: TenantApiSettings = TenantApiSettings()

    @model_validator(mode="after")
    def _can_be_told(self) -> Self:
        problem = credentials_problem(self)
        if problem is not None:
            raise ValueError(f"tenant {self.name}: {problem}")
        if self.auth == "none" and not filled(self.url_token):
            raise ValueError(
                f"tenant {self.name} asks for no credentials, so nothing tells its pushes: set auth, or url_token"
            )
        return self


def credentials_problem(given: Any) -> str | None:
    """What is wrong with the credentials of a receiver or a tenant: half of a mode, or those of another mode."""
    basic = (given.username, given.password, given.password_previous)
    oauth2 = (given.client_id, given.client_secret, given.client_secret_previous)
    match given.auth:
        case "basic" if not (filled(given.username) and filled(given.password)):
            return "auth 'basic' needs username and password: set what the TCCC console was given"
        case "basic" if ":" in given.username:
            return "a username of basic authentication cannot contain a colon: choose another"
        case "none" if any(map(filled, basic)):
            return "username or password is set but auth is 'none': set auth to 'basic', or remove them"
        case "oauth2" if any(map(filled, basic)):
            return "username or password is set but auth is 'oauth2': set auth to 'basic', or remove them"
    if given.auth != "oauth2" and any(map(filled, oauth2)):
        return f"client_id or client_secret is set but auth is '{given.auth}': set auth to 'oauth2', or remove them"
    if given.auth == "oauth2" and (filled(given.client_id) != filled(given.client_secret)):
        return "client_id and client_secret go together: set what the TCCC console was given"
    return None


def tenants_problem(tenants: Sequence[TenantSettings]) -> str | None:
    """What two tenants may not have in common."""
    for what, values in (
        ("the name", [tenant.name.casefold().replace("-", "_") for tenant in tenants]),
        ("an SdkAppId", [app for tenant in tenants for app in set(tenant.sdk_app_ids)]),
        ("the client_id", [tenant.client_id for tenant in tenants if tenant.client_id]),
        ("the credentials", [_shown(tenant) for tenant in tenants if tenant.auth != "oauth2"]),
    ):
        twice = [value for value, count in Counter(map(str, values)).items() if count > 1]
        if twice:
            shown = "" if what == "the credentials" else f" ({twice[0]})"
            return f"two tenants share {what}{shown}: each needs its own"
    without = [tenant.name for tenant in tenants if tenant.auth == "oauth2" and not tenant.client_id]
    if without:
        return f"tenant {without[0]}: auth 'oauth2' needs client_id and client_secret of its own"
    return None


def filled(value: str | SecretStr | None) -> bool:
    """Whether a setting holds anything."""
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def revealed(value: SecretStr | None) -> str:
    """A secret, or nothing."""
    return "" if value is None else value.get_secret_value()


def weak_secrets(given: Any) -> Iterable[str]:
    """The secrets that are short enough to be guessed, by their names."""
    whose = f"{given.name}'s " if isinstance(given, TenantSettings) else ""
    for name in ("password", "client_secret", "url_token"):
        secret = revealed(getattr(given, name))
        if secret and len(secret) < SECRET_CHARACTERS_MIN:
            yield f"{whose}{name}"


def tenant_variable(name: str) -> str:
    """How a tenant is called in the names of environment variables."""
    return name.upper().replace("-", "_")


def global_credentials(receiver: Any) -> Iterable[str]:
    """The credentials of the one-account kind that are set, by their names."""
    names = ("username", "password", "password_previous", "client_id", "client_secret", "client_secret_previous")
    for name in (*names, "url_token", "jwks_url", "issuer", "audience"):
        if filled(getattr(receiver, name)):
            yield name


def _shown(tenant: TenantSettings) -> tuple[str, ...]:
    """What a tenant's pushes bring; its previous password counts as little as its current one to tell it by."""
    user = (tenant.username or "", revealed(tenant.password)) if tenant.auth == "basic" else ("", "")
    return *user, revealed(tenant.url_token)
