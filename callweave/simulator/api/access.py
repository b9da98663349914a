"""Who may ask for what: secrets, the applications that each owns, what was revoked, and what was never permitted."""

from dataclasses import dataclass, field

from callweave.simulator.api.errors import ApiError


@dataclass(frozen=True, slots=True)
class Secret:
    """One SecretId with its key. `sdk_app_ids` empty: it owns every application of the scenario."""

    secret_id: str
    secret_key: str = field(repr=False)
    sdk_app_ids: frozenset[int] = frozenset()


DEFAULT_SECRET = Secret("AKIDsimulated", "simulated-key")


@dataclass(slots=True)
class Access:
    """The secrets, and what has been taken from them."""

    secrets: tuple[Secret, ...]
    revoked: set[str] = field(default_factory=set)
    denied: set[int] = field(default_factory=set)

    def key_of(self, secret_id: str) -> str | None:
        """Give the key of a secret that exists and was not revoked."""
        if secret_id in self.revoked:
            return None
        return next((secret.secret_key for secret in self.secrets if secret.secret_id == secret_id), None)

    def check(self, secret_id: str, action: str, sdk_app_id: int, known_apps: list[int]) -> None:
        """Raise ApiError unless the secret may ask this of the application."""
        if sdk_app_id not in known_apps:
            raise ApiError("InvalidParameterValue.InstanceNotExist", f"There is no application {sdk_app_id}.")
        if sdk_app_id in self.denied or sdk_app_id not in self.apps_of(secret_id, known_apps):
            raise ApiError(
                "UnauthorizedOperation",
                f"You are not authorized to perform operation (ccc:{action}) on resource (sdkAppId/{sdk_app_id}).",
            )

    def apps_of(self, secret_id: str, known_apps: list[int]) -> list[int]:
        """Give the applications that a secret owns."""
        owned = next(secret.sdk_app_ids for secret in self.secrets if secret.secret_id == secret_id)
        return [app for app in known_apps if not owned or app in owned]
