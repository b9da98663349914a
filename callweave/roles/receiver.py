"""The receiver's process."""

import resource

import structlog
import uvloop
from prometheus_client import REGISTRY
from pydantic import SecretStr

from callweave.kafka import client_options
from callweave.roles.hosting import hosted, told_to_stop, utc_now
from callweave.settings import MisconfiguredError, Settings
from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.limits import DoorLimits
from ingest.metrics import ReceiverMetrics
from ingest.openapi import openapi_route
from ingest.receiver import Door, ListenError, Receiver, ReceiverOptions
from ingest.spool import SpoolingPushLog, SpoolOptions
from ingest.spool_file import SpoolTakenError

log = structlog.get_logger(__name__)

STOP_SECONDS_MAX = 30.0
_FILES_BESIDE_CONNECTIONS = 256


def receiver_role(settings: Settings, *, supervised: bool) -> int:
    """Run the receiver until it is told to stop; the exit status."""
    return uvloop.run(_receiver(settings, supervised=supervised))


async def _receiver(settings: Settings, *, supervised: bool) -> int:
    _allow_files(settings.receiver.connections_max + _FILES_BESIDE_CONNECTIONS)
    log_options = KafkaLogOptions(connection=client_options(settings), topic_prefix=settings.kafka.topic_prefix)
    options = _receiver_options(settings)
    log_over_spool = SpoolingPushLog(KafkaPushLog(log_options), _spool_options(settings), utc_now, REGISTRY)
    try:
        log_over_spool.own()  # before a receiver that runs here is overwritten in runtime.json
    except SpoolTakenError as exc:
        raise MisconfiguredError(str(exc)) from exc
    door = Door(options, options.authenticator(), log_over_spool, utc_now, ReceiverMetrics(REGISTRY))
    receiver = Receiver(door)
    async with hosted(
        settings,
        "receiver",
        receiver.unready,
        supervised=supervised,
        degraded_because=log_over_spool.degraded,
        routes=[openapi_route(options)],
    ) as publish:
        try:
            await receiver.start()
        except ListenError as exc:
            raise MisconfiguredError(str(exc)) from exc
        publish(push_url=push_url(receiver.url, settings))
        log.info("receiver_listens", url=receiver.url, auth=settings.receiver.auth)
        await told_to_stop()
        answered = await receiver.stop(STOP_SECONDS_MAX)
        log.info("receiver_stopped", all_answered=answered)
        return 0 if answered else 1


def _allow_files(wanted: int) -> None:
    """Raise this process's limit of open files to what its connections may need, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        advice = "raise the hard limit (ulimit -Hn), or lower CALLWEAVE_RECEIVER__CONNECTIONS_MAX"
        log.warning("files_limited", allowed=allowed, wanted=wanted, advice=advice)


def _receiver_options(settings: Settings) -> ReceiverOptions:
    receiver = settings.receiver
    return ReceiverOptions(
        host=receiver.host,
        port=receiver.port,
        path=receiver.path,
        body_bytes_max=receiver.body_bytes_max,
        body_seconds_max=receiver.body_seconds_max,
        limits=_limits(settings),
        auth=receiver.auth,
        username=receiver.username or "",
        password=_revealed(receiver.password),
        password_previous=_revealed(receiver.password_previous),
        url_token=_revealed(receiver.url_token),
    )


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


def _revealed(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def push_url(listening: str, settings: Settings) -> str:
    """The address to enter in TCCC's console (or, behind a proxy, its last part)."""
    url = listening.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
    token = settings.receiver.url_token
    return url if token is None else f"{url}?token={token.get_secret_value()}"
