"""The receiver's process."""

import resource
from pathlib import Path
from typing import Any

import structlog
import uvloop
from prometheus_client import REGISTRY

from callweave.kafka import client_options
from callweave.mask_key import mask_key
from callweave.receiver_door import receiver_routes
from callweave.roles.hosting import hosted, told_to_stop, utc_now
from callweave.runtime import new_token
from callweave.settings import MisconfiguredError, Settings
from callweave.suppression_list import SuppressionList, following
from callweave.tenant_settings import revealed
from callweave.tracing import tracing_of
from ingest.access import Credentials, TokenOptions, authenticator_of, tenants_authenticator, tokens_of
from ingest.auth import Tenant
from ingest.guard import Access
from ingest.habits import Habits
from ingest.identity_provider import IdentityProvider, ProviderOptions
from ingest.json_server import ListenError
from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.limits import DoorLimits
from ingest.masking import Masks
from ingest.metrics import ReceiverMetrics
from ingest.openapi import openapi_route
from ingest.receiver import Door, Receiver, ReceiverOptions
from ingest.record import PushRecorder, RecordError
from ingest.source_address import Sources
from ingest.spool import SpoolingPushLog, SpoolOptions
from ingest.spool_file import SpoolTakenError
from ingest.suppressing import SuppressingDoor, SuppressingPushLog, SuppressionMetrics
from ingest.tls import CertificateError, Certificates, TlsFiles
from ingest.watch import PushWatch
from schemas.metrics import Role

log = structlog.get_logger(__name__)

STOP_SECONDS_MAX = 30.0
_FILES_BESIDE_CONNECTIONS = 256


def receiver_role(settings: Settings, *, supervised: bool, record: Path | None = None) -> int:
    """Run the receiver until it is told to stop; the exit status."""
    return uvloop.run(_receiver(settings, supervised=supervised, record=record))


async def _receiver(settings: Settings, *, supervised: bool, record: Path | None) -> int:
    _allow_files(settings.receiver.connections_max + _FILES_BESIDE_CONNECTIONS)
    log_options = KafkaLogOptions(connection=client_options(settings), topic_prefix=settings.kafka.topic_prefix)
    listed = SuppressionList(settings)
    over_kafka = SuppressingPushLog(KafkaPushLog(log_options), lambda: listed.current)
    log_over_spool = SpoolingPushLog(over_kafka, _spool_options(settings), utc_now, REGISTRY)
    try:
        log_over_spool.own()  # before a receiver that runs here is overwritten in runtime.json
    except SpoolTakenError as exc:
        raise MisconfiguredError(str(exc)) from exc
    options = _receiver_options(settings)
    asked = [_credentials_of(holder) for holder in settings.tenants or (settings.receiver,)]
    access = access_of(settings)
    recorder = _recorder(record)
    watch = PushWatch(Habits(REGISTRY), Masks(mask_key(settings.data_dir)), recorder=recorder)
    door = Door(
        options,
        access,
        SuppressingDoor(log_over_spool, lambda: listed.current, SuppressionMetrics(REGISTRY)),
        utc_now,
        ReceiverMetrics(REGISTRY),
        watch,
        tracing_of(settings, Role.RECEIVER),
    )
    receiver = Receiver(door, tls=_certificates(settings))
    token = new_token()
    async with (
        following(listed),
        hosted(
            settings,
            "receiver",
            receiver.unready,
            supervised=supervised,
            degraded_because=lambda: listed.misconfigured or log_over_spool.degraded() or receiver.degraded(),
            routes=[openapi_route(options, asked), *receiver_routes(watch, token)],
            token=token,
        ) as publish,
    ):
        try:
            await receiver.start()
        except ListenError as exc:
            raise MisconfiguredError(str(exc)) from exc
        publish(push_url=push_url(receiver.url, settings))
        log.info("receiver_listens", url=receiver.url, auth=settings.receiver.auth, tenants=len(settings.tenants))
        await told_to_stop()
        answered = await receiver.stop(STOP_SECONDS_MAX)
        log.info("receiver_stopped", all_answered=answered)
        if recorder is not None:
            recorder.close()
        return 0 if answered else 1


def access_of(settings: Settings) -> Access:
    """Who may push, as the settings say."""
    receiver = settings.receiver
    keys = tuple(filter(None, (revealed(receiver.token_key), revealed(receiver.token_key_previous))))
    options = TokenOptions(keys=keys, ttl_seconds=receiver.token_ttl_seconds)
    sources = Sources(receiver.trusted_proxies)
    if settings.tenants:
        tenants = [
            (Tenant(tenant.name, frozenset(tenant.sdk_app_ids)), _credentials_of(tenant)) for tenant in settings.tenants
        ]
        tokens = tokens_of(tenants, options, utc_now)
        return Access(
            authenticator=tenants_authenticator(tenants, tokens),
            tokens=tokens,
            sources=sources,
            failed_attempts_per_minute_max=receiver.failed_attempts_per_minute_max,
        )
    credentials = _credentials_of(receiver)
    provider = _provider_of(settings)
    tokens = None if provider is not None else tokens_of([(None, credentials)], options, utc_now)
    return Access(
        authenticator=authenticator_of(credentials, provider or tokens),
        tokens=tokens,
        provider=provider,
        sources=sources,
        failed_attempts_per_minute_max=receiver.failed_attempts_per_minute_max,
        sdk_app_ids=frozenset(receiver.sdk_app_ids),
    )


def _allow_files(wanted: int) -> None:
    """Raise this process's limit of open files to what its connections may need, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        advice = "raise the hard limit (ulimit -Hn), or lower CALLWEAVE_RECEIVER__CONNECTIONS_MAX"
        log.warning("files_limited", allowed=allowed, wanted=wanted, advice=advice)


def _limits(settings: Settings) -> DoorLimits:
    receiver = settings.receiver
    return DoorLimits(
        header_bytes_max=receiver.header_bytes_max,
        header_lines_max=receiver.header_lines_max,
        header_seconds_max=receiver.header_seconds_max,
        request_seconds_max=receiver.request_seconds_max,
        connections_max=receiver.connections_max,
        requests_in_flight_max=receiver.requests_in_flight_max,
        json_depth_max=receiver.json_depth_max,
        json_values_max=receiver.json_values_max,
    )


def _spool_options(settings: Settings) -> SpoolOptions:
    receiver = settings.receiver
    return SpoolOptions(
        directory=settings.spool_dir,
        bytes_max=receiver.spool_bytes_max,
        wait_seconds_max=receiver.spool_wait_seconds_max,
        age_alarm_seconds=receiver.spool_age_alarm_seconds,
    )


def push_url(listening: str, settings: Settings) -> str:
    """The address to enter in TCCC's console (or, behind a proxy, its last part)."""
    url = listening.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
    token = settings.receiver.url_token
    return url if token is None else f"{url}?token={token.get_secret_value()}"


def _receiver_options(settings: Settings) -> ReceiverOptions:
    receiver = settings.receiver
    try:
        return ReceiverOptions(
            host=receiver.host,
            port=receiver.port,
            path=receiver.path,
            body_bytes_max=receiver.body_bytes_max,
            body_seconds_max=receiver.body_seconds_max,
            limits=_limits(settings),
        )
    except ValueError as exc:
        raise MisconfiguredError(str(exc)) from exc


def _credentials_of(given: Any) -> Credentials:
    return Credentials(
        auth=given.auth,
        username=given.username or "",
        password=revealed(given.password),
        password_previous=revealed(given.password_previous),
        client_id=given.client_id or "",
        client_secret=revealed(given.client_secret),
        client_secret_previous=revealed(given.client_secret_previous),
        url_token=revealed(given.url_token),
    )


def _provider_of(settings: Settings) -> IdentityProvider | None:
    receiver = settings.receiver
    if receiver.jwks_url is None:
        return None
    options = ProviderOptions(
        jwks_url=receiver.jwks_url,
        issuer=receiver.issuer or "",
        audience=receiver.audience or "",
        algorithm=receiver.jwks_algorithm,
    )
    return IdentityProvider(options, clock=utc_now)


def _certificates(settings: Settings) -> Certificates | None:
    cert_file, key_file = settings.receiver.tls_cert_file, settings.receiver.tls_key_file
    if cert_file is None or key_file is None:
        return None
    try:
        return Certificates(TlsFiles(cert_file, key_file), clock=utc_now, registry=REGISTRY)
    except CertificateError as exc:
        raise MisconfiguredError(f"{exc}: check CALLWEAVE_RECEIVER__TLS_CERT_FILE and __TLS_KEY_FILE") from exc


def _recorder(directory: Path | None) -> PushRecorder | None:
    try:
        return None if directory is None else PushRecorder(directory, registry=REGISTRY)
    except RecordError as exc:
        raise MisconfiguredError(str(exc)) from exc
