"""Dead letters of the loader -> Kafka, acknowledged by all replicas before anything else happens."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from schemas.dead_letter import DeadLetter
from schemas.topics import MESSAGE_BYTES_MAX
from sinks.log import LogUnavailableError, UndeliverableLetterError

_NEVER: Final = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)


class KafkaOutbox:
    """The dead-letter topic; connected when the first letter is written, which is hardly ever."""

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Send and await every acknowledgement."""
        try:
            producer = await self._connected()
            acknowledgements = [
                await producer.send(self._topic, key=letter.dead_letter_id.encode(), value=letter.encoded())
                for letter in letters
            ]
            for acknowledgement in acknowledgements:
                await acknowledgement
        except _NEVER as exc:
            raise UndeliverableLetterError(f"a dead letter cannot be stored in {self._topic}: {exc!r}") from exc
        except (KafkaError, OSError, TimeoutError) as exc:
            # An idempotent producer that failed once may refuse to go on; a new one may repeat a letter, which is
            # then seen twice, and never skips one.
            await self.close()
            raise LogUnavailableError(f"Kafka does not take dead letters: {exc!r}") from exc

    async def close(self) -> None:
        """Disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError):
                await producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._kafka, acks="all", enable_idempotence=True, max_request_size=MESSAGE_BYTES_MAX
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer
