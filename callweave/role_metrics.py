"""What every role's `/metrics` tells beside its own: which version runs, whether it is ready, when certificates end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from callweave import __version__
from callweave.settings import KafkaSettings
from schemas import metrics as listed
from schemas.metrics import Role

log = structlog.get_logger(__name__)

_UNREADABLE: Final = 0.0
"""The expiry of a file that no client could use: an alert on what is near its end fires."""


def role_registry(role: Role, not_ready_because: Callable[[], str | None], kafka: KafkaSettings) -> CollectorRegistry:
    """A registry of its own, so that several roles can be built in one process."""
    registry = CollectorRegistry()
    Gauge(**listed.BUILD_INFO.arguments, registry=registry).labels(__version__, role.value).set(1)
    Gauge(**listed.READY.arguments, registry=registry).set_function(lambda: float(not_ready_because() is None))
    if kafka.ssl_cafile is not None or kafka.ssl_certfile is not None:
        registry.register(KafkaCertificates(kafka))
    return registry


class KafkaCertificates(Collector):
    """Reads the files again for each scrape: they are renewed in place."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._files = {"ssl_cafile": kafka.ssl_cafile, "ssl_certfile": kafka.ssl_certfile}

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Called by the registry when it takes us on."""
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called for each scrape."""
        family = self._family()
        for name, file in self._files.items():
            if file is not None:
                family.add_metric([name], first_expiry(file))
        yield family

    def _family(self) -> GaugeMetricFamily:
        metric = listed.KAFKA_CERTIFICATE_EXPIRY
        return GaugeMetricFamily(metric.name, metric.meaning, labels=[label.name for label in metric.labels])


def first_expiry(file: Path) -> float:
    """When the first of a file's certificates ends, in UNIX seconds."""
    from cryptography import x509  # noqa: PLC0415  (8 MB, for those alone who have a certificate)

    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as exc:
        log.warning("certificate_unreadable", file=str(file), problem=type(exc).__name__)
        return _UNREADABLE
    return min(certificate.not_valid_after_utc.timestamp() for certificate in certificates)
