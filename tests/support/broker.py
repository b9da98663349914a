"""The Kafka of the test session: the one that the environment names, else one that is started for it."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from callweave.broker.jars import pinned_versions
from callweave.broker.local import VERSION, LocalBroker


@contextmanager
def session_broker(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield bootstrap servers. A broker that can't be had raises: a suite that skips half of itself proves nothing."""
    if given := environ.get("CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"):
        yield given
        return
    with (
        tempfile.TemporaryDirectory(prefix="callweave-kafka-", ignore_cleanup_errors=True) as folder,
        LocalBroker(Path(folder), version=kafka_version(environ), heap_mb=512) as broker,
    ):
        yield broker.bootstrap_servers


def kafka_version(environ: Mapping[str, str] = os.environ) -> str:
    """The pinned version that KAFKA asks for: itself ("4.1.1") or its beginning ("3.9")."""
    wanted = environ.get("KAFKA") or VERSION
    fitting = [version for version in pinned_versions() if version == wanted or version.startswith(f"{wanted}.")]
    # A version that nobody pinned goes on as it is, and the broker says which ones there are.
    return fitting[-1] if fitting else wanted
