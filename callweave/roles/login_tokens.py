"""The process of `callweave login-tokens`: it holds the SecretKey, so nobody pushes to it (ADR 0028)."""

import structlog
import uvloop
from prometheus_client import REGISTRY

from callweave.accounts import needed_accounts
from callweave.mask_key import mask_key
from callweave.roles.hosting import hosted, told_to_stop, utc_now
from callweave.settings import LoginTokensSettings, MisconfiguredError, Settings
from callweave.tenant_settings import revealed
from ingest.identity_provider import IdentityProvider, ProviderOptions
from ingest.json_server import ListenError
from ingest.login_tokens.callers import EVERYBODY, Agents, Callers, read_key_holders
from ingest.login_tokens.door import LoginDesk, LoginOptions
from ingest.login_tokens.metrics import LoginMetrics
from ingest.login_tokens.server import LoginServer
from ingest.reconcile.client import ApiClient
from ingest.reconcile.limiter import Limiter
from ingest.reconcile.metrics import ApiMetrics
from ingest.source_address import Sources
from ingest.tls import CertificateError, Certificates, TlsFiles

ATTEMPTS_MAX = 3
CONCURRENCY = 4
STOP_SECONDS_MAX = 15.0

log = structlog.get_logger(__name__)


def login_tokens_role(settings: Settings, *, supervised: bool) -> int:
    """Give login tokens until it is told to stop; the exit status."""
    return uvloop.run(_login_tokens(settings, supervised=supervised))


def provider_of(knobs: LoginTokensSettings) -> IdentityProvider | None:
    """Whose tokens are understood; None where only keys are."""
    if knobs.jwks_url is None:
        return None
    options = ProviderOptions(
        jwks_url=knobs.jwks_url,
        issuer=knobs.issuer or "",
        audience=knobs.audience or "",
        algorithm=knobs.jwks_algorithm,
    )
    return IdentityProvider(options, clock=utc_now)


async def _login_tokens(settings: Settings, *, supervised: bool) -> int:
    knobs = settings.login_tokens
    if not knobs.is_on:
        raise MisconfiguredError(
            "nobody may ask for login tokens: set CALLWEAVE_LOGIN_TOKENS__API_KEYS, or "
            "CALLWEAVE_LOGIN_TOKENS__JWKS_URL, __ISSUER and __AUDIENCE of an identity provider"
        )
    provider = provider_of(knobs)
    callers = Callers(
        read_key_holders(revealed(knobs.api_keys), knobs.agents),
        provider,
        mail_claim=knobs.mail_claim,
        people=Agents.of(knobs.agents or (EVERYBODY,)),
    )
    options = LoginOptions(
        path=knobs.path,
        per_caller_per_minute_max=knobs.per_caller_per_minute_max,
        per_agent_per_minute_max=knobs.per_agent_per_minute_max,
        failed_attempts_per_minute_max=knobs.failed_attempts_per_minute_max,
        only_once=knobs.only_once,
        sources=Sources(knobs.trusted_proxies),
        hash_key=mask_key(settings.data_dir),
    )
    clients = _clients(settings)
    desk = LoginDesk(options, callers, clients, LoginMetrics(REGISTRY))
    server = LoginServer(desk, knobs.host, knobs.port, tls=_certificates(knobs), provider=provider)
    try:
        async with hosted(
            settings, "login-tokens", server.unready, supervised=supervised, degraded_because=server.degraded
        ) as publish:
            try:
                await server.start()
            except ListenError as exc:
                raise MisconfiguredError(str(exc)) from exc
            publish(push_url=f"{server.url}{knobs.path}")
            log.info("login_tokens_listens", url=f"{server.url}{knobs.path}", applications=len(clients))
            await told_to_stop()
            answered = await server.stop(STOP_SECONDS_MAX)
            log.info("login_tokens_stopped", all_answered=answered)
            return 0 if answered else 1
    finally:
        for client in set(clients.values()):
            client.close()


def _clients(settings: Settings) -> dict[int, ApiClient]:
    """Who asks TCCC for each application. The limiter is a small one beside reconcile's of the same key."""
    metrics = ApiMetrics(REGISTRY)
    accounts = needed_accounts(settings)
    limiters = {account.secret_id: Limiter(settings.login_tokens.requests_per_second) for account in accounts}
    clients: dict[int, ApiClient] = {}
    for account in accounts:
        client = ApiClient(
            account,
            limiters[account.secret_id],
            concurrency=CONCURRENCY,
            metrics=metrics,
            now=utc_now,
            attempts_max=ATTEMPTS_MAX,
        )
        clients |= dict.fromkeys(account.sdk_app_ids, client)
    return clients


def _certificates(knobs: LoginTokensSettings) -> Certificates | None:
    if knobs.tls_cert_file is None or knobs.tls_key_file is None:
        return None
    try:
        return Certificates(TlsFiles(knobs.tls_cert_file, knobs.tls_key_file), clock=utc_now, registry=REGISTRY)
    except CertificateError as exc:
        raise MisconfiguredError(f"{exc}: check CALLWEAVE_LOGIN_TOKENS__TLS_CERT_FILE and __TLS_KEY_FILE") from exc
