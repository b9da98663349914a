"""Secrets of `callweave.toml` that stand elsewhere: in a file that `…_file` names, or a tenant's in the environment.

The rule: a secret is said once. Two places for one secret are an error, and so is a variable that belongs to no tenant.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from callweave.tenant_settings import SECRETS, tenant_variable

TENANT_PREFIX = "CALLWEAVE_TENANTS__"


class SecretPlaceError(ValueError):
    """A secret that cannot be taken from where it is said to be; the message is one sentence."""


def with_file_secrets(table: Mapping[str, Any], fields: Mapping[str, Any], *, place: str = "") -> dict[str, Any]:
    """A table of the settings file with every `<secret>_file` replaced by what the file holds."""
    filled = dict(table)
    for name, value in table.items():
        model = fields[name].annotation if name in fields else None
        if isinstance(value, Mapping) and isinstance(model, type) and issubclass(model, BaseModel):
            filled[name] = with_file_secrets(value, model.model_fields, place=f"{place}{name}.")
            continue
        secret = name.removesuffix("_file")
        if name in fields or secret not in fields or "SecretStr" not in str(fields[secret].annotation):
            continue
        if secret in table:
            raise SecretPlaceError(f"both {place}{secret} and {place}{name} are set: keep one")
        filled[secret] = read_secret(f"{place}{name}", str(value))
        del filled[name]
    return filled


def with_tenant_secrets(tenants: list[Any], environment: Mapping[str, str]) -> list[Any]:
    """The tenants with the secrets that the environment has for them."""
    names = [str(tenant.get("name", "")) for tenant in tenants if isinstance(tenant, dict)]
    known = {variable for name in names for variable, _, _ in _variables(name)}
    unknown = sorted(name for name in environment if name.startswith(TENANT_PREFIX) and name not in known)
    if unknown:
        raise SecretPlaceError(
            f"{unknown[0]} in the environment belongs to no tenant: tenants are named in callweave.toml, and their"
            f" variables are {TENANT_PREFIX}<NAME>__PASSWORD, …__CLIENT_SECRET, …__URL_TOKEN, …__API__SECRET_KEY"
        )
    return [_with_environment(tenant, environment) if isinstance(tenant, dict) else tenant for tenant in tenants]


def read_secret(setting: str, file: str) -> str:
    """What a file holds; its trailing newline is not part of it."""
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise SecretPlaceError(f"{setting} names {file}, which cannot be read: {problem}") from exc


def is_tenant_variable(name: str) -> bool:
    """Whether an environment variable is a tenant's."""
    return name.upper().startswith(TENANT_PREFIX)


def _with_environment(tenant: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    filled = dict(tenant)
    for variable, path, is_file in _variables(str(tenant.get("name", ""))):
        value = environment.get(variable)
        if not value:
            continue
        level = filled
        for part in path[:-1]:
            nested = dict(level.get(part, {}))
            level[part] = nested
            level = nested
        if path[-1] in level:
            raise SecretPlaceError(f"{variable} is set, and the tenant has {'.'.join(path)} in the file: keep one")
        level[path[-1]] = read_secret(variable, value) if is_file else value
    return filled


def _variables(name: str) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    for secret in SECRETS:
        path = tuple(secret.split("."))
        variable = f"{TENANT_PREFIX}{tenant_variable(name)}__{'__'.join(path).upper()}"
        yield variable, path, False
        yield f"{variable}_FILE", path, True
