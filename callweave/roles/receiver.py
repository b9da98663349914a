"""The receiver's process."""

import structlog
import uvloop
from prometheus_client import REGISTRY
from pydantic import SecretStr

from callweave.kafka import client_options
from callweave.roles.hosting import hosted, told_to_stop, utc_now
from callweave.settings import MisconfiguredError, Settings
from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.metrics import ReceiverMetrics
from ingest.receiver import Door, ListenError, Receiver, ReceiverOptions

log = structlog.get_logger(__name__)

STOP_SECONDS_MAX = 30.0


def receiver_role(settings: Settings, *, supervised: bool) -> int:
    """Run the receiver until it is told to stop; the exit status."""
    return uvloop.run(_receiver(settings, supervised=supervised))


async def _receiver(settings: Settings, *, supervised: bool) -> int:
    log_options = KafkaLogOptions(connection=client_options(settings), topic_prefix=settings.kafka.topic_prefix)
    options = _receiver_options(settings)
    door = Door(options, options.authenticator(), KafkaPushLog(log_options), utc_now, ReceiverMetrics(REGISTRY))
    receiver = Receiver(door)
    async with hosted(settings, "receiver", receiver.unready, supervised=supervised) as publish:
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


def _receiver_options(settings: Settings) -> ReceiverOptions:
    receiver = settings.receiver
    return ReceiverOptions(
        host=receiver.host,
        port=receiver.port,
        path=receiver.path,
        body_bytes_max=receiver.body_bytes_max,
        auth=receiver.auth,
        username=receiver.username or "",
        password=_revealed(receiver.password),
        password_previous=_revealed(receiver.password_previous),
        url_token=_revealed(receiver.url_token),
    )


def _revealed(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def push_url(listening: str, settings: Settings) -> str:
    """The address to enter in TCCC's console (or, behind a proxy, its last part)."""
    url = listening.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
    token = settings.receiver.url_token
    return url if token is None else f"{url}?token={token.get_secret_value()}"
