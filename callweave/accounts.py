"""The accounts whose calls reconcile reads, as the settings name them."""

from callweave.settings import ApiSettings, MisconfiguredError, Settings
from callweave.tenant_settings import TenantApiSettings
from ingest.reconcile.account import Account


def api_accounts(settings: Settings) -> list[Account]:
    """The keys that are set, each with its applications; empty where reconcile is not wanted."""
    api = settings.api
    accounts = [_account(tenant.name, tenant.api, tenant.sdk_app_ids, api) for tenant in settings.tenants]
    accounts.append(_account("default", api, api.sdk_app_ids, api))
    return [account for account in accounts if account is not None]


def _account(
    name: str, key: ApiSettings | TenantApiSettings, sdk_app_ids: tuple[int, ...], shared: ApiSettings
) -> Account | None:
    if key.secret_id is None or key.secret_key is None:
        return None
    return Account(
        name=name,
        secret_id=key.secret_id,
        secret_key=key.secret_key.get_secret_value(),
        sdk_app_ids=tuple(dict.fromkeys(sdk_app_ids)),
        region=key.region or shared.region,
        endpoint=shared.endpoint,
    )


def needed_accounts(settings: Settings) -> list[Account]:
    """The accounts; MisconfiguredError where there are none."""
    accounts = api_accounts(settings)
    if not accounts:
        raise MisconfiguredError(
            "reconcile reads TCCC's API and has no key: set CALLWEAVE_API__SECRET_ID, CALLWEAVE_API__SECRET_KEY and "
            "CALLWEAVE_API__SDK_APP_IDS, or api.secret_id and api.secret_key of a tenant"
        )
    return accounts
