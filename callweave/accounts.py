"""The accounts whose calls reconcile reads, as the settings name them."""

from callweave.settings import MisconfiguredError, Settings
from ingest.reconcile.account import Account


def api_accounts(settings: Settings) -> list[Account]:
    """The keys that are set, each with its applications; empty where reconcile is not wanted."""
    api = settings.api
    if api.secret_id is None or api.secret_key is None:
        return []
    return [
        Account(
            name="default",
            secret_id=api.secret_id,
            secret_key=api.secret_key.get_secret_value(),
            sdk_app_ids=tuple(dict.fromkeys(api.sdk_app_ids)),
            region=api.region,
            endpoint=api.endpoint,
        )
    ]


def needed_accounts(settings: Settings) -> list[Account]:
    """The accounts; MisconfiguredError where there are none."""
    accounts = api_accounts(settings)
    if not accounts:
        raise MisconfiguredError(
            "reconcile reads TCCC's API and has no key: set CALLWEAVE_API__SECRET_ID, CALLWEAVE_API__SECRET_KEY and "
            "CALLWEAVE_API__SDK_APP_IDS"
        )
    return accounts
